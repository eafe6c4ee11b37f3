"""What goes wrong, and when: it follows from the seed. What is down comes up again before the time is over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

_CALM_BEFORE_S = 2.0
_CALM_AFTER_S = 3.0


class Kind(StrEnum):
    """What something happens to."""

    BROKER = "broker"
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
        up: whether it is stopped, killed or switched off now, or comes back; of a driver always True
    """

    at_s: float
    kind: Kind
    target: str
    up: bool


@dataclass(frozen=True, slots=True)
class _Habit:
    """
    How often a thing of some kind goes down, and how long it stays so; in seconds.

    Attributes:
        at_least_s: how long it is up in any case, since it takes a while to come up
        every_s: how long beyond that, on average
    """

    at_least_s: float
    every_s: float
    shortest_s: float
    longest_s: float


_HABITS = {
    Kind.BROKER: _Habit(25, 20, 2, 6),
    Kind.TRACKER: _Habit(2, 13, 0.5, 4),
    Kind.AGENTS: _Habit(5, 15, 0.5, 4),
    Kind.VFS: _Habit(2, 13, 0.5, 4),
}
_DRIVERS_EVERY_S = 0.5


def schedule(
    seed: int,
    seconds: float,
    *,
    trackers: Sequence[str],
    agents: Sequence[str],
    cards: Sequence[Sequence[str]],
) -> list[Step]:
    """
    Make the schedule.

    Args:
        seed: the same one makes the same schedule
        seconds: how long it lasts, from 10
        trackers: the names of these processes
        agents: the names of processes of agents
        cards: the addresses of each machine's PFs
    """
    chance = Random(seed)
    steps = list(_outages(chance, seconds, Kind.BROKER, "broker", first_s=seconds * chance.uniform(0.15, 0.3)))
    for kind, names in ((Kind.TRACKER, trackers), (Kind.AGENTS, agents)):
        for name in names:
            steps += _outages(chance, seconds, kind, name)
    for number, pfs in enumerate(cards):
        steps += _outages(chance, seconds, Kind.VFS, f"{number}/{chance.choice(pfs)}")
    at = _CALM_BEFORE_S
    while (at := at + chance.expovariate(1 / _DRIVERS_EVERY_S)) < seconds - _CALM_AFTER_S:
        number = chance.randrange(len(cards))
        steps.append(Step(at, Kind.DRIVER, f"{number}/{chance.choice(cards[number])}", up=True))
    return sorted(steps)


def _outages(chance: Random, seconds: float, kind: Kind, target: str, first_s: float | None = None) -> Iterator[Step]:
    habit, at = _HABITS[kind], _CALM_BEFORE_S
    while True:
        at += habit.at_least_s + chance.expovariate(1 / habit.every_s) if first_s is None else first_s
        back = at + chance.uniform(habit.shortest_s, habit.longest_s)
        if back > seconds - _CALM_AFTER_S:
            return
        yield Step(at, kind, target, up=False)
        yield Step(back, kind, target, up=True)
        at, first_s = back, None
