"""
``pci-agent capture``: records a machine's PCI functions into one tar, to be looked at elsewhere.

* It holds what discovery reads, and only that: the names in function.ATTRIBUTES and function.LINKS, the links of
  ``class/net`` and ``bus/vdpa`` that lead to PCI functions, and each host bridge's ACPI path. Never ``config``,
  never ``vpd``.
* Serial numbers (function.IDENTIFIERS) and MAC addresses are left out unless they are asked for, also where a netdev's
  name tells one (``enx…``).
* What is odd stays odd: a directory where a link belongs, a link that leads nowhere, garbage in a file.
* Replayed, it gives the same ``discover`` JSON, byte for byte but for the MAC addresses.
* The same machine gives the same tar: names are sorted, times and owners are zero.
"""

import errno
import gzip
import io
import os
import posixpath
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from pci_agent.discovery import function
from pci_agent.discovery.attributes import links
from pci_agent.errors import CommandFailed

_PAGE = 4096
_MOST_BYTES = 256 * 1024 * 1024  # forty thousand functions
_DEVICES = "bus/pci/devices"
_ROOT_BUS = re.compile(r"(.*?/pci[0-9a-f]{4,8}:[0-9a-f]{2})(?:/|$)", re.IGNORECASE)
_NET = re.compile(r"(.*/[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])/net/([^/]+)/?", re.IGNORECASE)
_NAMED_BY_MAC = re.compile(r"(?:en|wl|ww|sl|ib)x[0-9a-f]{12}", re.IGNORECASE)
_MAC_DIGITS = 12


def capture(path: str, *, root: str = "/sys", keep_identifiers: bool = False) -> int:
    """
    Record the machine below *root* into *path*; compressed where that ends in ``.gz``.

    Returns:
        How many entries /sys/bus/pci/devices has.

    Raises:
        CommandFailed: the entries can't be listed, or the file can't be written.
    """
    whole = io.BytesIO()
    try:
        names = sorted(os.listdir(os.path.join(root, _DEVICES)))
        with tarfile.open(fileobj=whole, mode="w") as tar:
            _Recording(root, tar, keep_identifiers=keep_identifiers).record(names)
        content = whole.getvalue()
        with open(path, "wb") as file:
            file.write(gzip.compress(content, mtime=0) if path.endswith(".gz") else content)
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
            with tarfile.open(fileobj=io.BytesIO(_content(root))) as tar:
                _unpack(tar, folder)
        except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
            raise CommandFailed(f"{root}: not a capture ({error}); pci-agent capture makes one") from error
        yield folder


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else open(path, "rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise tarfile.TarError(f"more than {_MOST_BYTES >> 20} MiB")
    return content


def _unpack(tar: tarfile.TarFile, folder: str) -> None:
    """
    Unpack directories, files and links that stay in *folder*, whoever wrote the tar.

    Links come last, when nothing more is written that could pass through one; each name comes once.
    """
    targets: dict[str, str] = {}
    for member in tar:
        path = posixpath.normpath(member.name)
        place = os.path.join(folder, path)
        if path.startswith(("/", "..")) or path in targets or os.path.isfile(place):
            raise tarfile.TarError(f"{member.name} leads out of it, or stands in it twice")
        if member.isdir():
            os.makedirs(place, exist_ok=True)
        elif member.issym():
            targets[path] = member.linkname
        elif member.isfile() and (content := tar.extractfile(member)) is not None:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "wb") as file:
                file.write(content.read(_PAGE))
        else:
            raise tarfile.TarError(f"{member.name} is no directory, file or link")
    for path, target in targets.items():
        place = os.path.join(folder, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.symlink(target, place)
    home = os.path.realpath(folder)
    for path in targets:
        leads = os.path.realpath(os.path.join(folder, path))
        if not leads.startswith(f"{home}/"):
            raise tarfile.TarError(f"{path} leads out of it")


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
        for name, target in sorted(self._links("bus/vdpa/devices")):
            self._add(f"bus/vdpa/devices/{name}", tarfile.SYMTYPE, target=target)

    def _function(self, entry: str) -> None:
        target = self._link(entry)
        home = entry if target is None else posixpath.normpath(posixpath.join(_DEVICES, target))
        for name in (*function.ATTRIBUTES, *(function.IDENTIFIERS if self._keep_identifiers else ())):
            self._file(f"{home}/{name}")
        for name in (*function.LINKS, *self._virtfns(home)):
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
        for name, target in sorted(self._links("class/net")):
            found = _NET.fullmatch(target)
            if found is None or found[2] != name:
                continue
            address = self._read(f"class/net/{name}/address")
            shown = self._shown(name, address)
            self._add(f"class/net/{shown}", tarfile.SYMTYPE, target=f"{found[1]}/net/{shown}")
            home = posixpath.normpath(f"class/net/{found[1]}/net/{shown}")
            if self._keep_identifiers and address is not None and not home.startswith(".."):
                self._add(f"{home}/address", tarfile.REGTYPE, content=address)
                self._file(f"{home}/addr_assign_type")

    def _shown(self, name: str, address: bytes | None) -> str:
        """Give a netdev's name, or another where it tells the MAC address that is left out."""
        digits = re.sub("[^0-9a-f]", "", (address or b"").decode("ascii", "replace").lower())
        tells = len(digits) >= _MAC_DIGITS and digits in re.sub("[^0-9a-f]", "", name.lower())
        if self._keep_identifiers or not (tells or _NAMED_BY_MAC.fullmatch(name)):
            return name
        return self._renamed.setdefault(name, f"net{len(self._renamed) + 1}")

    def _links(self, place: str) -> list[tuple[str, str]]:
        try:
            return list(links(os.path.join(self._root, place)))
        except OSError:
            return []

    def _link(self, path: str) -> str | None:
        """Record a link and give its target; a directory in its place is recorded as one."""
        try:
            target = os.readlink(os.path.join(self._root, path))
        except OSError as error:
            if error.errno == errno.EINVAL:
                self._add(path, tarfile.DIRTYPE)
            return None
        leads = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if leads.startswith(("/", "..")):  # not the kernel's doing; where it ends is kept, what is there is not
            target = f"gone/{posixpath.basename(target.rstrip('/'))}"
        self._add(path, tarfile.SYMTYPE, target=target)
        return target

    def _file(self, path: str) -> None:
        """Record a file; what can't be read is left out."""
        content = self._read(path)
        if content is not None:
            self._add(path, tarfile.REGTYPE, content=content)

    def _read(self, path: str) -> bytes | None:
        try:
            descriptor = os.open(os.path.join(self._root, path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return os.read(descriptor, _PAGE)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def _add(self, path: str, kind: bytes, *, target: str = "", content: bytes = b"") -> None:
        member = tarfile.TarInfo(path)
        member.type, member.linkname, member.size = kind, target, len(content)
        member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
        self._tar.addfile(member, io.BytesIO(content))
