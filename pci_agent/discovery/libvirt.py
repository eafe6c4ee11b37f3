"""
Says which libvirt domain holds which PCI function, and which functions hostdev networks hand out.

* Text becomes values in functions that know no libvirt: ``holdings``, ``pooled``, ``node_device``, ``parsed``. They
  raise nothing. ``fetch`` asks a connection for the texts, a read-only one; it needs libvirt-python, this module
  doesn't. Texts can be compared and kept: what they mean depends on the host's devices, and is told anew each time.
* Nothing follows from what couldn't be read. An address, an XML, a domain that can't be told is a problem, and
  its domain is not *complete*; the others are unharmed. A domain that is gone when it is asked is left out.
* Held is what the kernel would refuse to others or what a guest's traffic goes through: a hostdev, an interface of
  type hostdev, a vhost-vdpa device, an NVMe drive given as a disk, and macvtap on a VF. Macvtap on any other netdev
  holds it in passthrough mode alone, since the other modes share it. A mediated device is no PCI function.
* Guests' owners write into domains' XML, so it isn't trusted: none with a document type is read, none that is
  larger than libvirt itself would send.
"""

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from pci_agent.discovery.attributes import links, said, short
from pci_agent.errors import InvalidAddress, LibvirtSilent
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device

if TYPE_CHECKING:
    import libvirt

_MOST_CHARACTERS = 4 * 1024**2  # of a text in libvirt's protocol: VIR_NET_MESSAGE_STRING_MAX
_NUMBER = re.compile(r"0x[0-9a-f]{1,16}|0[0-7]{0,16}|[1-9][0-9]{0,16}", re.ASCII | re.IGNORECASE)
_PARTS = {"domain": 0xFFFFFFFF, "bus": 0xFF, "slot": 0x1F, "function": 7}


class How(StrEnum):
    """By which kind of device a domain holds a function."""

    HOSTDEV = "hostdev"
    INTERFACE = "interface"
    MACVTAP = "macvtap"
    VDPA = "vdpa"
    NVME_DISK = "nvme-disk"


@dataclass(frozen=True, slots=True, order=True)
class Holding:
    """
    A function that a domain holds. Sorts by address.

    Attributes:
        address: the function
        how: the device in the domain's XML that says so
    """

    address: PciAddress
    how: How


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
class Domain:
    """
    One domain.

    Attributes:
        uuid: its UUID, as libvirt and nova write it
        name: its name
        active: whether it runs; None where it couldn't be told
        persistent: whether it is defined, and so outlives its run; None where it couldn't be told
        live: what it holds now; nothing where it doesn't run
        defined: what it will hold when it is started next; nothing where it isn't persistent. What comes from a
            hostdev network is chosen at start
        complete: False where a part couldn't be read, so that nothing may be concluded from what is missing
    """

    uuid: str
    name: str
    active: bool | None
    persistent: bool | None
    live: tuple[Holding, ...]
    defined: tuple[Holding, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Pool:
    """
    A hostdev network.

    Attributes:
        name: its name
        active: whether it is started; domains get functions of started ones only
        addresses: the functions that it may hand out, in order
    """

    name: str
    active: bool
    addresses: tuple[PciAddress, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """
    One look at libvirt.

    Attributes:
        domains: every domain, by name
        pools: the hostdev networks, by name
        problems: what couldn't be read, and of which domain or network
        fresh: False where libvirt is silent now, so that it may be otherwise and no absence is counted
    """

    domains: tuple[Domain, ...]
    pools: tuple[Pool, ...]
    problems: tuple[str, ...]
    fresh: bool = True


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


# Text to values


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


# Asking


@contextmanager
def opened(uri: str) -> Iterator["libvirt.virConnect"]:
    """
    Open a connection that can't change anything, and close it afterwards.

    What libvirt would print to stderr is not printed, from now on and in the whole process: it is raised anyway.

    Raises:
        LibvirtSilent: nobody answers at *uri*, or libvirt-python is missing.
    """
    libvirt = bindings()
    libvirt.registerErrorHandler(lambda *_: None, None)
    try:
        connection = libvirt.openReadOnly(uri)
    except libvirt.libvirtError as error:
        raise LibvirtSilent(f"libvirt doesn't answer at {uri} ({error}): see that its daemon runs") from error
    try:
        yield connection
    finally:
        with suppress(libvirt.libvirtError):
            connection.close()


def read(connection: "libvirt.virConnect", devices: Sequence[Device], sysfs_root: str = "/sys") -> Reading:
    """
    Ask for every domain and hostdev network.

    Args:
        connection: as from *opened*; one that may write does too
        devices: what a scan found, whose names the XML uses
        sysfs_root: where sysfs is mounted, for the names of vhost-vdpa devices

    Raises:
        LibvirtSilent: the connection is broken, or the domains can't be listed. Nothing is known then.
    """
    return parsed(fetch(connection), devices, sysfs_root)


def fetch(connection: "libvirt.virConnect") -> Texts:
    """
    Ask for the XML of every domain and network.

    Args:
        connection: as from *opened*; one that may write does too

    Raises:
        LibvirtSilent: the connection is broken, or the domains can't be listed. Nothing is known then.
    """
    look = _Look(connection)
    return Texts(tuple(look.domains()), tuple(look.networks()), tuple(look.problems))


def vhost_vdpa(root: str, note: Callable[[str], None]) -> dict[str, PciAddress | None]:
    """
    Find the vhost-vdpa devices, and the function that each stands below: ``bus/vdpa/devices/<vdpa>/vhost-vdpa-<N>``.

    A vdpa device of a simulator or of a subfunction stands below no function: its address is None.
    """
    found: dict[str, PciAddress | None] = {}
    place = os.path.join(root, "bus/vdpa/devices")
    try:
        for name, target in links(place):
            with suppress(FileNotFoundError):  # just gone
                children = os.listdir(os.path.join(place, name))
                below = _parent(target)
                found.update((child, below) for child in children if child.startswith("vhost-vdpa-"))
    except OSError as error:
        note(f"{place}: {said(error)}")
    return found


def _parent(path: str) -> PciAddress | None:
    try:
        return PciAddress.parse(path.rstrip("/").rpartition("/")[0].rpartition("/")[2])
    except InvalidAddress:
        return None


class _Look:
    """One pass over what a connection lists."""

    def __init__(self, connection: "libvirt.virConnect") -> None:
        self._libvirt = bindings()
        self._connection = connection
        self.problems: list[str] = []

    def domains(self) -> list[DomainTexts]:
        try:
            listed = self._connection.listAllDomains(0)
        except self._libvirt.libvirtError as error:
            raise LibvirtSilent(f"libvirt doesn't list its domains: {error}") from error
        asked = (self._domain(domain) for domain in sorted(listed, key=lambda domain: str(domain.name())))
        return [domain for domain in asked if domain is not None]

    def _domain(self, domain: Any) -> DomainTexts | None:
        name, uuid = domain.name(), domain.UUIDString()
        try:
            now, defined = domain.XMLDesc(0), None
            if domain.isPersistent():
                defined = domain.XMLDesc(self._libvirt.VIR_DOMAIN_XML_INACTIVE)
        except self._libvirt.libvirtError as error:
            if error.get_error_code() == self._libvirt.VIR_ERR_NO_DOMAIN:
                return None
            return DomainTexts(uuid=uuid, name=name, now=None, defined=None, trouble=self._of_it_alone(error))
        return DomainTexts(uuid=uuid, name=name, now=now, defined=defined)

    def networks(self) -> list[NetworkTexts]:
        """Ask for the networks; that there is nobody to ask is a problem, and no harm to the domains."""
        try:
            listed = self._connection.listAllNetworks(0)
        except self._libvirt.libvirtError as error:
            self._of_it_alone(error)
            self.problems.append(f"libvirt doesn't list its networks: {error}")
            return []
        asked = (self._network(network) for network in sorted(listed, key=lambda network: str(network.name())))
        return [network for network in asked if network is not None]

    def _network(self, network: Any) -> NetworkTexts | None:
        name = network.name()
        try:
            return NetworkTexts(name=name, active=bool(network.isActive()), xml=network.XMLDesc(0))
        except self._libvirt.libvirtError as error:
            if error.get_error_code() == self._libvirt.VIR_ERR_NO_NETWORK:
                return None
            return NetworkTexts(name=name, active=None, xml=None, trouble=self._of_it_alone(error))

    def _of_it_alone(self, error: Exception) -> str:
        """Let an error be that of one thing alone, unless the connection has broken."""
        alive = False
        with suppress(self._libvirt.libvirtError):
            alive = bool(self._connection.isAlive())
        if not alive:
            raise LibvirtSilent(f"libvirt has gone away: {error}") from error
        return f"libvirt doesn't tell it: {error}"


def is_installed() -> bool:
    """Tell whether libvirt-python is there; nothing of it is loaded."""
    return find_spec("libvirt") is not None


def bindings() -> Any:
    """
    Give libvirt-python.

    Raises:
        LibvirtSilent: it isn't installed.
    """
    try:
        import libvirt  # noqa: PLC0415 - an extra: what doesn't ask libvirt runs without it
    except ImportError as error:
        raise LibvirtSilent(
            f"libvirt can't be asked ({error}): install python3-libvirt, or the extra pci-agent[libvirt]"
        ) from error
    return libvirt
