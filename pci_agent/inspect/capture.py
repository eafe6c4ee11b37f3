"""
``pci-agent capture``: records a machine's PCI functions into one tar, to be looked at elsewhere.

* It holds what discovery reads, and only that: the names in sysfs.ATTRIBUTES and sysfs.LINKS, the links of
  ``class/net`` and ``bus/vdpa`` that lead to PCI functions, and each host bridge's ACPI path. Never ``config``,
  never ``vpd``: no serial number is in there.
* MAC addresses are left out unless they are asked for, also where a netdev's name is made of one (``enx…``).
* What is odd stays odd: a directory where a link belongs, a link that leads nowhere, garbage in a file.
* Replayed, it gives the same ``discover`` JSON, byte for byte but for the MAC addresses.
* The same machine gives the same tar: names are sorted, times and owners are zero.
"""

import errno
import io
import os
import posixpath
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from pci_agent.discovery import sysfs
from pci_agent.discovery.attributes import links
from pci_agent.errors import CommandFailed

_PAGE = 4096
_DEVICES = "bus/pci/devices"
_ROOT_BUS = re.compile(r"(.*?/pci[0-9a-f]{4,8}:[0-9a-f]{2})(?:/|$)", re.IGNORECASE)
_NET = re.compile(r"(.*/[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])/net/[^/]+/?", re.IGNORECASE)
_NAMED_BY_MAC = re.compile(r"enx[0-9a-f]{12}")


def capture(path: str, *, root: str = "/sys", keep_identifiers: bool = False) -> int:
    """
    Record the machine below *root* into *path*; compressed where that ends in ``.gz``.

    Returns:
        How many entries /sys/bus/pci/devices has.

    Raises:
        CommandFailed: the entries can't be listed, or the file can't be written.
    """
    try:
        names = sorted(os.listdir(os.path.join(root, _DEVICES)))
        with tarfile.open(path, "w:gz") if path.endswith(".gz") else tarfile.open(path, "w") as tar:
            _Recording(root, tar, keep_identifiers=keep_identifiers).record(names)
    except (OSError, tarfile.TarError) as error:
        raise CommandFailed(f"capture: {error}; --sysfs-root names another sysfs, FILE another place") from error
    return len(names)


@contextmanager
def replayed(root: str) -> Iterator[str]:
    """Give *root* as a directory: itself, or where it is a capture, a folder that it is unpacked into meanwhile."""
    if not os.path.isfile(root):
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="pci-agent-") as folder:
        try:
            with tarfile.open(root) as tar:
                _unpack(tar, folder)
        except (OSError, tarfile.TarError) as error:
            raise CommandFailed(f"{root}: not a capture ({error}); pci-agent capture makes one") from error
        yield folder


def _unpack(tar: tarfile.TarFile, folder: str) -> None:
    """Unpack directories, files and links that stay in *folder*; Python before 3.11.4 has no filter for that."""
    for member in tar:
        path = _inside(member.name)
        place = os.path.join(folder, path)
        os.makedirs(place if member.isdir() else os.path.dirname(place), exist_ok=True)
        if member.issym():
            _inside(posixpath.join(posixpath.dirname(path), member.linkname))
            os.symlink(member.linkname, place)
        elif member.isfile() and (content := tar.extractfile(member)) is not None:
            with open(place, "wb") as file:
                file.write(content.read(_PAGE))
        elif not member.isdir():
            raise tarfile.TarError(f"{member.name} is no directory, file or link")


def _inside(path: str) -> str:
    """Give a path without detours, where it leads nowhere else."""
    plain = posixpath.normpath(path)
    if plain.startswith(("/", "..")):
        raise tarfile.TarError(f"{path} leads out of it")
    return plain


class _Recording:
    """One capture on its way into a tar."""

    def __init__(self, root: str, tar: tarfile.TarFile, *, keep_identifiers: bool) -> None:
        self._root = root
        self._tar = tar
        self._keep_identifiers = keep_identifiers
        self._bridges: set[str] = set()
        self._renamed: dict[str, str] = {}

    def record(self, names: list[str]) -> None:
        """Record these entries, and what other classes say of them."""
        self._add(_DEVICES, tarfile.DIRTYPE)
        for name in names:
            self._function(f"{_DEVICES}/{name}")
        self._netdevs()
        for name, target in sorted(links(os.path.join(self._root, "bus/vdpa/devices"))):
            self._add(f"bus/vdpa/devices/{name}", tarfile.SYMTYPE, target=target)

    def _function(self, entry: str) -> None:
        target = self._link(entry)
        home = entry if target is None else posixpath.normpath(posixpath.join(_DEVICES, target))
        if home.startswith(".."):
            return
        for name in sysfs.ATTRIBUTES:
            self._file(f"{home}/{name}")
        for name in (*sysfs.LINKS, *self._virtfns(home)):
            self._link(f"{home}/{name}")
        bridge = _ROOT_BUS.match(home)
        if bridge is not None and bridge[1] not in self._bridges:
            self._bridges.add(bridge[1])
            self._file(f"{bridge[1]}/firmware_node/path")

    def _virtfns(self, home: str) -> list[str]:
        try:
            return sorted(name for name in os.listdir(os.path.join(self._root, home)) if name.startswith("virtfn"))
        except OSError:
            return []

    def _netdevs(self) -> None:
        for name, target in sorted(links(os.path.join(self._root, "class/net"))):
            found = _NET.fullmatch(target)
            if found is None:
                continue
            shown = self._shown(name)
            self._add(f"class/net/{shown}", tarfile.SYMTYPE, target=f"{found[1]}/net/{shown}")
            home = posixpath.normpath(f"class/net/{found[1]}/net/{name}")
            if self._keep_identifiers and not home.startswith(".."):
                self._file(f"{home}/address")

    def _shown(self, name: str) -> str:
        if self._keep_identifiers or _NAMED_BY_MAC.fullmatch(name) is None:
            return name
        return self._renamed.setdefault(name, f"enx{len(self._renamed) + 1:012x}")

    def _link(self, path: str) -> str | None:
        """Record a link and give its target; a directory in its place is recorded as one."""
        try:
            target = os.readlink(os.path.join(self._root, path))
        except OSError as error:
            if error.errno == errno.EINVAL:
                self._add(path, tarfile.DIRTYPE)
            return None
        self._add(path, tarfile.SYMTYPE, target=target)
        return target

    def _file(self, path: str) -> None:
        """Record a file; what can't be read is left out."""
        try:
            descriptor = os.open(os.path.join(self._root, path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return
        try:
            self._add(path, tarfile.REGTYPE, content=os.read(descriptor, _PAGE))
        except OSError:
            return
        finally:
            os.close(descriptor)

    def _add(self, path: str, kind: bytes, *, target: str = "", content: bytes = b"") -> None:
        member = tarfile.TarInfo(path)
        member.type, member.linkname, member.size = kind, target, len(content)
        member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
        self._tar.addfile(member, io.BytesIO(content))
