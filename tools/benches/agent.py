"""
What an agent costs its host: scans beside the floor and beside nova's discovery, memory, system calls, claims.

The hosts are trees of files in memory, as sysfs is. Nova 34.0.0 sees the same functions as libvirt's node devices that
answer at once, and reads the same trees; it has no libvirt to wait for.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median

from benches import fleet, reported, resident, traced, tree
from benches.side import ROOT, Side, take_turns
from pci_agent.model.device import Device

COUNTS = (64, 256, 1024, 4096)
VFS = (63, 7)
PLAIN = 0
_CLAIMS_ON = 1024
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of ours is made in it

MOST_OF_THE_FLOOR = 2.0
"""How many times the floor a scan may take."""

MOST_CALLS = 7
"""How many system calls a function a scan may make, netdevs not counted."""

MOST_BESIDE = 0.1
"""How much of a later scan's time an unchanged host's matching and reconciling may take."""

FASTER = {("first scan", 1024): 20, ("first scan", 4096): 50, ("later inventory", 4096): 100}
"""How many times faster than nova, with 63 VFs a PF: a scan than its discovery, an inventory than both its steps."""

FASTER_CLAIM = 10
"""How many times faster than nova's claim, allocation and save ours must be, on 1024 functions."""

MOST_MEMORY_MB = 85
"""How much memory an agent of the largest host may have."""

_PEERS = {"first scan": "discovery", "later scan": "discovery", "later inventory": "discovery and sync"}


@dataclass(frozen=True)
class Host:
    """How many functions, and how many of them are VFs of each PF; PLAIN where there is no SR-IOV at all."""

    count: int
    vfs: int

    def devices(self) -> tuple[Device, ...]:
        """Make them."""
        return fleet.plain(self.count) if self.vfs == PLAIN else fleet.devices(self.count, self.vfs)


HOSTS = tuple(Host(count, vfs) for vfs, count in product(VFS, COUNTS))


@dataclass(frozen=True)
class Limit:
    """What was wanted, what was measured, and whether that will do."""

    wanted: str
    measured: str
    met: bool


@dataclass
class Result:
    """
    What was measured.

    Attributes:
        seconds: by host, side and work: of each run
        calls: by host: system calls of a first scan and of a later one
        memory: of an agent of the largest host: resident now and at most, in MB
        about: what the sides say of themselves
    """

    seconds: dict[Host, dict[tuple[str, str], list[float]]] = field(default_factory=dict)
    calls: dict[Host, tuple[int, int]] = field(default_factory=dict)
    memory: tuple[float, float] = (0, 0)
    about: dict[str, str] = field(default_factory=dict)

    def ours(self, host: Host, work: str) -> float:
        """Give our median."""
        return median(self.seconds[host]["ours", work])

    def novas(self, host: Host, work: str) -> float:
        """Give nova's median."""
        return median(self.seconds[host]["nova", work])

    def of_the_floor(self, host: Host, work: str, floor: str = "floor") -> float:
        """Tell how many times a floor a work takes, turn by turn: what else the machine does meets both."""
        pairs = zip(self.seconds[host]["ours", work], self.seconds[host]["ours", floor], strict=True)
        return median(own / least for own, least in pairs)

    def faster(self, host: Host, work: str) -> float:
        """Tell how many times faster ours is than nova's."""
        return self.novas(host, _PEERS.get(work, work)) / self.ours(host, work)

    def beside(self, host: Host, work: str) -> float:
        """Tell what part of a later scan's time a work takes."""
        return self.ours(host, work) / self.ours(host, "later scan")


def measured() -> Result:
    """Run everything; it takes some minutes, most of them nova's."""
    result = Result()
    with (
        Side.started(ROOT / ".nova/bin/python", "novas_host") as nova,
        Side.started(Path(sys.executable), "ours_host") as our,
    ):
        result.about = {
            "Python": our.about["Python"],
            "nova": nova.about["nova"],
            "nova's Python": nova.about["Python"],
        }
        for host in HOSTS:
            print(f"-- {host.count} functions, {host.vfs} VFs a PF", file=sys.stderr, flush=True)
            with _grown(host) as root, _folder() as folder:
                _load(host, root, folder, nova, our)
                result.seconds[host] = _run(host, nova, our)
    for host in (*HOSTS, *(Host(count, PLAIN) for count in COUNTS)):
        with _grown(host, netdevs=False) as root:
            result.calls[host] = traced.calls(root)
    with _grown(HOSTS[len(COUNTS) - 1]) as root, _folder() as folder:
        result.memory = resident.memory(root, folder, fleet.values((), fleet.ENTRIES[0]))
    return result


@contextmanager
def _grown(host: Host, *, netdevs: bool = True) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="pci-bench-", dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as folder:
        tree.grow(f"{folder}/sys", host.devices(), netdevs=netdevs)
        yield f"{folder}/sys"


@contextmanager
def _folder() -> Iterator[str]:
    """Give a folder beside the code, which is on a disk, for what has to last: both sides keep theirs in it."""
    with tempfile.TemporaryDirectory(prefix="pci-bench-", dir=ROOT) as folder:
        yield folder


def _has_claims(host: Host) -> bool:
    return host == Host(_CLAIMS_ON, VFS[0])


def _load(host: Host, root: str, folder: str, nova: Side, our: Side) -> None:
    devices = host.devices()
    asked = {
        "root": root,
        "folder": folder,
        "values": fleet.values(devices, fleet.ENTRIES[0]),
        "claims": _has_claims(host),
    }
    our.load(asked)
    nova.load({**asked, "functions": reported.functions(devices), "specs": fleet.one_vf()[0]["specs"]})


def _run(host: Host, nova: Side, our: Side) -> dict[tuple[str, str], list[float]]:
    groups = [
        [(our, "floor"), (our, "floor with addresses"), (our, "first scan"), (our, "later scan"), (nova, "discovery")],
        [(our, "later inventory"), (nova, "discovery and sync")],
        [(our, "look")],
        [(our, "one changed")],
    ]
    if _has_claims(host):
        groups += [[(our, work), (nova, work)] for work in ("claim", "claim and allocate")]
    found: dict[tuple[str, str], list[float]] = {}
    for works, rows in zip(groups, take_turns(*groups), strict=True):
        for (side, work), spent in zip(works, rows, strict=True):
            found["nova" if side is nova else "ours", work] = spent
    return found


def limits(result: Result) -> list[Limit]:
    """Hold what was measured against what was wanted."""
    return [
        *(_floor_limit(result, work) for work in ("first scan", "later scan")),
        *(_calls_limit(result, at, work) for at, work in enumerate(("first scan", "later scan"))),
        *(_faster_limit(result, work, count, least) for (work, count), least in FASTER.items()),
        _beside_limit(result),
        _claim_limit(result),
        Limit(
            f"an agent of {COUNTS[-1]} functions has at most {MOST_MEMORY_MB} MB of memory",
            f"{result.memory[0]:.1f} MB",
            result.memory[0] <= MOST_MEMORY_MB,
        ),
    ]


def _floor_limit(result: Result, work: str) -> Limit:
    most = max(result.of_the_floor(host, work) for host in HOSTS)
    wanted = f"a {work} takes at most {MOST_OF_THE_FLOOR:g} times the floor"
    return Limit(wanted, f"{most:.2f} times", most <= MOST_OF_THE_FLOOR)


def _calls_limit(result: Result, at: int, work: str) -> Limit:
    most = max(result.calls[host][at] / host.count for host in HOSTS)
    return Limit(
        f"a {work} makes at most {MOST_CALLS} system calls a function beside netdevs", f"{most:.2f}", most <= MOST_CALLS
    )


def _faster_limit(result: Result, work: str, count: int, least: int) -> Limit:
    times = result.faster(Host(count, VFS[0]), work)
    wanted = f"a {work} of {count} functions is at least {least} times faster than nova's {_PEERS[work]}"
    return Limit(wanted, f"{times:.0f} times", times >= least)


def _beside_limit(result: Result) -> Limit:
    most = max(result.beside(host, "look") for host in HOSTS)
    wanted = f"a look at an unchanged host takes at most {MOST_BESIDE:.0%} of its scan's time beside it"
    return Limit(wanted, f"{most:.1%}", most <= MOST_BESIDE)


def _claim_limit(result: Result) -> Limit:
    host = Host(_CLAIMS_ON, VFS[0])
    times = result.novas(host, "claim and allocate") / result.ours(host, "claim")
    wanted = f"a durable claim on {host.count} functions is at least {FASTER_CLAIM} times faster than nova's"
    return Limit(f"{wanted} claim, allocation and save", f"{times:.1f} times", times >= FASTER_CLAIM)
