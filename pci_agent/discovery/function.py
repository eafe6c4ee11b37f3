"""
Reads one PCI function of sysfs: the texts that meaning.py understands.

* ``modalias`` has ids and class at once; the single files are read only where there is none (some captures).
* What can't change while a function stands is asked once: ids and class, its revision, whether it has SR-IOV, whose VF
  it is. Its IOMMU group is another one only with another driver (vfio without an IOMMU).
* The MAC of a VF's netdev isn't asked: it is made up, or whoever gave the VF away has set it.
* What all VFs of a PF share is asked of the PF, or of one of them. The kernel itself reads ids and class of the first
  alone (linux/drivers/pci/iov.c, pci_read_vf_config_common).
* Never ``config``: reading it wakes a sleeping device. Neither ``uevent`` nor ``sriov_numvfs``: they wait for the
  device's lock, and who switches VFs off has their PF's until the last guest lets go of one. Whoever waits for that
  can't even be killed.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pci_agent.discovery import meaning
from pci_agent.discovery.attributes import Place, Unreadable, last, said
from pci_agent.discovery.meaning import Common, FileIds, Texts
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device

ATTRIBUTES = (
    "modalias",
    "vendor",
    "device",
    "class",
    "subsystem_vendor",
    "subsystem_device",
    "revision",
    "numa_node",
    "sriov_totalvfs",
)
"""Every file of a function that may be read, beside those in IDENTIFIERS."""

IDENTIFIERS = ("serial_number",)
"""Files of a PF that tell one card from another of its kind."""

LINKS = ("driver", "iommu_group", "physfn")
"""Every link of a function that may be read, beside a PF's virtfn<N>."""

_VIRTFN = re.compile(r"virtfn([0-9]{1,5})", re.ASCII)


class Told(NamedTuple):
    """What was read of a function, and the device that it makes."""

    texts: Texts
    device: Device


class Function(NamedTuple):
    """
    A function to be read.

    Attributes:
        name: in /sys/bus/pci/devices
        address: the name, understood
        entry: the inode number of its link there, another one once it was taken off the bus and put back; 0 where a
            plain directory stands for the link
        netdevs: the names of its netdevs, sorted
        vdpa: True where a vdpa device stands right below it
        before: as it was told last
        note: takes down what is odd about it
    """

    name: str
    address: PciAddress
    entry: int
    netdevs: Sequence[str]
    vdpa: bool
    before: Told | None
    note: Callable[[str, str], None]

    @property
    def stood(self) -> Texts | None:
        """What was read of it before, where it has stood there since."""
        before = self.before
        return before.texts if before is not None and before.texts.entry == self.entry != 0 else None

    def texts(self, place: Place, bridge: str | None, member: "Member | None", bus: "Bus") -> Texts:
        """
        Read what may have changed.

        Args:
            place: its directory
            bridge: where it hangs
            member: of a VF, its number among those of its PF; None where no PF tells it
            bus: where it stands with the others

        Raises:
            Unreadable: what can't be done without is missing, or is garbage.
        """
        stood, driver = self.stood, place.link("driver")
        return Texts(
            entry=self.entry,
            bridge=bridge,
            ids=self._ids(place, member) if stood is None else stood.ids,
            driver=driver,
            iommu_group=self._group(place) if stood is None or stood.driver != driver else stood.iommu_group,
            netdevs=tuple([(netdev, self._mac(place, netdev) if member is None else None) for netdev in self.netdevs]),
            vdpa=self.vdpa,
            vf_index=None if member is None else member.vf_index,
            common=self._alone(place, bus) if member is None else member.family.common(self, place),
        )

    def revision(self, place: Place) -> str | None:
        """Read its revision."""
        stood = self.stood
        return meaning.revision(place.file("revision")) if stood is None else stood.common.revision

    def _ids(self, place: Place, member: "Member | None") -> bytes | FileIds:
        alias = self.modalias(place) if member is None else member.family.modalias(self, place)
        return self._file_ids(place) if alias is None else alias

    def modalias(self, place: Place) -> bytes | None:
        """Read its ids and class; None where there is no such file."""
        return place.file("modalias")

    def _file_ids(self, place: Place) -> FileIds:
        return FileIds(
            vendor=_needed(place, "vendor"),
            device=_needed(place, "device"),
            class_=_needed(place, "class"),
            subsystem_vendor=place.file("subsystem_vendor"),
            subsystem_device=place.file("subsystem_device"),
        )

    def _group(self, place: Place) -> str | None:
        try:
            return place.link("iommu_group")
        except Unreadable as error:
            self.note(self.name, str(error))
            return None

    def _mac(self, place: Place, netdev: str) -> bytes | None:
        try:
            return place.file(f"net/{netdev}/address")
        except Unreadable as error:
            self.note(self.name, str(error))
            return None

    def _alone(self, place: Place, bus: "Bus") -> Common:
        """Read what no PF tells of it."""
        stood = self.stood
        said = place.file("sriov_totalvfs") if stood is None or stood.common.has_sriov else None
        totalvfs = meaning.totalvfs(said)
        netdev = self.netdevs[0] if totalvfs and len(self.netdevs) == 1 else None
        return Common(
            numa_node=meaning.numa_node(place.file("numa_node")),
            revision=self.revision(place),
            pf=None if said is not None else self._physfn(place) if stood is None else stood.common.pf,
            has_sriov=said is not None,
            sriov_totalvfs=totalvfs,
            virtfns=self._virtfns(place, bus) if totalvfs else (),
            serial_number=meaning.serial_number(_evidence(place, "serial_number")) if totalvfs else None,
            as_made=netdev is not None and meaning.as_made(_evidence(place, f"net/{netdev}/addr_assign_type")),
        )

    def _virtfns(self, place: Place, bus: "Bus") -> tuple[tuple[int, str], ...]:
        """Follow a PF's virtfn links, unless all that they led to stands there still."""
        indexes = sorted(int(found[1]) for name in bus.inside(self.name) if (found := _VIRTFN.fullmatch(name)))
        known = self.stood.common.virtfns if self.stood is not None else ()
        if [index for index, _ in known] == indexes and all(bus.stands(last(target)) for _, target in known):
            return known
        return tuple(self._followed(place, bus, indexes))

    def _followed(self, place: Place, bus: "Bus", indexes: Iterable[int]) -> Iterator[tuple[int, str]]:
        """Follow links of which any may be missing while VFs come or go."""
        for index in indexes:
            try:
                target = place.link(f"virtfn{index}")
                if target is not None:
                    if last(target) not in bus.functions:
                        meaning.function_at(target, f"virtfn{index}")
                    yield index, target
            except Unreadable as error:
                self.note(self.name, str(error))

    def _physfn(self, place: Place) -> PciAddress | None:
        target = place.link("physfn")
        return None if target is None else meaning.function_at(target, "physfn")


class Bus(NamedTuple):
    """
    The functions of a host, as they were listed.

    Attributes:
        path: of the directory
        functions: by name
    """

    path: str
    functions: Mapping[str, Function]

    def stands(self, name: str) -> bool:
        """Tell whether a function is the one that stood there before."""
        function = self.functions.get(name)
        return function is not None and function.stood is not None

    def inside(self, name: str) -> list[str]:
        """List what a function's directory holds; by its path, which takes half the calls of a descriptor."""
        try:
            return os.listdir(f"{self.path}/{name}")
        except OSError as error:
            raise Unreadable(f"its directory: {said(error)}") from None


@dataclass(slots=True)
class Family:
    """The VFs of a PF."""

    pf: PciAddress
    numa_node: int | None
    _common: Common | None = None
    _modalias: bytes | None = None

    def common(self, vf: Function, place: Place) -> Common:
        """Tell what all of them share; the revision is asked of one, of the next where that one has none."""
        if self._common is None or self._common.revision is None:
            self._common = Common(self.numa_node, vf.revision(place), self.pf)
        return self._common

    def modalias(self, vf: Function, place: Place) -> bytes | None:
        """Tell the ids and class of all of them; they are asked of one, of the next where that one has none."""
        if self._modalias is None:
            self._modalias = vf.modalias(place)
        return self._modalias


class Member(NamedTuple):
    """A VF of a family, and its number there."""

    family: Family
    vf_index: int


def _needed(place: Place, name: str) -> bytes:
    content = place.file(name)
    if content is None:
        raise Unreadable(f"{name}: missing" if place.is_there() else "its link leads nowhere: the function is gone")
    return content


def _evidence(place: Place, name: str) -> bytes | None:
    """Read what is evidence only, so that no trouble with it is one: it may be root's alone, or say nothing."""
    try:
        return place.file(name)
    except Unreadable:
        return None
