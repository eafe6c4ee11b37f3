"""What a fleet costs when all of it reports at once, when nothing happens, and when devices change all the time."""

import time
from dataclasses import dataclass
from random import Random
from typing import Any

from simulation.agreement import States, differences, tokens_differ
from simulation.children import Usage
from simulation.machines import Machine
from simulation.world import World, until

AGREE_WITHIN_S = 300


@dataclass(frozen=True, slots=True)
class Told:
    """
    What came out.

    Attributes:
        lines: to print
        failures: what isn't as it should be; empty where all is well
    """

    lines: tuple[str, ...]
    failures: tuple[str, ...]


def storm(world: World) -> Told:
    """Let every agent tell all of its devices at once, to a tracker that knows none of them."""
    states = world.states()
    before = world.usages()
    took = told_by_all(world, states)
    devices = sum(state["devices"] for state in states.values())
    return Told(
        (
            f"storm: {len(states)} full reports, {devices} devices: the rows were every agent's state"
            f" after {took:.1f} s ({len(states) / took:.0f} hosts a second)",
            _messages(world.tally(), took),
            *_costs(before, world.usages(), took),
        ),
        tuple(_wrong(world)),
    )


def told_by_all(world: World, states: States) -> float:
    """Let every agent tell, and give the seconds until the rows are these states of theirs."""
    since = time.monotonic()
    world.ask("speak")
    until(lambda: not tokens_differ(world.store, states), "the rows to be every agent's state", AGREE_WITHIN_S)
    return time.monotonic() - since


def steady(world: World, seconds: float) -> Told:
    """Let nothing happen, so that there are heartbeats and nothing else."""
    settle(world)
    before, counted, since = world.usages(), world.tally(), time.monotonic()
    time.sleep(seconds)
    took, after, now = time.monotonic() - since, world.usages(), _minus(world.tally(), counted)
    failures = [f"{now['reports']} reports, and nothing had changed"] if now.get("reports") else []
    return Told((f"steady: {took:.0f} s", _messages(now, took), *_costs(before, after, took)), tuple(failures))


def churn(world: World, machines: list[Machine], seconds: float, percent: float, chance: Random) -> Told:
    """Change so many percent of all devices a minute: a function gets another driver."""
    settle(world)
    functions = [(machine, address) for machine in machines for address in machine.functions()]
    pause_s = 60 / (len(functions) * percent / 100)
    before, counted, since, changes = world.usages(), world.tally(), time.monotonic(), 0
    while time.monotonic() - since < seconds:
        machine, address = chance.choice(functions)
        machine.rebind(address)
        changes += 1
        time.sleep(max(0.0, since + changes * pause_s - time.monotonic()))
    took, after, now = time.monotonic() - since, world.usages(), _minus(world.tally(), counted)
    lag = until(lambda: not differences(world.store, world.states()), "agreement after the last change", 60, 0.5)
    return Told(
        (
            f"churn: {changes} changes of {len(functions)} functions in {took:.0f} s, each seen by"
            f" {world.plan.agents / len(machines):.0f} agents; agreed {lag:.1f} s after the last",
            _messages(now, took),
            *_costs(before, after, took),
        ),
        tuple(_wrong(world)),
    )


def settle(world: World) -> None:
    """Wait until every agent agrees with the tracker."""

    def settled() -> bool:
        states: States = world.states()
        return all(state["agreed"] for state in states.values()) and not tokens_differ(world.store, states)

    until(settled, "every agent to agree with the tracker", AGREE_WITHIN_S, 0.5)


def _wrong(world: World) -> list[str]:
    return differences(world.store, world.states())


def _minus(now: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {name: number - before.get(name, 0) for name, number in now.items()}


def _messages(tally: dict[str, Any], took: float) -> str:
    sent = tally.get("reports", 0) + tally.get("heartbeats", 0)
    told = ", ".join(f"{name} {number}" for name, number in sorted(tally.items()) if number)
    return f"  messages: {sent}, {sent / took:.1f} a second ({told or 'none'})"


def _costs(before: dict[str, Usage], after: dict[str, Usage], took: float) -> list[str]:
    return [
        f"  {name}: CPU {100 * (now.cpu_s - before[name].cpu_s) / took:.0f} %, {now.rss_mb:.0f} MB,"
        f" {now.threads} threads, {now.files} files"
        for name, now in after.items()
    ]
