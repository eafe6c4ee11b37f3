"""
How many devices of each kind every host has, as rows: what the scheduler narrows ten thousand hosts with.

A host's rows are its last report's pools, written in that report's transaction and only where a count changed; a host
that is deleted has none. What a pool's devices are, its node and PF aside, is its kind: a row too, one for the whole
fleet, made with the first pool of it and kept from then on. A fleet has few kinds, so that a request is compared with
those, in the words of the model, and hosts are found by number.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from pci_agent.tracker import bulk
from pci_agent.tracker.devices import chunks
from pci_agent.tracker.tables import pci_kinds, pci_pools
from pci_agent.wire.messages import PoolRecord

_POOL = pci_pools.c
_OF_A_KIND = ("vendor_id", "product_id", "dev_type", "tags")


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
        _keep_kinds(connection, new)
        bulk.add(connection, pci_pools, new)


def of_host(connection: Connection, node_id: int) -> list[PoolRecord]:
    """Read a host's pools, in no order."""
    rows = connection.execute(select(pci_pools).where(_POOL.compute_node_id == node_id)).mappings()
    return [_record(row) for row in rows]


def kind_id(pool: Mapping[str, Any]) -> int:
    """Make the number of a pool's kind from what it is: the same in every tracker, and another for another kind."""
    words = [pool["vendor_id"], pool["product_id"], pool["dev_type"], sorted(pool["tags"].items())]
    return int.from_bytes(hashlib.sha256(json.dumps(words).encode()).digest()[:8]) >> 1


def _keep_kinds(connection: Connection, pools: Iterable[Mapping[str, Any]]) -> None:
    """Make the kinds of new pools where they aren't known yet; another tracker may do so at the same time."""
    come = {pool["kind_id"]: {name: pool[name] for name in _OF_A_KIND} for pool in pools}
    known = {
        known
        for part in chunks([*come])
        for known in connection.execute(select(pci_kinds.c.id).where(pci_kinds.c.id.in_(part))).scalars()
    }
    # In order, lest two reports wait for one another.
    new = [{"id": each, **come[each]} for each in sorted(come.keys() - known)]
    if new:
        connection.execute(_insert_unknown(connection.dialect.name), new)


def _insert_unknown(dialect: str) -> Any:
    if dialect == "mariadb":
        into = mysql.insert(pci_kinds)
        return into.on_duplicate_key_update(id=into.inserted.id)
    return (sqlite if dialect == "sqlite" else postgresql).insert(pci_kinds).on_conflict_do_nothing()


def _columns(pool: PoolRecord, node_id: int) -> dict[str, Any]:
    columns = pool.model_dump(mode="json")
    return {**columns, "compute_node_id": node_id, "kind_id": kind_id(columns)}


def _record(row: Any) -> PoolRecord:
    return PoolRecord(**{name: row[name] for name in PoolRecord.model_fields})
