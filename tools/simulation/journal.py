"""
What was asked of agents and what they answered, and whether all these answers can be true.

Only what is certain counts. A device is certainly held from the answer to its claim until a free of it is sent, or
until the claim may have ended by itself, unless it was allocated. A time is that of the one process that asks.
"""

import math
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One command.

    Attributes:
        verdict: None where no answer came
        devices: of ok: what the request holds, by uuid
        sent_s, over_s: when it was sent, and when its answer came or was given up
    """

    host: str
    request: str
    verb: str
    attempt: int
    sent_s: float
    over_s: float
    verdict: str | None
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Holding:
    """A request certainly held these devices all that time."""

    request: str
    host: str
    devices: tuple[str, ...]
    since_s: float
    until_s: float


class Journal:
    """All commands, as they came to an end. Any thread may write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def write(self, entry: Entry) -> None:
        """Keep one."""
        with self._lock:
            self._entries.append(entry)

    def entries(self) -> list[Entry]:
        """Give all so far."""
        with self._lock:
            return list(self._entries)


Owned = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""What requests hold in the end, by host and request: attempt, allocated, devices."""


def broken_promises(
    entries: Iterable[Entry], owned: Owned, relatives: Mapping[str, Iterable[str]], lifetime_s: float
) -> list[str]:
    """
    Find answers that can't all be true, or that didn't last.

    Args:
        entries: all that was asked; each request's in order of time
        owned: what there is in the end, when nothing is under way any more
        relatives: which devices each device takes with it when it is held: a PF its VFs; itself needn't be in it
        lifetime_s: how long a claim lasts unless it is allocated
    """
    lives: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda each: each.sent_s):
        lives[entry.request].append(entry)
    holdings = [holding for life in lives.values() for holding in _holdings(life, lifetime_s)]
    found = [*_held_twice(holdings, relatives)]
    for request, life in lives.items():
        found += _contradictions(request, life, lifetime_s)
        found += _not_lasting(request, life, owned)
    return found


def _holdings(life: Sequence[Entry], lifetime_s: float) -> Iterator[Holding]:
    """Give what a request certainly held: it is claimed on one host, allocated or not, and freed at most once."""
    claimed = _first(life, "claim", "ok")
    if claimed is None:
        return
    freed = min((each.sent_s for each in life if each.verb == "free"), default=math.inf)
    ends = _earliest_end(life, lifetime_s)
    if _first(life, "allocate", "ok") is not None:
        ends = math.inf
    yield Holding(claimed.request, claimed.host, claimed.devices, claimed.over_s, min(freed, ends))


def _earliest_end(life: Sequence[Entry], lifetime_s: float) -> float:
    """Tell when a claim may have ended by itself: it is as old as the first one that was sent, answered or not."""
    return min(each.sent_s for each in life if each.verb == "claim") + lifetime_s


def _held_twice(holdings: Iterable[Holding], relatives: Mapping[str, Iterable[str]]) -> Iterator[str]:
    by_device: dict[str, list[Holding]] = defaultdict(list)
    for holding in holdings:
        for device in {each for held in holding.devices for each in (held, *relatives.get(held, ()))}:
            by_device[device].append(holding)
    for device, held in by_device.items():
        for one, other in pairwise(sorted(held, key=lambda each: each.since_s)):
            if other.since_s < one.until_s:
                yield (
                    f"{one.host}: the device {device} was held by {one.request} from {one.since_s:.2f} to"
                    f" {one.until_s:.2f}, and by {other.request} from {other.since_s:.2f}"
                )


def _contradictions(request: str, life: Sequence[Entry], lifetime_s: float) -> Iterator[str]:
    given = {each.devices for each in life if each.verb in ("claim", "allocate") and each.verdict == "ok"}
    if len(given) > 1:
        yield f"{request}: was answered with other devices than before: {sorted(given)}"
    freed = any(each.verb == "free" for each in life)
    claimed = _first(life, "claim", "ok")
    for each in life:
        gone = each.verb == "allocate" and each.verdict == "gone" and each.over_s < _earliest_end(life, lifetime_s)
        if gone and claimed is not None and not freed:
            yield f"{each.host}: the claim of {request} was answered, and gone before its time was over"


def _not_lasting(request: str, life: Sequence[Entry], owned: Owned) -> Iterator[str]:
    there = {host: of_host[request] for host, of_host in owned.items() if request in of_host}
    if len(there) > 1:
        yield f"{request}: has devices on {', '.join(sorted(there))}"
    allocated = _first(life, "allocate", "ok")
    frees = [each for each in life if each.verb == "free"]
    if allocated is not None and not frees:
        kept = there.get(allocated.host)
        if kept is None or not kept["allocated"] or tuple(sorted(kept["devices"])) != allocated.devices:
            yield f"{allocated.host}: {request} was answered that {allocated.devices} are its own; it has {kept}"
    if not any(each.verb == "allocate" for each in life):
        for host, kept in there.items():
            if kept["allocated"]:
                yield f"{host}: {request} is allocated, and nobody has asked for that: {kept}"
    if any(each.verdict == "ok" for each in frees) and there:
        yield f"{request}: was answered that it is freed, and has {there}"


def _first(life: Sequence[Entry], verb: str, verdict: str) -> Entry | None:
    return next((each for each in life if each.verb == verb and each.verdict == verdict), None)
