"""
Agents in one process: each the product's own agent, daemon, reporter and endpoint on a store of its own.

They share one connection pool to the broker; each has its own RPC server, and so a connection that it listens on.
What they are asked from outside is a word, and the answer is what JSON can say: see *Agents.ask*.
"""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pci_agent.agent.daemon import Daemon
from pci_agent.agent.identity import Machine
from pci_agent.agent.ledger import Clock
from pci_agent.agent.reporter import Reporter, Tell
from pci_agent.agent.senses import Senses
from pci_agent.agent.service import Agent
from pci_agent.agent.store import Store
from pci_agent.bell import Bell
from pci_agent.errors import PciAgentError
from pci_agent.model import device_spec
from pci_agent.wire import rpc
from pci_agent.wire.messages import Answer, DeviceRecord, Heartbeat, Report, device_record, digest
from simulation.unreliable import Bus, Late, Trouble, UnreliableEndpoint, telling

_BOOT = "one-boot"
LIFETIME_S = 20


@dataclass(frozen=True, slots=True)
class Held:
    """One agent: its host's name, and where its sysfs is, with the whitelist."""

    name: str
    sysfs_root: str
    specs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What a process of agents is told when it starts.

    Attributes:
        number: of the process
        start: how often it was started before
        url: of the broker
        folder: where each agent has its state directory
        hosts: the agents that it holds
        seed: of what happens to messages
        heartbeat_s, look_interval_s, timeout_s, last_retry_s: as the product's options
        speaks: whether its agents look and tell from the start, or wait to be asked
        trouble: what happens to messages
    """

    number: int = 0
    start: int = 0
    url: str = ""
    folder: str = ""
    hosts: tuple[Held, ...] = ()
    seed: str = ""
    heartbeat_s: float = 30
    look_interval_s: float = 60
    timeout_s: float = 15
    last_retry_s: float = 60
    speaks: bool = False
    trouble: Trouble = field(default_factory=Trouble)


class Tally:
    """How many messages were sent, and what became of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def counting(self, tell: Tell) -> Tell:
        """Give what tells, and counts."""

        def told(message: Report | Heartbeat) -> Answer:
            self._add("reports" if isinstance(message, Report) else "heartbeats")
            try:
                answer = tell(message)
            except PciAgentError:
                self._add("failures")
                raise
            self._add(f"answered {answer.verdict}")
            return answer

        return told

    def _add(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def counts(self) -> dict[str, int]:
        """Tell the numbers so far."""
        with self._lock:
            return dict(self._counts)


class WallClock:
    """A process's wall clock, which may be wrong by so many seconds."""

    def __init__(self) -> None:
        self.wrong_s = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return time.time() + self.wrong_s


@dataclass(frozen=True, slots=True)
class Shared:
    """What the agents of a process have in common."""

    settings: Settings
    transport: Any
    tally: Tally
    late: Late
    wall: WallClock = field(default_factory=WallClock)


class Host:
    """One agent with all that it needs; *speak* lets it look and tell on threads of its own."""

    def __init__(self, held: Held, store: Store, shared: Shared) -> None:
        settings, transport, tally = shared.settings, shared.transport, shared.tally
        self.name = held.name
        self.bus = Bus(settings.trouble, f"{settings.seed} {held.name} {settings.start}", shared.late)
        tell, again = (rpc.TrackerClient(transport, timeout_s=settings.timeout_s).tell for _ in range(2))
        whitelist = device_spec.parse(held.specs)
        senses, clock = Senses(sysfs_root=held.sysfs_root), Clock(wall=shared.wall)
        self.agent = Agent(store, host=held.name, whitelist=whitelist, senses=senses, clock=clock)
        bell = Bell()
        reporter = Reporter(
            self.agent,
            telling(self.bus, tally.counting(tell), tally.counting(again)),
            heartbeat_s=settings.heartbeat_s,
            last_retry_s=settings.last_retry_s,
            told=bell.ring,
        )
        self.agent.start(changed=reporter.wake)
        self.agent.look()
        self.server = rpc.server(
            transport, rpc.AGENT_TOPIC, held.name, UnreliableEndpoint(self.agent, self.bus, lifetime_s=LIFETIME_S)
        )
        self.daemon = Daemon(
            self.agent,
            reporter,
            bell,
            notify=lambda _: None,
            configured=lambda: whitelist,
            asked=threading.Event(),
            look_interval_s=settings.look_interval_s,
        )
        self._looking = threading.Thread(target=self.daemon.run, name=held.name, daemon=True)

    def speak(self) -> None:
        """Begin to look and to tell."""
        self._looking.start()

    def stop(self) -> None:
        """End looking and telling."""
        self.daemon.stop()
        if self._looking.ident is not None:
            self._looking.join(5)

    def state(self) -> dict[str, Any]:
        """Tell what the agent has; the digest once more from the devices' contents."""
        with self.agent.ledger.lock:
            snapshot, tracked = self.agent.ledger.snapshot, self.agent.ledger.tracked
        owned: dict[str, dict[str, Any]] = {}
        for item in tracked.owned():
            owner = item.owner
            if owner is not None and owner.request_id is not None:
                one = owned.setdefault(
                    owner.request_id, {"attempt": owner.attempt, "allocated": owner.allocated, "devices": []}
                )
                one["devices"].append(item.uuid)
        return {
            "agent_uuid": self.agent.ledger.agent_uuid,
            "token": snapshot.token.model_dump(),
            "recomputed": digest(sealed(record.model_dump()) for record in snapshot.records.values()),
            "agreed": self.agent.agreed,
            "devices": len(snapshot.records),
            "owned": owned,
        }


def sealed(facts: Mapping[str, Any]) -> str:
    """Make a device's hash anew from its contents."""
    return device_record({name: facts[name] for name in DeviceRecord.model_fields if name != "hash"}).hash


class Agents:
    """The agents of one process. Made by *start*, ended by *stop*."""

    def __init__(self, settings: Settings, transport: Any) -> None:
        self._shared = Shared(settings, transport, Tally(), Late())
        self._open = ExitStack()
        self.hosts: list[Host] = []

    def start(self) -> None:
        """Open the stores, look once, and listen for commands; with no broker to be had that waits on its own."""
        for held in self._shared.settings.hosts:
            machine = Machine(f"machine-of-{held.name}", None, _BOOT)
            store = self._open.enter_context(Store.opened(str(Path(self._shared.settings.folder) / held.name), machine))
            self.hosts.append(Host(held, store, self._shared))
        threading.Thread(target=self._listen, name="starting", daemon=True).start()
        if self._shared.settings.speaks:
            self.ask("speak")

    def _listen(self) -> None:
        for host in self.hosts:
            host.server.start()

    def ask(self, what: str) -> Any:
        """
        Do or tell what is asked.

        Args:
            what: ``speak``: look and tell from now on; ``calm``: lose nothing more; ``states``: each agent's, by host;
                ``tally``: messages so far; ``late``: whether messages are still on their way; ``clock SECONDS``:
                have the wall clock be so wrong
        """
        if what == "speak":
            for host in self.hosts:
                host.speak()
        elif what == "calm":
            for host in self.hosts:
                host.bus.calm()
        elif what == "states":
            return {host.name: host.state() for host in self.hosts}
        elif what == "tally":
            return self._shared.tally.counts()
        elif what == "late":
            return not self._shared.late.is_done
        elif what.startswith("clock "):
            self._shared.wall.wrong_s = float(what.removeprefix("clock "))
        return None

    def stop(self) -> None:
        """End all of them."""
        for host in self.hosts:
            host.stop()
            host.server.stop()
        for host in self.hosts:
            host.server.wait()
        self._open.close()
