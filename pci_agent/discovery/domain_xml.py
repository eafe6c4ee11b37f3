"""
Says by libvirt's XML which domain holds which PCI function, and which functions hostdev networks hand out.

* Nothing is asked but sysfs, for the names of vhost-vdpa devices. Texts can be compared and kept: what they mean
  depends on the host's devices, and is told anew each time.
* Nothing raises, and nothing follows from what couldn't be read. An address, an XML, a domain that can't be told is a
  problem, and its domain is not *complete*; the others are unharmed.
* Held is what the kernel would refuse to others or what a guest's traffic goes through: a hostdev, an interface of
  type hostdev, a vhost-vdpa device, an NVMe drive given as a disk, and macvtap on a VF. Macvtap on any other netdev
  holds it in passthrough mode alone, since the other modes share it. A mediated device is no PCI function.
* Guests' owners write into domains' XML, so it isn't trusted: none with a document type is read, none that is
  larger than libvirt itself would send.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pci_agent.discovery.attributes import short
from pci_agent.discovery.children import vhost_vdpa
from pci_agent.discovery.domains import Domain, Holding, How, Pool, Reading
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device

_MOST_CHARACTERS = 4 * 1024**2  # of a text in libvirt's protocol: VIR_NET_MESSAGE_STRING_MAX
_NUMBER = re.compile(r"0x[0-9a-f]{1,16}|0[0-7]{0,16}|[1-9][0-9]{0,16}", re.ASCII | re.IGNORECASE)
_PARTS = {"domain": 0xFFFFFFFF, "bus": 0xFF, "slot": 0x1F, "function": 7}


@dataclass(frozen=True, slots=True)
class Held:
    """
    What one XML of a domain says.

    Attributes:
        active: whether it is that of a running domain; None where it can't be read
        holdings: in order of address, each once
        problems: what can't be told, so that there may be more holdings
    """

    active: bool | None
    holdings: tuple[Holding, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pooled:
    """
    What the XML of a network says.

    Attributes:
        addresses: the functions that it may hand out, in order; None where it is no hostdev network
        problems: what can't be told, so that there may be more addresses
    """

    addresses: tuple[PciAddress, ...] | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainTexts:
    """
    What libvirt says of one domain.

    Attributes:
        uuid: its UUID, as libvirt and nova write it
        name: its name
        now: its XML, live where it runs; None where libvirt doesn't tell it
        defined: its XML as it will be started next; None where it isn't persistent, or libvirt doesn't tell it
        trouble: why libvirt doesn't tell it; None where it does
    """

    uuid: str
    name: str
    now: str | None
    defined: str | None
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTexts:
    """
    What libvirt says of one network.

    Attributes:
        name: its name
        active: whether it is started; None where libvirt doesn't tell it
        xml: its XML; None where libvirt doesn't tell it
        trouble: why libvirt doesn't tell it; None where it does
    """

    name: str
    active: bool | None
    xml: str | None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Texts:
    """
    What libvirt says of all its domains and networks; equal where nothing has changed.

    Attributes:
        domains: every domain, by name
        networks: every network, by name
        problems: what couldn't be listed
    """

    domains: tuple[DomainTexts, ...]
    networks: tuple[NetworkTexts, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bearers:
    """
    Which function the names mean that XML uses instead of addresses.

    Attributes:
        netdevs: the function of each netdev, by its name
        vfs: the VFs of each PF that has some
        vhost_vdpa: the function below each vhost-vdpa device, by its name in /dev; None where that is no PCI function
    """

    netdevs: Mapping[str, Device]
    vfs: Mapping[PciAddress, tuple[PciAddress, ...]]
    vhost_vdpa: Mapping[str, PciAddress | None]

    @classmethod
    def of(cls, devices: Iterable[Device], vhost_vdpa: Mapping[str, PciAddress | None]) -> Self:
        """Take the names from a scan's devices."""
        netdevs: dict[str, Device] = {}
        vfs: dict[PciAddress, tuple[PciAddress, ...]] = {}
        for device in devices:
            netdevs.update((netdev.name, device) for netdev in device.netdevs)
            if device.parent_addr is not None:
                vfs[device.parent_addr] = (*vfs.get(device.parent_addr, ()), device.address)
        return cls(netdevs, vfs, vhost_vdpa)


def holdings(xml: str, bearers: Bearers) -> Held:
    """Tell what a domain holds, from its XML: live, or as defined."""
    try:
        root = _parsed(xml, "domain")
    except _Unreadable as error:
        return Held(None, (), (str(error),))
    found: list[Holding] = []
    problems: list[str] = []
    for device in _devices(root):
        try:
            found += _held(device, bearers)
        except _Unreadable as error:
            problems.append(f"{device.tag}: {error}")
    active = "id" in root.attrib  # libvirt numbers domains that run, and writes the number nowhere else
    return Held(active, tuple(sorted(set(found))), tuple(problems))


def pooled(xml: str, bearers: Bearers) -> Pooled:
    """Tell which functions a network may hand out, from its XML."""
    try:
        root = _parsed(xml, "network")
    except _Unreadable as error:
        return Pooled(None, (str(error),))
    forward = root.find("forward")
    if forward is None or forward.get("mode") != "hostdev":
        return Pooled(None)
    found: list[PciAddress] = []
    problems: list[str] = []
    for each in forward:
        try:
            found += _handed_out(each, bearers)
        except _Unreadable as error:
            problems.append(str(error))
    return Pooled(tuple(sorted(set(found))), tuple(problems))


def node_device(xml: str) -> tuple[str, PciAddress] | None:
    """Tell libvirt's name and the address of a node device, from its XML; None where it is no PCI function."""
    try:
        root = _parsed(xml, "device")
        capability = root.find("capability[@type='pci']")
        name = root.findtext("name")
        if capability is None or not name:
            return None
        return name, _address({part: capability.findtext(part, "").strip() for part in _PARTS})
    except _Unreadable:
        return None


def parsed(texts: Texts, devices: Sequence[Device], sysfs_root: str = "/sys") -> Reading:
    """
    Tell who holds what, from what libvirt said.

    Args:
        texts: as from *fetch*
        devices: what a scan found, whose names the XML uses
        sysfs_root: where sysfs is mounted, for the names of vhost-vdpa devices
    """
    problems: list[str] = []
    bearers = Bearers.of(devices, vhost_vdpa(sysfs_root, problems.append))
    domains = tuple(_domain(domain, bearers, problems) for domain in texts.domains)
    problems += texts.problems
    pools = [_pool(network, bearers, problems) for network in texts.networks]
    return Reading(domains, tuple(pool for pool in pools if pool is not None), tuple(dict.fromkeys(problems)))


def _domain(texts: DomainTexts, bearers: Bearers, problems: list[str]) -> Domain:
    now = later = Held(None, (), () if texts.trouble is None else (texts.trouble,))
    if texts.now is not None:
        now = later = holdings(texts.now, bearers)
    if texts.defined not in (None, texts.now):
        later = holdings(texts.defined, bearers)
    told = tuple(dict.fromkeys((*now.problems, *later.problems)))
    problems += [f"domain {texts.name} ({texts.uuid}): {problem}" for problem in told]
    return Domain(
        uuid=texts.uuid,
        name=texts.name,
        active=now.active,
        persistent=None if texts.now is None else texts.defined is not None,
        live=now.holdings if now.active else (),
        defined=() if texts.defined is None else later.holdings,
        complete=not told,
    )


def _pool(texts: NetworkTexts, bearers: Bearers, problems: list[str]) -> Pool | None:
    told = Pooled(None, () if texts.trouble is None else (texts.trouble,))
    if texts.xml is not None:
        told = pooled(texts.xml, bearers)
    problems += [f"network {texts.name}: {problem}" for problem in told.problems]
    return None if told.addresses is None else Pool(texts.name, bool(texts.active), told.addresses)


class _Unreadable(Exception):
    """It can't be told; the text is the cause."""


class _Builder(ET.TreeBuilder):
    """Makes elements, and refuses at the first word of a document type: what it declares is never expanded."""

    def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
        raise _Unreadable("its XML has a document type, which libvirt never writes")


def _parsed(xml: str, tag: str) -> ET.Element:
    if len(xml) > _MOST_CHARACTERS:
        raise _Unreadable(f"its XML has {len(xml)} characters, more than the {_MOST_CHARACTERS} that are read")
    try:
        root = ET.XML(xml, ET.XMLParser(target=_Builder()))  # noqa: S314 - without entities it can't be bigger than told
    except (ET.ParseError, ValueError) as error:
        raise _Unreadable(f"its XML can't be read: {error}") from None
    if root.tag != tag:
        raise _Unreadable(f"its XML is a {short(root.tag)}, not a {tag!r}")
    return root


def _devices(root: ET.Element) -> Iterator[ET.Element]:
    """Give every device, and the disks below and beside a disk: its backing chain, and what it is copied to."""
    for device in root.iterfind("devices/*"):
        yield device
        if device.tag == "disk":
            yield from (each for each in device.iter() if each.tag in ("backingStore", "mirror"))


def _held(device: ET.Element, bearers: Bearers) -> Iterator[Holding]:
    match (device.tag, device.get("type")):
        case ("hostdev", "pci") if device.get("mode", "subsystem") == "subsystem":
            yield Holding(_source_address(device), How.HOSTDEV)
        case ("interface", "hostdev"):
            yield Holding(_source_address(device), How.INTERFACE)
        case ("disk" | "backingStore" | "mirror", "nvme"):
            yield Holding(_source_address(device), How.NVME_DISK)
        case ("interface", "direct"):
            bearer = bearers.netdevs.get(_source(device, "dev"))
            if bearer is not None and (bearer.parent_addr is not None or _source(device, "mode") == "passthrough"):
                yield Holding(bearer.address, How.MACVTAP)
        case ("interface", "vdpa") | ("disk", "vhostvdpa"):
            below = _below(_source(device, "dev"), bearers)
            if below is not None:
                yield Holding(below, How.VDPA)


def _below(path: str, bearers: Bearers) -> PciAddress | None:
    name = path.removeprefix("/dev/")
    if name not in bearers.vhost_vdpa:
        raise _Unreadable(f"{short(path)} is no vhost-vdpa device of this host")
    return bearers.vhost_vdpa[name]


def _handed_out(each: ET.Element, bearers: Bearers) -> Iterator[PciAddress]:
    if each.tag == "address":
        yield _address(each.attrib)
    elif each.tag == "pf":
        name = each.get("dev", "")
        pf = bearers.netdevs.get(name)
        if pf is None or not pf.sriov_totalvfs:
            raise _Unreadable(f"its pf {short(name)} is no netdev of a PF of this host")
        yield from bearers.vfs.get(pf.address, ())


def _source(device: ET.Element, attribute: str) -> str:
    source = device.find("source")
    return "" if source is None else source.get(attribute, "")


def _source_address(device: ET.Element) -> PciAddress:
    address = device.find("source/address")
    if address is None:
        raise _Unreadable("it has no source address")
    return _address(address.attrib)


def _address(parts: Mapping[str, str]) -> PciAddress:
    """Read an address as libvirt does: C's numbers, and each part 0 where it isn't there, but not all of them."""
    if parts.get("type", "pci") != "pci" or not any(parts.get(part) for part in _PARTS):
        raise _Unreadable("its address is no PCI address")
    return PciAddress(**{part: _number(part, parts.get(part) or "0") for part in _PARTS})


def _number(part: str, text: str) -> int:
    if _NUMBER.fullmatch(text):
        base = 16 if text[1:2] in ("x", "X") else 8 if text.startswith("0") else 10
        number = int(text, base)
        if number <= _PARTS[part]:
            return number
    raise _Unreadable(f"its address has {short(text)} as {part}, not a number from 0 to {_PARTS[part]:#x}")
