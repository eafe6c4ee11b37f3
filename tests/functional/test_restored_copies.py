"""What the tracker gives back to an agent whose store is an older copy: who holds what, and only then."""

import shutil
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hosts import Host, tell
from pci_agent.agent.conversation import Conversation, Snapshot, Speaker, State
from pci_agent.discovery.domains import Domain, Holding, How, Reading
from pci_agent.model.address import PciAddress
from pci_agent.tracker.store import Store, wrote
from pci_agent.wire.messages import AgentStatus, Answer, KnownRecord, Report, Token, Verdict, device_record, digest

VF0 = "0000:04:10.0"
GUEST = str(uuid4())
STATUS = AgentStatus(counter=0, agent_version="1")


def running(instance: str, address: str) -> Reading:
    held = (Holding(PciAddress.parse(address), How.HOSTDEV),)
    domain = Domain(uuid=instance, name="guest", active=True, persistent=True, live=held, defined=held, complete=True)
    return Reading((domain,), (), ())


@pytest.fixture
def restored(store: Store, host: Host, tmp_path: Path) -> Host:
    """A host whose store was copied, then given a guest's device that the tracker knows of, then restored."""
    host.start()
    host.report(store)
    host.restart()
    host.report(store)
    shutil.copytree(host.state_dir, tmp_path / "backup")
    host.reading = running(GUEST, VF0)
    host.agent.look()
    host.report(store)
    host.stop()
    shutil.rmtree(host.state_dir)
    shutil.copytree(tmp_path / "backup", host.state_dir)
    host.reading = None
    host.start()
    return host


def test_a_restored_agent_is_told_who_holds_what_before_its_first_report(store: Store, restored: Host) -> None:
    (row,) = (row for row in store.devices() if row["instance_uuid"] == GUEST)
    answer = tell(store, restored.agent.next_message())
    assert answer.verdict is Verdict.HOLDS
    assert len(answer.known) == len(store.devices())
    (known,) = (each for each in answer.known if each.instance_uuid == GUEST)
    assert known == KnownRecord(**{name: row[name] for name in KnownRecord.model_fields})
    assert (known.address, known.status) == (VF0, "allocated")


def test_an_agent_that_knows_the_state_is_told_no_devices(store: Store, host: Host) -> None:
    host.reading = running(GUEST, VF0)
    host.start()
    host.report(store)
    host.restart()
    answer = tell(store, host.agent.next_message())
    assert (answer.verdict, answer.known) == (Verdict.HOLDS, ())


def test_the_attempt_that_holds_a_device_is_kept_and_given_back(store: Store) -> None:
    record = device_record(
        {
            "uuid": str(uuid4()),
            "address": VF0,
            "vendor_id": "8086",
            "product_id": "1520",
            "dev_type": "type-VF",
            "dev_id": "pci_0000_04_10_0",
            "label": "label_8086_1520",
            "status": "claimed",
            "instance_uuid": GUEST,
            "request_id": "r",
            "attempt": 7,
            "project_id": "p",
            "user_id": "u",
        }
    )
    held = Token(session="lost", generation=3, digest=digest([record.hash]))
    first = Report(agent_uuid="a", host="h", session="lost", over=None, token=held, full=True, devices=(record,))
    assert store.accept(first).verdict is Verdict.OK
    assert [row["attempt"] for row in store.devices()] == [7]
    earlier = held.model_copy(update={"generation": 2})
    again = first.model_copy(update={"session": "new", "lineage": (earlier,), "token": earlier, "over": earlier})
    (known,) = store.accept(again).known
    assert (known.request_id, known.attempt, known.project_id, known.user_id) == ("r", 7, "p", "u")


# The tracker's half of the rule and the agent's are the same rule.

tokens = st.builds(
    Token,
    session=st.sampled_from(("now", "s1", "s2")),
    generation=st.integers(0, 3),
    digest=st.sampled_from(("0" * 32, "1" * 32)),
)


@given(st.lists(tokens, max_size=3).map(tuple), st.integers(0, 3), tokens)
@example((), 2, Token(session="now", generation=2, digest="1" * 32))
def test_devices_are_given_exactly_where_the_agent_has_to_take_them(
    lineage: tuple[Token, ...], generation: int, held: Token
) -> None:
    lineage = tuple(token for token in lineage if token.session != "now")
    now = Token(session="now", generation=generation, digest="0" * 32)
    conversation = Conversation(Speaker("a", "h", "now", lineage), Snapshot(now, {}, ()), None)
    conversation._greeted = True
    message = conversation.next(STATUS)
    assert isinstance(message, Report)
    heard = conversation.answered(Answer(verdict=Verdict.HOLDS, token=held))
    assert (heard.adopt is None) is (wrote(message, held) or held == now)


@given(st.lists(tokens, max_size=3).map(tuple), st.integers(0, 3), st.none() | tokens, tokens)
def test_a_heartbeat_never_misses_an_agent_that_has_to_take_them(
    lineage: tuple[Token, ...], generation: int, told: Token | None, held: Token
) -> None:
    lineage = tuple(token for token in lineage if token.session != "now")
    now = Token(session="now", generation=generation, digest="0" * 32)
    if told is not None and told.session == "now":
        told = now if told.generation >= generation else told
    acknowledged = None if told is None else State(told, {})
    conversation = Conversation(Speaker("a", "h", "now", lineage), Snapshot(now, {}, ()), acknowledged)
    message = conversation.next(STATUS)
    heard = conversation.answered(Answer(verdict=Verdict.HOLDS, token=held))
    assert heard.adopt is None or not wrote(message, held)
