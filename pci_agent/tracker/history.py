"""
What became of devices: one row for each that a report let appear, vanish or change, written with that report.

Only what people ask about makes a row: where a device is, its status, tags and holder. *before* and *after* hold
what differs, and nothing else.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select

from pci_agent.tracker import bulk
from pci_agent.tracker.devices import Change, Facts
from pci_agent.tracker.tables import pci_device_events

_EVENT = pci_device_events.c


class Event(StrEnum):
    """What happened to a device."""

    APPEARED = "appeared"
    CHANGED = "changed"
    VANISHED = "vanished"


def keep(connection: Connection, node_id: int, now: datetime, changes: Iterable[Change]) -> None:
    """Write down what changed on a host, all of it at one moment."""
    rows = [
        {"compute_node_id": node_id, "device_uuid": change.uuid, "at": now, **told}
        for change in changes
        if (told := _told(change)) is not None
    ]
    bulk.add(connection, pci_device_events, rows)


def of_device(connection: Connection, uuid: str, limit: int) -> list[Any]:
    """Read the newest events of a device, newest first."""
    query = select(pci_device_events).where(_EVENT.device_uuid == uuid).order_by(_EVENT.id.desc()).limit(limit)
    return list(connection.execute(query).mappings())


def _told(change: Change) -> dict[str, Any] | None:
    """Give the columns of an event; None where nothing that is watched differs."""
    before, after = change.before or {}, change.after or {}
    differing = [name for name in (after or before) if before.get(name) != after.get(name)]
    if not differing:
        return None
    holder = after if after.get("instance_uuid") else before
    return {
        "event": _event(change),
        "before": _small(before, differing, change.after),
        "after": _small(after, differing, change.before),
        "instance_uuid": holder.get("instance_uuid"),
        "request_id": holder.get("request_id"),
    }


def _event(change: Change) -> Event:
    if change.before is None:
        return Event.APPEARED
    return Event.VANISHED if change.after is None else Event.CHANGED


def _small(facts: Facts, differing: Iterable[str], other: Facts | None) -> dict[str, Any] | None:
    """Leave out what is the same on both sides, and of a whole device what says nothing."""
    if not facts:
        return None
    return {name: facts[name] for name in differing if other is not None or facts[name]}
