"""
All that a simulation runs: broker, database, trackers, processes of agents. What is started here is ended here.

On ``fake://`` there is one tracker, and the agents are in this process; nothing of that can be killed.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from oslo_config import cfg
from sqlalchemy import Engine, func, select

from pci_agent.tracker import database
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.tracker.store import Store
from pci_agent.tracker.tables import pending_frees
from pci_agent.wire import rpc
from pci_agent.wire.messages import Answer, Heartbeat, Verdict, pack, unpack
from services import PostgreSQL, RabbitMQ
from simulation.agents import Agents, Held, Settings
from simulation.children import Child, Holder, Silent, Usage, usage
from simulation.machines import Machine

HOST_DOWN_S = 75
_FAKE = "fake://"
_READY_WITHIN_S = 120
_STARTS_WITHIN_S = 60
_RESTARTED_AFTER_S = 2  # RestartSec of systemd/pci-tracker.service
_NOBODY = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What to run.

    Attributes:
        agents: how many
        a_process: how many agents a process holds at most
        trackers: how many processes of pci-tracker
        postgresql: whether the database is PostgreSQL; else SQLite
        steppable: whether PostgreSQL's clock can be set
        fake: whether the bus is in this process; else RabbitMQ
    """

    agents: int
    a_process: int = 50
    trackers: int = 1
    postgresql: bool = False
    steppable: bool = False
    fake: bool = False


@dataclass(frozen=True, slots=True)
class HeldHere:
    """Agents in this process; they answer as a process of agents does."""

    agents: Agents

    def ask(self, what: str) -> Any:
        """Have them do or tell something."""
        return self.agents.ask(what)


class Holders:
    """Processes of agents, each with its settings."""

    def __init__(self, folder: Path, settings: Iterable[Settings]) -> None:
        self.settings = {f"agents-{each.number}": each for each in settings}
        self.processes = {name: Holder(name, folder / f"{name}.log") for name in self.settings}
        self._starting: set[str] = set()

    def start(self, name: str) -> None:
        """Start a process; it says when it is ready."""
        process = self.processes[name]
        settings = replace(self.settings[name], start=process.starts)
        process.start([sys.executable, "-P", "-m", "simulation.holder", json.dumps(asdict(settings))], _environment())
        self._starting.add(name)

    def kill(self, name: str) -> None:
        """Kill it."""
        self.processes[name].kill()
        self._starting.discard(name)

    def tell(self, name: str, what: str) -> None:
        """Have one of them do something; one that isn't there, or isn't ready, doesn't."""
        process = self.processes[name]
        if name not in self._starting and process.is_running:
            process.ask(what)

    def ask(self, what: str) -> list[Any]:
        """Have all of them do or tell something, once they are ready."""
        for name in sorted(self._starting):
            self.processes[name].hear(_READY_WITHIN_S)
            self._starting.discard(name)
        return [process.ask(what) for process in self.processes.values()]


class World:
    """What is running. *store* reads the trackers' database from here."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self.broker: RabbitMQ | None = None
        self.database: PostgreSQL | None = None
        self.transport: Any = None
        self.engine: Engine
        self.store: Store
        self.scheduler: Scheduler
        self.url = _FAKE
        self.database_url = f"sqlite:///{folder}/tracker.sqlite"
        self.trackers: dict[str, Child] = {}
        self._ended_s: dict[str, float] = {}
        self.holders = Holders(folder, ())
        self.here: HeldHere | None = None

    # Asking agents

    def ask(self, what: str) -> list[Any]:
        """Have all processes of agents do or tell something."""
        if self.here is not None:
            return [self.here.ask(what)]
        return self.holders.ask(what)

    def states(self) -> dict[str, dict[str, Any]]:
        """Tell every agent's state, by host; see agents.Host.state."""
        return {host: state for told in self.ask("states") for host, state in told.items()}

    def tally(self) -> dict[str, int]:
        """Tell how many messages there were since the start of the processes that run."""
        counts: dict[str, int] = {}
        for told in self.ask("tally"):
            for name, number in told.items():
                counts[name] = counts.get(name, 0) + number
        return counts

    # Trackers

    def owed(self) -> int:
        """Tell how many frees trackers still owe to agents."""
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(pending_frees)).scalar_one())

    def start_tracker(self, name: str) -> None:
        """Start pci-tracker under that name."""
        program = Path(sys.executable).parent / "pci-tracker"
        self.trackers[name].start([str(program), "--config-file", str(self.folder / f"{name}.conf")])

    def revive_trackers(self) -> None:
        """
        Start those again that have ended by themselves, as systemd does: one ends whose database is away at its start.

        Raises:
            Silent: one has ended later than that.
        """
        now = time.monotonic()
        for name, tracker in self.trackers.items():
            if not tracker.has_ended:
                continue
            if now - tracker.started_s > _STARTS_WITHIN_S:
                raise Silent(f"{name} has ended by itself, {now - tracker.started_s:.0f} s after its start")
            if now - self._ended_s.setdefault(name, now) >= _RESTARTED_AFTER_S:
                del self._ended_s[name]
                tracker.kill()
                self.start_tracker(name)

    def answers(self, tracker: str, timeout_s: float = 3) -> bool:
        """Tell whether this very tracker answers; what it is asked changes nothing."""
        import oslo_messaging  # noqa: PLC0415 - wire.rpc has to be the first to import it

        target = oslo_messaging.Target(topic=rpc.TRACKER_TOPIC, version="1.0", server=tracker)
        client = oslo_messaging.get_rpc_client(self.transport, target, timeout=timeout_s, retry=0)
        nobody = Heartbeat(agent_uuid=_NOBODY, host="nobody", session=_NOBODY, token=None)
        try:
            answer = unpack(Answer, client.call({}, "heartbeat", body=pack(nobody)))
        except Exception:  # noqa: BLE001 - whatever it is, that is no answer
            return False
        return answer.verdict is Verdict.HOLDS

    # What it costs

    def usages(self) -> dict[str, Usage]:
        """Tell what each process of ours uses; all is one process on ``fake://``."""
        if self.here is not None:
            return {"all in one": usage(os.getpid())}
        running = [*self.trackers.values(), *self.holders.processes.values()]
        return {child.name: usage(child.pid) for child in running if child.is_running}


@contextmanager
def running(
    folder: Path,
    plan: Plan,
    machines: list[Machine],
    settings: Settings,
    *,
    database_url: str | None = None,
    broker: RabbitMQ | None = None,
) -> Iterator[World]:
    """
    Run all of it; agents have looked, are listening and haven't told anything yet.

    Args:
        folder: for state, logs and databases
        plan: what to run
        machines: what the agents look at, shared evenly
        settings: what is alike for all processes of agents; number, url, folder and hosts are filled in
        database_url: of a database that is there; None: one is made as planned
        broker: one that runs, and is left running; None: one is started as planned
    """
    world = World(folder, plan)
    with ExitStack() as stack:
        _serve_database(world, stack, database_url)
        _serve_broker(world, stack, broker)
        _serve_trackers(world, stack)
        _hold_agents(world, stack, machines, settings)
        yield world


def until(condition: Callable[[], bool], what: str, patience_s: float, every_s: float = 0.1) -> float:
    """
    Wait for something, and give the seconds that it took.

    Raises:
        Silent: it didn't come.
    """
    since = time.monotonic()
    while not condition():
        if time.monotonic() - since > patience_s:
            raise Silent(f"waited {patience_s:.0f} s for {what}")
        time.sleep(every_s)
    return time.monotonic() - since


def _serve_database(world: World, stack: ExitStack, database_url: str | None) -> None:
    if database_url is not None:
        world.database_url = database_url
    elif world.plan.postgresql:
        world.database = server = PostgreSQL(steppable=world.plan.steppable)
        stack.callback(server.close)
        server.start()
        world.database_url = server.database()
    engine = database.connect(world.database_url)
    stack.callback(engine.dispose)
    database.upgrade(engine)
    world.engine = engine
    world.store = Store(engine, host_down_s=HOST_DOWN_S)
    world.scheduler = Scheduler(engine, host_down_s=HOST_DOWN_S)


def _serve_broker(world: World, stack: ExitStack, broker: RabbitMQ | None) -> None:
    if broker is None and not world.plan.fake:
        broker = RabbitMQ()
        stack.callback(broker.close)
        broker.start()
    if broker is not None:
        world.broker, world.url = broker, broker.url
    conf = cfg.ConfigOpts()
    conf([], project="pci-fleet", default_config_files=[])
    world.transport = rpc.transport(conf, world.url)
    stack.callback(lambda: rpc.close(world.transport, patience_s=5))


def _serve_trackers(world: World, stack: ExitStack) -> None:
    if world.plan.fake:
        server = rpc.server(world.transport, rpc.TRACKER_TOPIC, "tracker-1", Endpoint(world.store))
        server.start()
        stack.callback(server.wait)
        stack.callback(server.stop)
        return
    for number in range(1, world.plan.trackers + 1):
        name = f"tracker-{number}"
        (world.folder / f"{name}.conf").write_text(
            f"[DEFAULT]\nhost = {name}\ntransport_url = {world.url}\n"
            f"[database]\nconnection = {world.database_url}\n"
            f"[tracker]\nhost_down_s = {HOST_DOWN_S}\nrpc_timeout_s = 4\nsettle_interval_s = 1\n"
        )
        world.trackers[name] = Child(name, world.folder / f"{name}.log")
        stack.callback(world.trackers[name].end)
        world.start_tracker(name)
    for name in world.trackers:
        until(lambda name=name: world.answers(name), f"{name} to answer", _READY_WITHIN_S)  # type: ignore[misc]


def _hold_agents(world: World, stack: ExitStack, machines: list[Machine], settings: Settings) -> None:
    plan = world.plan
    hosts = [
        Held(f"compute-{number}", str(machine.root), machine.specs)
        for number in range(1, plan.agents + 1)
        for machine in [machines[number % len(machines)]]
    ]
    common = replace(settings, url=world.url, folder=str(world.folder))
    if plan.fake:
        agents = Agents(replace(common, hosts=tuple(hosts)), world.transport)
        stack.callback(agents.stop)
        agents.start()
        world.here = HeldHere(agents)
        return
    processes = -(-len(hosts) // plan.a_process)
    parts = [tuple(hosts[number::processes]) for number in range(processes)]
    each = [replace(common, number=number, hosts=part) for number, part in enumerate(parts, 1)]
    world.holders = Holders(world.folder, each)
    for name, process in world.holders.processes.items():
        stack.callback(process.kill)
        world.holders.start(name)
    world.ask("tally")  # which all answer once they are ready


def _environment() -> dict[str, str]:
    """Let a child find our packages where this process found them."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
