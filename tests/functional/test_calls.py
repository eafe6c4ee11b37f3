"""Calls over a bus end in time, whoever calls at once and however long the bus hangs."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self
from uuid import uuid4

import pytest

from buses import bus, fake_bus
from pci_agent.errors import AgentSilent
from pci_agent.wire import rpc
from pci_agent.wire.commands import AskCommand, InquiryAnswer
from pci_agent.wire.messages import pack, unpack
from pci_agent.wire.passing import Passing


class Echo:
    """Answers with the agent_uuid that a command names."""

    def rescan(self, _context: object, body: object) -> str:
        return pack(InquiryAnswer(verdict="ok", reason=unpack(AskCommand, body).agent_uuid))


class Hung:
    """A client of oslo.messaging whose broker is away: it waits for its first connection without limit."""

    def __init__(self) -> None:
        self.back = threading.Event()
        self.begun: list[str] = []

    def prepare(self, **_where: object) -> Self:
        return self

    def call(self, _context: object, _method: str, body: str) -> Any:
        self.begun.append(body)
        self.back.wait(30)
        return pack(InquiryAnswer(verdict="ok"))


def ask(client: rpc.AgentClient, name: str) -> str | None:
    return client.call("compute-1", "rescan", AskCommand(agent_uuid=name), InquiryAnswer).reason


def test_each_of_many_threads_gets_its_own_answer() -> None:
    names = [str(uuid4()) for _ in range(30)]
    with fake_bus(rpc.AGENT_TOPIC, "compute-1", Echo()) as opened, ThreadPoolExecutor(30) as threads:
        client = rpc.AgentClient(opened, timeout_s=20)
        assert list(threads.map(lambda name: ask(client, name), names)) == names


def test_a_hanging_call_is_given_up_and_no_other_begun_until_it_ends() -> None:
    with bus("fake://") as opened:
        client, hung = rpc.AgentClient(opened, timeout_s=0.1), Hung()
        client._calls._client = hung
        since = time.monotonic()
        with ThreadPoolExecutor(5) as threads:
            calls = [threads.submit(ask, client, "me") for _ in range(5)]
            for call in calls:
                with pytest.raises(AgentSilent, match="compute-1: no broker answers in 0.1 s; it is tried on"):
                    call.result(30)
        for _ in range(3):
            with pytest.raises(AgentSilent, match="look for its address in the log"):
                ask(client, "me")
        assert time.monotonic() - since < 20
        assert len(hung.begun) == 5
        hung.back.set()
        for thread in tuple(client._calls._hanging):
            thread.join(30)
        assert ask(client, "me") is None
        assert len(hung.begun) == 6


class Failing:
    """Can't answer while something that it needs is away."""

    def rescan(self, _context: object, body: object) -> str:  # noqa: ARG002 - it is sent by this name
        raise ConnectionRefusedError("the database is away")


def test_trouble_that_passes_is_told_in_one_line_and_gives_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    with bus("fake://") as opened:
        server = rpc.server(opened, rpc.AGENT_TOPIC, "compute-1", Failing(), passing=Passing(OSError))
        server.start()
        client = rpc.AgentClient(opened, timeout_s=20)
        for _ in range(3):
            with pytest.raises(AgentSilent):
                ask(client, "me")
        server.stop()
        server.wait()
    told = [record.getMessage() for record in caplog.records]
    assert [line for line in told if "rescan: the database is away" in line] == [told[0]]
    assert not any(record.exc_info for record in caplog.records)
