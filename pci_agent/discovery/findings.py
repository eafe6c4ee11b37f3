"""
What a look at the host's own use found so far, and how its sources are read: bounded, and a line at a time.

Every name that the kernel gives may hold any byte; every sentence here is one line that can be printed.
"""

import os
from collections.abc import Callable, Container, Sequence
from typing import TypeVar

from pci_agent.discovery.attributes import said, short, text
from pci_agent.errors import InvalidAddress
from pci_agent.model.address import PciAddress

_MOST_BYTES = 8 * 1024 * 1024
_CHUNK = 256 * 1024
_MOST_REASONS = 16
_MOST_PROBLEMS = 16
_MOST_NAMED = 3
_MOST_SHOWN = 80

_Row = TypeVar("_Row")


class Findings:
    """What one source of host use has told so far, in order of weight."""

    def __init__(self) -> None:
        self._reasons: dict[PciAddress, dict[str, None]] = {}
        self._problems: dict[str, None] = {}
        self.whole = True
        """False once a part couldn't be read, so that a function without a reason may be in use all the same."""

    def use(self, address: PciAddress, reason: str) -> None:
        """Take down that a function is used, and why."""
        self._reasons.setdefault(address, {})[reason] = None

    def note(self, problem: str, *, gap: bool = True) -> None:
        """Take down what couldn't be told; *gap* where it may be told at the next look."""
        self._problems[problem] = None
        self.whole = self.whole and not gap

    def reasons(self, known: Container[PciAddress]) -> dict[PciAddress, tuple[str, ...]]:
        """Give the reasons by function, of those that are known."""
        mine = sorted(address for address in self._reasons if address in known)
        return {address: _most(list(self._reasons[address]), _MOST_REASONS) for address in mine}

    def problems(self) -> tuple[str, ...]:
        """Give what couldn't be told."""
        return _most(list(self._problems), _MOST_PROBLEMS)


def rows(
    found: Findings, proc_root: str, name: str, row: Callable[[bytes], _Row | None], *, optional: bool = False
) -> list[_Row]:
    """Read the lines of a table that mean something; the first that can't be told is a problem."""
    try:
        table, cut = _table(os.path.join(proc_root, name))
    except OSError as error:
        if not (optional and isinstance(error, FileNotFoundError)):
            found.note(f"proc/{name}: {said(error)}")
        return []
    if cut:
        found.note(f"proc/{name}: only the first {_MOST_BYTES >> 20} MiB of it were read")
    rows, bad = [], []
    for line in table.split(b"\n"):
        try:
            rows.append(row(line) if line else None)
        except ValueError:
            bad.append(line)
    if bad:
        found.note(f"proc/{name}: {short(bad[0].decode('utf-8', 'replace'))} is no line of this table")
    return [each for each in rows if each is not None]


def _table(path: str) -> tuple[bytes, bool]:
    """Read whole lines, and tell whether there were more than may be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        table = bytearray()
        while len(table) <= _MOST_BYTES:
            more = os.read(descriptor, _CHUNK)
            if not more:
                return bytes(table), False
            table += more
        return bytes(table[: table.rfind(b"\n") + 1]), True
    finally:
        os.close(descriptor)


def function_at(place: str) -> PciAddress | None:
    """Give the last PCI function on the way to a place in sysfs: buses such as virtio may follow it."""
    for part in reversed(place.split("/")):
        if ":" in part:
            try:
                return PciAddress.parse(part)
            except InvalidAddress:
                continue
    return None


def shown(name: str) -> str:
    """Give a name in one line and not too long, whatever bytes the kernel has in it."""
    plain = "".join(each if each.isprintable() else "\ufffd" for each in text(name))
    return plain if len(plain) <= _MOST_SHOWN else plain[:_MOST_SHOWN] + "…"


def listed(names: Sequence[str]) -> str:
    """Say ``a, b and c``, or ``a, b, c and 4 more``."""
    named = [shown(name) for name in names[:_MOST_NAMED]]
    if len(names) > _MOST_NAMED:
        named.append("more")
    return " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))


def _most(sentences: list[str], most: int) -> tuple[str, ...]:
    """Sort the first of them, and count the others."""
    others = len(sentences) - most
    return (*sorted(sentences[:most]), *([f"and {others} more"] if others > 0 else []))
