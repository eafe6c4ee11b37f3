"""The audit finds what doesn't agree and nothing else; purge takes what is old and nothing else."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, event, text
from test_databases import device, report
from test_reports import OK, holds_what_the_agent_has

from hosts import Host
from pci_agent import __version__
from pci_agent.tracker import database
from pci_agent.tracker.store import Store
from pci_agent.wire.messages import AgentStatus, PoolRecord, Verdict

PF = "0000:04:00.0"


@pytest.fixture
def known(store: Store, host: Host) -> Host:
    """A host that has a history, beside another."""
    store.accept(report("other", "compute-2", 1))
    host.start()
    host.report(store)
    host.sysfs.set_numvfs(PF, ["0000:04:10.0"])
    host.agent.look()
    host.report(store)
    return host


def write(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_rows_that_reports_wrote_agree(store: Store, known: Host) -> None:
    assert store.verify() == []
    known.restart()
    known.report(store)
    assert store.verify() == []


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("UPDATE pci_devices SET hash = '00000000000000000000000000000001'", "hashes sum up to"),
        ("UPDATE compute_nodes SET digest = '00000000000000000000000000000001' WHERE agent_uuid <> 'other'", "sum up"),
        ("DELETE FROM pci_devices WHERE dev_type = 'type-VF'", "count other devices 8086:1520"),
        ("UPDATE pci_devices SET status = 'claimed' WHERE dev_type = 'type-PF'", "count other devices 8086:1521"),
        ("UPDATE pci_pools SET free = 7 WHERE dev_type = 'type-VF'", "1 of its pools are not what it reported"),
        ("DELETE FROM pci_pools", "2 of its pools are not"),
        ("UPDATE pci_devices SET attempt = 9 WHERE dev_type = 'type-PF'", "not as their agent sealed them"),
        ("UPDATE pci_devices SET tags = '{\"rack\": \"8\"}' WHERE dev_type = 'type-PF'", "not as their agent sealed"),
    ],
)
@pytest.mark.usefixtures("known")
def test_each_damage_is_found_with_its_host(store: Store, engine: Engine, damage: str, what: str) -> None:
    write(engine, damage.replace('": "', '" : "'))  # a colon before a word would be taken for a parameter
    found = [str(each) for each in store.verify()]
    assert found
    assert all(each.startswith("compute-1: ") for each in found)
    assert any(what in each for each in found), found


@pytest.mark.usefixtures("known")
def test_a_host_that_was_deleted_in_part_is_found(store: Store, engine: Engine) -> None:
    write(engine, "UPDATE compute_nodes SET deleted = id WHERE hypervisor_hostname = 'compute-1'")
    assert [str(each) for each in store.verify()] == [
        "compute-1: it was deleted, and has devices still: delete these rows by hand",
        "compute-1: it was deleted, and has pools still: delete these rows by hand",
    ]


@pytest.mark.parametrize(("version", "judged"), [(__version__, True), ("99.0.0", False)])
def test_a_hash_is_judged_only_where_its_agent_is_of_this_version(store: Store, version: str, judged: bool) -> None:
    later = device("d").model_copy(update={"hash": "0" * 31 + "7"})
    status = AgentStatus(counter=1, agent_version=version)
    pool = PoolRecord(vendor_id="8086", product_id="1520", free=1, total=1)
    told = report("a", "h", 1, later).model_copy(update={"status": status, "pools": (pool,)})
    assert store.accept(told).verdict is OK
    assert bool(store.verify()) is judged


def test_a_report_that_comes_meanwhile_is_no_disagreement(store: Store, engine: Engine, known: Host) -> None:
    told: list[bool] = []

    def meanwhile(*called: object) -> None:
        pools_of_a_host = "FROM pci_pools" in str(called[2]) and "JOIN" not in str(called[2])
        if pools_of_a_host and not told:
            told.append(True)
            known.sysfs.set_numvfs(PF, ["0000:04:10.0", "0000:04:10.4"])
            known.agent.look()
            assert known.report(store) == [OK]

    event.listen(engine, "before_cursor_execute", meanwhile)
    assert store.verify() == []
    assert told


def age(engine: Engine, days: int) -> None:
    """Let everything have happened that many days earlier."""
    earlier = {
        "sqlite": f"strftime('%Y-%m-%d %H:%M:%f000', {{}}, '-{days} days')",
        "postgresql": f"{{}} - make_interval(days => {days})",
        "mariadb": f"{{}} - INTERVAL {days} DAY",
    }[engine.dialect.name]
    columns = (("compute_nodes", "deleted_at"), ("pci_devices", "deleted_at"), ("pci_device_events", "at"))
    write(engine, *(f"UPDATE {table} SET {column} = {earlier.format(column)}" for table, column in columns))


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.mark.usefixtures("known")
def test_purge_takes_what_is_old_and_leaves_what_lives(store: Store, engine: Engine) -> None:
    living = store.devices()
    nothing = {"pci_device_events": 0, "pci_devices": 0, "compute_nodes": 0, "allocations": 0}
    assert store.purge(timedelta(days=1)) == nothing
    age(engine, 10)
    assert store.purge(timedelta(days=11)) == nothing
    assert store.purge(timedelta(days=9)) == {**nothing, "pci_device_events": 4, "pci_devices": 1}
    assert store.devices() == living
    assert (count(engine, "pci_devices"), count(engine, "pci_device_events")) == (2, 0)
    assert store.verify() == []


def test_a_device_that_was_purged_returns_with_its_uuid(store: Store, engine: Engine, known: Host) -> None:
    age(engine, 10)
    store.purge(timedelta(days=9))
    known.sysfs.set_numvfs(PF, ["0000:04:10.0", "0000:04:10.4"])
    known.agent.look()
    known.report(store)
    assert holds_what_the_agent_has(store, known)


def test_purge_goes_in_batches(store: Store, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    store.accept(report("a", "compute-1", 1, *(device(f"d{number}") for number in range(1100))))
    assert store.forget("compute-1")
    age(engine, 10)
    batches = []

    def run(engine: Engine, work: Callable[[Connection], int]) -> int:
        batches.append(work)
        return database.run(engine, work)

    monkeypatch.setattr("pci_agent.tracker.store.run", run)
    gone = store.purge(timedelta(days=1), batch=600)
    assert gone == {"pci_device_events": 2200, "pci_devices": 1100, "compute_nodes": 1, "allocations": 0}
    assert len(batches) == 5 + 3 + 2 + 1
    assert [count(engine, table) for table in gone] == [0, 0, 0, 0]


def test_a_host_that_is_forgotten_comes_back_whole_if_its_agent_lives(
    store: Store, engine: Engine, known: Host
) -> None:
    (before,) = store.hypervisors("compute-1")
    assert store.forget("compute-1")
    assert [row["hypervisor_hostname"] for row in store.hypervisors()] == ["compute-2"]
    assert (store.devices(), count(engine, "pci_pools"), store.verify()) == ([], 0, [])
    assert known.report(store) == [Verdict.HOLDS, OK]
    (after,) = store.hypervisors("compute-1")
    assert after["id"] > before["id"]
    assert after["pci_stats"] == before["pci_stats"]
    assert holds_what_the_agent_has(store, known)


def test_a_host_that_is_not_there_cannot_be_forgotten(store: Store) -> None:
    assert not store.forget("nowhere")
