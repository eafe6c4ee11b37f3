"""Rows that are written in bulk are the rows that were given, whatever the database's way of taking them."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from pci_agent.tracker import bulk
from pci_agent.tracker.tables import compute_nodes, pci_device_events, pci_devices, utcnow

_NOW = datetime(2026, 11, 20, 9, 8, 7, 123456)  # noqa: DTZ001 - times in tables are the database's, in UTC
_ODD = 'a "quoted" \\ text,\nin ünïcödé: 🖧 {} [] \\u0000 %s :told'


@pytest.fixture
def node_id(engine: Engine) -> int:
    row = {"hypervisor_hostname": "h", "agent_uuid": "a", "session": "s", "generation": 1, "digest": "0" * 32}
    with engine.begin() as connection:
        made = insert(compute_nodes).values(**row, last_seen=utcnow(), status_counter=0, pci_stats=[])
        connection.execute(made)
        return int(connection.execute(select(compute_nodes.c.id)).scalar_one())


def a_device(node_id: int, uuid: str, **more: Any) -> dict[str, Any]:
    names = ("address", "vendor_id", "product_id", "dev_type", "dev_id", "label", "status")
    return {
        **dict.fromkeys(names, "x"),
        "uuid": uuid,
        "compute_node_id": node_id,
        "status_reason": None,
        "numa_node": None,
        "tags": {},
        "extra_info": {},
        "hash": "0" * 32,
        "created_at": _NOW,
        **more,
    }


def devices(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(pci_devices).order_by(pci_devices.c.id)).mappings()]


def test_rows_read_as_they_were_written_and_in_their_order(engine: Engine, node_id: int) -> None:
    tags = {"physical_network": None, _ODD: _ODD}
    given = [
        a_device(node_id, "second", status_reason=_ODD, numa_node=2**31 - 1, tags=tags),
        a_device(node_id, "first", extra_info={"netdevs": "eth0,eth1"}),
    ]
    with engine.begin() as connection:
        bulk.add(connection, pci_devices, given)
    assert [{name: row[name] for name in given[0]} for row in devices(engine)] == given
    assert [row["deleted"] for row in devices(engine)] == [0, 0]


def test_nothing_is_written_where_there_are_no_rows(engine: Engine) -> None:
    with engine.begin() as connection:
        bulk.add(connection, pci_devices, [])
        bulk.put(connection, pci_devices, [], kept=["created_at"])
    assert devices(engine) == []


def test_a_row_that_is_there_keeps_what_it_is_to_keep_and_one_that_went_is_there_again(
    engine: Engine, node_id: int
) -> None:
    with engine.begin() as connection:
        bulk.add(connection, pci_devices, [a_device(node_id, "a"), a_device(node_id, "b")])
    there, gone = devices(engine)
    with engine.begin() as connection:
        connection.execute(pci_devices.delete().where(pci_devices.c.id == gone["id"]))
    later = _NOW.replace(year=2027)
    changed = {"status": "claimed", "tags": {"a": "b"}, "created_at": later}
    with engine.begin() as connection:
        rows = [a_device(node_id, row["uuid"], id=row["id"], **changed) for row in (there, gone)]
        bulk.put(connection, pci_devices, rows, kept=["created_at"])
    assert devices(engine) == [{**there, **changed, "created_at": _NOW}, {**gone, **changed}]


def test_what_is_missing_in_a_document_is_null_and_not_the_word(engine: Engine) -> None:
    event = {"compute_node_id": 1, "device_uuid": "d", "at": _NOW, "event": "appeared", "before": None, "after": {}}
    with engine.begin() as connection:
        bulk.add(connection, pci_device_events, [event])
        absent = select(pci_device_events.c.id).where(pci_device_events.c.before.is_(None))
        assert connection.execute(absent).first() is not None
