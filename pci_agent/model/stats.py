"""
PCI stats: how many devices of each kind a host has. A fold over the inventory, never a second set of counters.

A pool is named by what a request can ask for: vendor_id, product_id, numa_node, dev_type, parent_addr and
the tags, physical_network among them. What two devices differ in beyond that doesn't matter to a request.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pci_agent.model.address import PciAddress
from pci_agent.model.device import DevType
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.state import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """
    Devices of one kind on one host.

    Attributes:
        tags: (name, value) sorted by name
        free: how many are available
        total: how many are present, whoever holds them
    """

    vendor_id: str
    product_id: str
    numa_node: int | None
    dev_type: DevType
    parent_addr: PciAddress | None
    tags: tuple[tuple[str, str | None], ...]
    free: int
    total: int


def pools(inventory: Iterable[TrackedDevice]) -> list[Pool]:
    """
    Count the present devices by kind.

    Returns:
        The pools in order of vendor_id, product_id, dev_type, PF, node and tags: the same inventory gives
        the same list. A pool with no free device is one too, as long as its devices are present.
    """
    counts: dict[_Kind, list[int]] = {}
    for item in inventory:
        if item.present:
            count = counts.setdefault(_kind(item), [0, 0])
            count[0] += item.status is Status.AVAILABLE
            count[1] += 1
    return [
        Pool(
            vendor_id=kind[0],
            product_id=kind[1],
            dev_type=kind[2],
            parent_addr=kind[3],
            numa_node=kind[4],
            tags=kind[5],
            free=free,
            total=total,
        )
        for kind, (free, total) in sorted(counts.items(), key=lambda each: _order(each[0]))
    ]


_Kind = tuple[str, str, DevType, PciAddress | None, int | None, tuple[tuple[str, str | None], ...]]


def _kind(item: TrackedDevice) -> _Kind:
    device = item.device
    return (
        device.vendor_id,
        device.product_id,
        device.dev_type,
        device.parent_addr,
        device.numa_node,
        tuple(sorted(item.tags.items())),
    )


def _order(kind: _Kind) -> tuple[str, ...]:
    return tuple("" if part is None else str(part) for part in kind)
