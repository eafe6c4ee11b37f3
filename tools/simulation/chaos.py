"""
Everything fails, and in the end all is as it was answered.

While instances claim, allocate and free, the broker and the database are stopped and started, trackers and processes
of agents are killed and started, clocks are set wrong, drivers and VFs change, and the bus loses, repeats and delays.
Then all of that ends, and soon
every host's rows are its agent's state; judging.py says what else must hold.
"""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from services import PostgreSQL, RabbitMQ
from simulation.agents import LIFETIME_S, Settings
from simulation.agreement import differences, tokens_differ
from simulation.instances import Caller, Direct, Through
from simulation.judging import Seen, failures, lines
from simulation.load import Told
from simulation.machines import Generated
from simulation.schedule import Kind, Step, schedule
from simulation.unreliable import Trouble
from simulation.watch import Watch
from simulation.world import Plan, World, running, until

_CALLERS = 8
_QUIET_WITHIN_S = 120
_SETTLED_WITHIN_S = (
    180  # a free that was tried in vain waits up to a minute, and another where the clock was right again
)
_PATIENCE_S = 120
_HASTE_S = 2
_TROUBLE = Trouble(lost=0.02, answer_lost=0.03, delayed=0.1, repeated=0.1)

Wanted = queue.SimpleQueue[bool | None]
"""True: the broker is to be started, False: stopped, None: no more."""


def chaos(folder: Path, plan: Plan, machines: Sequence[Generated], *, seconds: float, seed: int) -> Told:
    """Run it, and judge."""
    settings = Settings(
        seed=str(seed), heartbeat_s=2, look_interval_s=1, timeout_s=4, last_retry_s=4, speaks=True, trouble=_TROUBLE
    )
    with running(folder, plan, [each.machine for each in machines], settings) as world:
        until(lambda: not tokens_differ(world.store, world.states()), "the first agreement", _QUIET_WITHIN_S, 0.5)
        steps = schedule(
            seed,
            seconds,
            trackers=tuple(world.trackers),
            agents=tuple(world.holders.processes),
            cards=[each.pfs for each in machines],
            database=world.database is not None,
        )
        seen = Seen(before=world.usages())
        quiet_s = _endured(world, machines, steps, seen, seed)
        (folder / "journal").write_text("".join(f"{entry}\n" for entry in seen.journal.entries()))
        happened = f"chaos: {seconds:.0f} s, {plan.agents} agents: {_happened(steps)}; quiet after {quiet_s:.1f} s"
        return Told((happened, *lines(world, seen)), tuple(failures(world, seen)))


def _endured(world: World, machines: Sequence[Generated], steps: Sequence[Step], seen: Seen, seed: int) -> float:
    """Let it all happen, and give the seconds that it took until all was quiet."""
    watching = threading.Event()
    seen.watch = Watch(world.store, watching)
    for number in range(_CALLERS):
        chance = Random(f"{seed} caller {number}")
        direct = Direct(world.transport, world.store, world.scheduler, seen.journal, chance)
        ways = Through(world.transport, seen.journal) if number % 2 else direct
        seen.callers.append(Caller(ways, chance, seen.stop))
    with (
        _threads("watch", [seen.watch.run], watching.set),
        _threads("caller", [each.run for each in seen.callers], seen.stop.set),
        _switched("the broker", world.broker, seen.troubles) as broker,
        _switched("the database", world.database, seen.troubles) as served,
    ):
        _follow(steps, world, machines, {Kind.BROKER: broker, Kind.DATABASE: served})
    watching.clear()
    with _threads("watch", [seen.watch.run], watching.set):
        return _quiet(world)


@contextmanager
def _threads(name: str, targets: Sequence[Callable[[], None]], stop: Callable[[], None]) -> Iterator[None]:
    """Run these meanwhile. In the end each may finish what it has begun, unless something has failed."""
    threads = [threading.Thread(target=each, name=name, daemon=True) for each in targets]
    for thread in threads:
        thread.start()
    patience_s = _HASTE_S
    try:
        yield
        patience_s = _PATIENCE_S
    finally:
        stop()
        until_s = time.monotonic() + patience_s
        for thread in threads:
            thread.join(max(0.0, until_s - time.monotonic()))


@contextmanager
def _switched(name: str, server: RabbitMQ | PostgreSQL | None, troubles: list[str]) -> Iterator[Wanted]:
    """Stop and start a server as is wanted, which takes a while each time; how that failed goes to *troubles*."""
    wanted: Wanted = queue.SimpleQueue()

    def serve() -> None:
        try:
            while (up := wanted.get()) is not None and server is not None:
                if up:
                    server.start()
                elif isinstance(server, PostgreSQL):
                    server.stop(at_once=True)
                else:
                    server.stop()
        except Exception as error:  # noqa: BLE001 - told at the end
            troubles.append(f"{name}: {type(error).__name__}: {error}")

    thread = threading.Thread(target=serve, name=name, daemon=True)
    thread.start()
    try:
        yield wanted
    finally:  # one that is being started is waited for, lest nobody stops it
        wanted.put(None)
        thread.join(_PATIENCE_S)


def _follow(steps: Sequence[Step], world: World, machines: Sequence[Generated], wanted: Mapping[Kind, Wanted]) -> None:
    since = time.monotonic()
    for step in steps:
        time.sleep(max(0.0, since + step.at_s - time.monotonic()))
        world.revive_trackers()
        if step.kind in wanted:
            wanted[step.kind].put(step.up)
        elif step.kind is Kind.CLOCK:
            _set_clock(step, world)
        elif step.kind is Kind.TRACKER:
            _switch(step, world.start_tracker, lambda name: world.trackers[name].kill())
        elif step.kind is Kind.AGENTS:
            _switch(step, world.holders.start, world.holders.kill)
        else:
            number, _, address = step.target.partition("/")
            machine = machines[int(number)]
            if step.kind is Kind.VFS:
                machine.switch_vfs(address, on=step.up)
            else:
                machine.machine.rebind(address)


def _set_clock(step: Step, world: World) -> None:
    if step.target in world.holders.processes:
        world.holders.tell(step.target, f"clock {step.by_s}")
    elif world.database is not None:
        world.database.step(step.by_s)


def _switch(step: Step, up: Callable[[str], None], down: Callable[[str], None]) -> None:
    (up if step.up else down)(step.target)


def _quiet(world: World) -> float:
    """Let nothing more fail, and wait until agents and rows agree; gives the seconds that this took."""
    world.ask("calm")

    def agreed() -> bool:
        world.revive_trackers()
        if any(world.ask("late")):
            return False
        states = world.states()
        return all(state["agreed"] for state in states.values()) and not tokens_differ(world.store, states)

    took = until(agreed, "agents and trackers to agree once nothing fails any more", _QUIET_WITHIN_S, 0.5)
    took += until(lambda: not world.owed(), "all frees that trackers owe to be done", _SETTLED_WITHIN_S, 0.5)
    # Claims that nobody wants any more end by themselves, each with a report.
    return took + until(
        lambda: not differences(world.store, world.states()), "the rows to be every agent's state", 2 * LIFETIME_S, 0.5
    )


def _happened(steps: Sequence[Step]) -> str:
    counts = Counter(step.kind for step in steps if not step.up or step.kind is Kind.DRIVER)
    return (
        f"the broker stopped {counts[Kind.BROKER]} times, the database {counts[Kind.DATABASE]} times,"
        f" {counts[Kind.TRACKER]} trackers and {counts[Kind.AGENTS]} processes of agents killed,"
        f" clocks set wrong {counts[Kind.CLOCK]} times, VFs gone {counts[Kind.VFS]} times,"
        f" {counts[Kind.DRIVER]} drivers changed"
    )
