"""The bench of a tracker measures what it means to, on real servers, however small the fleet is."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from benches import beside_placement, callers, candidates, heartbeats, storm, tracker, tracker_page
from benches.callers import Fleet
from benches.reporting import Kind
from benches.side import ROOT
from pci_agent.tracker import database
from services import PostgreSQL, RabbitMQ, missing

_TINY = tracker.Sizes(
    agents=2,
    kind=Kind(functions=8, vfs=3),
    told=8,
    hosts=3,
    shapes=candidates.SHAPES[:1],
    stormers=10,
    steady_s=1,
    fleet=Fleet(agents=2, devices=16),
    rounds=((1, 2), (2, 4), (3, 6)),
    beside=False,
)


def test_every_part_of_it_is_measured_and_told(
    postgresql: PostgreSQL, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "_RUNS", 1)
    monkeypatch.setattr(heartbeats, "_FIRST_S", 0.2)
    monkeypatch.setattr(callers, "TRACKERS", 1)
    monkeypatch.setattr(storm, "by_agents", lambda *_: 1.0)  # agents tell all they have before they give devices, too
    monkeypatch.setattr(heartbeats, "interval_s", lambda: 0.1)
    result = tracker.measured(_TINY, postgresql, lambda: nullcontext(rabbitmq), lambda _: None)
    assert [len(each.given) for each in result.given.rounds] == [2, 4, 6]
    assert len({one.device for each in result.given.rounds for one in each.given}) == 12
    assert len(result.found[0].quiet) == len(result.found[0].stormy) == 6
    assert (result.storms.devices, result.steady.hosts, result.steady.a_second) == (16, 3, 30)
    assert "| 3 | 6 |" in tracker_page.section(result)
    (once,) = [each for each in tracker.limits(result) if "twice" in each.wanted]
    assert once.met
    slow = replace(result, storms=replace(result.storms, bare=1, handled=4))
    assert "times the time of its bare rows: 4.00 times. **Missed.**" in tracker_page.section(slow)


def test_placement_names_as_many_hosts_as_the_tracker(postgresql: PostgreSQL) -> None:
    if not (ROOT / ".placement/bin/python").exists():
        missing("OpenStack placement")
    url = postgresql.database()
    engine = database.connect(url)
    database.upgrade(engine)
    candidates.fill(engine, candidates.SHAPES[1], 3)
    engine.dispose()
    beside = beside_placement.measured(url, postgresql.database(), 3, pfs=8, vfs=8)
    assert (beside.providers, list(beside.seconds)) == (24, [3])
