"""
PCI stats: how many devices of each kind a host has. A fold over the inventory, never a second set of counters.

A pool is named by what a request can ask for: vendor_id, product_id, numa_node, dev_type, parent_addr and
the tags, physical_network among them. What two devices differ in beyond that doesn't matter to a request.
What the seeds and nova show are projections: sums over pools, or the same devices folded by other keys.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType
from pci_agent.model.families import Families, Family
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.state import Status
from pci_agent.model.vocabulary import PHYSICAL_NETWORK, PLACEMENT_TAGS, REMOTE_MANAGED, Tags

_Tags = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """
    Devices of one kind on one host.

    Attributes:
        tags: (name, value) sorted by name; without those that nova hands on to placement
        free: how many are available
        used: how many somebody holds
        total: how many are shown; what is neither free nor used can't be given at the moment
    """

    vendor_id: str
    product_id: str
    numa_node: int | None
    dev_type: DevType
    parent_addr: PciAddress | None
    tags: _Tags
    free: int
    used: int
    total: int


def pools(inventory: Families | Iterable[TrackedDevice]) -> list[Pool]:
    """
    Count the present devices by kind.

    Returns:
        The pools in order of vendor_id, product_id, dev_type, PF, node and tags: the same inventory gives
        the same list. A pool with no free device is one too, as long as its devices are present.
    """
    if isinstance(inventory, Families):
        counts = _summed(family.told(_counted) for family in inventory.families.values())
    else:
        counts = _counts(inventory)
    return [
        Pool(
            vendor_id=kind[0],
            product_id=kind[1],
            dev_type=kind[2],
            parent_addr=kind[3],
            numa_node=kind[4],
            tags=kind[5],
            free=free,
            used=used,
            total=total,
        )
        for kind, (free, used, total) in sorted(counts.items(), key=lambda each: _order(each[0]))
    ]


class _Counted(Protocol):
    """A pool as it is folded here, or as it travelled."""

    @property
    def vendor_id(self) -> str: ...
    @property
    def product_id(self) -> str: ...
    @property
    def numa_node(self) -> int | None: ...
    @property
    def dev_type(self) -> str | None: ...
    @property
    def parent_addr(self) -> object: ...
    @property
    def tags(self) -> Tags | _Tags: ...
    @property
    def free(self) -> int: ...


def extra_info(pool: _Counted) -> dict[str, str]:
    """Write what a pool has beside its ids as the "Pci-api-support" page does: text only, without what has no value."""
    more = {
        "phys_function": pool.parent_addr,
        "numa_node": pool.numa_node,
        "dev_type": pool.dev_type,
        **dict(pool.tags),
    }
    return {name: str(value) for name, value in more.items() if value is not None}


def network_counts(pools: Iterable[_Counted]) -> dict[tuple[str, str, str], int]:
    """
    Count the free devices of each physical network, product_id and vendor_id: the Juno spec's SR-IOV stats.

    Summed over products and vendors it is the spec's ``<host> <physical_network> <count>``; see per_network.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    for pool in pools:
        network = dict(pool.tags).get(PHYSICAL_NETWORK)
        if network is not None:
            counts[network, pool.product_id, pool.vendor_id] += pool.free
    return dict(sorted(counts.items()))


def per_network(pools: Iterable[_Counted]) -> dict[str, int]:
    """Count the free devices of each physical network."""
    counts: Counter[str] = Counter()
    for (network, _, _), count in network_counts(pools).items():
        counts[network] += count
    return dict(counts)


def nova_pools(inventory: Iterable[TrackedDevice], devices: Iterable[Device]) -> list[dict[str, Any]]:
    """
    Count the free devices by nova's keys, as its ``PciDeviceStats.pools`` has them (nova 34.0.0).

    A pool for each PF's VFs, and one for each other function: ``address`` is the PF's, or its own. A VF with a
    netdev whose PF has one carries that as ``parent_ifname``; ``remote_managed`` is "false" where it isn't said.

    Args:
        inventory: what is offered
        devices: every function of the host, for a VF's PF may be unlisted
    """
    names = {device.address: device.netdevs[0].name for device in devices if device.netdevs}
    counts: Counter[tuple[tuple[str, Any], ...]] = Counter()
    for item in inventory:
        if item.shown and item.status is Status.AVAILABLE:
            counts[tuple(sorted(_nova_keys(item.device, item.tags, names).items()))] += 1
    return [{**dict(keys), "count": count} for keys, count in counts.items()]


def _nova_keys(device: Device, tags: Tags, names: Mapping[PciAddress, str]) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "product_id": device.product_id,
        "vendor_id": device.vendor_id,
        "numa_node": device.numa_node,
        "dev_type": str(device.dev_type),
        **{name: value for name, value in tags.items() if name not in PLACEMENT_TAGS},
        "address": str(device.parent_addr or device.address),
    }
    if device.dev_type is not DevType.PCI and keys.get(REMOTE_MANAGED) is None:
        keys[REMOTE_MANAGED] = "false"
    if device.parent_addr is not None and device.parent_addr in names and device.netdevs:
        keys["parent_ifname"] = names[device.parent_addr]
    return keys


_Kind = tuple[str, str, DevType, PciAddress | None, int | None, _Tags]
_Counts = Mapping[_Kind, list[int]]
"""How many are free, used, and there at all, of each kind."""


def _counts(items: Iterable[TrackedDevice]) -> _Counts:
    tags = _PoolTags()
    counts: dict[_Kind, list[int]] = {}
    for item in items:
        if item.shown:
            count = counts.setdefault(_kind(item.device, tags.of(item.tags)), [0, 0, 0])
            count[0] += item.status is Status.AVAILABLE
            count[1] += item.owner is not None
            count[2] += 1
    return counts


def _counted(family: Family) -> _Counts:
    return _counts(family.items)


def _summed(parts: Iterable[_Counts]) -> _Counts:
    total: dict[_Kind, list[int]] = {}
    for part in parts:
        for kind, count in part.items():
            total[kind] = [one + more for one, more in zip(total[kind], count, strict=True)] if kind in total else count
    return total


class _PoolTags:
    """What a pool keeps of a device's tags; devices of one whitelist entry share theirs, which is worth knowing."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Tags, _Tags]] = {}

    def of(self, tags: Tags) -> _Tags:
        known = self._known.get(id(tags))
        if known is None:  # the tags are kept beside, so that no other mapping gets their id
            kept = tuple(sorted((name, value) for name, value in tags.items() if name not in PLACEMENT_TAGS))
            known = self._known[id(tags)] = (tags, kept)
        return known[1]


def _kind(device: Device, tags: _Tags) -> _Kind:
    return (device.vendor_id, device.product_id, device.dev_type, device.parent_addr, device.numa_node, tags)


def _order(kind: _Kind) -> tuple[str, ...]:
    return tuple("" if part is None else str(part) for part in kind)
