"""
What libvirt's domains hold and its hostdev networks hand out, understood.

Nothing follows from what couldn't be read: a domain of which a part couldn't is not *complete*.
"""

from dataclasses import dataclass
from enum import StrEnum

from pci_agent.model.address import PciAddress


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
