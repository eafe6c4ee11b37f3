"""Who takes part in a run, what they want, and how often each kind of trouble may happen."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

PLAIN = ("0000:04:00.0", "0000:04:01.0")

Budget = Mapping[str, int]


@dataclass(frozen=True)
class Scenario:
    """
    One kind of run.

    Attributes:
        machines: by name, the host name that its agent speaks for
        budget: how often each kind of trouble may happen; none for what isn't named
        addresses: of every machine's functions
        scripts: what each client asks for, in order: alloc REQUEST INSTANCE, or free REQUEST INSTANCE
        by_tracker: whether clients ask the tracker, else the agents themselves
        bias: how often what drives the run on is chosen before trouble
        clone_name: whether a cloned disk brings its host name along
        steps: how many steps there are before things are quiet
        warm: whether all that can agree have done so when the run begins
    """

    machines: Mapping[str, str]
    budget: Budget
    addresses: tuple[str, ...] = PLAIN
    scripts: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    by_tracker: bool = False
    bias: float = 0.6
    clone_name: bool = True
    steps: int = 160
    warm: bool = False


def _reports(machines: Mapping[str, str], **trouble: int) -> Scenario:
    common = {"tell": 14, "time-out": 4, "look": 4, "plug": 2, "repeat": 3, "drop": 3, "slow": 4, "die": 2}
    return Scenario(machines, {**common, **trouble}, bias=0.5, steps=60)


ONE, TWO, SAME = {"A": "h1"}, {"A": "h1", "B": "h2"}, {"A": "h1", "B": "h1"}
THREE = {**SAME, "C": "h2"}

REPORTS: Mapping[str, Scenario] = {
    "reports": _reports(ONE),
    "restart": _reports(ONE, crash=3, boot=1, tick=3, rotate=1),
    "restore": _reports(ONE, crash=1, copy=2, restore=2, tick=6),
    "lose-store": _reports(ONE, crash=1, lose=2, tick=6),
    "reinstall": _reports(ONE, crash=1, reinstall=2, tick=8),
    "same-name": _reports(SAME, crash=2, tick=10, forget=1),
    "clone": _reports(TWO, clone=2, crash=1, tick=6),
    "rename": _reports({"A": "h1", "B": "h1x"}, rename=3, crash=1, tick=6),
    "db-loss": _reports(ONE, crash=1, **{"db-loss": 2}),
    "db-restore": _reports(ONE, crash=2, tick=2, **{"db-copy": 2, "db-restore": 2}),
    "two-trackers": _reports(ONE, tell=40, slow=20, look=8, **{"time-out": 12, "db-loss": 3}),
    "reports-of-all": _reports(
        THREE,
        crash=2,
        boot=1,
        rename=1,
        clone=1,
        restore=1,
        copy=1,
        lose=1,
        tick=8,
        tell=30,
    ),
}

P1 = (
    ("alloc", "r1", "i1"),
    ("free", "r1", "i1"),
    ("alloc", "r2", "i1"),
    ("free", "r2", "i1"),
    ("alloc", "r1", "i1"),
    ("free", "r1", "i1"),
)
P2 = (
    ("alloc", "r3", "i3"),
    ("alloc", "r1", "i1"),
    ("free", "r3", "i3"),
    ("free", "r1", "i1"),
    ("alloc", "r2", "i1"),
)


def _commands(machines: Mapping[str, str], **trouble: int) -> Scenario:
    common = {"tell": 40, "time-out": 4, "look": 2, "plug": 1, "repeat": 4, "drop": 3, "slow": 2, "die": 2, "tick": 6}
    common |= {"give-up": 5, "kill": 1}
    return Scenario(machines, {**common, **trouble}, scripts={"P1": P1, "P2": P2}, warm=True)


COMMANDS: Mapping[str, Scenario] = {
    "commands": _commands(ONE, crash=1, boot=1, rotate=1, repeat=8, die=1, lapse=2),
    "commands-late": _commands(ONE, repeat=12, drop=1, die=0, look=0, plug=0, **{"give-up": 8}),
    "commands-sessions": _commands(ONE, rotate=4, repeat=12, drop=1, die=0, tell=60, **{"give-up": 8}),
    "commands-of-two": _commands(TWO, crash=2, boot=1, rotate=2),
    "commands-restore": _commands(TWO, crash=1, copy=2, restore=2, lose=1, reinstall=1),
    "commands-names": _commands(THREE, rename=2, clone=1, crash=1, tick=10),
    "commands-db": _commands(TWO, crash=1, **{"db-loss": 1, "db-copy": 1, "db-restore": 1}),
}

A1 = (("alloc", "r1", "i1"), ("alloc", "r2", "i1"), ("free", "r1", "i1"), ("alloc", "r4", "i1"))
A2 = (("alloc", "r1", "i1"), ("alloc", "r3", "i3"), ("free", "r2", "i1"), ("free", "r3", "i3"))


def _allocations(machines: Mapping[str, str], **trouble: int) -> Scenario:
    common = {"tell": 30, "time-out": 3, "look": 1, "plug": 1, "repeat": 4, "drop": 3, "slow": 2, "die": 1, "tick": 8}
    common |= {"give-up": 6, "kill": 2, "settle": 4}
    budget = {**common, **trouble}
    return Scenario(machines, budget, scripts={"P1": A1, "P2": A2}, by_tracker=True, warm=True, steps=220)


B1 = (("alloc", "r1+r2", "i1"), ("free", "*", "i1"), ("alloc", "r4+r5", "i2"))
B2 = (("alloc", "r1", "i1"), ("alloc", "r3", "i3"), ("alloc", "r5", "i2"), ("free", "*", "i3"))

ALLOCATIONS: Mapping[str, Scenario] = {
    "core": _allocations(TWO, crash=2, rotate=1, boot=1, lapse=1, forget=1),
    "elsewhere": _allocations(TWO, drop=4, die=0, look=0, plug=0, **{"give-up": 10}),
    "instances": replace(_allocations(TWO, crash=1, rotate=1, **{"give-up": 8}), scripts={"P1": B1, "P2": B2}),
    "restored": _allocations(TWO, crash=1, copy=2, restore=2, lose=1, reinstall=1),
    "databases": _allocations(TWO, crash=1, **{"db-loss": 1, "db-copy": 1, "db-restore": 1}),
    "names": _allocations(THREE, rename=2, clone=1, crash=1, tick=10, forget=1),
}

SCENARIOS: Mapping[str, Scenario] = {**REPORTS, **COMMANDS, **ALLOCATIONS}
