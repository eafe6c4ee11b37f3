"""
Asks libvirt what it has: the XML of its domains and networks, over a read-only connection.

libvirt-python is needed to ask, and for nothing else: domain_xml.py understands the texts. A domain that is gone when
it is asked is left out.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pci_agent.discovery.domain_xml import DomainTexts, NetworkTexts, Texts, parsed
from pci_agent.discovery.domains import Reading
from pci_agent.errors import LibvirtSilent
from pci_agent.model.device import Device

if TYPE_CHECKING:
    import libvirt


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
