"""
How fast REST tells a page of a thousand devices, beside a bare application with the same rows, and beside placement.

Each is one process with cheroot's threads, asked over HTTP by as many connections; they take turns in one run. Ours is
``pci-api`` itself, once on SQLite and once on PostgreSQL, which looks at each row at each request. The bare application
has the rows in memory. Placement lists as many resource providers from the same PostgreSQL server.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import orjson

from benches import asking
from benches.reporting import Kind, Speaker
from benches.side import PATH, ROOT
from pci_agent.api.serving import THREADS
from pci_agent.tracker import database
from pci_agent.tracker.store import Store
from services import PostgreSQL, answers, free_port, wait_for

LEAST_OF_BARE = 0.25
"""How many of the bare application's requests a second must be answered."""

FASTER = 10
"""How many times placement's requests a second must be answered."""

BARE, PLACEMENT = "bare", "placement"
_KIND = Kind(functions=100, vfs=24)
_HEADERS = {"X-Auth-Token": "admin", "OpenStack-API-Version": "placement 1.39"}


@dataclass(frozen=True)
class Sizes:
    """
    How much is measured.

    Attributes:
        hosts: with 100 devices each
        seconds: of each turn
        turns: of each side
        beside: whether placement is asked too
    """

    hosts: int = 10
    seconds: float = 2
    turns: int = 5
    beside: bool = True

    @property
    def devices(self) -> int:
        """How many there are in all."""
        return self.hosts * _KIND.functions


@dataclass(frozen=True)
class Asked:
    """Where a side is, what it is asked, and how long its answer is."""

    port: int
    path: str
    bytes: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """
    What was measured.

    Attributes:
        a_second: requests a second of each turn, by side; ours by the kind of database
        bytes: of an answer, by side
        about: versions
    """

    sizes: Sizes
    a_second: dict[str, list[float]]
    bytes: dict[str, int]
    about: dict[str, str]

    def median(self, side: str) -> float:
        """Give the requests a second of a side."""
        return median(self.a_second[side])

    def times(self, own: str, other: str) -> float:
        """Tell how many times as many requests ours answers."""
        return self.median(own) / self.median(other)


@dataclass(frozen=True)
class Limit:
    """What is wanted, what was measured, and whether that is met."""

    wanted: str
    measured: str
    met: bool


OURS = ("SQLite", "PostgreSQL")


def measured(sizes: Sizes, server: PostgreSQL, say: Callable[[str], None]) -> Result:
    """
    Measure.

    Args:
        sizes: how much
        server: has the databases that aren't files
        say: hears what is under way
    """
    with tempfile.TemporaryDirectory(prefix="pci-bench-") as name, ExitStack() as running:
        folder = Path(name)
        sides, about = _started(folder, sizes, server, running, say)
        found: dict[str, list[float]] = {side: [] for side in sides}
        for turn in range(sizes.turns):
            say(f"turn {turn + 1} of {sizes.turns}")
            for side, asked in sides.items():
                found[side].append(asking.a_second(asked.port, asked.path, asked.headers, sizes.seconds))
        return Result(sizes, found, {side: asked.bytes for side, asked in sides.items()}, about)


def _started(
    folder: Path, sizes: Sizes, server: PostgreSQL, running: ExitStack, say: Callable[[str], None]
) -> tuple[dict[str, Asked], dict[str, str]]:
    sides, rows = {}, b""
    for side, url in zip(OURS, (f"sqlite:///{folder}/tracker.sqlite", server.database()), strict=True):
        say(f"pci-api on {side}")
        _fill(url, sizes.hosts)
        port = running.enter_context(_pci_api(folder, side, url))
        path = f"/v3/os-pci/detail?limit={sizes.devices}"
        rows = asking.body(port, path, {})
        _count(side, rows, "pci_devices", sizes.devices)
        sides[side] = Asked(port, path, len(rows))
    (folder / "rows.json").write_bytes(rows)
    python = Path(sys.executable)
    about = running.enter_context(_side(python, "rest_bare", str(folder / "rows.json"), str(THREADS)))
    same = asking.body(int(about["port"]), "/rows", {})
    if orjson.loads(same) != orjson.loads(rows):
        raise RuntimeError("the bare application's rows aren't ours")
    sides[BARE] = Asked(int(about["port"]), "/rows", len(same))
    if sizes.beside:
        say("placement")
        url = server.database().replace("+psycopg:", "+psycopg2:")
        theirs = [str(folder), url, str(sizes.devices), str(THREADS)]
        told = running.enter_context(_side(ROOT / ".placement/bin/python", "placement_served", *theirs))
        listed = asking.body(int(told["port"]), "/resource_providers", _HEADERS)
        _count(PLACEMENT, listed, "resource_providers", sizes.devices)
        sides[PLACEMENT] = Asked(int(told["port"]), "/resource_providers", len(listed), _HEADERS)
        about = {**about, "placement": told["placement"], "placement's Python": told["Python"]}
    return sides, about


def _count(side: str, body: bytes, key: str, wanted: int) -> None:
    if len(orjson.loads(body)[key]) != wanted:
        raise RuntimeError(f"{side} answers {len(orjson.loads(body)[key])} {key}, not {wanted}")


def _fill(url: str, hosts: int) -> None:
    """Let hosts tell what they have; VFs of every other one are held."""
    engine = database.connect(url)
    database.upgrade(engine)
    store = Store(engine, host_down_s=3600)
    for number in range(hosts):
        store.accept(Speaker(number).report(_KIND, generation=number % 2))
    engine.dispose()


@contextmanager
def _pci_api(folder: Path, side: str, url: str) -> Iterator[int]:
    """Run pci-api as a service is run."""
    port, file = free_port(), folder / f"{side}.conf"
    file.write_text(
        "[DEFAULT]\ntransport_url = fake://\n"
        f"[database]\nconnection = {url}\n"
        f"[api]\nbind_port = {port}\nauth_strategy = noauth\n"
    )
    program = Path(sys.executable).with_name("pci-api")
    with _process([str(program), "--config-file", str(file)], folder / f"{side}.log"):
        wait_for(lambda: answers(port), f"pci-api on {side}")
        yield port


@contextmanager
def _side(python: Path, module: str, *arguments: str) -> Iterator[dict[str, str]]:
    """Run a module of this package in that Python, and give what it tells of itself."""
    command = [str(python), "-W", "ignore", "-P", "-m", f"benches.{module}", *arguments]
    with _process(command, None) as process:
        if process.stdout is None or not (line := process.stdout.readline()):
            raise RuntimeError(f"{module} ended: see above")
        yield json.loads(line)


@contextmanager
def _process(command: Sequence[str], log: Path | None) -> Iterator[subprocess.Popen[str]]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": PATH, "LANG": "C.UTF-8"}
    with ExitStack() as files:
        out = subprocess.PIPE if log is None else files.enter_context(log.open("w"))
        errors = None if log is None else subprocess.STDOUT
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=errors, text=True)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)
            if process.stdout is not None:
                process.stdout.close()


def limits(result: Result) -> Iterator[Limit]:
    """Tell the limits, each with what was measured."""
    for own in OURS:
        part = result.times(own, BARE)
        wanted = f"on {own} at least {LEAST_OF_BARE:.0%} of the bare application's requests a second are answered"
        yield Limit(wanted, f"{part:.0%}", part >= LEAST_OF_BARE)
        if PLACEMENT in result.a_second:
            times = result.times(own, PLACEMENT)
            wanted = f"on {own} at least {FASTER} times as many requests a second are answered as by placement"
            yield Limit(wanted, f"{times:.1f} times", times >= FASTER)
