"""The agent's main loop, on a real agent and configuration: when it looks, when it is ready, when it feeds whom."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from test_libvirtd import Daemon as FakeLibvirtd

from pci_agent.agent.daemon import Daemon
from pci_agent.agent.identity import Machine
from pci_agent.agent.store import Store
from pci_agent.cmd import agent_daemon, process
from pci_agent.discovery.hostuse import HostUse
from pci_agent.errors import TrackerSilent
from pci_agent.model.device import Device
from pci_agent.wire.messages import Answer, Heartbeat, Report
from services import wait_for
from sysfs import FakeSysfs

PF, VF0, VF1 = "0000:04:00.0", "0000:04:10.0", "0000:04:10.4"
BOOT = Machine("machine", None, "boot")


def nobody_hears(_message: Report | Heartbeat) -> Answer:
    raise TrackerSilent("no tracker here")


@dataclass
class Running:
    """A daemon that runs in this process."""

    parts: agent_daemon.Started
    daemon: Daemon
    sense: "Sense"
    heard: list[str] = field(default_factory=list)
    """What systemd heard, in order."""

    def count(self, word: str) -> int:
        return sum(line.startswith(word) for line in self.heard)

    def wait_for(self, word: str, times: int = 1) -> None:
        wait_for(lambda: self.count(word) >= times, f"{word} in {self.heard}", 10)

    def asked_for_a_look(self) -> None:
        self.parts.look_soon()


class Sense:
    """The sense for the host's own use: remembers when it was asked, and answers only while *free* is set."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.free = threading.Event()
        self.free.set()

    def __call__(self, _devices: Sequence[Device]) -> HostUse:
        self.asked.append(time.monotonic())
        self.free.wait(30)
        return HostUse({}, ())

    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.asked, self.asked[1:], strict=False)]


@contextmanager
def running(folder: Path, sysfs: FakeSysfs, *, libvirt_uri: str | None = None, **options: float) -> Iterator[Running]:
    config = folder / "pci-agent.conf"
    config.write_text(f'[agent]\nsysfs_root = {sysfs}\n[pci]\ndevice_spec = {{"vendor_id": "8086"}}\n')
    conf = process.configuration("pci-agent", agent_daemon.GROUPS, ["--config-file", str(config)], description="test")
    with Store.opened(str(folder / "state"), BOOT) as store:
        offered = agent_daemon.whitelist(conf)
        parts = agent_daemon.started(conf, store, offered, nobody_hears, libvirt_uri=libvirt_uri)
        sense, heard = Sense(), list[str]()
        parts.agent._senses = replace(parts.agent._senses, host_use=sense)
        daemon = Daemon(
            parts.agent,
            parts.reporter,
            parts.bell,
            notify=lambda line: heard.extend(line.splitlines()),
            configured=lambda: offered,
            asked=parts.asked,
            look_interval_s=options.pop("look_interval_s", 60),
            libvirtd=parts.libvirtd,
            refused=parts.refused,
            **options,
        )
        if parts.libvirtd is not None:
            parts.libvirtd.start()
        thread = threading.Thread(target=daemon.run, daemon=True)
        thread.start()
        try:
            yield Running(parts, daemon, sense, heard)
        finally:
            sense.free.set()
            daemon.stop()
            thread.join(10)
            if parts.libvirtd is not None:
                parts.libvirtd.stop()
        assert not thread.is_alive()


@pytest.fixture
def machine(sysfs: FakeSysfs) -> FakeSysfs:
    sysfs.add_pf(PF, vfs=[VF0, VF1])
    return sysfs


@pytest.fixture
def libvirtd(tmp_path: Path) -> Iterator[FakeLibvirtd]:
    """A libvirtd that is started and doesn't answer yet."""
    made = FakeLibvirtd(tmp_path / "socket")
    made.start()
    made.calls.clear()
    yield made
    with suppress(FileNotFoundError):
        made.stop()


# Ready


def test_it_is_ready_after_the_first_look_where_libvirt_is_not_asked(tmp_path: Path, machine: FakeSysfs) -> None:
    with running(tmp_path, machine) as it:
        it.wait_for("READY=1")
        assert it.heard[0].startswith("STATUS=3 of 3 PCI functions offered, 0 problems; tracker: ")
        assert it.heard[1] == "READY=1"


def test_it_is_ready_when_libvirts_first_answer_is_taken_in_and_not_before(
    tmp_path: Path, machine: FakeSysfs, libvirtd: FakeLibvirtd
) -> None:
    with running(tmp_path, machine, libvirt_uri=libvirtd.uri) as it:
        it.wait_for("STATUS=3 of 3 PCI functions offered, 1 problems; libvirt hasn't answered yet")
        time.sleep(0.5)
        assert it.count("READY=1") == 0
        assert {record.status for record in it.parts.agent.records()} == {"unavailable"}
        libvirtd.calls.set()
        it.wait_for("READY=1")
        assert {record.status for record in it.parts.agent.records()} == {"available"}
        it.wait_for("STATUS=3 of 3 PCI functions offered, 0 problems; tracker")


def test_it_is_ready_as_soon_as_it_is_known_that_libvirt_is_away_and_says_so(
    tmp_path: Path, machine: FakeSysfs
) -> None:
    uri = f"qemu+unix:///system?socket={tmp_path}/nowhere"
    with running(tmp_path, machine, libvirt_uri=uri, ready_within_s=60) as it:
        it.wait_for("READY=1")
        it.wait_for(f"STATUS=3 of 3 PCI functions offered, 1 problems; libvirt doesn't answer at {uri}")
        assert {record.status for record in it.parts.agent.records()} == {"unavailable"}


def test_it_is_ready_after_a_while_though_libvirt_is_silent_and_offers_nothing(
    tmp_path: Path, machine: FakeSysfs, libvirtd: FakeLibvirtd
) -> None:
    since = time.monotonic()
    with running(tmp_path, machine, libvirt_uri=libvirtd.uri, ready_within_s=0.7) as it:
        it.wait_for("READY=1")
        assert 0.7 <= time.monotonic() - since < 5
        assert {record.status_reason for record in it.parts.agent.records()} == {
            "waiting for libvirt's first answer in this boot"
        }


def test_it_is_ready_at_once_where_libvirt_has_answered_in_this_boot_before(
    tmp_path: Path, machine: FakeSysfs, libvirtd: FakeLibvirtd
) -> None:
    libvirtd.calls.set()
    with running(tmp_path, machine, libvirt_uri=libvirtd.uri) as it:
        it.wait_for("READY=1")
    libvirtd.calls.clear()
    with running(tmp_path, machine, libvirt_uri=libvirtd.uri, ready_within_s=60) as it:
        it.wait_for("READY=1")
        assert {record.status for record in it.parts.agent.records()} == {"available"}


def test_a_reload_before_it_is_ready_does_not_say_that_it_is(
    tmp_path: Path, machine: FakeSysfs, libvirtd: FakeLibvirtd
) -> None:
    with running(tmp_path, machine, libvirt_uri=libvirtd.uri) as it:
        it.wait_for("STATUS=3 of 3")
        looks = len(it.sense.asked)
        it.daemon.reload()
        wait_for(lambda: len(it.sense.asked) > looks, "the look after the reload", 10)
        time.sleep(0.2)
        assert (it.count("READY=1"), it.count("RELOADING=1")) == (0, 0)


# The watchdog


def is_fed(it: Running, seconds: float = 1.0) -> bool:
    before = it.count("WATCHDOG=1")
    time.sleep(seconds)
    return it.count("WATCHDOG=1") > before


def test_a_look_that_hangs_starves_the_watchdog_until_it_goes_on(tmp_path: Path, machine: FakeSysfs) -> None:
    with running(tmp_path, machine, watchdog_s=0.2) as it:
        it.wait_for("WATCHDOG=1", times=3)
        it.sense.free.clear()
        it.asked_for_a_look()
        wait_for(lambda: len(it.sense.asked) == 2, "the look that hangs", 10)
        assert not is_fed(it)
        it.sense.free.set()
        assert is_fed(it)


def test_a_command_that_hangs_and_keeps_the_lock_starves_the_watchdog(tmp_path: Path, machine: FakeSysfs) -> None:
    with running(tmp_path, machine, watchdog_s=0.2, look_interval_s=0.3) as it:
        it.wait_for("WATCHDOG=1", times=3)
        with it.parts.agent.ledger.lock:
            time.sleep(0.5)  # what was under way without the lock is done
            assert not is_fed(it)
        assert is_fed(it)


def test_a_tracker_that_does_not_answer_starves_nobody(tmp_path: Path, machine: FakeSysfs) -> None:
    hangs = threading.Event()

    def hanging(_message: Report | Heartbeat) -> Answer:
        hangs.wait(30)
        raise TrackerSilent("late")

    with running(tmp_path, machine, watchdog_s=0.2) as it:
        it.parts.reporter._tell = hanging
        it.wait_for("WATCHDOG=1", times=3)
        assert is_fed(it)
        hangs.set()


# Looking again


def in_between(sysfs: FakeSysfs) -> Callable[[], None]:
    """Leave a VF half made: its PF counts it and has no link to it yet; gives what makes it whole."""
    link = sysfs.place(PF) / "virtfn1"
    target = link.readlink()
    link.unlink()
    return lambda: link.symlink_to(target)


def test_after_a_look_at_vfs_that_come_or_go_it_looks_again_soon_and_then_ever_later(
    tmp_path: Path, machine: FakeSysfs
) -> None:
    in_between(machine)
    with running(tmp_path, machine, again_s=0.1, look_interval_s=0.8) as it:
        wait_for(lambda: len(it.sense.asked) == 7, "seven looks", 20)
    waited = [0.1, 0.2, 0.4, 0.8, 0.8, 0.8]
    assert all(gap >= expected for gap, expected in zip(it.sense.gaps(), waited, strict=True))
    assert sum(it.sense.gaps()) < 2 * sum(waited)


def test_when_all_is_told_it_looks_on_its_timer_alone(tmp_path: Path, machine: FakeSysfs) -> None:
    whole = in_between(machine)
    with running(tmp_path, machine, again_s=0.1) as it:
        wait_for(lambda: len(it.sense.asked) == 2, "another look", 10)
        whole()
        wait_for(lambda: it.heard[-1].startswith("STATUS=3 of 3 PCI functions offered, 0 problems"), "the VF", 10)
        looks = len(it.sense.asked)
        time.sleep(1)
        assert len(it.sense.asked) == looks


def test_a_settled_host_is_looked_at_once(tmp_path: Path, machine: FakeSysfs) -> None:
    with running(tmp_path, machine, again_s=0.05) as it:
        it.wait_for("READY=1")
        time.sleep(0.5)
        assert len(it.sense.asked) == 1


def test_a_uevent_in_between_makes_the_next_looks_soon_again(tmp_path: Path, machine: FakeSysfs) -> None:
    in_between(machine)
    with running(tmp_path, machine, again_s=0.2) as it:
        wait_for(lambda: len(it.sense.asked) == 4, "looks after 0.2, 0.4 and 0.8 s", 20)
        it.asked_for_a_look()
        wait_for(lambda: len(it.sense.asked) == 6, "that one, and one soon after", 20)
    assert 0.2 <= it.sense.gaps()[4] < 0.8
