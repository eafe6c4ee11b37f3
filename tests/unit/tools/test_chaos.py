"""What tools/fleet goes by: a schedule that follows from its seed, and a judge that finds every broken promise."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from pci_agent.tracker.store import Store
from simulation.journal import Entry, broken_promises
from simulation.schedule import Kind, Step, schedule
from simulation.watch import Watch

TRACKERS, AGENTS, CARDS = ("tracker-1", "tracker-2"), ("agents-1", "agents-2"), (("0000:01:00.0",), ("0000:02:00.0",))
LIFETIME_S = 20.0


def made(seed: int, seconds: float = 120) -> list[Step]:
    return schedule(seed, seconds, trackers=TRACKERS, agents=AGENTS, cards=CARDS, database=True)


def test_the_schedule_follows_from_the_seed() -> None:
    assert made(1) == made(1)
    assert made(1) != made(2)


@pytest.mark.parametrize("seed", range(20))
def test_what_goes_down_comes_up_again_before_the_end_and_the_broker_goes_down_in_any_case(seed: int) -> None:
    steps = made(seed)
    assert all(0 < step.at_s < 120 for step in steps)
    for kind, target in {(step.kind, step.target) for step in steps if step.kind is not Kind.DRIVER}:
        ups = [step.up for step in steps if (step.kind, step.target) == (kind, target)]
        assert ups == [False, True] * (len(ups) // 2)
    assert {step.kind for step in steps} == set(Kind)


# One request's life: claimed at 1, allocated at 2, and there in the end.
CLAIM = Entry("compute-1", "r1", "claim", 1, 0.5, 1.0, "ok", ("vf-1",))
ALLOCATE = replace(CLAIM, verb="allocate", sent_s=1.5, over_s=2.0)
FREE = replace(CLAIM, verb="free", sent_s=5.0, over_s=6.0, devices=())
KEPT = {"compute-1": {"r1": {"attempt": 1, "allocated": True, "devices": ["vf-1"]}}}
RELATIVES = {"pf": ["vf-1", "vf-2"]}


def found(*entries: Entry, owned: object = None) -> list[str]:
    return broken_promises(entries, {"compute-1": {}} if owned is None else owned, RELATIVES, LIFETIME_S)  # type: ignore[arg-type]


def other(entry: Entry, at_s: float, *devices: str) -> Entry:
    """The same of another request, answered then."""
    return replace(entry, request="r2", sent_s=at_s - 0.5, over_s=at_s, devices=devices)


def test_what_was_answered_and_is_there_breaks_no_promise() -> None:
    assert found(CLAIM, ALLOCATE, owned=KEPT) == []
    assert found(CLAIM, ALLOCATE, FREE) == []
    assert found(CLAIM) == []
    assert found(CLAIM, ALLOCATE, FREE, other(CLAIM, 7, "vf-1")) == []
    assert found(CLAIM, other(CLAIM, 1.2, "vf-2")) == []


@pytest.mark.parametrize("device", ["vf-1", "pf"])
def test_a_device_or_its_relative_that_is_given_while_it_is_held_is_found(device: str) -> None:
    (told,) = found(CLAIM, ALLOCATE, FREE, other(CLAIM, 4, device))
    assert "compute-1: the device vf-1 was held by r1 from 1.00 to 5.00, and by r2 from 4.00" in told
    assert found(CLAIM, other(CLAIM, 15, device)) != []
    assert found(CLAIM, other(CLAIM, 21, device)) == [], "a claim ends by itself"


def test_a_free_that_was_sent_may_have_been_carried_out_before_it_was_answered() -> None:
    assert found(CLAIM, ALLOCATE, replace(FREE, verdict=None), other(CLAIM, 5.5, "vf-1")) == []


def test_an_answered_allocation_that_is_not_there_is_found() -> None:
    assert "r1 was answered that ('vf-1',) are its own; it has None" in found(CLAIM, ALLOCATE)[0]
    changed = {"compute-1": {"r1": {"attempt": 1, "allocated": True, "devices": ["vf-2"]}}}
    assert len(found(CLAIM, ALLOCATE, owned=changed)) == 1
    only_claimed = {"compute-1": {"r1": {"attempt": 1, "allocated": False, "devices": ["vf-1"]}}}
    assert len(found(CLAIM, ALLOCATE, owned=only_claimed)) == 1


def test_an_answered_free_that_is_undone_is_found() -> None:
    (told,) = found(CLAIM, ALLOCATE, FREE, owned=KEPT)
    assert "r1: was answered that it is freed, and has" in told


def test_an_allocation_that_nobody_asked_for_is_found() -> None:
    assert "r1 is allocated, and nobody has asked for that" in found(CLAIM, owned=KEPT)[0]


def test_an_answered_claim_that_is_gone_before_its_time_is_found() -> None:
    gone = replace(ALLOCATE, verdict="gone", devices=())
    assert "the claim of r1 was answered, and gone before its time was over" in found(CLAIM, gone)[0]
    assert found(CLAIM, replace(gone, sent_s=21, over_s=22)) == []


def test_another_answer_to_the_same_request_is_found() -> None:
    repeated = replace(CLAIM, sent_s=3, over_s=4, devices=("vf-2",))
    assert found(CLAIM, repeated)[0].startswith("r1: was answered with other devices than before")


def test_a_request_on_two_hosts_is_found() -> None:
    twice = {**KEPT, "compute-2": KEPT["compute-1"]}
    assert found(CLAIM, ALLOCATE, owned=twice) == ["r1: has devices on compute-1, compute-2"]


def test_a_row_that_goes_back_is_found(sqlite: Engine) -> None:
    watch = Watch(Store(sqlite, host_down_s=75), threading.Event())
    for session, generation in (("a", 1), ("a", 2), ("b", 2), ("b", 3)):
        watch.see("compute-1", session, generation)
    assert watch.found == []
    watch.see("compute-1", "b", 2)
    watch.see("compute-1", "a", 9)
    assert watch.found == [
        "compute-1: the row went back from generation 3 to 2",
        "compute-1: the row went back from session b to a",
    ]
