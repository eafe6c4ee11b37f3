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
from collections.abc import Callable, Iterable, Mapping, Sequence
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

_SERIAL = "serial_number"

IDENTIFIERS = (_SERIAL,)
"""Files of a PF that tell one card from another of its kind."""

LINKS = ("driver", "iommu_group", "physfn")
"""Every link of a function that may be read, beside a PF's virtfn<N>."""

_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII)


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

    def texts(self, inside: int, bridge: str | None, functions: "Functions") -> Texts:
        """
        Read what may have changed of one that no PF tells.

        Args:
            inside: its directory, open
            bridge: where it hangs
            functions: all that were listed

        Raises:
            Unreadable: what can't be done without is missing, or is garbage.
        """
        place = Place("", inside)
        stood, driver = self.stood, place.link("driver")
        return Texts(
            entry=self.entry,
            bridge=bridge,
            ids=(self.modalias(place) or self._file_ids(place)) if stood is None else stood.ids,
            driver=driver,
            iommu_group=self._group(place) if stood is None or stood.driver != driver else stood.iommu_group,
            netdevs=tuple([(netdev, self._mac(place, netdev)) for netdev in self.netdevs]),
            vdpa=self.vdpa,
            vf_index=None,
            common=self._alone(place, functions),
        )

    def texts_of_vf(self, place: Place, bridge: str | None, family: "Family", vf_index: int) -> Texts:
        """
        Read what may have changed of a VF.

        Args:
            place: its directory
            bridge: where it hangs
            family: of its PF
            vf_index: its number there

        Raises:
            Unreadable: what can't be done without is missing, or is garbage.
        """
        before = self.before and self.stood
        driver = place.link("driver")
        ids = before.ids if before else family.modalias or family.read_modalias(self, place) or self._file_ids(place)
        group = before.iommu_group if before and before.driver == driver else self._group(place)
        netdevs = tuple([(netdev, None) for netdev in self.netdevs])
        common = family.common or family.read_common(self, place)
        return Texts(self.entry, bridge, ids, driver, group, netdevs, self.vdpa, vf_index, common)

    def revision(self, place: Place) -> str | None:
        """Read its revision."""
        stood = self.stood
        return meaning.revision(place.file("revision")) if stood is None else stood.common.revision

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

    def _alone(self, place: Place, functions: "Functions") -> Common:
        """Read what no PF tells of it."""
        stood = self.stood
        said = place.file("sriov_totalvfs") if stood is None or stood.common.has_sriov else None
        totalvfs = meaning.totalvfs(said)
        if totalvfs:
            return self._as_pf(place, totalvfs, functions)
        return Common(
            numa_node=meaning.numa_node(place.file("numa_node")),
            revision=self.revision(place),
            pf=None if said is not None else self._physfn(place) if stood is None else stood.common.pf,
            has_sriov=said is not None,
        )

    def _as_pf(self, place: Place, totalvfs: int, functions: "Functions") -> Common:
        files = _inside(place)
        netdev = self.netdevs[0] if len(self.netdevs) == 1 else None
        return Common(
            numa_node=meaning.numa_node(place.file("numa_node")),
            revision=self.revision(place),
            has_sriov=True,
            sriov_totalvfs=totalvfs,
            virtfns=self._virtfns(place, files, functions),
            serial_number=meaning.serial_number(_evidence(place, _SERIAL)) if _SERIAL in files else None,
            as_made=netdev is not None and meaning.as_made(_evidence(place, f"net/{netdev}/addr_assign_type")),
        )

    def _virtfns(self, place: Place, files: Iterable[str], functions: "Functions") -> tuple[tuple[int, str], ...]:
        """Follow a PF's virtfn links, unless all that they led to stands there still."""
        links = sorted([(int(name[6:]), name) for name in files if name[:6] == "virtfn" and _NUMBER.fullmatch(name, 6)])
        known = self.stood.common.virtfns if self.stood is not None else ()
        same = [index for index, _ in known] == [index for index, _ in links]
        if same and all(_stands(last(target), functions) for _, target in known):
            return known
        followed = [(index, self._followed(place, name, functions)) for index, name in links]
        return tuple([(index, target) for index, target in followed if target is not None])

    def _followed(self, place: Place, virtfn: str, functions: "Functions") -> str | None:
        """Follow a link that may be missing while VFs come or go."""
        try:
            target = place.link(virtfn)
            if target is not None and last(target) not in functions:
                meaning.function_at(target, virtfn)
        except Unreadable as error:
            self.note(self.name, str(error))
            return None
        return target

    def _physfn(self, place: Place) -> PciAddress | None:
        target = place.link("physfn")
        return None if target is None else meaning.function_at(target, "physfn")


Functions = Mapping[str, Function]
"""The functions of a host, as they were listed, by name."""


@dataclass(slots=True)
class Family:
    """
    The VFs of a PF.

    Attributes:
        pf: its address
        numa_node: its node, which is theirs
        common: what they share, once one of them has told it
        modalias: their ids and class, once one of them has told them
    """

    pf: PciAddress
    numa_node: int | None
    common: Common | None = None
    modalias: bytes | None = None

    def read_common(self, vf: Function, place: Place) -> Common:
        """Ask a VF what all of them share, the revision; the next is asked too where it has none."""
        common = Common(self.numa_node, vf.revision(place), self.pf)
        if common.revision is not None:
            self.common = common
        return common

    def read_modalias(self, vf: Function, place: Place) -> bytes | None:
        """Ask a VF for the ids and class of all of them; the next is asked too where it has none."""
        self.modalias = vf.modalias(place)
        return self.modalias


def _stands(name: str, functions: Functions) -> bool:
    """Tell whether a function is the one that stood there before."""
    function = functions.get(name)
    return function is not None and function.stood is not None


def _inside(place: Place) -> list[str]:
    try:
        return os.listdir(place.directory)
    except OSError as error:
        raise Unreadable(f"its directory: {said(error)}") from None


def _needed(place: Place, name: str) -> bytes:
    content = place.file(name)
    if content is None:
        raise Unreadable(f"{name}: missing")
    return content


def _evidence(place: Place, name: str) -> bytes | None:
    """Read what is evidence only, so that no trouble with it is one: it may be root's alone, or say nothing."""
    try:
        return place.file(name)
    except Unreadable:
        return None
