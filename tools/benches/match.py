"""
Our core beside nova's (34.0.0): matching, pools, fitting and an unchanged look, on the same devices.

Each side is a process of its own. The two take turns at each work, so that what else the machine does meets both.
"""

import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

from benches import fleet, reported
from benches.side import ROOT, Side, take_turns

COUNTS = (64, 256, 1024, 4096)
VFS = (63, 7)

ROWS = (
    ("match all", "match", "match"),
    ("build pools", "pools", "pools"),
    ("build pools by nova's keys", "pools", "nova's pools"),
    ("fit 1 VF", "1 VF", "1 VF"),
    ("fit 1 VF, nova's taking alone", "1 VF, taken alone", "1 VF"),
    ("fit 1 PF", "1 PF", "1 PF"),
    ("fit 1 PF, nova's taking alone", "1 PF, taken alone", "1 PF"),
    ("fit 8 mixed requests", "8 mixed", "8 mixed"),
    ("fit 8 mixed requests, nova's taking alone", "8 mixed, taken alone", "8 mixed"),
    ("unchanged: reconcile", "unchanged", "reconcile"),
    ("unchanged: match and reconcile", "unchanged", "unchanged"),
    ("unchanged: the agent's whole look but for reading sysfs", "unchanged", "agent's look"),
)
"""What is shown: a name, nova's work and ours."""

_WORKS = (
    ("match", "match"),
    ("pools", "pools"),
    (None, "nova's pools"),
    ("1 VF", "1 VF"),
    ("1 VF, taken alone", None),
    ("1 PF", "1 PF"),
    ("1 PF, taken alone", None),
    ("8 mixed", "8 mixed"),
    ("8 mixed, taken alone", None),
    ("unchanged", "unchanged"),
    (None, "reconcile"),
    (None, "agent's look"),
)

FASTER = {"match all": 100, "build pools": 150, "unchanged: reconcile": 1000}
"""How many times faster than nova we must be, on the largest host with 63 VFs and an entry a PF."""

MOST_GROWTH = 96
"""How many times longer than on the smallest host anything of ours may take on the largest, 64 times as large."""


@dataclass(frozen=True)
class Host:
    """What is measured on: how many functions, how many VFs a PF, which whitelist."""

    count: int
    vfs: int
    entries: str


@dataclass(frozen=True)
class Result:
    """Seconds of each run, by host and then by work; and what the sides say of themselves."""

    novas: dict[Host, dict[str, list[float]]]
    ours: dict[Host, dict[str, list[float]]]
    about: dict[str, str]

    def medians(self, host: Host, row: tuple[str, str, str]) -> tuple[float, float]:
        """Give nova's and our median of a row."""
        return median(self.novas[host][row[1]]), median(self.ours[host][row[2]])

    def growth(self, vfs: int, entries: str, row: tuple[str, str, str]) -> float:
        """Give how many times longer ours takes on the largest host than on the smallest."""
        small, large = (min(self.ours[Host(count, vfs, entries)][row[2]]) for count in (COUNTS[0], COUNTS[-1]))
        return large / small


def measured() -> Result:
    """Run everything; it takes some minutes, most of them nova's."""
    novas: dict[Host, dict[str, list[float]]] = {}
    ours: dict[Host, dict[str, list[float]]] = {}
    with (
        Side.started(ROOT / ".nova/bin/python", "novas") as nova,
        Side.started(Path(sys.executable), "ours") as our,
    ):
        about = {"Python": our.about["Python"], "nova": nova.about["nova"], "nova's Python": nova.about["Python"]}
        for vfs, entries, count in product(VFS, fleet.ENTRIES, COUNTS):
            host = Host(count, vfs, entries)
            print(f"-- {count} devices, {vfs} VFs a PF, {entries}", file=sys.stderr, flush=True)
            _load(host, nova, our)
            novas[host], ours[host] = _run(nova, our)
    return Result(novas, ours, about)


def _load(host: Host, nova: Side, our: Side) -> None:
    devices = fleet.devices(host.count, host.vfs)
    asked = {
        "values": fleet.values(devices, host.entries),
        "requests": {
            "1 VF": fleet.one_vf(),
            "1 PF": fleet.one_pf(),
            "8 mixed": fleet.eight_mixed(with_pf=host.vfs < COUNTS[0] - 1),
        },
    }
    nova.load({**asked, "machine": reported.machine(devices)})
    our.load({**asked, "count": host.count, "vfs": host.vfs})


def _run(nova: Side, our: Side) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    novas: dict[str, list[float]] = {}
    ours: dict[str, list[float]] = {}
    kept_by = {nova: novas, our: ours}
    rows = [[(side, work) for side, work in zip((nova, our), works, strict=True) if work] for works in _WORKS]
    for works, spent in zip(rows, take_turns(*rows), strict=True):
        for (side, work), each in zip(works, spent, strict=True):
            kept_by[side][work] = each
    return novas, ours


def missed(result: Result) -> list[str]:
    """Tell which limits are missed."""
    told = []
    strict = Host(COUNTS[-1], VFS[0], fleet.ENTRIES[1])
    for row in ROWS:
        theirs, own = result.medians(strict, row)
        least = FASTER.get(row[0], 0)
        if theirs / own < least:
            told.append(f"{row[0]}: {theirs / own:.0f} times faster than nova, at least {least} were wanted")
        for vfs, entries in product(VFS, fleet.ENTRIES):
            growth = result.growth(vfs, entries, row)
            if growth > MOST_GROWTH and f"{row[0]}, nova" not in row[0]:
                told.append(f"{row[0]}, {vfs} VFs a PF, {entries}: grows {growth:.0f} times, at most {MOST_GROWTH}")
    return told
