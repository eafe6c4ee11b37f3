"""Uevents wake, a burst of them once; what ends listening wakes too, and never ends it for good."""

import logging
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pci_agent.discovery.udev import Monitor, Uevents, netlink, udevd_runs
from services import wait_for

LO = Path("/sys/class/net/lo/uevent")
NULL = Path("/sys/class/mem/null/uevent")


class Wakes:
    """What is woken, and when it was."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self) -> None:
        self.times.append(time.monotonic())

    def wait_for(self, count: int) -> None:
        wait_for(lambda: len(self.times) >= count, f"{count} wakes", patience_s=10)


class Piped:
    """A monitor whose uevents a test sends."""

    def __init__(self) -> None:
        self._heard, self._said = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard.setblocking(False)
        self.failure: Exception | None = None

    def fileno(self) -> int:
        return self._heard.fileno()

    def poll(self, timeout: float | None) -> object | None:
        assert timeout == 0
        try:
            received = self._heard.recv(1)
        except BlockingIOError:
            return None
        if self.failure is not None:
            raise self.failure
        return received

    def say(self) -> None:
        self._said.send(b"!")

    def close(self) -> None:
        self._heard.close()
        self._said.close()


class Piping:
    """Makes such monitors, or fails to, and remembers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.sources: list[str] = []
        self.times: list[float] = []
        self.made: list[Piped] = []

    def __call__(self, source: str) -> Monitor:
        self.sources.append(source)
        self.times.append(time.monotonic())
        if self.failures:
            raise self.failures.pop(0)
        self.made.append(Piped())
        return self.made[-1]

    def close(self) -> None:
        for each in self.made:
            each.close()


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
def piping() -> Iterator[Piping]:
    made = Piping()
    yield made
    made.close()


@contextmanager
def listening(wake: Callable[[], None], **options: Any) -> Iterator[Uevents]:
    uevents = Uevents(wake, **{"source": "kernel", "first_retry_s": 0.01, **options})
    uevents.start()
    try:
        yield uevents
    finally:
        uevents.stop()


def say(uevent: Path) -> None:
    """Have the kernel send a uevent that says nothing new."""
    uevent.write_text("change")


@pytest.fixture
def kernel() -> None:
    """A kernel that sends uevents to where we are, and obeys us."""
    try:
        monitor = netlink("kernel")
        say(LO)
    except (ImportError, OSError) as error:
        pytest.skip(f"uevents need root, libudev and netlink: {error}")
    if monitor.poll(1) is None:
        pytest.skip("the kernel sends no uevents to this network namespace")


# A real kernel


@pytest.mark.usefixtures("kernel")
def test_a_uevent_of_the_kernel_wakes(wakes: Wakes) -> None:
    with listening(wakes) as uevents:
        assert uevents.trouble is None
        wakes.wait_for(1)
        said = time.monotonic()
        say(LO)
        wakes.wait_for(2)
        assert wakes.times[1] - said >= 0.05


@pytest.mark.usefixtures("kernel")
def test_a_uevent_of_a_pci_function_wakes(wakes: Wakes) -> None:
    functions = sorted(Path("/sys/bus/pci/devices").glob("*/uevent"))
    if not functions:
        pytest.skip("this machine has no PCI functions")
    with listening(wakes):
        wakes.wait_for(1)
        say(functions[0])
        wakes.wait_for(2)


@pytest.mark.usefixtures("kernel")
@pytest.mark.skipif(shutil.which("ip") is None, reason="ip (iproute2) is not installed")
def test_a_netdev_that_comes_and_goes_wakes(wakes: Wakes) -> None:
    name = f"pci{os.getpid()}"
    with listening(wakes):
        wakes.wait_for(1)
        if subprocess.run(["ip", "tuntap", "add", name, "mode", "tap"], check=False).returncode:
            pytest.skip("no netdev can be made here")
        try:
            wakes.wait_for(2)
        finally:
            subprocess.run(["ip", "link", "del", name], check=True)
        wakes.wait_for(3)


@pytest.mark.usefixtures("kernel")
def test_a_uevent_of_anything_else_does_not_wake(wakes: Wakes) -> None:
    def woken_by(uevent: Path) -> bool:
        before = len(wakes.times)
        for _ in range(10):
            say(uevent)
        time.sleep(0.1)
        return len(wakes.times) > before

    with listening(wakes, quiet_s=0.01):
        wakes.wait_for(1)
        # Another program may make a netdev meanwhile, but hardly each time.
        assert not all(woken_by(NULL) for _ in range(5))
        assert woken_by(LO)


@pytest.mark.usefixtures("kernel")
def test_an_overrun_wakes_and_uevents_wake_again_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    woken, go_on, monitors = threading.Semaphore(0), threading.Semaphore(0), []

    def wake() -> None:
        woken.release()
        go_on.acquire(timeout=10)

    def tiny(source: str) -> Monitor:
        monitor: Any = netlink(source)
        monitor.set_receive_buffer_size(1)
        monitors.append(monitor.fileno())
        return monitor  # type: ignore[no-any-return]

    with listening(wake, monitor=tiny) as uevents:
        assert woken.acquire(timeout=10)
        for _ in range(500):
            say(LO)
        go_on.release()
        assert woken.acquire(timeout=10), "woken by the overrun"
        assert uevents.trouble == "[Errno 105] No buffer space available"
        go_on.release()
        assert woken.acquire(timeout=10), "woken by listening anew"
        assert uevents.trouble is None
        assert len(monitors) == 2
        go_on.release(10)
        say(LO)
        assert woken.acquire(timeout=10), "woken by a uevent"
    assert [record.levelname for record in caplog.records if "No buffer space" in record.message] == ["WARNING"]


# Bursts


def test_what_happened_before_listening_began_is_looked_at(wakes: Wakes, piping: Piping) -> None:
    with listening(wakes, monitor=piping) as uevents:
        assert uevents.trouble is None
        wakes.wait_for(1)
        time.sleep(0.1)
    assert len(wakes.times) == 1


def test_a_burst_wakes_once_when_it_is_over(wakes: Wakes, piping: Piping) -> None:
    with listening(wakes, quiet_s=0.2, longest_s=60, monitor=piping):
        wakes.wait_for(1)
        for _ in range(100):
            piping.made[0].say()
            time.sleep(0.001)
        last = time.monotonic()
        wakes.wait_for(2)
    assert len(wakes.times) == 2
    assert wakes.times[1] >= last + 0.15


def test_a_storm_neither_delays_for_ever_nor_wakes_each_time(wakes: Wakes, piping: Piping) -> None:
    with listening(wakes, quiet_s=10, longest_s=0.1, monitor=piping):
        wakes.wait_for(1)
        begun, said = time.monotonic(), 0
        while len(wakes.times) < 4:
            piping.made[0].say()
            said += 1
            assert time.monotonic() < begun + 10
            time.sleep(0.001)
    assert said > 30
    assert all(later - earlier >= 0.099 for earlier, later in zip(wakes.times[1:], wakes.times[2:], strict=False))


def test_uevents_while_a_wake_is_on_its_way_wake_again(piping: Piping) -> None:
    woken, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def wake() -> None:
        woken.release()
        go_on.acquire(timeout=10)

    with listening(wake, quiet_s=0.01, monitor=piping):
        assert woken.acquire(timeout=10)
        for _ in range(5):
            piping.made[0].say()
        go_on.release()
        assert woken.acquire(timeout=10)
        go_on.release(5)
        assert not woken.acquire(timeout=0.1)


# Failures


@pytest.mark.parametrize("failure", [OSError(9, "Bad file descriptor"), ValueError("Invalid argument"), MemoryError()])
def test_a_monitor_that_fails_wakes_and_another_takes_its_place(
    wakes: Wakes, piping: Piping, failure: Exception
) -> None:
    with listening(wakes, quiet_s=0.01, monitor=piping) as uevents:
        wakes.wait_for(1)
        piping.made[0].failure = failure
        piping.made[0].say()
        wakes.wait_for(3)
        assert uevents.trouble is None
        piping.made[1].say()
        wakes.wait_for(4)
    assert len(piping.made) == 2


def test_why_there_are_no_uevents_is_told_and_tried_again(wakes: Wakes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    piping = Piping(*[ImportError("No library named udev")] * 4)
    with listening(wakes, first_retry_s=0.2, last_retry_s=0.3, monitor=piping) as uevents:
        assert uevents.trouble == "No library named udev"
        assert wakes.times == []
        wakes.wait_for(1)
        assert uevents.trouble is None
    piping.close()
    pauses = [later - earlier for earlier, later in zip(piping.times, piping.times[1:], strict=False)]
    assert [pause >= least for pause, least in zip(pauses, (0.2, 0.3, 0.3, 0.3), strict=True)] == [True] * 4
    assert sum(pauses) < 5
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "no uevents: No library named udev; it is tried again"),
        ("INFO", "listening to uevents of kernel"),
    ]


def test_a_machine_without_netlink_is_a_trouble(wakes: Wakes) -> None:
    """Where there is no such family of sockets, libudev makes no monitor, or one that can't be bound."""

    def refused(source: str) -> Monitor:
        assert source
        raise OSError(97, "Address family not supported by protocol")

    with listening(wakes, monitor=refused) as uevents:
        assert uevents.trouble == "[Errno 97] Address family not supported by protocol"
    assert wakes.times == []


def test_a_wake_that_fails_is_logged_and_the_next_one_comes(piping: Piping, caplog: pytest.LogCaptureFixture) -> None:
    woken = threading.Semaphore(0)

    def wake() -> None:
        woken.release()
        raise RuntimeError("no")

    with listening(wake, quiet_s=0.01, monitor=piping) as uevents:
        assert woken.acquire(timeout=10)
        piping.made[0].say()
        assert woken.acquire(timeout=10)
        assert uevents.trouble is None
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 2


# Which source


@contextmanager
def udevd(control: Path) -> Iterator[None]:
    """Serve the socket as udevd does; what it leaves behind is a socket that nobody serves."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as served:
        served.bind(str(control))
        served.listen()
        served.setblocking(False)
        yield
        with pytest.raises(BlockingIOError):
            served.accept()


def test_udevd_runs_where_its_socket_is_served(tmp_path: Path) -> None:
    control = tmp_path / "control"
    assert not udevd_runs(str(control))
    assert not udevd_runs(str(control / "no folder"))
    with udevd(control):
        assert udevd_runs(str(control))
    assert control.exists()
    assert not udevd_runs(str(control))


def test_udevd_is_heard_where_it_runs_and_the_kernel_elsewhere(wakes: Wakes, piping: Piping, tmp_path: Path) -> None:
    control = tmp_path / "control"
    options: dict[str, Any] = {"source": None, "decide_again_s": 0.02, "control": str(control), "monitor": piping}
    with udevd(control), listening(wakes, **options) as uevents:
        wakes.wait_for(1)
        time.sleep(0.1)
        assert piping.sources == ["udev"]
        control.unlink()
        wakes.wait_for(2)
        assert piping.sources == ["udev", "kernel"]
        assert uevents.trouble is None
    assert len(wakes.times) == 2


def test_a_source_that_is_asked_for_stays(wakes: Wakes, piping: Piping, tmp_path: Path) -> None:
    with listening(wakes, source="udev", decide_again_s=0.01, control=str(tmp_path / "none"), monitor=piping):
        time.sleep(0.1)
    assert piping.sources == ["udev"]


# Starting and stopping


def test_nothing_is_left_after_stop_and_it_can_be_started_again(wakes: Wakes, piping: Piping) -> None:
    uevents = Uevents(wakes, source="kernel", monitor=piping)
    assert uevents.trouble == "not started"
    uevents.stop()
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for count in (1, 2):
        uevents.start()
        wakes.wait_for(count)
        uevents.stop()
        uevents.stop()
        assert uevents.trouble == "stopped"
    piping.close()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, files)


@pytest.mark.usefixtures("kernel")
def test_a_monitor_that_is_replaced_is_closed(wakes: Wakes, tmp_path: Path) -> None:
    control = tmp_path / "control"
    files = len(os.listdir("/proc/self/fd"))
    with listening(wakes, source=None, decide_again_s=0.01, control=str(control)):
        for count in range(1, 6):
            with udevd(control):
                wakes.wait_for(2 * count)
            control.unlink()
            wakes.wait_for(2 * count + 1)
        assert len(os.listdir("/proc/self/fd")) <= files + 3
    assert len(os.listdir("/proc/self/fd")) <= files


def test_it_stops_while_it_waits_to_try_again(wakes: Wakes) -> None:
    with listening(wakes, first_retry_s=60, monitor=Piping(OSError("no"))):
        begun = time.monotonic()
    assert time.monotonic() - begun < 0.5


def test_a_wake_that_hangs_does_not_keep_it_from_stopping(piping: Piping) -> None:
    go_on = threading.Event()

    def wake() -> None:
        go_on.wait(10)

    with listening(wake, monitor=piping):
        begun = time.monotonic()
    assert time.monotonic() - begun < 1
    go_on.set()
