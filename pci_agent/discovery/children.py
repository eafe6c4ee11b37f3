"""
What other classes and buses say of PCI functions: one pass over each, never a question per function.

A netdev is a function's own where it stands right below it, in ``net/``. Those on another bus in between
(virtio, auxiliary) are not: they come and go with that bus's driver. Functions go by their names in sysfs here.
"""

import os
from collections.abc import Callable
from contextlib import suppress

from pci_agent.discovery.attributes import last, links, said
from pci_agent.errors import InvalidAddress
from pci_agent.model.address import PciAddress

Note = Callable[[str | None, str], None]
"""Takes down a problem: of which function (None: of no single one), and what."""


def netdevs_of(root: str, note: Note) -> dict[str, list[str]]:
    """Find the names of every function's netdevs, sorted, from the links in ``class/net``."""
    found: dict[str, list[str]] = {}
    for name, target in sorted(_links(root, "class/net", note)):
        function, _, end = target.rstrip("/").rpartition("/net/")
        if end == name:
            found.setdefault(function.rpartition("/")[2], []).append(name)
    return found


def vdpa_devices(root: str, note: Note) -> frozenset[str]:
    """Find the functions that a vdpa device stands right below, from the links in ``bus/vdpa/devices``."""
    return frozenset(last(os.path.dirname(target)) for _, target in _links(root, "bus/vdpa/devices", note))


def _links(root: str, place: str, note: Note) -> list[tuple[str, str]]:
    try:
        return list(links(os.path.join(root, place)))
    except OSError as error:
        note(None, f"{place}: {said(error)}")
        return []


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
