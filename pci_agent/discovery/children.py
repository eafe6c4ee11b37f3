"""
What other classes and buses say of PCI functions: one pass over each, never a question per function.

A netdev is a function's own where it stands right below it, in ``net/``. Those on another bus in between
(virtio, auxiliary) are not: they come and go with that bus's driver. Functions go by their names in sysfs here.
"""

import os
from collections.abc import Callable

from pci_agent.discovery.attributes import last, links, said

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
