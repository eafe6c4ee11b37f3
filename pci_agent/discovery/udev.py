"""
Says "look again" when a uevent tells that PCI functions, netdevs or IOMMU groups may have changed; tells nothing else.

* A uevent is a hint. It is dropped as it comes; what is true is for the look to find. One wake stands for a burst:
  it comes when there was quiet for a moment, and in a burst that doesn't end after a bounded time all the same.
* A hint may be lost, but nobody waits for it: each time that listening begins it wakes, since what happened before
  went unheard, and when it ends by a failure it wakes, since some may be lost. Then it listens anew, after a pause.
* udevd's uevents are heard where udevd runs, because they come when it has named and set up the device; the kernel's
  elsewhere. libudev doesn't tell that udevd went away, it falls silent: so this is decided again every few seconds.
* What keeps it from listening (no libudev, no netlink) is its *trouble*, and is tried again. It ends no thread.
"""

import logging
import math
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from errno import ECONNREFUSED, ENOENT, ENOTDIR
from typing import Protocol

import pyudev

LOG = logging.getLogger(__name__)

SUBSYSTEMS = ("pci", "net", "iommu", "vfio", "vdpa")
CONTROL = "/run/udev/control"

_BUFFER_BYTES = 8 * 1024**2  # some thousand uevents: all of a big card's VFs, while we are kept from running
_MOST_AT_ONCE = 500  # uevents taken before the clock is read again
_START_S = 1.0
_STOP_S = 0.9


class Monitor(Protocol):
    """What uevents are read from; pyudev.Monitor is one."""

    def fileno(self) -> int:
        """Give what is readable when there may be a uevent."""

    def poll(self, timeout: float | None) -> object | None:
        """Take a uevent; None where none came within *timeout* seconds."""


def netlink(source: str) -> Monitor:
    """
    Listen to the kernel or to udevd.

    Raises:
        ImportError: there is no libudev.
        OSError: netlink is refused to us.
    """
    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source)
    for subsystem in SUBSYSTEMS:
        monitor.filter_by(subsystem)
    with suppress(OSError):  # only root may exceed the system's limit
        monitor.set_receive_buffer_size(_BUFFER_BYTES)
    monitor.start()
    listening: Monitor = monitor
    return listening


def udevd_runs(control: str = CONTROL) -> bool:
    """
    Tell whether somebody serves udevd's control socket: udevd, or systemd, which starts it when it is needed.

    True where we may not ask. udevd isn't bothered: a socket of another type than its own is refused, but
    differently from when nobody is there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        return asking.connect_ex(control) not in {ENOENT, ENOTDIR, ECONNREFUSED}


class Uevents:
    """
    The listening thread of one agent. *start* and *stop* it.

    Args:
        wake: called in that thread when it is time to look; it should return soon
        source: "udev" or "kernel"; None: what fits, decided again while listening
        quiet_s: how long there must be no uevent before a burst counts as over
        longest_s: how long after the first uevent of a burst to wake at the latest
        first_retry_s: how long to wait after a failure; doubled while listening lasts no longer than that
        last_retry_s: the longest of these
        decide_again_s: how long between two looks at whether udevd runs
        control: udevd's socket
        monitor: begins to listen to a source
    """

    def __init__(
        self,
        wake: Callable[[], None],
        *,
        source: str | None = None,
        quiet_s: float = 0.05,
        longest_s: float = 1.0,
        first_retry_s: float = 1.0,
        last_retry_s: float = 60.0,
        decide_again_s: float = 5.0,
        control: str = CONTROL,
        monitor: Callable[[str], Monitor] = netlink,
    ) -> None:
        self._wake = wake
        self._source = source
        self._quiet_s = quiet_s
        self._longest_s = longest_s
        self._first_retry_s = first_retry_s
        self._last_retry_s = last_retry_s
        self._decide_again_s = decide_again_s
        self._control = control
        self._monitor = monitor
        self._trouble: str | None = "not started"
        self._known = threading.Event()
        self._thread: threading.Thread | None = None
        self._ended = self._end = -1  # a pipe that becomes readable when it is time to stop, and stays so

    @property
    def trouble(self) -> str | None:
        """Why there are no uevents at the moment; None while listening."""
        return self._trouble

    def start(self) -> None:
        """Begin to listen; returns when it listens, when it is known why it can't, or after a second."""
        self._known.clear()
        self._trouble = "not listening yet"
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._run, name="uevents", daemon=True)
        self._thread.start()
        self._known.wait(_START_S)

    def stop(self) -> None:
        """Listen no more; a *wake* that doesn't return is left to itself after a second."""
        if self._thread is None:
            return
        os.write(self._end, b"!")
        self._thread.join(_STOP_S)
        if not self._thread.is_alive():
            os.close(self._ended)
            os.close(self._end)
        self._thread = None

    def _run(self) -> None:
        pause_s = 0.0
        while not _ready({self._ended}, pause_s):
            since = time.monotonic()
            try:
                self._listen()
                pause_s = 0.0
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for uevents
                lasted_s = time.monotonic() - since
                pause_s = self._first_retry_s if lasted_s > pause_s else min(self._last_retry_s, pause_s * 2)
                self._failed(error)
        self._trouble = "stopped"

    def _failed(self, error: Exception) -> None:
        was_listening, repeated = self._trouble is None, self._known.is_set() and self._trouble is not None
        self._trouble = str(error) or type(error).__name__
        LOG.log(logging.DEBUG if repeated else logging.WARNING, "no uevents: %s; it is tried again", self._trouble)
        self._known.set()
        if was_listening:
            self._tell()

    def _listen(self) -> None:
        """Listen until it is time to stop, or to listen to another source."""
        source = self._fitting()
        monitor = self._monitor(source)
        LOG.info("listening to uevents of %s", source)
        self._trouble = None
        self._known.set()
        self._tell()
        burst = _Burst(self._quiet_s, self._longest_s)
        decide_again = time.monotonic() + self._decide_again_s
        while True:
            patience_s = min(burst.due, decide_again) - time.monotonic()
            ready = _ready({monitor.fileno(), self._ended}, patience_s)
            if self._ended in ready:
                return
            if monitor.fileno() in ready and _taken(monitor):
                burst.heard(time.monotonic())
            if time.monotonic() >= burst.due:
                burst = _Burst(self._quiet_s, self._longest_s)
                self._tell()
            if time.monotonic() >= decide_again:
                if self._fitting() != source:
                    return
                decide_again = time.monotonic() + self._decide_again_s

    def _fitting(self) -> str:
        return self._source or ("udev" if udevd_runs(self._control) else "kernel")

    def _tell(self) -> None:
        try:
            self._wake()
        except Exception:
            LOG.exception("a uevent could not be acted on; the next one is")


@dataclass(slots=True)
class _Burst:
    """
    Uevents that one wake stands for.

    Attributes:
        due: when to wake, by the clock that *heard* is told; never before the first uevent
    """

    quiet_s: float
    longest_s: float
    latest: float = math.inf
    due: float = math.inf

    def heard(self, now: float) -> None:
        self.latest = min(self.latest, now + self.longest_s)
        self.due = min(self.latest, now + self.quiet_s)


def _ready(files: set[int], patience_s: float) -> set[int]:
    """Wait until one of the files can be read or has failed; give those."""
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    return {file for file, _ in poll.poll(math.ceil(max(0.0, patience_s) * 1000))}


def _taken(monitor: Monitor) -> bool:
    """
    Take what uevents there are, and tell whether there were any: those of other subsystems don't count.

    Raises:
        OSError: some are lost, or the monitor has failed.
    """
    try:
        for taken in range(_MOST_AT_ONCE):
            if monitor.poll(0) is None:
                return taken > 0
    except OSError as error:
        raise _reason(monitor) or error from error
    return True


def _reason(monitor: Monitor) -> OSError | None:
    """Ask the socket itself: pyudev tells that polling failed, but not why."""
    with socket.socket(fileno=os.dup(monitor.fileno())) as same:
        number = same.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return OSError(number, os.strerror(number)) if number else None
