"""The rows of requests and of pending frees, on every database: who loses a step changes nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from test_databases import device, report
from test_upkeep import write

from pci_agent.tracker.standings import Attempt, Free, Standing, State, Step
from pci_agent.tracker.store import Store
from pci_agent.wire.messages import Token

R1, R2 = "request-1", "request-2"


def attempt(request_id: str = R1, number: int = 1, state: State = State.CLAIMING, agent: str = "a") -> Attempt:
    return Attempt(
        request_id=request_id, attempt=number, state=state, instance_uuid="instance", agent_uuid=agent, host=agent
    )


def standing(store: Store, request_id: str = R1) -> Standing:
    return store.attempts.standings([request_id])[request_id]


def owed(engine: Engine) -> list[tuple[str, int, str]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT request_id, attempt, agent_uuid FROM pending_frees ORDER BY id"))
        return [(row.request_id, row.attempt, row.agent_uuid) for row in rows]


def test_a_row_is_read_as_it_was_written(store: Store) -> None:
    done = replace(
        attempt(state=State.DONE),
        session="s",
        generation=7,
        project_id="p",
        user_id="u",
        asked={"count": 2},
        devices=("d1", "d2"),
    )
    assert store.attempts.advance([Step(None, done)])
    assert standing(store).row == done


def test_a_step_over_another_state_than_the_rows_takes_none_of_its_set(store: Store, engine: Engine) -> None:
    first = attempt()
    assert store.attempts.advance([Step(None, first)])
    second = replace(first, attempt=2, agent_uuid="b")
    assert store.attempts.advance([Step(first, second)], [Free(R1, 1, "a")])
    late = [Step(None, attempt(R2)), Step(first, replace(first, state=State.DONE))]
    assert not store.attempts.advance(late, [Free(R2, 1, "a")])
    assert not store.attempts.advance([Step(None, attempt(R2)), Step(None, first)])
    assert (standing(store).row, standing(store, R2).row) == (second, None)
    assert owed(engine) == [(R1, 1, "a")]


def test_of_many_who_take_the_same_step_one_does(store: Store) -> None:
    rows = [attempt(R1), attempt(R2)]
    store.attempts.advance([Step(None, row) for row in rows])
    at_once = threading.Barrier(6)

    def step(number: int) -> bool:
        at_once.wait()
        own = [Step(row, replace(row, attempt=2, agent_uuid=f"agent-{number}")) for row in rows]
        return store.attempts.advance(own if number % 2 else own[::-1])

    with ThreadPoolExecutor(6) as threads:
        won = list(threads.map(step, range(6)))
    assert sorted(won) == [False] * 5 + [True]
    winner = f"agent-{won.index(True)}"
    after = [each.row for each in store.attempts.standings([R1, R2]).values()]
    assert [row.agent_uuid for row in after if row is not None] == [winner, winner]


def test_who_gives_up_fails_what_is_still_its_own_and_owes_all(store: Store, engine: Engine) -> None:
    mine = [attempt(R1), attempt(R2)]
    store.attempts.advance([Step(None, row) for row in mine])
    store.attempts.advance([Step(mine[1], replace(mine[1], attempt=2))])
    for _ in range(2):
        store.attempts.give_up(mine)
    rows = [each.row for each in store.attempts.standings([R1, R2]).values()]
    assert [row.step for row in rows if row is not None] == [(1, State.FAILED), (2, State.CLAIMING)]
    assert owed(engine) == [(R1, 1, "a"), (R2, 1, "a")], "each once"


def test_pending_frees_are_due_where_their_host_is_up_each_later_than_before(store: Store, engine: Engine) -> None:
    store.accept(report("a", "compute-1", 1))
    store.attempts.advance([], [Free(R1, 1, "a"), Free(R2, 1, "gone")])
    (due,) = store.attempts.due(10)
    assert (due.free, due.host, due.tries) == (Free(R1, 1, "a"), "compute-1", 0)
    assert store.attempts.due(10) == [], "it waits for its answer"
    write(engine, "UPDATE pending_frees SET not_before = created_at")
    assert [each.tries for each in store.attempts.due(10)] == [1]
    write(engine, "UPDATE pending_frees SET not_before = created_at")
    store.attempts.postpone("a", 3)
    assert store.attempts.due(10) == []


@pytest.mark.parametrize(
    ("answer", "shown", "shows", "state"),
    [
        ({"generation": 2, "ended": True}, 1, None, State.FREED),
        ({"generation": 2, "ended": False}, 1, None, State.FREEING),
        ({"generation": 1, "ended": True}, 1, True, State.FREEING),
        ({"generation": 1, "ended": False}, 0, False, State.FREED),
        ({"generation": 1, "ended": True}, 2, False, State.FREED),
    ],
)
def test_a_free_is_struck_off_where_the_row_has_come_to_the_answers_state_without_the_attempt(
    store: Store, answer: dict[str, int], shown: int, shows: bool | None, state: State
) -> None:
    held = {"request_id": R1, "attempt": shown, "instance_uuid": "instance", "status": "allocated"} if shown else {}
    store.accept(report("a", "compute-1", 1, device("d", **held)))
    free = Free(R1, 1, "a")
    others = [Free(R1, 2, "a"), Free(R1, 1, "b")]
    store.attempts.advance([Step(None, attempt(state=State.FREEING))], [free, *others])
    token = Token(session="a", generation=answer["generation"], digest="0" * 32)
    assert store.attempts.answered(free, token, ended=bool(answer["ended"])) is shows
    row = standing(store).row
    assert row is not None
    assert row.state is state
    left = [(each.request_id, each.attempt, each.agent_uuid) for each in others]
    assert owed(store._engine) == left if shows is False else owed(store._engine) == [(R1, 1, "a"), *left]


def test_another_sessions_answer_strikes_nothing_off(store: Store, engine: Engine) -> None:
    store.accept(report("a", "compute-1", 5))
    free = Free(R1, 1, "a")
    store.attempts.advance([], [free])
    assert store.attempts.answered(free, Token(session="z", generation=1, digest="0" * 32), ended=True) is None
    assert owed(engine) == [(R1, 1, "a")]


@pytest.mark.parametrize(
    ("session", "generation", "shown", "held"),
    [("a", 1, 1, True), ("a", 1, 2, False), ("a", 1, 0, False), ("a", 2, 0, True), ("z", 2, 0, False)],
)
def test_what_was_done_is_believed_while_the_row_shows_it_or_cannot_know_it_yet(
    store: Store, session: str, generation: int, shown: int, held: bool
) -> None:
    owner = {"request_id": R1, "attempt": shown, "instance_uuid": "instance", "status": "claimed"} if shown else {}
    store.accept(report("a", "compute-1", 1, device("d", **owner)))
    done = replace(attempt(state=State.DONE), session=session, generation=generation)
    store.attempts.advance([Step(None, done)])
    assert standing(store).held is held
    assert standing(store).highest == max(1, shown)


def test_an_instances_requests_are_those_that_only_hosts_know_too(store: Store) -> None:
    found = device("d", request_id=R2, attempt=3, instance_uuid="instance", status="allocated")
    store.accept(report("a", "compute-1", 1, found, device("e", instance_uuid="instance", status="allocated")))
    store.attempts.advance([Step(None, attempt())])
    known = store.attempts.of_instance("instance")
    assert list(known) == [R1, R2]
    (shown,) = known[R2].shown
    assert (known[R2].row, shown.node.host, shown.node.up, shown.attempt) == (None, "compute-1", True, 3)
    assert [each.uuid for each in shown.devices] == ["d"]


def test_purge_takes_an_old_request_unless_it_is_shown_or_owed(store: Store, engine: Engine) -> None:
    store.accept(report("a", "compute-1", 1, device("d", request_id=R1, attempt=1, instance_uuid="i")))
    rows = [attempt(name, state=State.DONE) for name in (R1, R2, "request-3")]
    store.attempts.advance([Step(None, row) for row in rows], [Free(R2, 1, "gone")])
    assert store.purge(timedelta(days=1))["allocations"] == 0
    write(engine, "UPDATE allocations SET updated_at = '2026-01-01 00:00:00.000000'")
    assert store.purge(timedelta(days=1))["allocations"] == 1
    rest = store.attempts.standings([R1, R2, "request-3"]).values()
    assert [each.row is not None for each in rest] == [True, True, False]
    assert owed(engine) == [(R2, 1, "gone")]
