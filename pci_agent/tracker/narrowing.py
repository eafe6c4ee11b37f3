"""
Which hosts may fit a set of requests, by their pools alone: the rows of ten thousand hosts are gone through once.

Narrowing leaves out no host that can serve the set. Kinds of devices, which a fleet has few of, are compared with
the requests in the model's own words; SQL compares numbers. It asks of a host that each request by itself, and all
of them together, find as many free devices as they want, on nodes where they may be. What it doesn't know is left
to fit: whether a device is a network card, and that a PF and its VFs aren't given together.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    or_,
    select,
    true,
    tuple_,
)

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType
from pci_agent.model.fit import GuestNuma
from pci_agent.model.request import NumaPolicy, PciRequest, Spec
from pci_agent.model.vocabulary import PLACEMENT_TAGS
from pci_agent.tracker.tables import pci_kinds, pci_pools

_POOL, _KIND = pci_pools.c, pci_kinds.c

_FREE = func.sum(_POOL.free)

Nodes = frozenset[int | None]


@dataclass(frozen=True, slots=True)
class Demand:
    """
    What pools must have for some requests that look at the same pools.

    Attributes:
        kinds: the kinds of devices that serve
        nodes: the NUMA nodes where they may be, None among them where a device without one serves; None for any
        count: how many are wanted
    """

    kinds: frozenset[int]
    nodes: Nodes | None
    count: int

    @property
    def pools(self) -> ColumnElement[bool]:
        """Select the pools that serve."""
        if self.nodes is None:
            return _one_of(self.kinds)
        near: list[ColumnElement[bool]] = [_POOL.numa_node.in_(sorted(node for node in self.nodes if node is not None))]
        if None in self.nodes:
            near.append(_POOL.numa_node.is_(None))
        return and_(_one_of(self.kinds), or_(*near))


def _one_of(kinds: Iterable[int]) -> ColumnElement[bool]:
    """Select pools of these kinds. Numbers stand in the statement itself: a database takes only so many parameters."""
    numbers = bindparam(None, sorted(kinds), type_=BigInteger, expanding=True, literal_execute=True)
    return _POOL.kind_id.in_(numbers)


def merged(each: Iterable[Demand]) -> list[Demand]:
    """Add up the demands on the same pools."""
    counts: dict[tuple[frozenset[int], Nodes | None], int] = {}
    for demand in each:
        counts[demand.kinds, demand.nodes] = counts.get((demand.kinds, demand.nodes), 0) + demand.count
    return [Demand(kinds, where, count) for (kinds, where), count in counts.items()]


@dataclass(frozen=True, slots=True)
class Specimen:
    """A device of a kind: what requests are compared with."""

    kind: int
    device: Device
    tags: Mapping[str, str | None]


def read_kinds(connection: Connection, requests: Sequence[PciRequest]) -> list[Specimen]:
    """Read the kinds that have the ids of one of the requests, whatever else they are."""
    rows = connection.execute(select(pci_kinds).where(with_ids(_KIND, requests)))
    types = {str(kind): kind for kind in DevType}
    return [
        Specimen(row.id, _specimen(row.vendor_id, row.product_id, types[row.dev_type]), row.tags)
        for row in rows
        if row.dev_type in types
    ]


def with_ids(columns: Any, requests: Iterable[PciRequest]) -> ColumnElement[bool]:
    """Select rows that have the ids of one of the requests' specs."""
    asked = {(spec.vendor_id, spec.product_id) for request in requests for spec in request.specs}
    if (None, None) in asked:
        return true()
    return or_(false(), *_are(columns, asked))


def _are(columns: Any, asked: Iterable[tuple[str | None, str | None]]) -> Iterator[ColumnElement[bool]]:
    """Give few conditions, however many ids there are: a database takes only so many in a row."""
    vendors = {vendor_id for vendor_id, product_id in asked if vendor_id is not None and product_id is None}
    products = {product_id for vendor_id, product_id in asked if vendor_id is None and product_id is not None}
    both = {each for each in asked if None not in each}
    if vendors:
        yield columns.vendor_id.in_(sorted(vendors))
    if products:
        yield columns.product_id.in_(sorted(products))
    if both:
        yield tuple_(columns.vendor_id, columns.product_id).in_(sorted(both))


def _specimen(vendor_id: str, product_id: str, dev_type: DevType) -> Device:
    """Make a device of that kind; a network card, for whether one is isn't told of a kind."""
    return Device(
        address=PciAddress(0, 0, 0, 0),
        path=None,
        vendor_id=vendor_id,
        product_id=product_id,
        subsystem_vendor_id=None,
        subsystem_product_id=None,
        class_code="020000",
        revision=None,
        dev_type=dev_type,
        parent_addr=None,
        vf_index=None,
        sriov_totalvfs=None,
        sriov_numvfs=None,
        numa_node=None,
        driver=None,
        iommu_group=None,
        netdevs=(),
    )


def serving(specimens: Iterable[Specimen], request: PciRequest) -> frozenset[int]:
    """Name the kinds whose devices serve a request."""
    known = replace(request, specs=tuple(_without_placement(spec) for spec in request.specs))
    return frozenset(
        each.kind
        for each in specimens
        if known.asks_for(each.device, each.tags) and known.takes(each.device, each.tags)
    )


def _without_placement(spec: Spec) -> Spec:
    """Leave out what a kind doesn't tell: the tags that nova hands on to placement."""
    if spec.tags.keys().isdisjoint(PLACEMENT_TAGS):
        return spec
    return replace(spec, tags={name: value for name, value in spec.tags.items() if name not in PLACEMENT_TAGS})


def with_its_ids(specimens: Iterable[Specimen], request: PciRequest) -> frozenset[int]:
    """Name the kinds that have the ids of one of a request's specs, whatever their type and tags."""
    ids = [Spec(vendor_id=spec.vendor_id, product_id=spec.product_id) for spec in request.specs]
    return frozenset(each.kind for each in specimens if any(spec.is_met_by(each.device, {}) for spec in ids))


def with_its_type(specimens: Iterable[Specimen], request: PciRequest) -> frozenset[int]:
    """Name the kinds that serve a request whatever their tags, and whatever tags it asks for."""
    untagged = replace(request, specs=tuple(replace(spec, tags={}) for spec in request.specs))
    return serving([replace(each, tags={}) for each in specimens], untagged)


def nodes(numa: GuestNuma, policy: NumaPolicy) -> Nodes | None:
    """Name the NUMA nodes that a policy allows, None among them for a device without one; None for any node."""
    known = {*numa.cells, *numa.sockets}
    beyond = max(known, default=0) + 1
    if numa.rank(policy, beyond) is not None:
        return None
    return frozenset(node for node in (*known, None) if numa.rank(policy, node) is not None)


# SQL


def with_enough(wanted: Sequence[Demand]) -> Select[Any]:
    """
    Select the hosts whose pools have enough free devices: compute_node_id, and ``free``, those of use to a request.

    Args:
        wanted: at least one
    """
    query = of_use(wanted).where(_POOL.free > 0).having(sum(each.count for each in wanted) <= _FREE)
    return query if len(wanted) == 1 else query.having(and_(*(_sum(_POOL.free, each) >= each.count for each in wanted)))


def with_any(wanted: Sequence[Demand]) -> Select[Any]:
    """Select the hosts that have devices for each demand, free or not; ``free`` as above."""
    return of_use(wanted).having(and_(*(_sum(_POOL.total, each) > 0 for each in wanted)))


def of_use(wanted: Sequence[Demand]) -> Select[Any]:
    """Select the hosts that have devices for any demand, free or not; ``free`` as above."""
    pools = or_(*(each.pools for each in wanted))
    return select(_POOL.compute_node_id, _FREE.label("free")).where(pools).group_by(_POOL.compute_node_id)


def _sum(counted: ColumnElement[int], demand: Demand) -> ColumnElement[int]:
    return func.sum(case((demand.pools, counted), else_=0))
