"""Runs: one from a seed, the same once more from its trace, and the shortest trace that still fails alike."""

import random
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from adversary.promises import Violation
from adversary.scenarios import Scenario
from adversary.world import Action, World


@dataclass(frozen=True, slots=True)
class Run:
    """
    What happened.

    Attributes:
        trace: every action, in order
        violation: what broke; None where nothing did
    """

    trace: tuple[Action, ...]
    violation: str | None

    @property
    def kind(self) -> str:
        """The invariant that broke, by its short name."""
        return (self.violation or "").partition(" ")[0]


def play(scenario: Scenario, seed: int) -> Run:
    """Let the dice of this seed decide what happens."""
    dice, trace = random.Random(seed), list[Action]()
    with World(scenario, seed) as world:
        try:
            for _ in range(scenario.steps):
                action = world.choose(dice)
                if action is None:
                    break
                trace.append(action)
                world.act(action)
            world.settle()
        except Exception as error:  # noqa: BLE001 - whatever the product raises to its caller here breaks the run
            return Run(tuple(trace), _what(error))
    return Run(tuple(trace), None)


def replay(scenario: Scenario, trace: Iterable[Action]) -> Run:
    """Let these actions happen; those that can't are left out."""
    done = list[Action]()
    with World(scenario) as world:
        try:
            for action in trace:
                done.append(action)
                if not world.act(action):
                    done.pop()
            world.settle()
        except Exception as error:  # noqa: BLE001
            return Run(tuple(done), _what(error))
    return Run(tuple(done), None)


def told(name: str, seed: int, run: Run) -> str:
    """Say of a run that failed what broke, by which steps, and how to see it again."""
    steps = "".join(f"\n  {' '.join(map(str, step))}" for step in run.trace)
    return f"{name} {seed}: {run.violation}{steps}\nPYTHONPATH=.:tests python -m adversary {name} {seed}"


def _what(error: Exception) -> str:
    if isinstance(error, Violation):
        return str(error)
    return f"{type(error).__name__}: {error}\n{''.join(traceback.format_exception(error))}"


def shortest(scenario: Scenario, run: Run) -> Run:
    """Take steps out of a failing run for as long as it breaks the same invariant."""
    size = max(1, len(run.trace) // 2)
    while True:
        shorter = _without_some(scenario, run, size)
        if shorter is not None:
            run = shorter
            size = min(size, max(1, len(run.trace) // 2))
        elif size == 1:
            return run
        else:
            size //= 2


def _without_some(scenario: Scenario, run: Run, size: int) -> Run | None:
    best, start = run, 0
    while start < len(best.trace):
        tried: Sequence[Action] = best.trace[:start] + best.trace[start + size :]
        again = replay(scenario, tried)
        if again.kind == run.kind and len(again.trace) < len(best.trace):
            best = again
        else:
            start += size
    return None if best is run else best
