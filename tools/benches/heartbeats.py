"""
What a fleet costs that only says it is alive: the processor time of a tracker, of its database and of the broker.

Heartbeats of all hosts in turn are sent evenly, at the rate of the product's default interval, over a real broker to a
``pci-tracker``. Who sends them has packed them before, and isn't counted.
"""

import itertools
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_config import cfg

from benches.servers import cpu_s
from pci_agent.conf import agent
from pci_agent.wire import rpc
from pci_agent.wire.messages import Answer, Heartbeat, Token, Verdict, pack, unpack
from services import PostgreSQL, RabbitMQ
from simulation.agents import Settings
from simulation.world import Plan, World, running

_SENDERS = 24  # a transport has thirty connections to send on
_TIMEOUT_S = 15
_FIRST_S = 2.0
"""How long is sent before anything is counted: connections and statements are made then."""


@dataclass(frozen=True)
class Steady:
    """
    What was measured.

    Attributes:
        hosts: how many there are
        a_second: heartbeats that were sent
        tracker, database, broker: processor seconds a second
        behind_s: how late the last one was sent
    """

    hosts: int
    a_second: float
    tracker: float
    database: float
    broker: float
    behind_s: float


def interval_s() -> float:
    """Tell how often an agent says that it is alive, unless it is told otherwise."""
    conf = cfg.ConfigOpts()
    agent.register_opts(conf)
    return float(conf[agent.GROUP].heartbeat_interval_s)


def measured(
    folder: Path, server: PostgreSQL, broker: RabbitMQ, database_url: str, *, said: list[Heartbeat], seconds: float
) -> Steady:
    """
    Measure.

    Args:
        folder: for configuration and logs
        server: which has that database
        broker: that nobody else uses
        database_url: where the hosts are
        said: what each host's agent says
        seconds: for so long
    """
    bodies = [pack(each) for each in said]
    a_second = len(bodies) / interval_s()
    with running(folder, Plan(agents=0), [], Settings(), database_url=database_url, broker=broker) as world:

        def used() -> tuple[float, float, float]:
            tracker = sum(cpu_s(child.pid) for child in world.trackers.values())
            return tracker, cpu_s(server.pid), cpu_s(broker.pid)

        _send(world, bodies, a_second, _FIRST_S)
        before = used()
        behind_s = _send(world, bodies, a_second, seconds)
        spent = [now - then for now, then in zip(used(), before, strict=True)]
    tracker, data, bus = (each / seconds for each in spent)
    return Steady(len(bodies), a_second, tracker, data, bus, behind_s)


def of_host(row: Any) -> Heartbeat:
    """Say what the agent of a host says, by its row."""
    token = Token(session=row["session"], generation=row["generation"], digest=row["digest"])
    return Heartbeat(agent_uuid=row["agent_uuid"], host=row["hypervisor_hostname"], session=row["session"], token=token)


def _send(world: World, bodies: list[str], a_second: float, seconds: float) -> float:
    """Send evenly, and give by how much the last one was late."""
    import oslo_messaging  # noqa: PLC0415 - wire.rpc has to be the first to import it

    target = oslo_messaging.Target(topic=rpc.TRACKER_TOPIC, version="1.0")
    client = oslo_messaging.get_rpc_client(world.transport, target, timeout=_TIMEOUT_S, retry=0)
    sent: list[Future[str]] = []
    late = 0.0

    def tell(body: str, at: float) -> str:
        nonlocal late
        late = max(0.0, time.monotonic() - at)
        answer: str = client.call({}, "heartbeat", body=body)
        return answer

    with ThreadPoolExecutor(_SENDERS) as pool:
        since = time.monotonic()
        for number, body in enumerate(itertools.islice(itertools.cycle(bodies), int(seconds * a_second))):
            at = since + number / a_second
            time.sleep(max(0.0, at - time.monotonic()))
            sent.append(pool.submit(tell, body, at))
    verdicts = {unpack(Answer, each.result()).verdict for each in sent}
    if verdicts != {Verdict.OK}:
        raise RuntimeError(f"heartbeats were answered {', '.join(sorted(verdicts))}")
    return late
