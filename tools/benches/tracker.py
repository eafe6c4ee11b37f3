"""
What a fleet costs its tracker, on PostgreSQL and RabbitMQ: storms, quiet, finding hosts, giving devices out.

Every part runs on servers of its own, on loopback, which keep what they commit; and where something is compared, both
sides meet the same server in the same run.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benches import beside_placement, busy, callers, candidates, heartbeats, storm
from benches.beside_placement import Beside
from benches.busy import Found
from benches.callers import Fleet
from benches.candidates import Shape
from benches.heartbeats import Steady
from benches.reporting import Kind
from pci_agent.tracker import database
from pci_agent.tracker.store import Store
from services import PostgreSQL, RabbitMQ

Broker = Callable[[], AbstractContextManager[RabbitMQ]]

MOST_OF_BARE = 3.0
"""How many times as long as its bare rows a storm may take."""

MOST_STORM_S = 30.0
"""How long the storm of a thousand hosts may take."""

MOST_QUIET_S, MOST_STORMY_S = candidates.MOST_S, 0.050
"""How long finding ten hosts may take in the median, while nothing happens and during a storm."""

LEAST_KEPT = 0.8
"""How much of the throughput of ten callers must be left to fifty."""

FASTER = 10
"""How many times faster than placement a host must be found, for each provider; at the tracker's own limit of ten."""

THREE_HUNDRED = Kind(functions=300, vfs=74)
FIFTY_HOSTS = Fleet(agents=50, devices=320)
_VFS = candidates.VFS


@dataclass(frozen=True)
class Sizes:
    """
    How much is measured.

    Attributes:
        agents, kind: of the storm
        told: devices of each real agent, in whole cards of eight
        hosts: of the large fleet
        shapes: of that fleet
        stormers: hosts that report all the time while hosts are looked for
        steady_s: for how long heartbeats are counted
        fleet: who gives devices out
        rounds: callers at once, and how many devices they are given in all
        beside: whether placement is asked too
    """

    agents: int = 1000
    kind: Kind = THREE_HUNDRED
    told: int = 304
    hosts: int = 10_000
    shapes: tuple[Shape, ...] = candidates.SHAPES[:2]
    stormers: int = 150
    steady_s: float = 20
    fleet: Fleet = FIFTY_HOSTS
    rounds: tuple[tuple[int, int], ...] = ((1, 100), (10, 1000), (50, 10_000))
    beside: bool = True


@dataclass(frozen=True)
class Storms:
    """
    What a storm takes.

    Attributes:
        devices: how many there are
        bare, handled: seconds: their rows alone, and the reports of them
        devices_of_agents: how many real agents have
        by_agents: seconds until they all have told over RabbitMQ
    """

    devices: int
    bare: float
    handled: float
    devices_of_agents: int
    by_agents: float


@dataclass(frozen=True)
class Result:
    """What was measured; see the parts."""

    sizes: Sizes
    storms: Storms
    steady: Steady
    found: tuple[Found, ...]
    beside: Beside | None
    given: callers.Result


@dataclass(frozen=True)
class Limit:
    """What is wanted, what was measured, and whether that is met."""

    wanted: str
    measured: str
    met: bool


def measured(sizes: Sizes, server: PostgreSQL, broker: Broker, say: Callable[[str], None]) -> Result:
    """
    Measure everything.

    Args:
        sizes: how much
        server: has all the databases
        broker: runs one, for a part that uses one
        say: hears what is under way
    """
    with tempfile.TemporaryDirectory(prefix="pci-bench-") as folder:
        say("a storm")
        storms = _storms(server, broker, _made(folder, "storm"), sizes)
        url = _migrated(server)
        found = []
        for number, shape in enumerate(sizes.shapes):
            say(f"finding hosts, {shape.name}")
            found.append(busy.measured(_made(folder, f"busy-{number}"), url, shape, sizes.hosts, sizes.stormers))
        engine = database.connect(url)
        shape = sizes.shapes[0]
        candidates.fill(engine, shape, sizes.hosts)
        said = [heartbeats.of_host(row) for row in Store(engine, host_down_s=75).hypervisors()]
        engine.dispose()
        beside = None
        if sizes.beside:
            say("the same beside placement")
            beside = beside_placement.measured(url, server.database(), sizes.hosts, shape.pfs, _VFS // shape.pfs)
        say("heartbeats")
        with broker() as bus:
            steady = heartbeats.measured(_made(folder, "steady"), server, bus, url, said=said, seconds=sizes.steady_s)
        say("callers")
        with broker() as bus:
            given = callers.measured(_made(folder, "callers"), server.database(), bus, sizes.fleet, sizes.rounds)
    return Result(sizes, storms, steady, tuple(found), beside, given)


def _storms(server: PostgreSQL, broker: Broker, folder: Path, sizes: Sizes) -> Storms:
    told = storm.made(sizes.agents, sizes.kind)
    one, other = (database.connect(_migrated(server)) for _ in range(2))
    bare = handled = 0.0
    for part in told.parts():
        bare += storm.bare(one, part)
        handled += storm.handled(other, part)
    for engine in (one, other):
        storm.check(engine, told)
        engine.dispose()
    with broker() as bus:
        by_agents = storm.by_agents(folder, server.database(), bus, sizes.agents, sizes.told)
    return Storms(told.devices, bare, handled, sizes.agents * sizes.told, by_agents)


def _migrated(server: PostgreSQL) -> str:
    url = server.database()
    engine = database.connect(url)
    database.upgrade(engine)
    engine.dispose()
    return url


def _made(folder: str, name: str) -> Path:
    made = Path(folder) / name
    made.mkdir()
    return made


def limits(result: Result) -> list[Limit]:
    """Tell the limits, each with what was measured."""
    return [*_of_storms(result.storms), *_of_finding(result), *_of_callers(result.given)]


def _of_storms(storms: Storms) -> Iterator[Limit]:
    times = storms.handled / storms.bare
    wanted = f"a storm is handled in at most {MOST_OF_BARE:.0f} times the time of its bare rows"
    yield Limit(wanted, f"{times:.2f} times", times <= MOST_OF_BARE)
    took = storms.handled
    yield Limit(f"and within {MOST_STORM_S:.0f} s", f"{took:.1f} s", took <= MOST_STORM_S)


def _of_finding(result: Result) -> Iterator[Limit]:
    for when, most in (("quiet", MOST_QUIET_S), ("stormy", MOST_STORMY_S)):
        slowest, question = max(
            (median(spent), f"{name}, {found.shape.name}")
            for found in result.found
            for name, spent in (found.quiet if when == "quiet" else found.stormy).items()
        )
        words = "while nothing happens" if when == "quiet" else "during a storm"
        wanted = f"finding ten hosts takes at most {1000 * most:.0f} ms in the median {words}"
        yield Limit(wanted, f"{1000 * slowest:.1f} ms at most ({question})", slowest <= most)
    if result.beside is not None:
        limit = min(result.beside.seconds)
        faster = result.beside.faster(limit)
        wanted = f"finding {limit} hosts is at least {FASTER} times faster than placement, for each provider"
        yield Limit(wanted, f"{faster:.1f} times", faster >= FASTER)


def _of_callers(given: callers.Result) -> Iterator[Limit]:
    number = sum(len(each.given) for each in given.rounds)
    yield Limit("no device is given twice", "; ".join(given.wrong) or f"none of {number:,}", not given.wrong)
    *_, few, many = given.rounds
    kept = many.a_second / few.a_second
    wanted = f"{many.callers} callers are given at least {LEAST_KEPT:.0%} as many a second as {few.callers}"
    yield Limit(wanted, f"{kept:.0%}", kept >= LEAST_KEPT)
