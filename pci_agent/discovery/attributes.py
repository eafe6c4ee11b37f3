"""
Reads single attributes of sysfs, and says in a few words why one can't be read.

Nothing here blocks: a damaged tree may hold a pipe that nobody writes to. Nothing here reads more than a
page, which is the most that sysfs gives of an attribute.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

_PAGE = 4096
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_SHOWN = 60


class Unreadable(Exception):
    """Something can't be told; the text is the cause."""


class Place(NamedTuple):
    """
    A directory, to read its files and links. What isn't there is None, any other trouble is Unreadable.

    A named tuple, for one is made of every function at every scan.

    Attributes:
        way: the path to it, which ends in a slash; empty where it is *directory* itself
        directory: the descriptor of the directory that *way* starts from
    """

    way: str
    directory: int

    def file(self, name: str) -> bytes | None:
        """Read an attribute."""
        try:
            return page(self.way + name, self.directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unreadable(f"{text(name)}: {said(error)}") from None

    def link(self, name: str) -> str | None:
        """Read where a link leads."""
        try:
            return os.readlink(self.way + name, dir_fd=self.directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unreadable(f"{text(name)}: {said(error)}") from None


@contextmanager
def opened(path: str, directory: int | None = None) -> Iterator[int]:
    """Open a directory, to read below it by descriptor; *path* is relative to *directory*, if that is given."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read(path: str, directory: int | None = None) -> str:
    """Read one attribute, without the white space around it; *path* is relative to *directory*, if that is given."""
    return word(page(path, directory))


def page(path: str, directory: int | None) -> bytes:
    """Read one attribute as it is; *path* is relative to *directory*, if that is given."""
    descriptor = os.open(path, _FLAGS, dir_fd=directory)
    try:
        return os.read(descriptor, _PAGE)
    finally:
        os.close(descriptor)


def links(path: str) -> Iterator[tuple[str, str]]:
    """Yield (name, target) of each link in a directory; nothing where there is no such directory."""
    try:
        with opened(path) as directory:
            for name in os.listdir(directory):
                try:
                    yield name, os.readlink(name, dir_fd=directory)
                except OSError:
                    continue  # a file such as bonding_masters, or just gone
    except FileNotFoundError:
        return


def last(place: str) -> str:
    """Give the last name of a path."""
    return place.rpartition("/")[2] or place.rstrip("/").rpartition("/")[2]


def word(content: bytes) -> str:
    """Give what a file says as text, without the white space around it."""
    return content.decode("utf-8", "replace").strip()


def text(name: str) -> str:
    """Give a name that the kernel gave as text that can be printed and sent: it may hold any byte."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "replace")


def said(error: OSError) -> str:
    """Tell an error in the system's words."""
    return "a plain file or directory, not a link" if error.errno == errno.EINVAL else str(error.strerror).lower()


def short(text: str) -> str:
    """Quote text for a message, cut where it is long."""
    return repr(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…")
