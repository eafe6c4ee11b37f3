"""Claims over a fleet of real agents, on a bus that loses, repeats and delays, on every database."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from test_agent_commands import running
from test_attempts import owed
from test_reports import lose, silence
from test_upkeep import write

from centres import Centre, centre, one
from pci_agent.discovery.domains import Reading
from pci_agent.tracker.store import Store
from pci_agent.wire.commands import AttemptCommand, ClaimCommand, CommandAnswer, RequestRecord, SpecRecord
from pci_agent.wire.control import AllocationAnswer

A, B = "compute-1", "compute-2"
I1, I2 = str(uuid4()), str(uuid4())


@pytest.fixture
def fleet(tmp_path: Path, store: Store) -> Iterator[Centre]:
    """Two hosts with one VF each."""
    with centre(tmp_path, store, {A: 1, B: 1}) as made:
        yield made


def devices(answer: AllocationAnswer) -> dict[str, list[str]]:
    return {each.request_id: [device.uuid for device in each.devices] for each in answer.allocations}


def states(fleet: Centre, instance: str = I1) -> dict[str, tuple[str, str | None]]:
    shown = fleet.allocations.show(instance).allocations
    return {each.request_id: (each.state, each.hypervisor_hostname) for each in shown}


def settle(fleet: Centre) -> None:
    """Let the hosts report and all that is due be sent."""
    fleet.report()
    write(fleet.store._engine, "UPDATE pending_frees SET not_before = created_at")
    fleet.allocations.settle_frees()


def test_a_claim_shows_in_the_rows_before_it_is_answered_and_so_do_confirm_and_free(fleet: Centre) -> None:
    request = one()
    claimed = fleet.allocations.claim(I1, [request], project_id="p", user_id="u")
    assert claimed.verdict == "ok"
    assert fleet.rows() == {request.request_id: (A, "claimed")}
    ((device,),) = (each.devices for each in claimed.allocations)
    assert (device.address, device.status, device.project_id, device.user_id) == ("0000:04:10.0", "claimed", "p", "u")
    assert fleet.allocations.confirm(I1).verdict == "ok"
    assert fleet.rows() == {request.request_id: (A, "allocated")}
    (shown,) = fleet.allocations.show(I1).allocations
    assert (shown.state, shown.confirmed, shown.hypervisor_hostname) == ("done", True, A)
    assert fleet.allocations.free(I1).verdict == "ok"
    assert fleet.rows() == {}
    assert states(fleet) == {request.request_id: ("freed", A)}
    assert owed(fleet.store._engine) == []


def test_a_repeated_claim_gets_the_same_devices_and_asks_nobody(fleet: Centre) -> None:
    request = one()
    first = fleet.allocations.claim(I1, [request])
    assert devices(fleet.allocations.claim(I1, [request])) == devices(first)
    fleet.allocations.confirm(I1)
    assert devices(fleet.allocations.claim(I1, [request])) == devices(first)
    assert fleet.agents.called == [(A, "claim"), (A, "allocate")]


def test_a_refusal_goes_to_the_next_host_and_what_was_given_up_is_owed(fleet: Centre) -> None:
    fleet.allocations.claim(I2, [one()])
    request = one()
    claimed = fleet.allocations.claim(I1, [request])
    assert (claimed.verdict, fleet.rows()[request.request_id]) == ("ok", (B, "claimed"))
    (agent,) = (row["agent_uuid"] for row in fleet.store.hypervisors(A))
    assert owed(fleet.store._engine) == [(request.request_id, 1, agent)]
    settle(fleet)
    assert owed(fleet.store._engine) == []
    assert fleet.rows()[request.request_id] == (B, "claimed")


def test_where_no_host_gives_devices_the_claim_fails_and_may_be_made_again(fleet: Centre) -> None:
    first = one()
    fleet.allocations.claim(I2, [first, one()], host=B)
    assert fleet.allocations.claim(I2, [first]).verdict == "ok"
    request = one(count=2)
    failed = fleet.allocations.claim(I1, [request])
    assert failed.verdict == "no_fit"
    assert "compute-1: no_fit: request" in (failed.reason or "")
    assert "compute-2: no_fit: request" in (failed.reason or "")
    assert states(fleet)[request.request_id][0] == "failed"
    settle(fleet)
    assert owed(fleet.store._engine) == []
    assert fleet.allocations.claim(I1, [one(request.request_id)], host=A).verdict in ("ok", "no_fit")


def test_a_silent_host_is_passed_over_and_frees_what_it_gave_once_it_answers(fleet: Centre) -> None:
    request = one()
    fleet.agents.deaf.add((A, "claim"))
    assert fleet.allocations.claim(I1, [request]).verdict == "ok"
    assert fleet.holders() == {A: [request.request_id], B: [request.request_id]}
    fleet.agents.lost.add((A, "free"))
    settle(fleet)
    assert len(owed(fleet.store._engine)) == 1
    fleet.agents.lost.clear()
    settle(fleet)
    assert fleet.holders() == {A: [], B: [request.request_id]}
    fleet.report()
    assert fleet.rows() == {request.request_id: (B, "claimed")}
    assert owed(fleet.store._engine) == []


def test_where_only_silent_hosts_are_left_the_claim_says_so_and_a_retry_goes_where_it_was(fleet: Centre) -> None:
    request = one()
    fleet.agents.deaf = {(A, "claim"), (B, "claim")}
    silent = fleet.allocations.claim(I1, [request])
    assert (silent.verdict, silent.allocations[0].state) == ("silent", "failed")
    fleet.agents.deaf.clear()
    fleet.agents.called.clear()
    assert fleet.allocations.claim(I1, [request]).verdict == "ok"
    assert fleet.agents.called == [(B, "claim")], "where it was last"
    settle(fleet)
    assert fleet.holders() == {A: [], B: [request.request_id]}


def test_a_tracker_that_ends_after_its_claim_was_carried_out_is_followed_by_one_that_goes_on(fleet: Centre) -> None:
    request = one()

    def end() -> None:
        raise SystemExit

    for moment in (fleet.agents.before, fleet.agents.after):
        moment[A, "claim"] = end
        with pytest.raises(SystemExit):
            fleet.allocations.claim(I1, [request])
        assert states(fleet)[request.request_id] == ("claiming", A)
    answer = fleet.allocations.claim(I1, [request])
    assert (answer.verdict, fleet.holders()) == ("ok", {A: [request.request_id], B: []})
    assert [each.attempt for each in answer.allocations] == [3]


def test_two_calls_for_one_request_end_on_one_host_with_one_answer(fleet: Centre) -> None:
    request = one()
    answers: list[AllocationAnswer] = []
    fleet.agents.after[A, "claim"] = lambda: answers.append(fleet.allocations.claim(I1, [request]))
    first = fleet.allocations.claim(I1, [request])
    assert (first.verdict, answers[0].verdict) == ("ok", "ok")
    assert devices(first) == devices(answers[0])
    settle(fleet)
    assert fleet.holders() == {A: [request.request_id], B: []}


def test_who_finds_that_another_call_went_to_the_next_host_gives_up_its_own(fleet: Centre) -> None:
    request = one()

    def meanwhile() -> None:
        fleet.agents.lost.add((A, "claim"))
        assert fleet.allocations.claim(I1, [request]).verdict == "ok"

    fleet.agents.after[A, "claim"] = meanwhile
    assert fleet.allocations.claim(I1, [request]).verdict == "ok", "on the other host"
    assert fleet.rows()[request.request_id][0] == B or fleet.holders()[B] == [request.request_id]
    settle(fleet)
    settle(fleet)
    assert fleet.holders() == {A: [], B: [request.request_id]}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_free_that_overtakes_its_claim_is_never_undone(fleet: Centre, moment: str) -> None:
    request = one()
    freed: list[str] = []
    getattr(fleet.agents, moment)[A, "claim"] = lambda: freed.append(fleet.allocations.free(I1).verdict)
    assert fleet.allocations.claim(I1, [request]).verdict == "freed"
    assert freed == ["ok"]
    settle(fleet)
    assert fleet.holders() == {A: [], B: []}
    assert fleet.allocations.claim(I1, [request]).verdict == "freed"
    assert owed(fleet.store._engine) == []


def test_a_free_of_a_request_that_nobody_has_heard_of_refuses_its_late_claim(fleet: Centre) -> None:
    request = one()
    assert fleet.allocations.free(I1, request.request_id).verdict == "ok"
    assert fleet.allocations.claim(I1, [request]).verdict == "freed"
    assert fleet.agents.called == []
    assert fleet.allocations.free(str(uuid4())).verdict == "ok"


def test_a_claim_that_ended_is_gone_and_may_be_claimed_again(fleet: Centre) -> None:
    request = one()
    fleet.allocations.claim(I1, [request])
    fleet.hosts[A].boottime += 301
    answer = fleet.allocations.confirm(I1, [request.request_id])
    assert answer.verdict == "gone"
    assert states(fleet) == {request.request_id: ("failed", A)}
    again = fleet.allocations.claim(I1, [request])
    assert (again.verdict, [each.attempt for each in again.allocations]) == ("ok", [2])
    settle(fleet)
    assert fleet.allocations.confirm(I1).verdict == "ok"
    assert fleet.rows() == {request.request_id: (A, "allocated")}


def test_a_claim_lasts_as_long_as_it_was_asked_for(fleet: Centre) -> None:
    fleet.allocations.claim(I1, [one()], lifetime_s=1000)
    fleet.hosts[A].boottime += 900
    assert fleet.allocations.confirm(I1).verdict == "ok"


def test_a_confirm_whose_answer_is_lost_may_be_asked_again(fleet: Centre) -> None:
    fleet.allocations.claim(I1, [one()])
    fleet.agents.deaf.add((A, "allocate"))
    assert fleet.allocations.confirm(I1).verdict == "silent"
    fleet.agents.deaf.clear()
    assert fleet.allocations.confirm(I1).verdict == "ok"
    assert fleet.allocations.confirm(I1).verdict == "ok"
    assert fleet.allocations.confirm(I2).verdict == "unknown"
    assert fleet.allocations.confirm(I1, [str(uuid4())]).verdict == "unknown"


def test_a_confirm_that_a_free_overtakes_is_gone(fleet: Centre) -> None:
    fleet.allocations.claim(I1, [one()])
    fleet.agents.after[A, "allocate"] = lambda: fleet.allocations.free(I1)
    assert fleet.allocations.confirm(I1).verdict == "gone"
    settle(fleet)
    assert fleet.holders() == {A: [], B: []}


def test_what_a_running_domain_has_is_releasing_until_it_lets_go(fleet: Centre) -> None:
    request = one()
    fleet.allocations.claim(I1, [request])
    fleet.allocations.confirm(I1)
    fleet.hosts[A].reading = running(I1, "0000:04:10.0")
    fleet.hosts[A].agent.look()
    for _ in range(2):
        answer = fleet.allocations.free(I1)
        assert answer.verdict == "releasing"
        settle(fleet)
        assert len(owed(fleet.store._engine)) == 1
        assert states(fleet) == {request.request_id: ("freeing", A)}
    fleet.hosts[A].reading = Reading((), (), ())
    fleet.hosts[A].agent.look()
    settle(fleet)
    assert owed(fleet.store._engine) == []
    assert states(fleet) == {request.request_id: ("freed", A)}


def test_a_free_whose_agent_is_silent_is_written_down_and_sent_until_it_is_done(fleet: Centre) -> None:
    request = one()
    fleet.allocations.claim(I1, [request])
    fleet.agents.lost.add((A, "free"))
    assert fleet.allocations.free(I1).verdict == "silent"
    assert fleet.allocations.free(I1).verdict == "silent"
    assert len(owed(fleet.store._engine)) == 1
    settle(fleet)
    assert fleet.holders()[A] == [request.request_id]
    fleet.agents.lost.clear()
    settle(fleet)
    assert (fleet.holders()[A], owed(fleet.store._engine)) == ([], [])
    assert states(fleet) == {request.request_id: ("freed", A)}


def test_of_many_requests_on_a_silent_host_one_is_waited_for_and_all_are_written_down(
    tmp_path: Path, store: Store
) -> None:
    with centre(tmp_path, store, {A: 3}) as fleet:
        wanted = [one() for _ in range(3)]
        fleet.allocations.claim(I1, wanted)
        fleet.agents.called.clear()
        fleet.agents.lost = {(A, "allocate"), (A, "free")}
        assert fleet.allocations.confirm(I1).verdict == "silent"
        freed = fleet.allocations.free(I1)
        assert [(each.verdict, each.state) for each in freed.allocations] == [("silent", "freeing")] * 3
        assert fleet.agents.called == [(A, "allocate"), (A, "free")]
        assert len(owed(store._engine)) == 3
        fleet.agents.lost.clear()
        settle(fleet)
        assert fleet.rows() == {}


def test_an_agent_that_does_not_answer_is_left_alone_for_the_rest_of_a_round(fleet: Centre) -> None:
    (agent,) = (row["agent_uuid"] for row in fleet.store.hypervisors(A))
    for number in range(5):
        write(
            fleet.store._engine,
            "INSERT INTO pending_frees (request_id, attempt, agent_uuid, not_before, created_at)"
            f" VALUES ('r{number}', 1, '{agent}', '2026-01-01', '2026-01-01')",
        )
    fleet.agents.lost.add((A, "free"))
    assert fleet.allocations.settle_frees(limit=3) == 3
    assert fleet.allocations.settle_frees(limit=3) == 0, "the others wait too"
    assert fleet.agents.called == [(A, "free")]
    fleet.agents.lost.clear()
    settle(fleet)
    assert owed(fleet.store._engine) == []


def test_an_agent_that_began_anew_is_asked_once_more_in_its_new_session(fleet: Centre) -> None:
    def anew() -> None:
        fleet.hosts[A].restart()
        fleet.hosts[A].report(fleet.store)

    fleet.agents.before[A, "claim"] = anew
    answer = fleet.allocations.claim(I1, [one()])
    assert (answer.verdict, [each.attempt for each in answer.allocations]) == ("ok", [2])
    assert fleet.agents.called == [(A, "claim"), (A, "claim")]
    assert owed(fleet.store._engine) == []


def test_an_agent_that_is_not_accepted_yet_is_passed_over(fleet: Centre) -> None:
    fleet.agents.before[A, "claim"] = fleet.hosts[A].restart
    assert fleet.allocations.claim(I1, [one()]).allocations[0].hypervisor_hostname == B


def test_a_host_that_is_down_is_left_for_the_next_one(fleet: Centre, engine: Engine) -> None:
    request = one()
    fleet.agents.deaf = {(A, "claim"), (B, "claim")}
    fleet.allocations.claim(I1, [request], host=A)
    silence(engine, A)
    fleet.agents.deaf.clear()
    assert fleet.allocations.claim(I1, [request]).allocations[0].hypervisor_hostname == B
    assert len(owed(engine)) == 1


def test_all_requests_of_a_claim_go_to_one_host_and_one_more_joins_them_there_or_nowhere(
    tmp_path: Path, store: Store
) -> None:
    with centre(tmp_path, store, {A: 1, B: 3}) as fleet:
        first, second, third, fourth = (one() for _ in range(4))
        together = fleet.allocations.claim(I1, [first, second])
        assert {each.hypervisor_hostname for each in together.allocations} == {B}
        more = fleet.allocations.claim(I1, [first, second, third])
        assert {each.hypervisor_hostname for each in more.allocations} == {B}
        assert {each.attempt for each in more.allocations if each.request_id != third.request_id} == {2}
        too_much = fleet.allocations.claim(I1, [first, fourth])
        assert too_much.verdict == "no_fit"
        assert fleet.holders()[B] == sorted(each.request_id for each in (first, second, third))
        assert fleet.allocations.confirm(I1).verdict == "ok"
        assert fleet.allocations.claim(I1, [third], host=A).verdict == "conflict"


def test_an_instance_that_migrates_has_requests_on_both_hosts_and_leaves_one(fleet: Centre) -> None:
    source, target = one(), one()
    fleet.allocations.claim(I1, [source], host=A)
    fleet.allocations.confirm(I1)
    assert fleet.allocations.claim(I1, [target], host=B).verdict == "ok"
    assert fleet.allocations.claim(I1, [source, target]).verdict == "conflict"
    assert fleet.allocations.confirm(I1, [target.request_id]).verdict == "ok"
    assert fleet.allocations.free(I1, host=A).verdict == "ok"
    assert fleet.rows() == {target.request_id: (B, "allocated")}


def test_another_instance_or_another_content_under_one_name_is_a_conflict(fleet: Centre) -> None:
    request = one()
    fleet.allocations.claim(I1, [request])
    assert fleet.allocations.claim(I2, [request]).verdict == "conflict"
    assert fleet.allocations.claim(I1, [one(request.request_id, count=2)]).verdict == "conflict"
    assert fleet.allocations.free(I2, request.request_id).verdict == "conflict"
    assert fleet.allocations.claim(I1, [one(), one("x" * 40)]).verdict == "refused"
    assert fleet.allocations.claim(I1, [request, request]).verdict == "refused"
    assert fleet.allocations.claim(I1, []).verdict == "refused"
    assert fleet.allocations.claim(I1, [one()], lifetime_s=0).reason == "lifetime_s: Input should be greater than 0"
    assert fleet.rows() == {request.request_id: (A, "claimed")}


def test_what_is_another_instances_at_the_agent_is_not_freed_for_who_asks_under_its_name(
    fleet: Centre, engine: Engine
) -> None:
    request = one()
    fleet.allocations.claim(I2, [request])
    fleet.allocations.confirm(I2)
    lose_requests(engine)
    assert fleet.allocations.claim(I1, [request]).verdict == "conflict"
    assert fleet.allocations.free(I1, request.request_id).verdict == "conflict"
    fleet.agents.called.clear()
    write(engine, "UPDATE pci_devices SET request_id = NULL, instance_uuid = NULL, attempt = 0")
    assert fleet.allocations.claim(I1, [request], host=A).verdict == "conflict", "says the agent"
    assert fleet.agents.called == [(A, "claim")]
    settle(fleet)
    assert fleet.holders()[A] == [request.request_id]
    fleet.allocations.free(I1, request.request_id)
    settle(fleet)
    assert fleet.holders()[A] == [request.request_id]


def lose_requests(engine: Engine) -> None:
    write(engine, "DELETE FROM allocations", "DELETE FROM pending_frees")


def test_after_a_lost_database_what_agents_report_is_confirmed_claimed_and_freed_as_before(
    fleet: Centre, engine: Engine
) -> None:
    kept, freed = one(), one()
    first = fleet.allocations.claim(I1, [kept], host=B)
    fleet.allocations.claim(I2, [freed], host=A)
    lose(engine)
    fleet.report()
    again = fleet.allocations.claim(I1, [kept])
    assert (again.verdict, devices(again)) == ("ok", devices(first))
    assert [(each.attempt, each.hypervisor_hostname) for each in again.allocations] == [(2, B)]
    assert fleet.allocations.confirm(I2).verdict == "ok"
    assert fleet.rows()[freed.request_id] == (A, "allocated")
    lose_requests(engine)
    assert states(fleet, I2) == {freed.request_id: ("done", A)}
    assert fleet.allocations.free(I2).verdict == "ok"
    assert states(fleet, I2) == {freed.request_id: ("freed", A)}


@pytest.mark.parametrize("verb", ["free", "allocate"])
def test_a_database_that_is_lost_while_an_agent_is_asked_is_no_failure(
    fleet: Centre, engine: Engine, verb: str
) -> None:
    request = one()
    fleet.allocations.claim(I1, [request], host=A)
    fleet.agents.after[A, verb] = lambda: lose(engine)
    if verb == "free":
        assert fleet.allocations.free(I1, request.request_id).verdict == "ok"
    else:
        assert fleet.allocations.confirm(I1, [request.request_id]).verdict == "stale"
    fleet.report()
    assert fleet.holders()[A] == ([] if verb == "free" else [request.request_id])


def test_a_claim_of_an_older_attempt_that_arrives_late_gets_nothing(fleet: Centre) -> None:
    request = one()
    fleet.agents.lost.add((A, "claim"))
    fleet.allocations.claim(I1, [request])
    settle(fleet)
    ledger = fleet.hosts[A].agent.ledger
    late = ClaimCommand(
        agent_uuid=ledger.agent_uuid,
        session=ledger.token.session,
        instance_uuid=I1,
        requests=(RequestRecord(request_id=request.request_id, attempt=1, specs=(SpecRecord(product_id="1520"),)),),
    )
    assert fleet.agents.again(A, "claim", late, CommandAnswer).verdict == "freed"
    stale = AttemptCommand(agent_uuid=ledger.agent_uuid, request_id=request.request_id, attempt=1)
    assert fleet.agents.again(A, "allocate", stale, CommandAnswer).verdict == "gone"


def test_many_claims_at_once_get_every_device_once(tmp_path: Path, store: Store) -> None:
    with centre(tmp_path, store, {A: 4, B: 5, "compute-3": 3}) as fleet:
        instances = [str(uuid4()) for _ in range(20)]
        with ThreadPoolExecutor(20) as threads:
            answers = list(threads.map(lambda name: fleet.allocations.claim(name, [one()]), instances))
        verdicts = Counter(each.verdict for each in answers)
        assert verdicts == {"ok": 12, "no_fit": 8}, [each.reason for each in answers if each.verdict != "ok"]
        given = [uuid for each in answers if each.verdict == "ok" for uuids in devices(each).values() for uuid in uuids]
        assert len(given) == len(set(given)) == 12
        fleet.report()
        held = {row["uuid"]: row["instance_uuid"] for row in store.devices() if row["instance_uuid"] is not None}
        told = {
            uuid: name
            for name, each in zip(instances, answers, strict=True)
            if each.verdict == "ok"
            for uuids in devices(each).values()
            for uuid in uuids
        }
        assert held == told


def test_of_many_calls_for_one_request_at_once_all_that_succeed_have_the_same_devices(fleet: Centre) -> None:
    request = one()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: fleet.allocations.claim(I1, [request]), range(8)))
    assert {each.verdict for each in answers} <= {"ok", "stale"}
    final = fleet.allocations.claim(I1, [request])
    assert final.verdict == "ok"
    assert all(devices(each) == devices(final) for each in answers if each.verdict == "ok")
    settle(fleet)
    assert fleet.holders() == {A: [request.request_id], B: []}
    assert fleet.allocations.confirm(I1).verdict == "ok"
    assert fleet.rows() == {request.request_id: (A, "allocated")}
