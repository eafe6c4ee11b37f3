"""Agents and the tracker's store, with no bus in between: what is held after each report. On every database."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from hosts import Host, tell
from pci_agent.agent.identity import Machine
from pci_agent.errors import StoreFailed
from pci_agent.model.reality import Habits
from pci_agent.tracker import database, pools
from pci_agent.tracker.store import Store
from pci_agent.tracker.tables import metadata
from pci_agent.wire.messages import Heartbeat, PoolRecord, Report, Verdict, digest
from sysfs import FakeSysfs

OK, HOLDS, TAKEN = Verdict.OK, Verdict.HOLDS, Verdict.TAKEN
VF, PF = "0000:04:10.4", "0000:04:00.0"


def rows(store: Store) -> dict[str, tuple[str, str]]:
    """What the tracker holds: address and host of each living device, by uuid."""
    return {row["uuid"]: (row["address"], row["hypervisor_hostname"]) for row in store.devices()}


def holds_what_the_agent_has(store: Store, host: Host) -> bool:
    held = {row["uuid"]: row["hash"] for row in store.devices(hypervisor=host.name)}
    return held == {record.uuid: record.hash for record in host.agent.records()}


def silence(engine: Engine, name: str, seconds: int = 80) -> None:
    """Let a host's last sign of life be that long ago, by the database's clock."""
    before = {
        "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', last_seen, '-' || :ago || ' seconds')",
        "postgresql": "last_seen - make_interval(secs => :ago)",
        "mariadb": "last_seen - INTERVAL :ago SECOND",
    }[engine.dialect.name]
    statement = text(f"UPDATE compute_nodes SET last_seen = {before} WHERE hypervisor_hostname = :name")
    with engine.begin() as connection:
        connection.execute(statement, {"ago": seconds, "name": name})


def lose(engine: Engine) -> None:
    """Empty the tracker's database."""
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())


def other_machine(tmp_path: Path, name: str = "compute-1") -> Host:
    sysfs = FakeSysfs(tmp_path / "other-sys")
    sysfs.add("0000:81:00.0", "10de:25b6")
    host = Host(name, sysfs, tmp_path / "other-agent")
    host.machine = Machine("another machine", None)
    return host


def test_a_new_host_is_held_whole_after_a_heartbeat_and_a_report(store: Store, host: Host) -> None:
    host.start()
    assert host.report(store) == [HOLDS, OK]
    assert holds_what_the_agent_has(store, host)
    assert len(rows(store)) == 3


def test_an_unchanged_host_is_agreed_on_by_heartbeats_alone(store: Store, host: Host) -> None:
    host.start()
    host.report(store)
    host.agent.look()
    message = host.agent.next_message()
    assert isinstance(message, Heartbeat)
    assert tell(store, message).verdict is OK


def test_a_change_travels_as_the_difference(store: Store, host: Host) -> None:
    host.start()
    host.report(store)
    host.sysfs.set_numvfs(PF, ["0000:04:10.0"])
    host.agent.look()
    message = host.agent.next_message()
    assert isinstance(message, Report)
    assert (message.full, len(message.removed)) == (False, 1)
    assert host.report(store) == [OK]
    assert holds_what_the_agent_has(store, host)


def test_a_device_that_returns_is_the_same_row_again(store: Store, host: Host) -> None:
    host.start()
    host.report(store)
    before = [(row["id"], row["uuid"]) for row in store.devices()]
    for vfs in ([], ["0000:04:10.0", "0000:04:10.4"]):
        host.sysfs.set_numvfs(PF, vfs)
        host.agent.look()
        host.report(store)
    assert [(row["id"], row["uuid"]) for row in store.devices()] == before


def test_a_device_that_went_is_kept_as_deleted(store: Store, engine: Engine, host: Host) -> None:
    host.start()
    host.report(store)
    host.sysfs.set_numvfs(PF, [])
    host.agent.look()
    host.report(store)
    with engine.connect() as connection:
        gone = connection.execute(
            text("SELECT deleted = id, deleted_at IS NOT NULL FROM pci_devices WHERE deleted <> 0")
        )
        assert [tuple(map(bool, row)) for row in gone] == [(True, True), (True, True)]


def test_a_restarted_agent_takes_over_at_once_and_sends_no_device_again(store: Store, host: Host) -> None:
    host.start()
    host.report(store)
    host.restart()
    assert tell(store, host.agent.next_message()).verdict is HOLDS
    host.restart()
    assert host.report(store) == [HOLDS, OK]
    assert holds_what_the_agent_has(store, host)


def test_an_answer_that_was_lost_changes_nothing(store: Store, host: Host) -> None:
    host.start()
    tell(store, host.agent.next_message())
    assert host.report(store) == [HOLDS, OK]
    host.sysfs.set_numvfs(PF, [])
    host.agent.look()
    lost = host.agent.next_message()
    assert tell(store, lost).verdict is OK
    assert tell(store, lost).verdict is OK, "a report that the row equals already"
    host.sysfs.set_numvfs(PF, ["0000:04:10.0"])
    host.agent.look()
    assert host.report(store) == [HOLDS, OK]
    assert holds_what_the_agent_has(store, host)


def test_an_overtaken_report_changes_nothing(store: Store, host: Host) -> None:
    host.start()
    host.report(store)
    host.sysfs.set_numvfs(PF, [])
    host.agent.look()
    late = host.agent.next_message()
    host.sysfs.set_numvfs(PF, ["0000:04:10.0"])
    host.agent.look()
    host.report(store)
    held = rows(store)
    assert tell(store, late).verdict is HOLDS
    assert rows(store) == held


def test_a_full_report_from_an_earlier_session_changes_nothing(store: Store, host: Host) -> None:
    host.start()
    first = host.agent.next_message()
    host.agent.answered(tell(store, first))
    late = host.agent.next_message()
    assert isinstance(late, Report)
    assert late.full
    host.restart()
    host.report(store)
    host.sysfs.set_numvfs(PF, [])
    host.agent.look()
    host.report(store)
    assert tell(store, late).verdict is TAKEN, "a later session of the same agent speaks for the host"
    assert holds_what_the_agent_has(store, host)


def test_a_lost_database_is_whole_again_after_one_report(store: Store, engine: Engine, host: Host) -> None:
    host.start()
    host.report(store)
    held = rows(store)
    lose(engine)
    assert host.report(store) == [HOLDS, OK]
    assert rows(store) == held


def test_a_second_agent_of_the_same_name_is_told_that_it_is_taken(store: Store, host: Host, tmp_path: Path) -> None:
    host.start()
    host.report(store)
    twin = other_machine(tmp_path)
    twin.start()
    assert twin.report(store) == [TAKEN]
    assert holds_what_the_agent_has(store, host)
    twin.stop()


def test_who_was_refused_as_a_hosts_twin_is_remembered_until_its_own_agent_begins_anew(
    store: Store, host: Host, tmp_path: Path
) -> None:
    host.start()
    host.report(store)
    (row,) = store.hypervisors()
    assert (row["refused_agent"], row["refused_session"], row["refused_at"]) == (None, None, None)
    twin = other_machine(tmp_path)
    twin.start()
    twin.report(store)
    (row,) = store.hypervisors()
    ledger = twin.agent.ledger
    assert (row["refused_agent"], row["refused_session"]) == (ledger.agent_uuid, ledger.token.session)
    assert row["last_seen"] <= row["refused_at"] <= row["now"]
    host.agent.look()
    tell(store, host.agent.next_message())
    assert store.hypervisors()[0]["refused_agent"] == ledger.agent_uuid
    host.restart()
    host.report(store)
    assert store.hypervisors()[0]["refused_agent"] is None
    twin.stop()


def test_another_session_of_the_same_agent_is_a_twin_too(store: Store, host: Host) -> None:
    host.start()
    host.report(store)
    stranger = host.agent.next_message().model_copy(update={"session": "another", "lineage": ()})
    assert tell(store, stranger).verdict is TAKEN
    (row,) = store.hypervisors()
    assert (row["refused_agent"], row["refused_session"]) == (host.agent.ledger.agent_uuid, "another")


def test_a_silent_host_may_be_taken_over_and_its_devices_go(
    store: Store, engine: Engine, host: Host, tmp_path: Path
) -> None:
    host.start()
    host.report(store)
    silence(engine, "compute-1")
    twin = other_machine(tmp_path)
    twin.start()
    assert twin.report(store) == [HOLDS, OK]
    assert list(rows(store).values()) == [("0000:81:00.0", "compute-1")]
    assert host.report(store) == [TAKEN], "the one that was silent has to wait now"
    twin.stop()


def test_a_twins_heartbeats_are_no_sign_of_life(store: Store, engine: Engine, host: Host, tmp_path: Path) -> None:
    host.start()
    host.report(store)
    silence(engine, "compute-1", 60)
    twin = other_machine(tmp_path)
    twin.start()
    for _ in range(3):
        assert twin.report(store) == [TAKEN]
    silence(engine, "compute-1", 20)
    assert [row["up"] for row in store.hypervisors()] == [False]
    twin.stop()


def test_a_store_restored_from_a_copy_comes_to_agree_again(
    store: Store, engine: Engine, host: Host, tmp_path: Path
) -> None:
    host.start()
    host.report(store)
    host.stop()
    shutil.copytree(host.state_dir, tmp_path / "backup")
    host.start()
    host.sysfs.set_numvfs(PF, [])
    host.agent.look()
    host.report(store)
    host.stop()
    shutil.rmtree(host.state_dir)
    shutil.copytree(tmp_path / "backup", host.state_dir)
    host.start()
    assert host.report(store) == [TAKEN], "its lineage doesn't name the session that it lost"
    silence(engine, "compute-1")
    answer = tell(store, host.agent.next_message())
    assert (answer.verdict, host.agent.answered(answer)) == (
        HOLDS,
        "the tracker knows a later state of this agent: the store was restored from a copy",
    )
    assert host.report(store) == [HOLDS, OK]
    assert holds_what_the_agent_has(store, host)


def test_a_renamed_host_is_listed_once(store: Store, host: Host) -> None:
    host.start()
    host.report(store)
    host.name = "compute-9"
    host.restart()
    host.report(store)
    assert [row["hypervisor_hostname"] for row in store.hypervisors()] == ["compute-9"]


def test_a_report_whose_hashes_do_not_sum_up_is_refused(store: Store, host: Host) -> None:
    host.start()
    host.agent.answered(tell(store, host.agent.next_message()))
    message = host.agent.next_message()
    assert isinstance(message, Report)
    assert tell(store, message.model_copy(update={"devices": message.devices[1:]})).verdict is Verdict.BAD_DIGEST
    assert rows(store) == {}


def test_a_difference_whose_hashes_do_not_sum_up_changes_nothing(store: Store, host: Host) -> None:
    host.start()
    host.report(store)
    host.sysfs.set_numvfs(PF, ["0000:04:10.0"])
    host.agent.look()
    message = host.agent.next_message()
    assert isinstance(message, Report)
    assert tell(store, message.model_copy(update={"removed": ()})).verdict is HOLDS
    assert len(rows(store)) == 3


def test_problems_and_unresolved_names_reach_the_tracker(store: Store, host: Host) -> None:
    host.sysfs.add("0000:05:00.0", numa_node="banana")
    host._specs = ('{"devname": "eth9"}', '{"address": "*:*:*.*"}')
    host.start()
    host.report(store)
    (row,) = store.hypervisors()
    assert row["agent_status"]["unresolved_devnames"] == ["eth9"]
    assert [problem["address"] for problem in row["agent_status"]["problems"]] == ["0000:05:00.0"]


def test_the_tracker_is_told_of_a_host_that_is_only_observed(store: Store, host: Host) -> None:
    for observe in (True, False):
        host.habits = Habits(observe=observe)
        host.start()
        host.report(store)
        assert [row["observing"] for row in store.hypervisors()] == [observe]
        host.stop()


def test_a_status_is_kept_though_the_report_that_brought_it_had_been_applied_before(store: Store, host: Host) -> None:
    host.start()
    host.agent.answered(tell(store, host.agent.next_message()))
    assert tell(store, host.agent.next_message()).verdict is OK, "and its answer is lost"
    host.agent.refuse_configuration(("bad",))
    host.report(store)
    assert [row["agent_status"]["config_errors"] for row in store.hypervisors()] == [["bad"]]


def test_a_lost_database_gets_the_status_back_too(store: Store, engine: Engine, host: Host) -> None:
    host.start()
    host.agent.refuse_configuration(("bad",))
    host.report(store)
    lose(engine)
    host.report(store)
    assert [row["agent_status"]["config_errors"] for row in store.hypervisors()] == [["bad"]]


def test_a_session_begins_with_the_digest_of_what_it_holds_whatever_the_one_before_had(
    store: Store, host: Host
) -> None:
    host.start()
    host.report(store)
    host.stop()
    with sqlite3.connect(host.state_dir / "agent.sqlite") as database:
        database.execute("UPDATE session SET digest = ?", ("f" * 32,))  # as if an older version hashed otherwise
    host.start()
    host.agent.answered(tell(store, host.agent.next_message()))
    assert tell(store, host.agent.next_message()).verdict is OK, "and its answer is lost"
    host.restart()
    assert host.report(store) == [HOLDS, OK], "no mistaking it for a restored copy"
    assert holds_what_the_agent_has(store, host)


def test_a_change_that_could_not_be_kept_is_found_again(store: Store, host: Host) -> None:
    host.start()
    host.report(store)
    host.store._database.execute("PRAGMA busy_timeout = 1")
    with sqlite3.connect(host.state_dir / "agent.sqlite") as other:
        other.execute("BEGIN IMMEDIATE")
        host.sysfs.set_numvfs(PF, [])
        with pytest.raises(StoreFailed, match="locked"):
            host.agent.look()
        other.rollback()
    assert host.agent.look().changed
    host.report(store)
    assert len(rows(store)) == 1


def test_a_host_is_down_after_a_silence_and_up_after_a_heartbeat(store: Store, engine: Engine, host: Host) -> None:
    host.start()
    host.report(store)
    silence(engine, "compute-1")
    assert [row["up"] for row in store.hypervisors()] == [False]
    tell(store, host.agent.next_message())
    assert [row["up"] for row in store.hypervisors()] == [True]


def test_names_are_looked_up_as_they_are(store: Store, host: Host) -> None:
    host.start()
    host.report(store)
    first = store.devices()[0]
    for name in (str(first["id"]), first["uuid"], first["dev_id"], first["address"]):
        assert [row["id"] for row in store.devices(name=name)] == [first["id"]]
    for name in ("999", f"0{first['id']}", "99999999999999999999", "٣", "", "pci_0000_99_00_0", "1 OR 1=1"):
        assert store.devices(name=name) == []


# Whatever is lost, repeated or delayed, and whenever the agent restarts: in quiet times the rows are the agent's.

events = st.lists(
    st.sampled_from(
        ("vfs", "no vfs", "tell", "tell", "tell", "lose", "lose answer", "repeat", "delay", "arrive", "restart")
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events)
def test_when_things_are_quiet_the_rows_are_the_agents(
    tmp_path_factory: pytest.TempPathFactory, happened: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    engine = database.connect(f"sqlite:///{folder}/tracker.sqlite")
    database.upgrade(engine)
    store = Store(engine, host_down_s=75)
    sysfs = FakeSysfs(folder / "sys")
    sysfs.add_pf(PF, vfs=["0000:04:10.0", VF])
    host = Host("compute-1", sysfs, folder / "agent")
    host.start()
    delayed: list[Report | Heartbeat] = []
    for event in happened:
        if event in ("vfs", "no vfs"):
            sysfs.set_numvfs(PF, ["0000:04:10.0", VF] if event == "vfs" else [])
            host.agent.look()
        elif event == "restart":
            host.restart()
        elif event == "arrive":
            for message in delayed:
                tell(store, message)
            delayed.clear()
        else:
            message = host.agent.next_message()
            if event == "delay":
                delayed.append(message)
            if event in ("tell", "lose answer", "repeat"):
                answer = tell(store, message)
                if event == "repeat":
                    answer = tell(store, message)
                if event != "lose answer":
                    host.agent.answered(answer)
        assert _sums_up(store)
        assert _pools_are_the_hosts(store)
    host.report(store)
    assert holds_what_the_agent_has(store, host)
    host.stop()
    engine.dispose()


def _sums_up(store: Store) -> bool:
    return all(
        row["digest"] == digest(device["hash"] for device in store.devices(hypervisor=row["hypervisor_hostname"]))
        for row in store.hypervisors()
    )


def _pools_are_the_hosts(store: Store) -> bool:
    with store._engine.connect() as connection:
        return all(
            sorted(map(str, pools.of_host(connection, row["id"])))
            == sorted(str(PoolRecord(**pool)) for pool in row["pci_stats"])
            for row in store.hypervisors()
        )
