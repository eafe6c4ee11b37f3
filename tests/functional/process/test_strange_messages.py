"""What isn't ours, or isn't whole, on a real broker: it is refused by name and counted, and the next one is served."""

import logging
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import strange
from sqlalchemy import Engine
from strange import Strange

from buses import bus
from hosts import Host
from pci_agent.agent.endpoint import Endpoint
from pci_agent.errors import AgentSilent
from pci_agent.inspect.inquiries import Inquiries
from pci_agent.tracker.store import Store
from pci_agent.wire import rpc
from pci_agent.wire.commands import (
    AskCommand,
    AttemptCommand,
    ClaimCommand,
    CommandAnswer,
    ExplainCommand,
    Listing,
    RequestRecord,
    SpecRecord,
)
from pci_agent.wire.messages import Answer, Heartbeat, Model, PoolRecord, ProblemRecord, Report, Token, Verdict
from pci_agent.wire.refused import Refused
from services import RabbitMQ, wait_for
from test_agent_daemon import PROGRAMS, Systemd

MOST_GROWTH_MB = 500
MOST_LOGGED = 100_000
MOST_THREADS = 100
"""oslo.messaging's own: 64 that work, one for each of 30 connections; and none that was left behind."""


@pytest.fixture
def tracker(tmp_path: Path, rabbitmq: RabbitMQ) -> Iterator[Systemd]:
    file = tmp_path / "pci.conf"
    file.write_text(
        f"[DEFAULT]\nhost = centre\ntransport_url = {rabbitmq.url}\n"
        f"[database]\nconnection = sqlite:///{tmp_path}/tracker.sqlite\n"
    )
    subprocess.run([PROGRAMS / "pci-tracker-manage", "upgrade", "--config-file", file], check=True, timeout=60)
    folder = tmp_path / "pci-tracker"
    folder.mkdir()
    process = Systemd(folder, str(PROGRAMS / "pci-tracker"), "--config-file", str(file), watchdog_s=1)
    process.wait_for("READY=1")
    yield process
    process.close()


def peak_mb(process: Systemd) -> int:
    """How much memory a process had at most."""
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.process.pid}/status").read_text())
    return int(kilobytes) // 1024


def threads(process: Systemd) -> int:
    return len(list(Path(f"/proc/{process.process.pid}/task").iterdir()))


def status(process: Systemd) -> str:
    return [line for line in process.heard() if line.startswith("STATUS=")][-1]


def refused(process: Systemd) -> int:
    """How many messages a process says that it refused."""
    counted = re.search(r"refused (\d+) messages", status(process))
    return int(counted[1]) if counted else 0


def of_another_host(host: Host) -> dict[str, Model]:
    """Give a report and a heartbeat of another host, which say something in every field, by their method."""
    answered = next(each for each in _said(host) if isinstance(each, Report))
    token = Token(session="before", generation=3, digest="0" * 32)
    trouble = answered.status and answered.status.model_copy(
        update={"problems": (ProblemRecord(cause="it is odd"),), "config_errors": ("one",)}
    )
    record = answered.devices[0].model_copy(update={"tags": {"rack": "7"}, "instance_uuid": "i", "request_id": "r"})
    pool = PoolRecord(vendor_id="8086", product_id="1520", tags={"rack": "7"}, free=1, total=1)
    who = {"agent_uuid": "stranger", "host": "elsewhere", "lineage": (token,), "status": trouble}
    report = answered.model_copy(update={**who, "devices": (record,), "removed": ("gone",), "pools": (pool,)})
    heartbeat = Heartbeat.model_validate({**who, "session": report.session, "token": report.token})
    return {"report": report, "heartbeat": heartbeat}


Spoiler = Callable[[str, type[Model], Mapping[str, Any]], Iterator[Strange]]


def spoilt(by: Spoiler, good: Mapping[str, Model]) -> list[Strange]:
    """Spoil each of these messages, by method, in each way that there is."""
    return [
        each for method, message in good.items() for each in by(method, type(message), message.model_dump(mode="json"))
    ]


def _said(host: Host) -> Iterator[Model]:
    """Give what an agent would say to a tracker that holds nothing."""
    for _ in range(2):
        message = host.agent.next_message()
        yield message
        host.agent.answered(Answer(verdict=Verdict.HOLDS))


def telling(client: rpc.TrackerClient, host: Host) -> None:
    """Let an agent report a change: what it says is served."""
    vfs = len(list(host.sysfs.entries.iterdir())) - 1
    host.sysfs.set_numvfs("0000:04:00.0", [] if vfs else ["0000:04:10.0"])
    host.agent.look()
    for _ in range(4):
        host.agent.answered(client.tell(host.agent.next_message()))
        if host.agent.agreed:
            return
    raise AssertionError("no agreement")


def test_a_thousand_messages_that_are_not_ours_do_a_tracker_no_harm(
    tracker: Systemd, rabbitmq: RabbitMQ, host: Host
) -> None:
    host.start()
    good = of_another_host(host)
    host.restart()
    messages = strange.some(
        999,
        strange.not_json,
        strange.not_calls,
        strange.odd_calls,
        spoilt(strange.other_versions, good),
        spoilt(strange.odd_messages, good),
    )
    big = Strange("64 MiB", strange.call("report", "A" * 64 * 1024 * 1024))
    assert len(messages) == 999
    with bus(rabbitmq.url) as opened:
        client = rpc.TrackerClient(opened, timeout_s=60)
        telling(client, host)
        before, threads_before = peak_mb(tracker), threads(tracker)
        for start in range(0, len(messages), 100):
            strange.publish(rabbitmq.url, rpc.TRACKER_TOPIC, *messages[start : start + 100])
            telling(client, host)
        assert peak_mb(tracker) - before < MOST_GROWTH_MB / 2
        strange.publish(rabbitmq.url, rpc.TRACKER_TOPIC, big)
        telling(client, host)
    unreadable = sum(not each.readable for each in messages) + 1
    with suppress(AssertionError):
        wait_for(lambda: refused(tracker) >= unreadable, "all to be refused", patience_s=60)
    assert refused(tracker) == unreadable, status(tracker)
    for sort in ("Report too_big 1,", "Report field", "Heartbeat version", "call foreign", "call method"):
        assert sort in status(tracker)
    assert peak_mb(tracker) - before < MOST_GROWTH_MB
    assert threads(tracker) - threads_before < MOST_THREADS
    log = tracker.log.read_text()
    assert re.search(r"refused message 1 of its sort \(Report, version\): Report: version .* can't be read here", log)
    assert "Exception in thread" not in log
    assert len(log) < MOST_LOGGED
    with bus(rabbitmq.url) as opened:
        strange.publish(rabbitmq.url, rpc.TRACKER_TOPIC, strange.breaking_the_connection())
        telling(rpc.TrackerClient(opened, timeout_s=60), host)
    tracker.heard()
    assert tracker.stop() == 0
    assert strange.waiting(rabbitmq.url, rpc.TRACKER_TOPIC) == 0, "nothing was put back"


def commands(agent_uuid: str, session: str) -> dict[str, Model]:
    """Give a message of each kind that an agent takes, by its method; none does anything here."""
    request = RequestRecord(request_id="r", attempt=1, specs=(SpecRecord(vendor_id="ffff", tags={"rack": "7"}),))
    claim = ClaimCommand(
        agent_uuid=agent_uuid, session=session, instance_uuid="i", requests=(request,), cells=(0,), sockets={0: None}
    )
    return {
        "claim": claim,
        "free": AttemptCommand(agent_uuid="another", request_id="r", attempt=1),
        "rescan": AskCommand(agent_uuid="another"),
        "list_devices": AskCommand(agent_uuid="another"),
        "explain": ExplainCommand(agent_uuid="another", address="0000:04:10.0"),
    }


def test_commands_that_are_not_ours_do_an_agent_no_harm(
    rabbitmq: RabbitMQ, host: Host, sqlite: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    host.start()
    host.report(Store(sqlite, host_down_s=75))
    token = host.agent.ledger.token
    good = commands(host.agent.ledger.agent_uuid, token.session)
    messages = strange.some(
        250,
        strange.not_json,
        strange.not_calls,
        spoilt(strange.other_versions, good),
        [each for each in spoilt(strange.odd_messages, good) if not each.readable],
    )
    queue, counted = f"{rpc.AGENT_TOPIC}.compute-1", Refused()
    answering = (Endpoint(host.agent, lifetime_s=300, refused=counted), Inquiries("me", lambda: None, counted))
    with bus(rabbitmq.url) as opened:
        server = rpc.server(opened, rpc.AGENT_TOPIC, "compute-1", *answering, refused=counted)
        with unreadable_counted(counted), closing_server(server):
            strange.publish(rabbitmq.url, queue, *messages)
            client = rpc.AgentClient(opened, timeout_s=60)
            ask = AskCommand(agent_uuid=host.agent.ledger.agent_uuid)
            assert client.call("compute-1", "list_devices", ask, Listing).token == token
            wait_for(lambda: sum(counted.counted.values()) == len(messages), f"all to be refused: {counted}")
            with pytest.raises(AgentSilent, match="MessageRefused AskCommand: version 2.0 can't be read here"):
                client.call("compute-1", "list_devices", ask.model_copy(update={"version": "2.0"}), Listing)
            assert client.call("compute-1", "claim", good["claim"], CommandAnswer).verdict == "no_fit"
    assert {"ClaimCommand", "AttemptCommand", "AskCommand", "ExplainCommand", "call"} == {
        kind for kind, _ in counted.counted
    }
    assert not [record for record in caplog.records if record.exc_info], "each is told in one line"
    assert strange.waiting(rabbitmq.url, queue) == 0


@contextmanager
def unreadable_counted(refused: Refused) -> Iterator[None]:
    """Count what is no call, as the daemons do once for their whole life."""
    broker = logging.getLogger("oslo.messaging._drivers.impl_rabbit")
    before = list(broker.filters)
    rpc.count_unreadable(refused)
    yield
    broker.filters = before


@contextmanager
def closing_server(server: Any) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()
        server.wait()
