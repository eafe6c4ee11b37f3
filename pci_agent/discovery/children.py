"""
What other classes and buses say of PCI functions: one pass over each, never a question per function.

A netdev is a function's own where it stands right below it, in ``net/``. Those on another bus in between
(virtio, auxiliary) are not: they come and go with that bus's driver.
"""

import os
import re
from collections.abc import Callable

from pci_agent.discovery.attributes import links, read, said, text
from pci_agent.errors import InvalidAddress
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Netdev

_AS_MADE = "0"  # NET_ADDR_PERM of linux/netdevice.h; the others are made up, inherited or set
_MAC_ADDRESS = re.compile(r"(?!(?:00:){5}00)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", re.ASCII)

Note = Callable[[PciAddress | None, str], None]
"""Takes down a problem: of which function (None: of no single one), and what."""


def netdevs_of(root: str, note: Note) -> dict[PciAddress, tuple[Netdev, ...]]:
    """Find the netdevs of every function, by name, from the links in ``class/net``."""
    found: dict[PciAddress, list[Netdev]] = {}
    for name, target in _links(root, "class/net", note):
        function, _, last = target.rstrip("/").rpartition("/net/")
        address = _address(function)
        if last == name and address is not None:
            found.setdefault(address, []).append(Netdev(text(name), _mac_address(root, name, address, note)))
    return {address: tuple(sorted(netdevs, key=lambda netdev: netdev.name)) for address, netdevs in found.items()}


def permanent_mac(root: str, netdevs: tuple[Netdev, ...]) -> str | None:
    """
    Tell the MAC that a function was made with; None where it can't be told now.

    Of several netdevs none is the first for ever, for names change. InfiniBand's long addresses change too.
    """
    if len(netdevs) != 1 or _MAC_ADDRESS.fullmatch(netdevs[0].mac_address or "") is None:
        return None
    try:
        assigned = read(os.path.join(root, "class/net", netdevs[0].name, "addr_assign_type"))
    except OSError:
        return None
    return netdevs[0].mac_address if assigned == _AS_MADE else None


def vdpa_devices(root: str, note: Note) -> frozenset[PciAddress]:
    """Find the functions that a vdpa device stands right below, from the links in ``bus/vdpa/devices``."""
    parents = (_address(target.rstrip("/").rpartition("/")[0]) for _, target in _links(root, "bus/vdpa/devices", note))
    return frozenset(address for address in parents if address is not None)


def _links(root: str, place: str, note: Note) -> list[tuple[str, str]]:
    try:
        return list(links(os.path.join(root, place)))
    except OSError as error:
        note(None, f"{place}: {said(error)}")
        return []


def _address(path: str) -> PciAddress | None:
    try:
        return PciAddress.parse(path.rpartition("/")[2])
    except InvalidAddress:
        return None


def _mac_address(root: str, name: str, address: PciAddress, note: Note) -> str | None:
    try:
        return read(os.path.join(root, "class/net", name, "address")).lower() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        note(address, f"net/{name}/address: {said(error)}")
        return None
