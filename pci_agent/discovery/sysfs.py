"""
Reads the PCI functions of a host from sysfs; the only module that walks ``/sys/bus/pci``.

* One bad function never spoils the others. What can't be told (no ids, garbage, gone mid-read) becomes a
  Problem instead of a Device; what can be told but is odd (a plain directory where the kernel has a link)
  becomes a Problem beside its Device. ``scan`` raises nothing.
* Few system calls, all relative to one directory descriptor. ``modalias`` has ids and class at once; the single
  files are read only where there is none (some captures). A VF shares its PF's node and revision, and is named by
  its PF's ``virtfn<N>`` links, so no VF is asked for what its PF knows.
* Never ``config``: reading it wakes a sleeping device. Neither ``uevent`` nor ``sriov_numvfs``: they wait for the
  device's lock, and who switches VFs off has their PF's until the last guest lets go of one. Whoever waits for that
  can't even be killed.
"""

import errno
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pci_agent.discovery.attributes import opened, read, said, short, text
from pci_agent.discovery.children import netdevs_of, permanent_mac, vdpa_devices
from pci_agent.errors import InvalidAddress
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType, Netdev

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
"""Every file of a function that may be read here, beside those in IDENTIFIERS."""

IDENTIFIERS = ("serial_number",)
"""Files of a PF that tell one card from another of its kind."""

LINKS = ("driver", "iommu_group", "physfn")
"""Every link of a function that may be read here, beside a PF's virtfn<N>."""

_ROOT_BUS = re.compile(r"pci([0-9a-f]{4,8}):([0-9a-f]{2})", re.IGNORECASE)
_HEX = re.compile(r"(?:0x)?([0-9a-f]+)", re.IGNORECASE | re.ASCII)
_MODALIAS = re.compile(
    r"pci:v([0-9a-f]{8})d([0-9a-f]{8})sv([0-9a-f]{8})sd([0-9a-f]{8})bc([0-9a-f]{2})sc([0-9a-f]{2})i([0-9a-f]{2})",
    re.IGNORECASE | re.ASCII,
)
_VIRTFN = re.compile(r"virtfn([0-9]{1,5})", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,10}", re.ASCII)
# All ones is what a sleeping card answers, all zeros is no number.
_SERIAL_NUMBER = re.compile(r"(?!(?:ff-){7}ff|(?:00-){7}00)(?:[0-9a-f]{2}-){7}[0-9a-f]{2}", re.ASCII)
_MOST_VFS = 65535  # TotalVFs is a 16-bit register


@dataclass(frozen=True, slots=True)
class Problem:
    """
    Something that couldn't be read, or is odd.

    Attributes:
        address: the name in /sys/bus/pci/devices; None where no single function is meant
        cause: what was found, and in which file
    """

    address: str | None
    cause: str


@dataclass(frozen=True, slots=True)
class Scan:
    """
    One look at /sys/bus/pci/devices.

    Attributes:
        devices: the functions that could be read, in order of address
        problems: what was wrong or odd, in order of address
        unreadable: functions that are there and are not in *devices*
        complete: False where the directory itself couldn't be listed, so that nothing may be concluded from
            what is missing
    """

    devices: tuple[Device, ...]
    problems: tuple[Problem, ...]
    unreadable: frozenset[PciAddress] = frozenset()
    complete: bool = True

    @property
    def settled(self) -> bool:
        """True where every function could be told, and each PF has as many VFs as it says: none comes or goes."""
        if self.unreadable or not self.complete:
            return False
        vfs = Counter(device.parent_addr for device in self.devices if device.parent_addr is not None)
        return all(vfs[pf.address] == pf.sriov_numvfs for pf in self.devices if pf.sriov_numvfs is not None)


def scan(root: str = "/sys", before: Scan | None = None) -> Scan:
    """
    Read every PCI function below *root*.

    Args:
        root: where sysfs is mounted; any directory of the same shape serves
        before: the scan before this one; a function that hasn't changed is handed back as the same object
    """
    known = {} if before is None else {device.address: device for device in before.devices}
    try:
        with opened(os.path.join(root, "bus/pci/devices")) as directory:
            return _Look(root, directory, known).scan()
    except OSError as error:
        return Scan((), (Problem(None, f"{root}/bus/pci/devices: {said(error)}"),), complete=False)


class _Unreadable(Exception):
    """The function can't be told; the text is the cause."""


@dataclass(frozen=True, slots=True)
class _Family:
    """What a PF knows of its VFs: its node, the index of each, and the revision that they share."""

    numa_node: int | None
    indexes: Mapping[PciAddress, int]
    revision: list[str] = field(default_factory=list)


class _Look:
    """One walk over the directory. PFs come before their VFs, since addresses sort that way."""

    def __init__(self, root: str, directory: int, known: Mapping[PciAddress, Device]) -> None:
        self._root = root
        self._directory = directory
        self._known = known
        self._problems: list[Problem] = []
        self._families: dict[PciAddress, _Family] = {}
        self._pf_of: dict[PciAddress, PciAddress] = {}
        self._bridges: dict[str, str] = {}

    def scan(self) -> Scan:
        """Read every function once."""
        addresses = self._addresses()
        netdevs = netdevs_of(self._root, self._note)
        vdpa = vdpa_devices(self._root, self._note)
        devices, unreadable = [], set()
        for address in addresses:
            try:
                device = self._device(address, netdevs.get(address, ()), address in vdpa)
            except _Unreadable as error:
                self._note(address, str(error))
                unreadable.add(address)
                continue
            before = self._known.get(address)
            devices.append(before if before == device else device)
        return Scan(tuple(devices), tuple(sorted(self._problems, key=_place)), frozenset(unreadable))

    def _note(self, address: PciAddress | None, cause: str) -> None:
        self._problems.append(Problem(None if address is None else str(address), cause))

    def _addresses(self) -> list[PciAddress]:
        addresses = []
        for name in os.listdir(self._directory):
            try:
                addresses.append(PciAddress.parse(name))
            except InvalidAddress:
                self._problems.append(Problem(text(name), "its name is no PCI address"))
        return sorted(addresses)

    # One function

    def _device(self, address: PciAddress, netdevs: tuple[Netdev, ...], vdpa: bool) -> Device:
        path = self._path(address)
        ids = self._ids(address)
        pf = self._pf_of.get(address) or self._physfn(address)
        total = None if pf else self._number(address, "sriov_totalvfs", 0, _MOST_VFS)
        is_pf = bool(total)
        family = self._families.get(pf) if pf else None
        if family is not None and address not in family.indexes:
            raise _Unreadable(f"it is coming or going: none of the virtfn links of {pf} leads to it")
        numa_node = family.numa_node if family else self._node(address)
        if is_pf:
            self._families[address] = self._family(address, numa_node)
        return Device(
            address=address,
            path=path,
            vendor_id=ids.vendor_id,
            product_id=ids.product_id,
            subsystem_vendor_id=ids.subsystem_vendor_id,
            subsystem_product_id=ids.subsystem_product_id,
            class_code=ids.class_code,
            revision=self._revision(address, family),
            dev_type=_dev_type(is_pf, pf, vdpa),
            parent_addr=pf,
            vf_index=family.indexes.get(address) if family else None,
            sriov_totalvfs=total if is_pf else None,
            sriov_numvfs=len(self._families[address].indexes) if is_pf else None,
            numa_node=numa_node,
            driver=ids.driver,
            iommu_group=self._iommu_group(address),
            netdevs=netdevs,
            serial_number=self._serial_number(address) if is_pf else None,
            permanent_mac=permanent_mac(self._root, netdevs) if is_pf else None,
        )

    def _path(self, address: PciAddress) -> str | None:
        try:
            target = os.readlink(str(address), dir_fd=self._directory)
        except OSError as error:
            if error.errno == errno.EINVAL:
                self._note(address, "it is a plain directory, not a link into devices")
                return None
            raise _Unreadable(f"its link: {said(error)}") from None
        return self._hangs_at(text(target))

    def _hangs_at(self, target: str) -> str | None:
        """Turn ``../../../devices/pci0000:00/0000:00:1c.0/0000:05:00.0`` into bridge and chain."""
        parts = [part for part in target.split("/") if part not in ("", "..", ".")]
        start = next((i for i, part in enumerate(parts) if _ROOT_BUS.fullmatch(part)), None)
        if start is None:
            return None
        steps = [self._bridge("/".join(parts[: start + 1]), parts[start])]
        for part in parts[start + 1 :]:
            nested = _ROOT_BUS.fullmatch(part)  # Intel VMD: a bridge of its own, in a domain made up at boot
            steps.append(f"bus {nested[2]}" if nested else part.rpartition(":")[2])
        return "/".join(steps)

    def _bridge(self, place: str, name: str) -> str:
        """Name a host bridge: its domain and ACPI path, else its root bus."""
        if place not in self._bridges:
            found = _ROOT_BUS.fullmatch(name)
            domain, bus = (found[1], found[2]) if found else ("", name)
            try:
                firmware = read(os.path.join(self._root, place, "firmware_node/path"))
            except (FileNotFoundError, NotADirectoryError):
                firmware = ""
            except OSError as error:
                raise _Unreadable(f"its host bridge's firmware_node/path: {said(error)}") from None
            self._bridges[place] = f"{domain}:{firmware or bus}"
        return self._bridges[place]

    def _ids(self, address: PciAddress) -> "_Ids":
        alias = self._optional(address, "modalias")
        if alias is not None:
            return self._ids_of(alias, self._link_name(address, "driver"))
        return _Ids(
            vendor_id=_hex(self._required(address, "vendor"), 4, "vendor"),
            product_id=_hex(self._required(address, "device"), 4, "device"),
            class_code=_hex(self._required(address, "class"), 6, "class"),
            subsystem_vendor_id=_hex_or_none(self._optional(address, "subsystem_vendor"), 4, "subsystem_vendor"),
            subsystem_product_id=_hex_or_none(self._optional(address, "subsystem_device"), 4, "subsystem_device"),
            driver=self._link_name(address, "driver"),
        )

    @staticmethod
    def _ids_of(alias: str, driver: str | None) -> "_Ids":
        found = _MODALIAS.fullmatch(alias)
        if found is None:
            raise _Unreadable(f"modalias: {short(alias)} is not that of a PCI function")
        vendor, product, subsystem_vendor, subsystem_product, *pci_class = found.groups()
        return _Ids(
            vendor_id=_hex(vendor, 4, "modalias"),
            product_id=_hex(product, 4, "modalias"),
            class_code="".join(pci_class).lower(),
            subsystem_vendor_id=_hex(subsystem_vendor, 4, "modalias"),
            subsystem_product_id=_hex(subsystem_product, 4, "modalias"),
            driver=driver,
        )

    def _node(self, address: PciAddress) -> int | None:
        node = self._number(address, "numa_node", -1, 2**31 - 1)
        return None if node == -1 else node

    def _revision(self, address: PciAddress, family: _Family | None) -> str | None:
        if family and family.revision:
            return family.revision[0]
        revision = _hex_or_none(self._optional(address, "revision"), 2, "revision")
        if family and revision is not None:
            family.revision.append(revision)
        return revision

    def _serial_number(self, address: PciAddress) -> str | None:
        """Read what is evidence only, so that no trouble with it is one: it may be root's alone, or say nothing."""
        try:
            said = read(f"{address}/serial_number", self._directory).lower()
        except OSError:
            return None
        return said if _SERIAL_NUMBER.fullmatch(said) else None

    def _iommu_group(self, address: PciAddress) -> int | None:
        try:
            name = self._link_name(address, "iommu_group")
        except _Unreadable as error:
            self._note(address, str(error))
            return None
        if name is None:
            return None
        if not name.isascii() or not name.isdigit():
            raise _Unreadable(f"iommu_group: it leads to {name!r}, not to a number")
        return int(name)

    # PF and VF

    def _physfn(self, address: PciAddress) -> PciAddress | None:
        name = self._link_name(address, "physfn")
        return None if name is None else _address(name, "physfn")

    def _family(self, address: PciAddress, numa_node: int | None) -> _Family:
        """Follow a PF's virtfn links, of which any may be missing while VFs come or go."""
        indexes: dict[PciAddress, int] = {}
        for index in self._virtfns(address):
            try:
                name = self._link_name(address, f"virtfn{index}")
                if name is not None:
                    indexes[_address(name, f"virtfn{index}")] = index
            except _Unreadable as error:
                self._note(address, str(error))
        self._pf_of.update(dict.fromkeys(indexes, address))
        return _Family(numa_node, indexes)

    def _virtfns(self, address: PciAddress) -> list[int]:
        try:
            with opened(str(address), self._directory) as home:
                names = os.listdir(home)
        except OSError as error:
            raise _Unreadable(f"its directory: {said(error)}") from None
        return sorted(int(found[1]) for name in names if (found := _VIRTFN.fullmatch(name)))

    # Reading

    def _optional(self, address: PciAddress, name: str) -> str | None:
        """Read an attribute; None where there is none and the function still stands."""
        try:
            return read(f"{address}/{name}", self._directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _Unreadable(f"{name}: {said(error)}") from None

    def _required(self, address: PciAddress, name: str) -> str:
        text = self._optional(address, name)
        if text is None:
            there = os.access(str(address), os.F_OK, dir_fd=self._directory)
            raise _Unreadable(f"{name}: missing" if there else "its link leads nowhere: the function is gone")
        return text

    def _number(self, address: PciAddress, name: str, least: int, most: int) -> int | None:
        said = self._optional(address, name)
        if said is None:
            return None
        if _NUMBER.fullmatch(said) is None or not least <= int(said) <= most:
            raise _Unreadable(f"{name}: {short(said)} is no number from {least} to {most}")
        return int(said)

    def _link_name(self, address: PciAddress, name: str) -> str | None:
        """Give the last part of a link's target; None where there is no link."""
        try:
            target = os.readlink(f"{address}/{name}", dir_fd=self._directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _Unreadable(f"{name}: {said(error)}") from None
        return text(target).rstrip("/").rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ids:
    vendor_id: str
    product_id: str
    class_code: str
    subsystem_vendor_id: str | None
    subsystem_product_id: str | None
    driver: str | None


def _dev_type(is_pf: bool, pf: PciAddress | None, vdpa: bool) -> DevType:
    if is_pf:
        return DevType.PF
    if pf is None:
        return DevType.PCI
    return DevType.VDPA if vdpa else DevType.VF


def _address(text: str, name: str) -> PciAddress:
    try:
        return PciAddress.parse(text)
    except InvalidAddress:
        raise _Unreadable(f"{name}: it leads to {short(text)}, which is no PCI address") from None


def _hex(text: str, width: int, name: str) -> str:
    found = _HEX.fullmatch(text.strip())
    if found is None or len(found[1].lstrip("0")) > width:
        raise _Unreadable(f"{name}: {short(text)} is not a hex number of {width} digits")
    return found[1].lower().lstrip("0").zfill(width)


def _hex_or_none(text: str | None, width: int, name: str) -> str | None:
    return _hex(text, width, name) if text else None


def _place(problem: Problem) -> tuple[bool, str, str]:
    return (problem.address is None, problem.address or "", problem.cause)
