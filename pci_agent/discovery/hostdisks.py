"""
Which functions the host's mounts and swap lie on, through partitions, device mapper, RAID and NVMe multipath.

Nothing tells the disks of a ZFS pool, so that such a mount is a problem and nothing is concluded from it.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pci_agent.discovery.attributes import last, links, read, said
from pci_agent.discovery.findings import Findings, function_at, rows, shown
from pci_agent.model.address import PciAddress

_NUMBERS = re.compile(rb"[0-9]{1,10}:[0-9]{1,10}")
_ESCAPED = re.compile(rb"\\([0-7]{3})")
_PARTITION = re.compile(r"p?[0-9]+", re.ASCII)
_WITHOUT_NUMBER = ("btrfs", "bcachefs")  # each of these is on several devices, and bears a number of its own


@dataclass(frozen=True, slots=True)
class _Source:
    """
    What a file system is mounted from.

    Attributes:
        number: of its block device, as in "259:1"; None where it has none of its own (btrfs, bcachefs, ZFS)
        names: of its block devices below /dev, where it has no number
        kind: of the file system
    """

    number: str | None
    names: tuple[str, ...]
    kind: str


@dataclass(frozen=True, slots=True)
class _Part:
    """
    Where a block device lies on hardware.

    Attributes:
        function: the disk's controller
        disk: the whole disk, not the partition
        words: the block device and what it lies on: "vg-root on nvme0n1p3"
    """

    function: PciAddress
    disk: str
    words: str


class Storage:
    """Mounts and swap, and the way from each down to the hardware. A block device is told by its place in sysfs."""

    def __init__(self, found: Findings, sysfs_root: str, proc_root: str) -> None:
        self._found = found
        self._root = sysfs_root
        self._proc_root = proc_root

    def look(self) -> None:
        """Say of each disk what is mounted from it, in one sentence, and of each function what is swap."""
        paths: dict[tuple[PciAddress, str], set[str]] = {}
        words: dict[tuple[PciAddress, str], set[str]] = {}
        for place, mounted in self._mounted().items():
            for part in self._parts(place):
                paths.setdefault((part.function, part.disk), set()).update(mounted)
                words.setdefault((part.function, part.disk), set()).add(part.words)
        for (function, disk), mounted in sorted(paths.items()):
            where, *others = words[function, disk]
            # The shortest alone: containers mount and unmount below it all the time, which is no other use.
            shortest = min(mounted, key=lambda path: (len(path), path))
            self._found.use(function, f"{shown(shortest)} is mounted from {shown(disk) if others else where}")
        for name in sorted(set(rows(self._found, self._proc_root, "swaps", _swap, optional=True))):
            for part in self._parts(self._place(self._kernels(name), "swap, and not there")):
                self._found.use(part.function, f"{part.words} is swap")

    def _mounted(self) -> dict[str, set[str]]:
        by_source: dict[_Source, set[str]] = {}
        for source, path in rows(self._found, self._proc_root, "self/mountinfo", _mount):
            by_source.setdefault(source, set()).add(path)
        by_place: dict[str, set[str]] = {}
        for source, paths in by_source.items():
            for place in self._places(source):
                by_place.setdefault(place, set()).update(paths)
        return by_place

    def _places(self, source: _Source) -> set[str]:
        if source.kind == "zfs":
            self._found.note("proc/self/mountinfo: ZFS is mounted, and the disks of its pools can't be told", gap=False)
        if source.number is not None:
            return {self._link(f"dev/block/{source.number}", "mounted, and not there")}
        names = {self._kernels(name) for name in source.names}
        if source.kind == "btrfs":
            names |= {each for fellows in self._btrfs() if not names.isdisjoint(fellows) for each in fellows}
        missing = f"{source.kind} is mounted from it, and it isn't there" if source.kind in _WITHOUT_NUMBER else ""
        return {self._place(name, missing) for name in names}

    def _btrfs(self) -> list[list[str]]:
        """Give the devices of every btrfs that is mounted: each mount names but one of them."""
        return [self._list(f"fs/btrfs/{uuid}/devices") for uuid in self._list("fs/btrfs")]

    # The way down

    def _parts(self, place: str) -> Iterator[_Part]:
        top = self._label(place)
        seen, waiting = {place}, [place]
        while waiting:
            each = waiting.pop()
            words = top if each == place else f"{top} on {self._label(each)}"
            for function in self._functions(each):
                yield _Part(function, _disk(each), words)
            below = {self._place(name) for name in self._slaves(each)} - seen
            seen |= below
            waiting += sorted(below)

    def _functions(self, place: str) -> list[PciAddress]:
        """Give the disk's controller, or each one that leads to a drive with NVMe multipath."""
        function = function_at(place)
        subsystem = place.partition("/virtual/nvme-subsystem/")[2].partition("/")[0]
        if function is not None or not subsystem:
            return [] if function is None else [function]
        controllers = sorted(target for _, target in self._links(f"class/nvme-subsystem/{subsystem}"))
        return [function for function in map(function_at, controllers) if function is not None]

    def _slaves(self, place: str) -> list[str]:
        virtual = "/virtual/block/" in place
        return self._list(f"class/block/{_disk(place)}/slaves") if virtual else []

    def _label(self, place: str) -> str:
        name = last(place)
        return shown((name.startswith("dm-") and self._mapped(name)) or name)

    def _place(self, name: str, missing: str = "") -> str:
        return self._link(f"class/block/{name}", missing)

    def _kernels(self, name: str) -> str:
        """Give the kernel's name of what is below /dev: dm-0 of mapper/vg-root, cciss!c0d0 of cciss/c0d0."""
        if name.startswith("mapper/"):
            mapped = (each for each in self._list("class/block") if each.startswith("dm-"))
            name = next((each for each in mapped if self._mapped(each) == name.removeprefix("mapper/")), name)
        return name.replace("/", "!")

    # Reading

    def _mapped(self, name: str) -> str | None:
        """Give device mapper's own name of a device: vg-root for dm-0."""
        place = f"class/block/{name}/dm/name"
        try:
            return read(os.path.join(self._root, place))
        except FileNotFoundError:
            return None
        except OSError as error:
            self._found.note(f"sys/{place}: {said(error)}")
            return None

    def _link(self, place: str, missing: str = "") -> str:
        """Give where a link leads; empty where there is none, which is a problem if *missing* says so."""
        try:
            return os.readlink(os.path.join(self._root, place))
        except FileNotFoundError:
            problem = missing
        except OSError as error:
            problem = said(error)
        if problem:
            self._found.note(f"sys/{shown(place)}: {problem}")
        return ""

    def _links(self, place: str) -> list[tuple[str, str]]:
        try:
            return list(links(os.path.join(self._root, place)))
        except OSError as error:
            self._found.note(f"sys/{shown(place)}: {said(error)}")
            return []

    def _list(self, place: str) -> list[str]:
        try:
            return os.listdir(os.path.join(self._root, place))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self._found.note(f"sys/{shown(place)}: {said(error)}")
            return []


def _mount(line: bytes) -> tuple[_Source, str] | None:
    """Read ``27 1 259:1 / /boot/efi rw,relatime shared:2 - vfat /dev/nvme0n1p1 rw``."""
    mount, _, file_system = line.partition(b" - ")
    _, _, number, _, path, *_ = mount.split(b" ")
    kind, source, *_ = file_system.split(b" ")
    if _NUMBERS.fullmatch(number) is None:
        raise ValueError(number)
    if not number.startswith(b"0:"):
        return _Source(number.decode(), (), ""), _unescaped(path)
    if kind.startswith(b"fuse"):
        return None  # its source is any text that a user liked to write
    devices = (each for each in _unescaped(source).split(":") if each.startswith("/dev/"))  # bcachefs has several
    names = tuple(each.removeprefix("/dev/") for each in devices)
    return (_Source(None, names, os.fsdecode(kind)), _unescaped(path)) if names or kind == b"zfs" else None


def _swap(line: bytes) -> str | None:
    """Read ``/dev/nvme0n1p3 partition 8388604 0 -2``; a file of swap lies on a disk that is mounted."""
    name, kind, *_ = line.split()
    path = _unescaped(name)
    return path.removeprefix("/dev/") if kind == b"partition" and path.startswith("/dev/") else None


def _unescaped(name: bytes) -> str:
    plain = _ESCAPED.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), name)
    if b"\0" in plain:
        raise ValueError(name)
    return os.fsdecode(plain)


def _disk(place: str) -> str:
    """Give the whole disk: sda for .../block/sda/sda1."""
    above, name = ["", *place.split("/")][-2:]
    return above if name.startswith(above) and _PARTITION.fullmatch(name.removeprefix(above)) else name
