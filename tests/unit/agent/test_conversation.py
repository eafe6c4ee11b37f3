"""What an agent says next, table by table of PROTOCOL's answers."""

from collections.abc import Mapping

from pci_agent.agent.conversation import Conversation, Heard, Snapshot, Speaker, State
from pci_agent.wire.messages import (
    AgentStatus,
    Answer,
    DeviceRecord,
    Heartbeat,
    Report,
    Token,
    Verdict,
    device_record,
    digest,
)

STATUS = AgentStatus(counter=0, agent_version="1")
OK, HOLDS, TAKEN = Verdict.OK, Verdict.HOLDS, Verdict.TAKEN


def record(uuid: str, status: str = "available") -> DeviceRecord:
    return device_record(
        {
            "uuid": uuid,
            "address": "0000:04:10.0",
            "vendor_id": "8086",
            "product_id": "1520",
            "dev_type": "type-VF",
            "dev_id": "pci_0000_04_10_0",
            "label": "label_8086_1520",
            "status": status,
        }
    )


def snapshot(generation: int, *records: DeviceRecord, session: str = "now") -> Snapshot:
    by_uuid: Mapping[str, DeviceRecord] = {each.uuid: each for each in records}
    token = Token(session=session, generation=generation, digest=digest(each.hash for each in records))
    return Snapshot(token, by_uuid, ())


A, B = record("a"), record("b")
BEFORE = snapshot(4, A, session="before")
NOW = snapshot(4, A)
NEXT = snapshot(5, A, B)


def conversation(
    acknowledged: State | None = BEFORE.state, *, lineage: tuple[Token, ...] = (BEFORE.token,)
) -> Conversation:
    return Conversation(Speaker("agent", "host", "now", lineage), NOW, acknowledged)


def agreed() -> Conversation:
    talk = conversation()
    talk.next(STATUS)
    talk.answered(Answer(verdict=HOLDS, token=BEFORE.token))
    talk.next(STATUS)
    talk.answered(Answer(verdict=OK, token=NOW.token))
    assert talk.agreed
    return talk


def test_a_session_starts_with_a_heartbeat_that_names_the_acknowledged_state() -> None:
    message = conversation().next(STATUS)
    assert isinstance(message, Heartbeat)
    assert message.token == BEFORE.token


def test_a_tracker_that_holds_nothing_gets_a_full_report_over_nothing() -> None:
    talk = conversation()
    talk.next(STATUS)
    talk.answered(Answer(verdict=HOLDS))
    message = talk.next(STATUS)
    assert isinstance(message, Report)
    assert (message.full, message.over, message.devices) == (True, None, (A,))


def test_a_state_that_is_remembered_gets_the_difference_to_it() -> None:
    talk = conversation()
    talk.committed(NEXT)
    talk.next(STATUS)
    heard = talk.answered(Answer(verdict=HOLDS, token=BEFORE.token))
    message = talk.next(STATUS)
    assert heard == Heard(acknowledged=BEFORE.state)
    assert isinstance(message, Report)
    assert (message.full, message.over, message.devices, message.removed) == (False, BEFORE.token, (B,), ())


def test_a_device_that_went_is_named_as_removed() -> None:
    talk = agreed()
    talk.committed(snapshot(5))
    message = talk.next(STATUS)
    assert isinstance(message, Report)
    assert (message.devices, message.removed) == ((), ("a",))


def test_only_an_ok_makes_a_state_the_acknowledged_one() -> None:
    talk = agreed()
    talk.committed(NEXT)
    lost = talk.next(STATUS)
    talk.committed(snapshot(6, B))
    again = talk.next(STATUS)
    assert isinstance(lost, Report)
    assert isinstance(again, Report)
    assert (again.over, again.token.generation) == (NOW.token, 6)


def test_a_report_whose_ok_was_lost_is_found_again_in_recent_history() -> None:
    talk = agreed()
    talk.committed(NEXT)
    talk.next(STATUS)
    last = snapshot(6, B)
    talk.committed(last)
    talk.next(STATUS)
    assert talk.answered(Answer(verdict=HOLDS, token=NEXT.token)) == Heard(acknowledged=NEXT.state)
    message = talk.next(STATUS)
    assert isinstance(message, Report)
    assert (message.full, message.over, message.removed) == (False, NEXT.token, ("a",))


def test_a_difference_that_the_tracker_cannot_take_is_followed_by_the_whole() -> None:
    talk = agreed()
    talk.committed(NEXT)
    talk.next(STATUS)
    talk.answered(Answer(verdict=HOLDS, token=NOW.token))
    message = talk.next(STATUS)
    assert isinstance(message, Report)
    assert (message.full, message.over, message.devices) == (True, NOW.token, (A, B))


def test_an_older_state_of_our_own_that_is_forgotten_is_replaced_as_a_whole() -> None:
    older = Token(session="before", generation=1, digest="0" * 32)
    talk = conversation()
    talk.next(STATUS)
    assert talk.answered(Answer(verdict=HOLDS, token=older)).adopt is None
    message = talk.next(STATUS)
    assert isinstance(message, Report)
    assert (message.full, message.over) == (True, older)


def test_a_state_that_we_never_had_means_that_the_store_is_a_copy() -> None:
    later = Token(session="before", generation=9, digest="0" * 32)
    talk = conversation()
    talk.next(STATUS)
    heard = talk.answered(Answer(verdict=HOLDS, token=later))
    assert heard.adopt == later
    assert heard.trouble is not None


def test_while_another_speaks_for_the_host_only_heartbeats_are_sent() -> None:
    talk = agreed()
    talk.committed(NEXT)
    talk.next(STATUS)
    heard = talk.answered(Answer(verdict=TAKEN, reason="agent twin"))
    assert heard.trouble == "another agent speaks for host: agent twin"
    assert isinstance(talk.next(STATUS), Heartbeat)
    assert not talk.agreed


def test_the_status_travels_until_it_is_acknowledged() -> None:
    talk = agreed()
    assert talk.next(STATUS).status is None
    worse = STATUS.model_copy(update={"counter": 1})
    assert talk.next(worse).status == worse
    assert talk.next(worse).status == worse
    talk.answered(Answer(verdict=OK, token=NOW.token))
    assert talk.next(worse).status is None


def test_an_answer_to_nothing_changes_nothing() -> None:
    talk = agreed()
    assert talk.answered(Answer(verdict=HOLDS)) == Heard()
    assert talk.agreed
