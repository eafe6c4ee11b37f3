"""What goes wrong, and when: it follows from the seed. What is down comes up again before the time is over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

_CALM_BEFORE_S = 2.0
_CALM_AFTER_S = 3.0


class Kind(StrEnum):
    """What something happens to."""

    BROKER = "broker"
    DATABASE = "database"
    CLOCK = "clock of"
    TRACKER = "tracker"
    AGENTS = "agents"
    VFS = "VFs of"
    DRIVER = "driver of"


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """
    One thing that happens.

    Attributes:
        at_s: seconds since the beginning
        kind: to what
        target: which one of these: a process, or a function of a machine as ``number/address``
        up: whether it is stopped, killed, switched off or set wrong now, or comes back; of a driver always True
        by_s: of a clock that is set wrong, by how many seconds
    """

    at_s: float
    kind: Kind
    target: str
    up: bool
    by_s: float = 0


@dataclass(frozen=True, slots=True)
class _Habit:
    """
    How often a thing of some kind goes down, and how long it stays so; in seconds.

    Attributes:
        at_least_s: how long it is up in any case, since it takes a while to come up
        every_s: how long beyond that, on average
        first_s: when it goes down in any case; None where that is left to chance too
    """

    at_least_s: float
    every_s: float
    shortest_s: float
    longest_s: float
    first_s: float | None = None


_HABITS = {
    Kind.DATABASE: _Habit(10, 20, 0.5, 6),
    Kind.CLOCK: _Habit(2, 13, 1, 15),
    Kind.TRACKER: _Habit(2, 13, 0.5, 4),
    Kind.AGENTS: _Habit(5, 15, 0.5, 4),
    Kind.VFS: _Habit(2, 13, 0.5, 4),
}
_LONGEST_WITHOUT_BROKER_S = 180
_DRIVERS_EVERY_S = 0.5

AGENTS_CLOCKS_S, DATABASE_CLOCK_S = 86400.0, 60.0
"""By how much clocks are set wrong at most. By the database's, trackers tell who is silent and when to try again."""


def schedule(
    seed: int,
    seconds: float,
    *,
    trackers: Sequence[str],
    agents: Sequence[str],
    cards: Sequence[Sequence[str]],
    database: bool = False,
) -> list[Step]:
    """
    Make the schedule.

    Args:
        seed: the same one makes the same schedule
        seconds: how long it lasts, from 10
        trackers: the names of these processes
        agents: the names of processes of agents
        cards: the addresses of each machine's PFs
        database: whether the database can be stopped, and its clock set
    """
    chance = Random(seed)
    steps = list(_broker(chance, seconds))
    if database:
        habit = replace(_HABITS[Kind.DATABASE], first_s=_soon(chance, seconds))
        steps += _outages(chance, seconds, habit, Kind.DATABASE, "database")
    for name in (*agents, *(["database"] if database else [])):
        most_s = DATABASE_CLOCK_S if name == "database" else AGENTS_CLOCKS_S
        for step in _outages(chance, seconds, _HABITS[Kind.CLOCK], Kind.CLOCK, name):
            steps.append(step if step.up else replace(step, by_s=chance.uniform(-most_s, most_s)))
    for kind, names in ((Kind.TRACKER, trackers), (Kind.AGENTS, agents)):
        for name in names:
            steps += _outages(chance, seconds, _HABITS[kind], kind, name)
    for number, pfs in enumerate(cards):
        steps += _outages(chance, seconds, _HABITS[Kind.VFS], Kind.VFS, f"{number}/{chance.choice(pfs)}")
    at = _CALM_BEFORE_S
    while (at := at + chance.expovariate(1 / _DRIVERS_EVERY_S)) < seconds - _CALM_AFTER_S:
        number = chance.randrange(len(cards))
        steps.append(Step(at, Kind.DRIVER, f"{number}/{chance.choice(cards[number])}", up=True))
    return sorted(steps)


def _broker(chance: Random, seconds: float) -> Iterator[Step]:
    """Stop the broker once in any case, and for as long as the time allows."""
    longest_s = min(_LONGEST_WITHOUT_BROKER_S, seconds / 6)
    habit = _Habit(25, 20 + longest_s / 2, min(5, seconds / 20), longest_s, _soon(chance, seconds))
    return _outages(chance, seconds, habit, Kind.BROKER, "broker")


def _soon(chance: Random, seconds: float) -> float:
    return seconds * chance.uniform(0.15, 0.3)


def _outages(chance: Random, seconds: float, habit: _Habit, kind: Kind, target: str) -> Iterator[Step]:
    at, first_s = _CALM_BEFORE_S, habit.first_s
    while True:
        at += habit.at_least_s + chance.expovariate(1 / habit.every_s) if first_s is None else first_s
        back = at + chance.uniform(habit.shortest_s, habit.longest_s)
        if back > seconds - _CALM_AFTER_S:
            return
        yield Step(at, kind, target, up=False)
        yield Step(back, kind, target, up=True)
        at, first_s = back, None
