"""
What an operator asks of the rows by hand: do they agree with one another, and away with what is old.

Nothing here is needed for the tracker to work, and all of it may run while trackers do. The audit reads each host in
one snapshot. It compares what both sides know: a hash is only made anew where the agent is of this very version, for
a later one may hash fields that aren't here.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, select

from pci_agent import __version__
from pci_agent.model.state import Status
from pci_agent.tracker import pools
from pci_agent.tracker.devices import chunks
from pci_agent.tracker.tables import (
    allocations,
    compute_nodes,
    pci_device_events,
    pci_devices,
    pci_pools,
    pending_frees,
)
from pci_agent.wire.messages import DeviceRecord, PoolRecord, device_record, digest

_NODE, _DEVICE, _EVENT = compute_nodes.c, pci_devices.c, pci_device_events.c
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A host whose rows don't agree with one another, and in what."""

    host: str
    what: str

    def __str__(self) -> str:
        return f"{self.host}: {self.what}"


# The audit


def hosts(connection: Connection) -> list[int]:
    """List the ids of all living hosts, by name."""
    return list(
        connection.execute(select(_NODE.id).where(_NODE.deleted == 0).order_by(_NODE.hypervisor_hostname)).scalars()
    )


def disagreements(connection: Connection, node_id: int) -> list[Disagreement]:
    """Compare one host's rows with one another."""
    node = connection.execute(select(compute_nodes).where(_NODE.id == node_id, _NODE.deleted == 0)).mappings().first()
    if node is None:
        return []
    living = select(pci_devices).where(_DEVICE.compute_node_id == node_id, _DEVICE.deleted == 0)
    rows = connection.execute(living).mappings().all()
    counted = pools.of_host(connection, node_id)
    found = [*_of_digest(node, rows), *_of_pools(node, rows, counted), *_of_hashes(node, rows)]
    return [Disagreement(node["hypervisor_hostname"], what) for what in found]


def orphans(connection: Connection) -> list[Disagreement]:
    """Find what lives on though its host was deleted."""
    left = (
        select(_NODE.hypervisor_hostname)
        .join(pci_devices, _DEVICE.compute_node_id == _NODE.id)
        .where(_NODE.deleted != 0, _DEVICE.deleted == 0)
    )
    counted = (
        select(_NODE.hypervisor_hostname)
        .join(pci_pools, pci_pools.c.compute_node_id == _NODE.id)
        .where(_NODE.deleted != 0)
    )
    return [
        Disagreement(host, f"it was deleted, and has {what} still: delete these rows by hand")
        for query, what in ((left, "devices"), (counted, "pools"))
        for host in sorted(set(connection.execute(query).scalars()))
    ]


def _of_digest(node: Any, rows: Iterable[Any]) -> Iterator[str]:
    summed = digest(row["hash"] for row in rows)
    if summed != node["digest"]:
        yield f"its devices' hashes sum up to {summed}, its state is {node['digest']}"


def _of_pools(node: Any, rows: Iterable[Any], counted: Iterable[PoolRecord]) -> Iterator[str]:
    told = {pool.kind: pool for pool in (PoolRecord(**each) for each in node["pci_stats"])}
    held = {pool.kind: pool for pool in counted}
    if told != held:
        different = sum(told.get(kind) != held.get(kind) for kind in told.keys() | held.keys())
        yield f"{different} of its pools are not what it reported"
    totals, free = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for pool in told.values():
        totals[pool.vendor_id, pool.product_id] += pool.total
        free[pool.vendor_id, pool.product_id] += pool.free
    for row in rows:
        totals[row["vendor_id"], row["product_id"]] -= 1
        free[row["vendor_id"], row["product_id"]] -= row["status"] == Status.AVAILABLE
    for vendor_id, product_id in sorted({*totals, *free}):
        if totals[vendor_id, product_id] or free[vendor_id, product_id]:
            yield f"its pools count other devices {vendor_id}:{product_id} than it has, or other free ones"


def _of_hashes(node: Any, rows: Iterable[Any]) -> Iterator[str]:
    if (node["agent_status"] or {}).get("agent_version") != __version__:
        return
    wrong = [row["uuid"] for row in rows if _sealed(row) != row["hash"]]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        yield f"not as their agent sealed them: devices {', '.join(wrong[:_SHOWN])}{more}"


def _sealed(row: Any) -> str:
    return device_record({name: row[name] for name in DeviceRecord.model_fields if name != "hash"}).hash


# What is old

Transaction = Callable[[Callable[[Connection], int]], int]
"""Runs its argument in a transaction of its own and commits it."""


def purge(transaction: Transaction, before: datetime, batch: int) -> dict[str, int]:
    """
    Delete events, soft-deleted devices and hosts, and requests, from before a time: batch after batch, each by itself.

    A request goes where no device shows it and nothing of it is still to be freed. Pending frees stay: an agent that
    was away for long is owed them all the same.

    Returns:
        How many went, by table.
    """
    old_devices = (_DEVICE.deleted != 0, _DEVICE.deleted_at < before)
    empty = (~exists().where(rows.c.compute_node_id == _NODE.id) for rows in (pci_devices, pci_pools))
    old_hosts = (_NODE.deleted != 0, _NODE.deleted_at < before, *empty)
    requested = allocations.c.request_id
    shown = exists().where(_DEVICE.request_id == requested, _DEVICE.deleted == 0)
    owed = exists().where(pending_frees.c.request_id == requested)
    old_requests = (allocations.c.updated_at < before, ~shown, ~owed)
    return {
        table.name: _purge(transaction, table, old, batch)
        for table, old in (
            (pci_device_events, (_EVENT.at < before,)),
            (pci_devices, old_devices),
            (compute_nodes, old_hosts),
            (allocations, old_requests),
        )
    }


def _purge(transaction: Transaction, table: Table, old: tuple[ColumnElement[bool], ...], batch: int) -> int:
    def one_batch(connection: Connection) -> int:
        ids = connection.execute(select(table.c.id).where(*old).limit(batch)).scalars().all()
        for part in chunks(ids):  # asked once more: a device may have returned
            connection.execute(delete(table).where(table.c.id.in_(part), *old))
        return len(ids)

    gone = 0
    while found := transaction(one_batch):
        gone += found
    return gone
