"""
The rows of a host's devices: written in few statements whatever their number, and only where something changed.

A row is soft-deleted when its device goes, and is the same row again when it returns. What changed is told, for the
history. A host has one writer at a time; see reports.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from pci_agent.tracker import bulk, document
from pci_agent.tracker.tables import pci_devices
from pci_agent.wire.messages import DeviceRecord, Report, digest, digest_after

_DEVICE = pci_devices.c
_CHUNK = 500  # names in one IN list: SQLite's oldest limit is 999

WATCHED = (
    "address",
    "status",
    "status_reason",
    "tags",
    "instance_uuid",
    "request_id",
    "attempt",
    "project_id",
    "user_id",
)
"""What history tells of a device."""

Facts = Mapping[str, Any]
"""The watched columns of one device."""


@dataclass(frozen=True, slots=True)
class Change:
    """One device before and after; None where it wasn't, or isn't, there."""

    uuid: str
    before: Facts | None
    after: Facts | None


def write(connection: Connection, node_id: int, report: Report, now: datetime) -> list[Change] | None:
    """
    Make the host's rows those of the report; rows that are the same already are left alone.

    Returns:
        What changed; None where the report, a difference, doesn't lead to its own digest from what is here.
    """
    come = {record.uuid: record for record in report.devices}
    held = _held(connection, node_id, None if report.full else [*come, *report.removed])
    living = {uuid: row for uuid, row in held.items() if row.deleted == 0}
    gone = [uuid for uuid in living if uuid not in come] if report.full else [*living.keys() & {*report.removed}]
    if not report.full:
        start = report.over.digest if report.over is not None else digest(())
        after = digest_after(start, (row.hash for row in living.values()), (record.hash for record in come.values()))
        if after != report.token.digest:
            return None
    changed = [uuid for uuid in come if uuid in held and (uuid not in living or living[uuid].hash != come[uuid].hash)]
    new = [uuid for uuid in come if uuid not in held]
    before = _facts(connection, [held[uuid].id for uuid in (*gone, *changed) if uuid in living])
    _delete(connection, [held[uuid].id for uuid in gone], now)
    bulk.add(connection, pci_devices, [{**_columns(come[uuid], node_id), "created_at": now} for uuid in new])
    living_again = {"created_at": now, "updated_at": now, "deleted": 0, "deleted_at": None}
    rows = [{**_columns(come[uuid], node_id), **living_again, "id": held[uuid].id} for uuid in changed]
    bulk.put(connection, pci_devices, rows, kept=["created_at"])  # one that was purged since it was read is new
    return [
        *(Change(uuid, before[held[uuid].id], None) for uuid in gone),
        *(
            Change(uuid, before.get(held[uuid].id) if uuid in living else None, _facts_of(come[uuid]))
            for uuid in changed
        ),
        *(Change(uuid, None, _facts_of(come[uuid])) for uuid in new),
    ]


def delete_all(connection: Connection, node_id: int, now: datetime) -> list[Change]:
    """Soft-delete all devices of a host."""
    living = {uuid: row.id for uuid, row in _held(connection, node_id, None).items() if row.deleted == 0}
    before = _facts(connection, [*living.values()])
    _delete(connection, [*living.values()], now)
    return [Change(uuid, before[row_id], None) for uuid, row_id in living.items()]


def _held(connection: Connection, node_id: int, uuids: Sequence[str] | None) -> dict[str, Row[Any]]:
    """Read id, hash and deleted of a host's devices, soft-deleted ones too; *uuids* None: of all of them."""
    query = select(_DEVICE.uuid, _DEVICE.id, _DEVICE.hash, _DEVICE.deleted).where(_DEVICE.compute_node_id == node_id)
    queries = [query] if uuids is None else [query.where(_DEVICE.uuid.in_(part)) for part in chunks(uuids)]
    rows: Iterable[Any] = (row for each in queries for row in connection.execute(each))
    return {row.uuid: row for row in rows}


def _facts(connection: Connection, ids: Sequence[int]) -> dict[int, Facts]:
    query = select(_DEVICE.id, *(pci_devices.c[name] for name in WATCHED))
    rows = (row for part in chunks(ids) for row in connection.execute(query.where(_DEVICE.id.in_(part))).mappings())
    return {row["id"]: {name: row[name] for name in WATCHED} for row in rows}


def _facts_of(record: DeviceRecord) -> Facts:
    return {name: getattr(record, name) for name in WATCHED}


def _columns(record: DeviceRecord, node_id: int) -> dict[str, Any]:
    facts = record.model_dump(mode="json")
    return {**facts, "document": document.written(facts), "compute_node_id": node_id}


def _delete(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    for part in chunks(ids):
        gone = update(pci_devices).where(_DEVICE.id.in_(part))
        connection.execute(gone.values(deleted=_DEVICE.id, deleted_at=now))


def chunks(names: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut a list into parts that fit into one statement."""
    return (names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK))
