"""What the three kinds of database have to have in common, for the tracker to be the same on each."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from pci_agent.errors import ConfigurationRefused
from pci_agent.tracker import database
from pci_agent.tracker.store import Store
from pci_agent.wire.messages import DeviceRecord, Report, Token, Verdict, device_record, digest


def device(uuid: str, **facts: object) -> DeviceRecord:
    return device_record(
        {
            "uuid": uuid,
            "address": "0000:04:10.0",
            "vendor_id": "8086",
            "product_id": "1520",
            "dev_type": "type-VF",
            "dev_id": "pci_0000_04_10_0",
            "label": "label_8086_1520",
            "status": "available",
            **facts,
        }
    )


def report(agent: str, host: str, generation: int, *devices: DeviceRecord, over: Token | None = None) -> Report:
    token = Token(session=agent, generation=generation, digest=digest(each.hash for each in devices))
    return Report(agent_uuid=agent, host=host, session=agent, over=over, token=token, full=True, devices=devices)


NAMES = ("compute-1", "Compute-1", "compute-1 ", "compüte-1", "compute-１", "\N{DESKTOP COMPUTER}")


def test_names_that_differ_in_a_byte_are_different_hosts(store: Store) -> None:
    for number, name in enumerate(NAMES):
        first = report(f"agent{name}", name, 1, device(f"device{name}", tags={"number": str(number), "name": name}))
        assert store.accept(first).verdict is Verdict.OK
    assert sorted(row["hypervisor_hostname"] for row in store.hypervisors()) == sorted(NAMES)
    for number, name in enumerate(NAMES):
        (row,) = store.devices(name=f"device{name}")
        assert row["tags"] == {"number": str(number), "name": name}
        assert [each["uuid"] for each in store.devices(hypervisor=name)] == [f"device{name}"]


def test_of_many_reports_over_one_state_one_applies(store: Store) -> None:
    first = report("agent", "compute-1", 1, device("d0"))
    store.accept(first)
    for generation in range(2, 6):
        (held,) = store.hypervisors()
        over = Token(session=held["session"], generation=held["generation"], digest=held["digest"])
        at_once = threading.Barrier(6)
        rivals = [report("agent", "compute-1", generation, device(f"d{n}"), over=over) for n in range(6)]

        def tell(rival: Report, barrier: threading.Barrier = at_once) -> Verdict:
            barrier.wait()
            return store.accept(rival).verdict

        with ThreadPoolExecutor(6) as threads:
            verdicts = list(threads.map(tell, rivals))
        winners = [rival for rival, verdict in zip(rivals, verdicts, strict=True) if verdict is Verdict.OK]
        assert sorted(verdicts) == [Verdict.HOLDS] * 5 + [Verdict.OK]
        assert [row["hash"] for row in store.devices()] == [winners[0].devices[0].hash]


def test_of_many_agents_that_claim_one_new_name_one_gets_it(store: Store) -> None:
    at_once = threading.Barrier(6)

    def tell(number: int) -> Verdict:
        at_once.wait()
        return store.accept(report(f"agent{number}", "compute-1", 1, device("d"))).verdict

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(tell, range(6))) == [Verdict.OK] + [Verdict.TAKEN] * 5
    assert len(store.hypervisors()) == len(store.devices()) == 1


def statements(engine: Engine, work: Callable[[], object]) -> int:
    """Count what the database was asked; MariaDB tells itself, for its driver may cut a bulk into single rows."""
    counted = []

    def count(*called: object) -> None:
        counted.append(called)

    def asked() -> int:
        if engine.dialect.name != "mariadb":
            return len(counted)
        with engine.connect() as connection:
            return int(connection.execute(text("SHOW GLOBAL STATUS LIKE 'Questions'")).one()[1])

    event.listen(engine, "before_cursor_execute", count)
    before = asked()
    work()
    after = asked()
    event.remove(engine, "before_cursor_execute", count)
    return after - before


def test_a_report_asks_as_little_for_three_hundred_devices_as_for_three(engine: Engine, store: Store) -> None:
    def asked_for(agent: str, size: int) -> list[int]:
        over, counts = None, []
        for generation, status in enumerate(("available", "claimed"), 1):
            records = [device(f"{agent}{number}", status=status) for number in range(size)]
            message = report(agent, agent, generation, *records, over=over)
            counts.append(statements(engine, lambda message=message: store.accept(message)))  # type: ignore[misc]
            over = message.token
        assert [row["status"] for row in store.devices(hypervisor=agent)] == ["claimed"] * size
        return counts

    few = asked_for("few", 3)
    assert asked_for("many", 300) == few
    assert max(few) < 20


def both_ways(store: Store) -> list[Callable[[Connection], int]]:
    """Two transactions that write the same two rows in opposite order, each waiting for the other in between."""
    for name in ("a", "b"):
        store.accept(report(name, name, 1))
    meeting = threading.Barrier(2)

    def writing(first: str, second: str) -> Callable[[Connection], int]:
        met: list[bool] = []

        def work(connection: Connection) -> int:
            statement = text("UPDATE compute_nodes SET generation = generation + 1 WHERE hypervisor_hostname = :name")
            connection.execute(statement, {"name": first})
            if not met:
                met.append(True)
                meeting.wait(20)
            connection.execute(statement, {"name": second})
            return len(met)

        return work

    return [writing("a", "b"), writing("b", "a")]


def test_a_transaction_that_loses_a_deadlock_is_run_again(engine: Engine, store: Store) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time: no two can wait for each other")
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda work: database.run(engine, work), both_ways(store))) == [1, 1]
    assert [row["generation"] for row in store.hypervisors()] == [3, 3]


def test_a_writer_that_finds_sqlite_busy_comes_again_a_few_times_and_then_tells(sqlite: Engine) -> None:
    tried = []

    @event.listens_for(sqlite, "connect")
    def impatient(connection: object, _record: object) -> None:
        connection.execute("PRAGMA busy_timeout = 1")  # type: ignore[attr-defined]

    @event.listens_for(sqlite, "before_cursor_execute")
    def count(*called: object) -> None:
        tried.append(called[2])

    sqlite.dispose()
    with sqlite.begin(), pytest.raises(OperationalError, match="locked"):
        database.run(sqlite, lambda _: None)
    assert tried == ["BEGIN IMMEDIATE"] * 6
    holder = sqlite.connect()
    holding = holder.begin()
    threading.Timer(0.03, holding.rollback).start()
    database.run(sqlite, lambda connection: connection.execute(text("DELETE FROM pci_devices")))
    holder.close()


def test_a_transaction_reads_what_another_committed_meanwhile(engine: Engine, store: Store) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time: nobody commits meanwhile")

    def work(connection: Connection) -> list[int]:
        counted = []
        for number in range(2):
            counted.append(connection.execute(text("SELECT count(*) FROM compute_nodes")).scalar_one())
            store.accept(report(f"agent{number}", f"compute-{number}", 1))
        return counted

    assert database.run(engine, work) == [0, 1]


def test_what_fails_for_another_reason_is_not_run_again(engine: Engine) -> None:
    tried = []

    def work(connection: Connection) -> None:
        tried.append(True)
        connection.execute(text("SELECT 1 FROM nowhere"))

    with pytest.raises(Exception, match="nowhere"):
        database.run(engine, work)
    assert len(tried) == 1


def test_a_value_that_is_too_long_is_never_cut(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite knows no length")
    long = device("d").model_copy(update={"label": "l" * 33})
    with pytest.raises(Exception, match=r"(?i)too long"):
        Store(engine, host_down_s=75).accept(report("a", "h", 1, long))


def test_a_url_of_mysqls_is_one_of_mariadbs() -> None:
    assert database.connect("mysql+pymysql://pci@127.0.0.1/pci").dialect.name == "mariadb"


def test_an_url_with_a_driver_that_nobody_has_tells_which_to_write() -> None:
    with pytest.raises(ConfigurationRefused, match=r"mariadb\+pymysql://"):
        database.connect("mysql+mysqldb://pci@127.0.0.1/pci")
