"""What the tracker remembers of each device: every difference between two reports, and nothing between."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from test_databases import device, report
from test_reports import silence
from test_restored_copies import GUEST, VF0

from hosts import Host
from pci_agent.tracker import database
from pci_agent.tracker.devices import WATCHED
from pci_agent.tracker.store import RowMap, Store
from pci_agent.wire.messages import DeviceRecord, Report, Token, Verdict, digest

PF, VF1 = "0000:04:00.0", "0000:04:10.4"


@pytest.fixture
def vf(store: Store, host: Host) -> str:
    """The uuid of a VF that is known since a first report."""
    host.start()
    host.report(store)
    (row,) = store.devices(name=VF0)
    return str(row["uuid"])


def look(store: Store, host: Host) -> None:
    host.agent.look()
    host.report(store)


def tell(store: Store, *states: Sequence[DeviceRecord]) -> None:
    """Let one host report one state after the other."""
    over = None
    for generation, records in enumerate(states, 1):
        message = report("a", "h", generation, *records, over=over)
        assert store.accept(message).verdict is Verdict.OK
        over = message.token


def test_a_devices_way_is_told_newest_first(store: Store) -> None:
    free = device("d", address=VF0)
    held = device("d", address=VF0, status="claimed", instance_uuid=GUEST, request_id="r", attempt=2)
    tell(store, [free], [held], [free], [])
    gone, freed, claimed, appeared = store.history("d")
    told = [(each["event"], each["instance_uuid"], each["request_id"]) for each in (appeared, claimed, freed, gone)]
    assert told == [
        ("appeared", None, None),
        ("changed", GUEST, "r"),
        ("changed", GUEST, "r"),
        ("vanished", None, None),
    ]
    assert (appeared["before"], appeared["after"]) == (None, {"address": VF0, "status": "available"})
    assert claimed["before"] == {"status": "available", "instance_uuid": None, "request_id": None, "attempt": 0}
    assert claimed["after"] == {"status": "claimed", "instance_uuid": GUEST, "request_id": "r", "attempt": 2}
    assert (freed["before"], freed["after"]) == (claimed["after"], claimed["before"])
    assert (gone["before"], gone["after"]) == (appeared["after"], None)
    assert appeared["at"] <= claimed["at"] <= freed["at"] <= gone["at"]
    assert store.history("d", limit=2) == [gone, freed]


def test_what_nobody_asks_about_makes_no_event(store: Store, host: Host, vf: str) -> None:
    look(store, host)
    host.restart()
    host.report(store)
    assert [event["event"] for event in store.history(vf)] == ["appeared"]
    tell(store, [device("d")], [device("d", extra_info={"driver": "vfio-pci"})])
    assert len(store.history("d")) == 1


def test_a_report_that_changes_nothing_leaves_no_history(store: Store, host: Host, vf: str) -> None:
    host.sysfs.set_numvfs(PF, [VF1])
    host.agent.look()
    lost = host.agent.next_message()
    assert isinstance(lost, Report)
    assert store.accept(lost.model_copy(update={"removed": ()})).verdict is Verdict.HOLDS
    assert len(store.history(vf)) == 1
    assert [store.accept(lost).verdict for _ in range(2)] == [Verdict.OK] * 2
    assert len(store.history(vf)) == 2


def test_the_devices_of_a_host_that_is_superseded_vanish(store: Store, engine: Engine, vf: str) -> None:
    silence(engine, "compute-1")
    assert store.accept(report("other", "compute-1", 1)).verdict is Verdict.OK
    gone, _ = store.history(vf)
    assert (gone["event"], gone["before"]["address"]) == ("vanished", VF0)


def test_a_device_that_nobody_knows_has_no_history(store: Store) -> None:
    assert store.history(str(uuid4())) == []


# Whoever follows the events from the beginning ends where the rows are.

facts = st.fixed_dictionaries(
    {},
    optional={
        "address": st.sampled_from(("0000:04:10.0", "0000:05:10.0")),
        "status": st.sampled_from(("available", "claimed")),
        "status_reason": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
        "tags": st.dictionaries(st.sampled_from("ab"), st.none() | st.sampled_from(("1", "2"))),
        "instance_uuid": st.none() | st.just("i"),
        "attempt": st.integers(0, 2),
        "extra_info": st.just({"driver": "igbvf"}),
    },
)
states = st.lists(st.dictionaries(st.sampled_from(("d1", "d2", "d3")), facts), min_size=1, max_size=5)


def followed(events: Sequence[RowMap]) -> Mapping[str, Any] | None:
    known: dict[str, Any] | None = None
    for event in reversed(events):
        if event["event"] == "vanished":
            assert known is not None
            assert {name: value for name, value in known.items() if value} == event["before"]
            known = None
        else:
            assert (event["event"] == "appeared") is (known is None)
            known = {**(known or {}), **event["after"]}
    return known


def full_or_not(records: Sequence[DeviceRecord], before: Sequence[DeviceRecord], over: Token | None) -> Report:
    """Report every second state as a difference."""
    generation = 1 if over is None else over.generation + 1
    if over is None or generation % 2:
        return report("a", "h", generation, *records, over=over)
    known = {each.uuid: each.hash for each in before}
    token = Token(session="a", generation=generation, digest=digest(each.hash for each in records))
    return Report(
        agent_uuid="a",
        host="h",
        session="a",
        over=over,
        token=token,
        full=False,
        devices=tuple(each for each in records if known.get(each.uuid) != each.hash),
        removed=tuple(known.keys() - {each.uuid for each in records}),
    )


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(states)
def test_who_follows_the_events_ends_where_the_rows_are(
    tmp_path_factory: pytest.TempPathFactory, states: list[dict[str, dict[str, Any]]]
) -> None:
    store = fresh(tmp_path_factory.mktemp("run"))
    over: Token | None = None
    before: tuple[DeviceRecord, ...] = ()
    for state in states:
        records = tuple(device(uuid, **known) for uuid, known in state.items())
        message = full_or_not(records, before, over)
        assert store.accept(message).verdict is Verdict.OK
        over, before = message.token, records
        rows = {row["uuid"]: row for row in store.devices()}
        assert {uuid: row["hash"] for uuid, row in rows.items()} == {each.uuid: each.hash for each in records}
        for uuid in ("d1", "d2", "d3"):
            known = followed(store.history(uuid))
            assert (known is None) is (uuid not in rows)
            if known is not None:
                for name in WATCHED:
                    assert (known.get(name) or None) == (rows[uuid][name] or None)
    store._engine.dispose()


def fresh(folder: Path) -> Store:
    engine = database.connect(f"sqlite:///{folder}/tracker.sqlite")
    database.upgrade(engine)
    return Store(engine, host_down_s=75)
