"""
One run: who takes part, what is under way, what may happen next, and what happens then.

Everything that can happen is an *action*, a tuple of words and numbers that says the same in every run: a message is
named by kind, sender and its place among those alike. An action that can't happen is passed over, so that a trace from
which steps were taken is still a run.
"""

import logging
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from adversary.centre import MEMORY, centre
from adversary.clients import Client, Controller, uuid_of
from adversary.machines import Machine
from adversary.promises import Asked, Promises, Violation
from adversary.scenarios import Scenario
from adversary.tasks import Task, current, pause
from pci_agent.agent import identity, service, store
from pci_agent.model import claims
from pci_agent.wire.commands import AttemptCommand, ClaimCommand, CommandAnswer
from pci_agent.wire.messages import Answer, DeviceRecord, Report, Verdict, pack, unpack

TICK_S = 30
_DRIVING = ("deliver", "tell", "start", "go", "ask")
_LATE = 0.15
_ROUNDS = 80
_QUIET_ROUNDS = 6

Action = tuple[str | int, ...]


@dataclass(slots=True)
class Message:
    """One message on the bus: to a tracker, to the agents of a host, or the answer to a call."""

    kind: str
    sender: str
    to: str
    verb: str
    body: Any
    call: int
    late: bool = False
    """Whether nothing drives it on, so that much may happen before it arrives."""

    @property
    def name(self) -> str:
        return f"{self.verb} {self.sender}" if self.kind != "reply" else f"{self.verb} {self.sender} {self.to}"


class World:
    """A run, from its scenario. Use it as a context: what it opened is put away at the end."""

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        self.scenario = scenario
        self.centre = centre()
        self.promises = Promises(by_tracker=scenario.by_tracker)
        self.budget = Counter(scenario.budget)
        self.flying: list[Message] = []
        self.tasks: list[Task] = []
        self.settling = False
        self.calls = 0
        self.attempts: Counter[str] = Counter()
        self.placed: dict[str, str] = {}
        self.unrest = 0
        """Reports and answers of ``holds`` since it was last set to zero."""
        kind = Controller if scenario.by_tracker else Client
        self.clients = {name: kind(self, name, script) for name, script in scenario.scripts.items()}
        self._settler = Controller(self, "settler", ())
        self._names = random.Random(0)
        self._lateness = random.Random(seed)
        self._copied: Any = None

    def __enter__(self) -> Self:
        self._before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        self.folder = Path(tempfile.mkdtemp(prefix="pci-adversary-", dir=MEMORY))
        self._unnamed = [(module, module.uuid4) for module in (identity, service, store)]
        for module, _ in self._unnamed:
            module.uuid4 = self._uuid  # type: ignore[attr-defined]
        self.centre.reset()
        self.centre.now = 0.0
        self.machines = {
            name: Machine(name, host, self.folder, self.scenario.addresses, self.promises.made)
            for name, host in self.scenario.machines.items()
        }
        for machine in self.machines.values():
            machine.start()
        if self.scenario.warm:
            self._agree()
        return self

    def _agree(self) -> None:
        for machine in self.machines.values():
            for _ in range(4):
                if not machine.agent.agreed:
                    self._tell(machine.name)
                    self._deliver(self.flying[0].name, 0, "tracker")
                    self._deliver(self.flying[0].name, 0, machine.name)
        self._look_at_the_centre()

    def __exit__(self, *_: object) -> None:
        for task in self.tasks:
            if not task.over:
                task.kill()
        for machine in self.machines.values():
            machine.crash()
        for module, made in self._unnamed:
            module.uuid4 = made  # type: ignore[attr-defined]
        shutil.rmtree(self.folder)
        logging.disable(self._before)

    def _uuid(self) -> UUID:
        return UUID(int=self._names.getrandbits(128), version=4)

    # What may happen

    def actions(self) -> list[Action]:
        """List everything that may happen now."""
        return [*self._of_the_bus(), *self._of_machines(), *self._of_tasks(), *self._of_the_centre()]

    def _has(self, *kinds: str) -> bool:
        return all(self.budget[kind] > 0 for kind in kinds)

    def _of_the_bus(self) -> Iterator[Action]:
        alike: Counter[str] = Counter()
        for message in self.flying:
            rank = alike[message.name]
            alike[message.name] += 1
            for to in self._readers(message):
                yield ("deliver", message.name, rank, to)
                if message.kind in ("telling", "command") and self._has("repeat"):
                    yield ("repeat", message.name, rank, to)
                if message.kind == "telling" and self._has("slow"):
                    yield ("slow", message.name, rank, to)
            if self._has("drop"):
                yield ("drop", message.name, rank)

    def _readers(self, message: Message) -> list[str]:
        if message.kind != "command":
            return [message.to]
        return [machine.name for machine in self.machines.values() if machine.up and machine.host == message.to]

    def _of_machines(self) -> Iterator[Action]:
        for name, machine in self.machines.items():
            if machine.up:
                if machine.call is None and self._has("tell"):
                    yield ("tell", name)
                if machine.call is not None and self._has("time-out"):
                    yield ("time-out", name)
                yield from ((kind, name) for kind in ("look", "crash", "boot", "rotate", "lapse") if self._has(kind))
                if self._has("plug"):
                    yield from (("plug", name, number) for number in range(len(self.scenario.addresses)))
                if self._has("die") and machine.kill_before is None:
                    yield from (("die", name, number) for number in range(4))
                if any(hold.ends <= machine.boottime for (at, _), hold in self.promises.holds.items() if at == name):
                    yield ("expire", name)
            else:
                yield ("start", name)
            if self._has("copy") and machine.state.exists():
                yield ("copy", name)
            if self._has("restore") and (machine.folder / "copy").exists():
                yield ("restore", name)
            yield from ((kind, name) for kind in ("reinstall", "lose", "rename") if self._has(kind))
            if self._has("clone"):
                yield from (("clone", name, other) for other in self.machines if other != name)

    def _of_tasks(self) -> Iterator[Action]:
        alike: Counter[str] = Counter()
        for task in self.tasks:
            rank = alike[task.name]
            alike[task.name] += 1
            if task.awaits is None:
                yield ("go", task.name, rank)
                yield ("step", task.name, rank)
            elif self._has("give-up"):
                yield ("give-up", task.name, rank)
            if self._has("kill"):
                yield ("kill", task.name, rank)
        shown = self.centre.read("SELECT 1 FROM compute_nodes WHERE deleted = 0 LIMIT 1")
        for name, client in self.clients.items():
            if client.script and shown and not any(task.name == name for task in self.tasks):
                yield ("ask", name)

    def _of_the_centre(self) -> Iterator[Action]:
        yield from ((kind,) for kind in ("tick", "settle", "db-loss", "db-copy") if self._has(kind))
        if self._has("forget"):
            yield from (("forget", host) for host in dict.fromkeys(each.host for each in self.machines.values()))
        if self._has("db-restore") and self._copied is not None:
            yield ("db-restore",)

    # What happens

    def choose(self, dice: random.Random) -> Action | None:
        """Choose what happens next; None where nothing may."""
        possible = self.actions()
        late = {message.name for message in self.flying if message.late}
        driving = [action for action in possible if action[0] in _DRIVING and action[1] not in late]
        if driving and dice.random() < self.scenario.bias:
            return dice.choice(driving)
        return dice.choice(possible) if possible else None

    def act(self, action: Action) -> bool:
        """Let something happen; False where it can't."""
        if not self.settling and action not in self.actions():
            return False
        kind, *of = action
        if kind in self.budget:
            self.budget[str(kind)] -= 1
        act: Callable[..., None] = getattr(self, "_" + str(kind).replace("-", "_"))
        act(*of)
        self._look_at_the_centre()
        return True

    def _look_at_the_centre(self) -> None:
        if self.centre.written:
            self.centre.written = False
            self.promises.shown(self.centre.tokens())

    def _send(self, message: Message) -> None:
        message.late = self._lateness.random() < _LATE
        self.flying.append(message)

    def _message(self, name: str, rank: int) -> Message:
        return [message for message in self.flying if message.name == name][rank]

    def _task(self, name: str, rank: int) -> Task:
        return [task for task in self.tasks if task.name == name][rank]

    def _deliver(self, name: str, rank: int, to: str) -> None:
        message = self._message(name, rank)
        self.flying.remove(message)
        self._arrive(message, to)

    def _repeat(self, name: str, rank: int, to: str) -> None:
        self._arrive(self._message(name, rank), to)

    def _drop(self, name: str, rank: int) -> None:
        self.flying.remove(self._message(name, rank))

    def _slow(self, name: str, rank: int, _to: str) -> None:
        message = self._message(name, rank)
        self.flying.remove(message)
        self._begin(Task(message.name, lambda: self._to_tracker(message)))

    def _begin(self, task: Task) -> None:
        self.tasks.append(task)
        self._resume(task)

    def _resume(self, task: Task, value: Any = None, *, coarse: bool = False) -> None:
        try:
            task.resume(value, coarse=coarse)
        finally:
            if task.over:
                self.tasks.remove(task)

    def _arrive(self, message: Message, to: str) -> None:
        if message.kind == "telling":
            self._to_tracker(message)
        elif message.kind == "answer":
            self._to_agent(message, self.machines[to])
        elif message.kind == "command":
            self._command(message, self.machines[to])
        else:
            for task in [task for task in self.tasks if task.awaits == message.call]:
                self._resume(task, message.body)

    def _command(self, message: Message, machine: Machine) -> None:
        at = machine.boottime
        answer = machine.operate(lambda: getattr(machine.endpoint, message.verb)(None, message.body))
        was_killed = answer is None
        if was_killed or unpack(CommandAnswer, answer).verdict == claims.Verdict.OK:
            self.promises.check(machine, *_asked(message, at))
        else:
            self.promises.check(machine)
        if answer is not None:
            self._send(Message("reply", machine.name, message.sender, message.verb, answer, message.call))

    def _to_tracker(self, message: Message) -> None:
        endpoint = self.centre.endpoint
        answer = (endpoint.report if message.verb == "report" else endpoint.heartbeat)(None, message.body)
        self._send(Message("answer", "tracker", message.sender, "answer", answer, message.call))

    def _to_agent(self, message: Message, machine: Machine) -> None:
        if not machine.up or machine.call != message.call:
            return
        machine.call = None
        answer = unpack(Answer, message.body)
        if answer.verdict is Verdict.HOLDS:
            self.unrest += 1
        machine.operate(lambda: machine.agent.answered(answer))
        self.promises.check(machine)

    def _tell(self, name: str) -> None:
        machine = self.machines[name]
        told = machine.agent.next_message()
        self.calls += 1
        machine.call = self.calls
        verb = "report" if isinstance(told, Report) else "heartbeat"
        if isinstance(told, Report):
            self.unrest += 1
        self._send(Message("telling", name, "tracker", verb, pack(told), self.calls))

    def _time_out(self, name: str) -> None:
        self.machines[name].call = None

    def _on(self, name: str, work: Callable[[Machine], None]) -> None:
        machine = self.machines[name]
        work(machine)
        self.promises.check(machine)

    def _look(self, name: str) -> None:
        self._on(name, Machine.look)

    def _plug(self, name: str, number: int) -> None:
        self._on(name, lambda machine: machine.plug(self.scenario.addresses[number]))

    def _expire(self, name: str) -> None:
        self._on(name, lambda machine: machine.operate(machine.agent.expire))

    def _start(self, name: str) -> None:
        self._on(name, Machine.start)

    def _crash(self, name: str) -> None:
        self.machines[name].crash()

    def _boot(self, name: str) -> None:
        machine = self.machines[name]
        machine.boot()
        self.promises.booted(machine)

    def _lapse(self, name: str) -> None:
        self.machines[name].lapse()

    def _die(self, name: str, before: int) -> None:
        self.machines[name].kill_before = before

    def _rotate(self, name: str) -> None:
        ledger = self.machines[name].agent.ledger

        def rotate() -> None:
            with ledger.lock:
                ledger._begin()

        self._on(name, lambda machine: machine.operate(rotate))

    # What is done to state directories and names

    def _shown_of(self, machine: Machine) -> dict[str, tuple[str | None, str]]:
        rows = self.centre.read(
            "SELECT d.address, d.request_id, d.status FROM pci_devices d JOIN compute_nodes n"
            " ON d.compute_node_id = n.id WHERE d.deleted = 0 AND n.deleted = 0 AND n.agent_uuid = ?",
            machine.uuid,
        )
        return {row["address"]: (row["request_id"], row["status"]) for row in rows}

    def _copy(self, name: str) -> None:
        self.machines[name].copy_state("copy")

    def _restore(self, name: str) -> None:
        machine = self.machines[name]
        machine.kill_before = None
        machine.put_back(machine.folder / "copy")
        shutil.rmtree(machine.folder / "copy")
        self._after_loss(machine)

    def _lose(self, name: str) -> None:
        machine = self.machines[name]
        machine.kill_before = None
        machine.lose_store()
        self._after_loss(machine)

    def _after_loss(self, machine: Machine) -> None:
        """See what is lost for good: what neither the older state nor the row of the agent in it knows."""
        machine.start()
        rows = self._shown_of(machine)
        kept = {address: str(owner.request_id) for address, owner in machine.owners()} if machine.up else {}
        self.promises.put_back(machine, rows, kept)

    def _reinstall(self, name: str) -> None:
        machine = self.machines[name]
        machine.reinstall()
        self.promises.gone(machine)
        machine.start()

    def _rename(self, name: str) -> None:
        machine = self.machines[name]
        machine.crash()
        machine.host = machine.host.removesuffix("x") if machine.host.endswith("x") else f"{machine.host}x"
        machine.start()

    def _clone(self, name: str, onto: str) -> None:
        source, machine = self.machines[name], self.machines[onto]
        machine.put_back(source.state)
        if self.scenario.clone_name:
            machine.host = source.host
        self.promises.gone(machine)
        machine.start()

    # The centre

    def _tick(self) -> None:
        self.centre.now += TICK_S
        for machine in self.machines.values():
            machine.boottime += TICK_S

    def _db_loss(self) -> None:
        self._forget_transactions()
        self.centre.reset()
        self.promises.shown_anew()

    def _db_copy(self) -> None:
        self._copied = self.centre.copy()

    def _db_restore(self) -> None:
        self._forget_transactions()
        self.centre.put_back(self._copied)
        self.promises.shown_anew()

    def _forget(self, host: str) -> None:
        """Let an operator delete a host that may well be there."""
        self.centre.store.forget(host)

    def _forget_transactions(self) -> None:
        """Whoever was at work on a database when it was lost doesn't go on with it."""
        for task in [task for task in self.tasks if task.awaits is None]:
            task.kill()
            self.tasks.remove(task)

    def _go(self, name: str, rank: int) -> None:
        self._resume(self._task(name, rank), coarse=True)

    def _step(self, name: str, rank: int) -> None:
        self._resume(self._task(name, rank))

    def _settle(self) -> None:
        self._begin(Task("settler", self._settler.settle_frees))

    def _ask(self, name: str) -> None:
        client = self.clients[name]
        self._begin(Task(name, client.next()))

    def _give_up(self, name: str, rank: int) -> None:
        self._resume(self._task(name, rank))

    def call(self, host: str, verb: str, body: str) -> str | None:
        """Have the agents of a host carry something out, from within a task; None where no answer came in time."""
        task = current()
        assert task is not None
        self.calls += 1
        self._send(Message("command", task.name, host, verb, body, self.calls))
        answer: str | None = pause(self.calls)
        return answer

    def requests_of(self, instance: str) -> set[str]:
        """Name all that any client asks for in the name of an instance."""
        return {
            uuid_of(name)
            for script in self.scenario.scripts.values()
            for what, names, owner in script
            if what == "alloc" and uuid_of(owner) == instance
            for name in names.split("+")
        }

    def machine_of(self, agent_uuid: str) -> str:
        """Name the machine that an agent runs on."""
        return self.promises.machines[agent_uuid]

    def _kill(self, name: str, rank: int) -> None:
        task = self._task(name, rank)
        task.kill()
        self.tasks.remove(task)

    # Quiet times

    def settle(self) -> None:
        """Let everything arrive, and nothing be lost, until all agree; then check what must hold."""
        self.settling = True
        self.budget.clear()
        quiet = 0
        for number in range(_ROUNDS):
            self.unrest = 0
            self._round(number)
            quiet = 0 if self.unrest or self.tasks else quiet + 1
            if quiet == _QUIET_ROUNDS:
                break
        else:
            raise Violation(f"I7 agents and tracker don't come to agree in {_ROUNDS} quiet rounds")
        self._check_rows()
        self.promises.settled(self.machines.values())

    def _round(self, number: int) -> None:
        self._tick()
        if self.scenario.by_tracker and self._owed():
            self.unrest = 1
            self._settle()
        for name, machine in self.machines.items():
            if not machine.up:
                self.act(("start", name))
            self.act(("expire", name))
            if machine.call is not None and all(message.call != machine.call for message in self.flying):
                machine.call = None
            if machine.call is None:
                self.act(("tell", name))
        for _ in range(1000):
            ready = next((task for task in self.tasks if task.awaits is None), None)
            if ready is not None:
                self._resume(ready, coarse=True)
                self._look_at_the_centre()
                continue
            if not self.flying:
                self._give_up_what_is_lost()
                return
            message = self.flying[0]
            readers = self._readers(message)
            if readers:
                self.act(("deliver", message.name, 0, readers[number % len(readers)]))
            else:
                self.flying.pop(0)
            if not self.unrest and message.kind in ("command", "reply"):
                self.unrest = 1
        raise Violation("I7 messages don't come to an end")

    def _owed(self) -> bool:
        """True where a free is pending that some agent can still be asked for."""
        serving = {machine.uuid for machine in self.machines.values() if machine.serving}
        return any(row["agent_uuid"] in serving for row in self.centre.read("SELECT agent_uuid FROM pending_frees"))

    def _give_up_what_is_lost(self) -> None:
        for task in list(self.tasks):
            self._resume(task)
        self._look_at_the_centre()

    def _check_rows(self) -> None:
        rows = self.centre.store.hypervisors()
        names = Counter(row["hypervisor_hostname"] for row in rows)
        if names and max(names.values()) > 1:
            raise Violation(f"I3 two rows have one host name: {names}")
        serving = [machine for machine in self.machines.values() if machine.serving]
        for machine in self.machines.values():
            if machine.serving:
                self._check_row(machine, {row["agent_uuid"]: row for row in rows})
            elif all(other.host != machine.host for other in serving):
                raise Violation(f"I3 {machine.name} was never accepted, and nobody else speaks for {machine.host}")
        wrong = self.centre.store.verify()
        if wrong:
            raise Violation(f"I3 the tracker's rows disagree with one another: {wrong}")

    def _check_row(self, machine: Machine, rows: dict[str, Any]) -> None:
        row = rows.get(machine.uuid)
        if row is None or row["hypervisor_hostname"] != machine.host:
            raise Violation(f"I3 {machine.name} serves, and the tracker shows no row of it under {machine.host}")
        token = machine.agent.ledger.token
        if (row["session"], row["generation"], row["digest"]) != (token.session, token.generation, token.digest):
            raise Violation(f"I3 {machine.name} is at {token}, its row isn't")
        shown = {
            each["uuid"]: DeviceRecord(**{name: each[name] for name in DeviceRecord.model_fields})
            for each in self.centre.store.devices(hypervisor=machine.host)
        }
        if shown != {record.uuid: record for record in machine.agent.records()}:
            raise Violation(f"I3 the rows of {machine.name}'s devices differ from the agent's")


def _asked(message: Message, at: float) -> tuple[Asked, ...]:
    if message.verb == "claim":
        claim = unpack(ClaimCommand, message.body)
        return tuple(Asked("claim", each.request_id, each.attempt, at) for each in claim.requests)
    named = unpack(AttemptCommand, message.body)
    return (Asked(message.verb, named.request_id, named.attempt, at),)
