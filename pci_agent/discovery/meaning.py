"""
What a function's texts mean: the kernel's words in, a Device out. No I/O.

Equal texts make equal devices, so what sysfs says again needn't be understood again. A word that can't be understood
is the end of its whole function: half a Device would be believed.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from pci_agent.discovery.attributes import Unreadable, last, short, text, word
from pci_agent.errors import InvalidAddress
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType, Netdev

_HEX = re.compile(r"(?:0x)?([0-9a-f]+)", re.IGNORECASE | re.ASCII)
_MODALIAS = re.compile(
    r"pci:v([0-9a-f]{8})d([0-9a-f]{8})sv([0-9a-f]{8})sd([0-9a-f]{8})bc([0-9a-f]{2})sc([0-9a-f]{2})i([0-9a-f]{2})",
    re.IGNORECASE | re.ASCII,
)
_NUMBER = re.compile(r"-?[0-9]{1,10}", re.ASCII)
# All ones is what a sleeping card answers, all zeros is no number.
_SERIAL_NUMBER = re.compile(r"(?!(?:ff-){7}ff|(?:00-){7}00)(?:[0-9a-f]{2}-){7}[0-9a-f]{2}", re.ASCII)
_MAC_ADDRESS = re.compile(r"(?!(?:00:){5}00)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", re.ASCII)
_AS_MADE = "0"  # NET_ADDR_PERM of linux/netdevice.h; the others are made up, inherited or set
_MOST_VFS = 65535  # TotalVFs is a 16-bit register


class Common(NamedTuple):
    """
    What all VFs of a PF have in common; of a function that is no VF, what it has for itself.

    Attributes:
        pf: of VFs
        has_sriov: True where there are files of SR-IOV
        virtfns: of a PF, the number of each VF and where its link leads
        as_made: True where a PF has one netdev, with the MAC that the card was made with
    """

    numa_node: int | None
    revision: str | None
    pf: PciAddress | None = None
    has_sriov: bool = False
    sriov_totalvfs: int | None = None
    virtfns: tuple[tuple[int, str], ...] = ()
    serial_number: str | None = None
    as_made: bool = False


class Texts(NamedTuple):
    """
    What was read of one function. device.py tells the file of each; links are given by their targets.

    Attributes:
        entry: the inode number of its link, which is another once it was taken off the bus and put back; 0 where a
            plain directory stands for the link
        bridge: where it hangs: its path but for the end
        ids: modalias, whole, or what stands for it where there is none
        netdevs: name and address of each, by name
        vdpa: True where a vdpa device stands right below
        vf_index: of a VF whose PF tells
    """

    entry: int
    bridge: str | None
    ids: "bytes | FileIds"
    driver: str | None
    iommu_group: str | None
    netdevs: tuple[tuple[str, bytes | None], ...]
    vdpa: bool
    vf_index: int | None
    common: Common


class FileIds(NamedTuple):
    """The files that say what modalias says."""

    vendor: bytes
    device: bytes
    class_: bytes
    subsystem_vendor: bytes | None
    subsystem_device: bytes | None


def understood(address: PciAddress, texts: Texts) -> Device:
    """
    Make a device of what was read.

    Raises:
        Unreadable: some of it is not what the kernel writes there.
    """
    ids = _ids_of_alias(texts.ids) if isinstance(texts.ids, bytes) else _ids_of_files(texts.ids)
    common = texts.common
    netdevs = tuple([Netdev(text(name), _mac_address(said) if said else None) for name, said in texts.netdevs])
    return Device(  # by place: with keywords it takes twice as long
        address,
        None if texts.bridge is None else f"{texts.bridge}/{address.slot:02x}.{address.function}",
        *ids,
        common.revision,
        _dev_type(common, vdpa=texts.vdpa),
        common.pf,
        texts.vf_index,
        common.sriov_totalvfs,
        None if common.sriov_totalvfs is None else len(common.virtfns),
        common.numa_node,
        _driver(texts.driver),
        _group(texts.iommu_group),
        netdevs,
        common.serial_number,
        _permanent_mac(netdevs) if common.as_made else None,
    )


@lru_cache(maxsize=256)
def totalvfs(said: bytes | None) -> int | None:
    """Tell how many VFs a PF offers; None of what is no PF, or offers none."""
    return _number(said, "sriov_totalvfs", 0, _MOST_VFS) or None


@lru_cache(maxsize=256)
def numa_node(said: bytes | None) -> int | None:
    """Tell a function's node; None where it has none."""
    node = _number(said, "numa_node", -1, 2**31 - 1)
    return None if node == -1 else node


@lru_cache(maxsize=256)
def revision(said: bytes | None) -> str | None:
    """Tell a function's revision."""
    return _hex_or_none(said, 2, "revision")


def serial_number(said: bytes | None) -> str | None:
    """Tell a card's serial number; None where it is none, which is no harm."""
    number = word(said or b"").lower()
    return number if _SERIAL_NUMBER.fullmatch(number) else None


def as_made(assigned: bytes | None) -> bool:
    """Tell by addr_assign_type whether a netdev has the MAC that the card was made with."""
    return assigned is not None and word(assigned) == _AS_MADE


def function_at(target: str, name: str) -> PciAddress:
    """Tell which function the link *name* leads to."""
    try:
        return PciAddress.parse(last(target))
    except InvalidAddress:
        raise Unreadable(f"{name}: it leads to {short(text(last(target)))}, which is no PCI address") from None


class _Ids(NamedTuple):
    """In a device's order."""

    vendor_id: str
    product_id: str
    subsystem_vendor_id: str | None
    subsystem_product_id: str | None
    class_code: str


@lru_cache(maxsize=256)  # all VFs of a kind have the same
def _ids_of_alias(alias: bytes) -> _Ids:
    found = _MODALIAS.fullmatch(word(alias))
    if found is None:
        raise Unreadable(f"modalias: {short(word(alias))} is not that of a PCI function")
    vendor, product, subsystem_vendor, subsystem_product, *pci_class = found.groups()
    return _Ids(
        vendor_id=_hex(vendor, 4, "modalias"),
        product_id=_hex(product, 4, "modalias"),
        class_code="".join(pci_class).lower(),
        subsystem_vendor_id=_hex(subsystem_vendor, 4, "modalias"),
        subsystem_product_id=_hex(subsystem_product, 4, "modalias"),
    )


def _ids_of_files(ids: FileIds) -> _Ids:
    return _Ids(
        vendor_id=_hex(word(ids.vendor), 4, "vendor"),
        product_id=_hex(word(ids.device), 4, "device"),
        class_code=_hex(word(ids.class_), 6, "class"),
        subsystem_vendor_id=_hex_or_none(ids.subsystem_vendor, 4, "subsystem_vendor"),
        subsystem_product_id=_hex_or_none(ids.subsystem_device, 4, "subsystem_device"),
    )


def _dev_type(common: Common, *, vdpa: bool) -> DevType:
    if common.sriov_totalvfs is not None:
        return DevType.PF
    if common.pf is None:
        return DevType.PCI
    return DevType.VDPA if vdpa else DevType.VF


@lru_cache(maxsize=256)
def _driver(target: str | None) -> str | None:
    return None if target is None else text(last(target))


def _mac_address(said: bytes) -> str | None:
    return word(said).lower() or None


def _group(target: str | None) -> int | None:
    if target is None:
        return None
    name = last(target)
    if not name.isascii() or not name.isdigit():
        raise Unreadable(f"iommu_group: it leads to {text(name)!r}, not to a number")
    return int(name)


def _permanent_mac(netdevs: tuple[Netdev, ...]) -> str | None:
    """Of several netdevs none is the first for ever, for names change. InfiniBand's long addresses change too."""
    if len(netdevs) != 1 or _MAC_ADDRESS.fullmatch(netdevs[0].mac_address or "") is None:
        return None
    return netdevs[0].mac_address


def _number(said: bytes | None, name: str, least: int, most: int) -> int | None:
    if said is None:
        return None
    number = word(said)
    if _NUMBER.fullmatch(number) is None or not least <= int(number) <= most:
        raise Unreadable(f"{name}: {short(number)} is no number from {least} to {most}")
    return int(number)


def _hex_or_none(said: bytes | None, width: int, name: str) -> str | None:
    return _hex(word(said), width, name) if said and not said.isspace() else None


def _hex(said: str, width: int, name: str) -> str:
    found = _HEX.fullmatch(said.strip())
    if found is None or len(found[1].lstrip("0")) > width:
        raise Unreadable(f"{name}: {short(said)} is not a hex number of {width} digits")
    return found[1].lower().lstrip("0").zfill(width)
