"""
How many devices of each kind every host has, as rows: what the scheduler narrows ten thousand hosts with.

A host's rows are its last report's pools, written in that report's transaction and only where a count changed; a host
that is deleted has none. Narrowing leaves out no host that can serve a request; whether one of the rest can is for
model.fit to decide, on devices.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, func, insert, or_, select, update

from pci_agent.model.device import DevType
from pci_agent.model.request import PciRequest, Spec
from pci_agent.model.vocabulary import PHYSICAL_NETWORK
from pci_agent.tracker.tables import pci_pools
from pci_agent.wire.messages import PoolRecord

_POOL = pci_pools.c
_LONGEST = 255
_ASKED_FOR = (DevType.PF, DevType.VDPA)


def write(connection: Connection, node_id: int, pools: Iterable[PoolRecord]) -> None:
    """Make the host's rows these pools; rows that are the same already are left alone."""
    rows = connection.execute(select(pci_pools).where(_POOL.compute_node_id == node_id)).mappings()
    held = {_record(row).kind: row for row in rows}
    come = {pool.kind: pool for pool in pools}
    gone = [row["id"] for kind, row in held.items() if kind not in come]
    new = [_columns(pool, node_id) for kind, pool in come.items() if kind not in held]
    counts = [
        {"row": held[kind]["id"], "now_free": pool.free, "now_used": pool.used, "now_total": pool.total}
        for kind, pool in come.items()
        if kind in held and _record(held[kind]) != pool
    ]
    if gone:
        connection.execute(delete(pci_pools).where(_POOL.id.in_(gone)))
    if counts:
        counted: Any = {name: bindparam(f"now_{name}") for name in ("free", "used", "total")}
        connection.execute(update(pci_pools).where(_POOL.id == bindparam("row")).values(counted), counts)
    if new:
        connection.execute(insert(pci_pools), new)


def of_host(connection: Connection, node_id: int) -> list[PoolRecord]:
    """Read a host's pools, in no order."""
    rows = connection.execute(select(pci_pools).where(_POOL.compute_node_id == node_id)).mappings()
    return [_record(row) for row in rows]


def that_may_serve(requests: Sequence[PciRequest]) -> Select[Any]:
    """
    Select the ids of hosts that have enough free devices for each request by itself.

    Args:
        requests: at least one
    """
    first, *others = (_with_enough(request) for request in requests)
    return first.where(*(_POOL.compute_node_id.in_(other) for other in others))


def folded(network: str | None) -> str | None:
    """Write a physical network as the column has it: it is compared without case, and any length is."""
    return None if network is None else network.replace("\x00", "").lower()[:_LONGEST]


def _with_enough(request: PciRequest) -> Select[Any]:
    asked_for = {spec.dev_type for spec in request.specs}
    forbidden = [str(kind) for kind in _ASKED_FOR if kind not in asked_for]
    return (
        select(_POOL.compute_node_id)
        .where(_POOL.free > 0, or_(*(and_(*_conditions(spec, forbidden)) for spec in request.specs)))
        .group_by(_POOL.compute_node_id)
        .having(func.sum(_POOL.free) >= request.count)
    )


def _conditions(spec: Spec, forbidden: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    if spec.vendor_id is not None:
        yield _POOL.vendor_id == spec.vendor_id
    if spec.product_id is not None:
        yield _POOL.product_id == spec.product_id
    if spec.dev_type is not None:
        yield _POOL.dev_type == str(spec.dev_type)
    elif forbidden:
        yield or_(_POOL.dev_type.not_in(forbidden), _POOL.dev_type.is_(None))
    if PHYSICAL_NETWORK in spec.tags:
        network = folded(spec.tags[PHYSICAL_NETWORK])
        yield _POOL.physical_network.is_(None) if network is None else _POOL.physical_network == network


def _columns(pool: PoolRecord, node_id: int) -> dict[str, Any]:
    network = folded(pool.tags.get(PHYSICAL_NETWORK))
    return {**pool.model_dump(mode="json"), "compute_node_id": node_id, "physical_network": network}


def _record(row: Any) -> PoolRecord:
    return PoolRecord(**{name: row[name] for name in PoolRecord.model_fields})
