"""Ids: a database that was lost and made anew gives none of the old ones to another device."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine
from test_databases import device, report
from test_reports import lose

from buses import get, rest
from pci_agent.tracker import database
from pci_agent.tracker import ids as tracker_ids
from pci_agent.tracker.store import Store
from pci_agent.tracker.tables import metadata


def seconds_since_2026() -> int:
    return int((datetime.now(UTC) - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds())


def ids(store: Store) -> list[int]:
    return [row["id"] for row in (*store.hypervisors(), *store.devices())]


def test_the_ids_of_a_new_database_begin_at_its_second(unmade: Engine) -> None:
    before = seconds_since_2026()
    database.upgrade(unmade)
    after = seconds_since_2026()
    store = Store(unmade, host_down_s=75)
    store.accept(report("a", "compute-1", 1, device("d1"), device("d2")))
    host, *devices = ids(store)
    assert before - 1 <= host <= after + 1
    assert before - 1 <= devices[0] <= after + 1
    assert devices == [devices[0], devices[0] + 1]
    assert max(ids(store)) < 2**31


def test_an_old_id_is_not_found_once_the_database_was_lost_and_made_anew(
    unmade: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.upgrade(unmade)
    store = Store(unmade, host_down_s=75)
    first = report("a", "compute-1", 1, device("d1"), device("d2"))
    store.accept(first)
    old = ids(store)
    with unmade.begin() as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
    long_ago = tracker_ids._SINCE.replace(year=2025)  # as if a year had passed since
    monkeypatch.setattr(tracker_ids, "_SINCE", long_ago)
    database.upgrade(unmade)
    assert store.accept(first).verdict == "ok"
    for prefix in ("/v2/openstack", "/v3"):
        get(rest(store), f"{prefix}/os-hypervisors/{old[0]}", 404)
        for each in old[1:]:
            get(rest(store), f"{prefix}/os-pci/{each}", 404)
        for each in ids(store)[1:]:
            get(rest(store), f"{prefix}/os-pci/{each}")


def test_an_emptied_database_does_not_begin_again_where_it_was(engine: Engine, store: Store) -> None:
    first = report("a", "compute-1", 1, *(device(f"d{number}") for number in range(300)))
    store.accept(first)
    old = ids(store)
    lose(engine)
    database.upgrade(engine)
    store.accept(first)
    assert not {*old[1:]} & {*ids(store)[1:]}


def test_an_upgrade_leaves_the_ids_of_what_is_there_alone(engine: Engine, store: Store) -> None:
    first = report("a", "compute-1", 1, device("d1"))
    store.accept(first)
    (_, before) = ids(store)
    database.upgrade(engine)
    store.accept(report("a", "compute-1", 2, device("d1"), device("d2"), over=first.token))
    assert ids(store)[1:] == [before, before + 1]
