"""libvirt's own test driver, and a libvirtd that restarts, hangs or only seems to live, as told."""

import gc
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import libvirt
import pytest

from pci_agent.discovery.domain_xml import DomainTexts, NetworkTexts, Texts, parsed
from pci_agent.discovery.domains import Domain, Reading
from pci_agent.discovery.libvirt import fetch, opened
from pci_agent.discovery.libvirtd import Libvirtd
from services import wait_for

DEFAULT = "test:///default"  # one host for the whole process, whoever opens it
DOMAIN = "<domain type='test'><name>{}</name><memory>65536</memory><os><type>hvm</type></os></domain>"
NETWORK = "<network><name>pool</name></network>"
QUICK = {"first_retry_s": 0.01, "last_retry_s": 0.05, "keepalive_s": 1}


@contextmanager
def following(uri: str, **options: Any) -> Iterator[tuple[Libvirtd, list[str | None]]]:
    """One that is started, and the trouble at each of its changes."""
    changes: list[str | None] = []
    libvirtd = Libvirtd(uri, lambda: changes.append(libvirtd.trouble), **{**QUICK, **options})
    libvirtd.start()
    try:
        yield libvirtd, changes
    finally:
        libvirtd.stop()


def said(libvirtd: Libvirtd) -> Texts:
    assert libvirtd.said is not None
    return libvirtd.said


def shown(libvirtd: Libvirtd) -> dict[str, bool]:
    """The domains but for the test driver's own one, and whether they run."""
    return {each.name: " id=" in str(each.now)[:80] for each in said(libvirtd).domains if each.name != "test"}


def answered(libvirtd: Libvirtd) -> None:
    wait_for(lambda: libvirtd.trouble is None, "libvirt's answer", 10)


def wait_for_change(changes: list[str | None], number: int) -> None:
    wait_for(lambda: len(changes) == number, f"change {number}", 5)


@pytest.fixture
def host() -> Iterator[Any]:
    """The test driver's host, put back to what it was."""
    connection = libvirt.open(DEFAULT)
    yield connection
    for domain in connection.listAllDomains():
        if domain.name() != "test":
            with suppress(libvirt.libvirtError):
                domain.destroy()
            domain.undefine()
    connection.close()


class Daemon:
    """
    A libvirtd without domains and networks, which speaks as much of its protocol as is asked of it.

    Each message is its length and six numbers, program, version, procedure, kind, serial and status, and then the
    body: zeros mean 0, nothing, and an empty list in each of the answers, but for two.
    """

    KEEPALIVE = 0x6B656570
    AUTH_LIST, SUPPORTS_FEATURE, LIST_ALL_DOMAINS = 66, 60, 273

    def __init__(self, path: Path) -> None:
        self.uri = f"qemu+unix:///system?socket={path}"
        self.connections: list[socket.socket] = []
        self.asked: list[int] = []
        self.calls = threading.Event()
        """Whether calls are answered; they wait for it."""
        self.signs = threading.Event()
        """Whether signs of life are given."""
        self.calls.set()
        self.signs.set()
        self._path = path
        self._listener: socket.socket | None = None

    def start(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        self.calls.set()
        self._path.unlink()
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        late: list[threading.Thread] = []
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            while len(size := stream.read(4)) == 4:
                message = stream.read(struct.unpack(">I", size)[0] - 4)
                late.append(threading.Thread(target=self._answer, args=(connection, message), daemon=True))
                late[-1].start()

    def _answer(self, connection: socket.socket, message: bytes) -> None:
        program, version, procedure, _, serial, _ = struct.unpack(">6I", message[:24])
        if program == self.KEEPALIVE:
            if not self.signs.is_set():
                return
            answer = struct.pack(">6I", program, version, 2, 2, serial, 0)
        else:
            self.asked.append(procedure)
            self.calls.wait()
            one = {self.AUTH_LIST: struct.pack(">2I", 1, 0), self.SUPPORTS_FEATURE: struct.pack(">I", 1)}
            answer = struct.pack(">6I", program, version, procedure, 1, serial, 0) + one.get(procedure, bytes(64))
        with suppress(OSError):
            connection.sendall(struct.pack(">I", len(answer) + 4) + answer)


@pytest.fixture
def absent(tmp_path: Path) -> Iterator[Daemon]:
    """A libvirtd that isn't started yet."""
    made = Daemon(tmp_path / "socket")
    yield made
    if (tmp_path / "socket").exists():
        made.stop()


@pytest.fixture
def daemon(absent: Daemon) -> Daemon:
    absent.start()
    return absent


# What is said


def test_the_first_answer_has_every_domain_and_network() -> None:
    with following(DEFAULT) as (libvirtd, changes):
        answered(libvirtd)
        with opened(DEFAULT) as connection:
            assert libvirtd.said == fetch(connection)
        assert [domain.name for domain in said(libvirtd).domains] == ["test"]
        assert [network.name for network in said(libvirtd).networks] == ["default"]
        wait_for(lambda: changes == [None], "one change", 5)


def test_a_domain_that_libvirt_does_not_tell_is_listed_and_nothing_follows_from_it() -> None:
    texts = Texts((DomainTexts(uuid="1", name="guest", now=None, defined=None, trouble="no"),), (), ("no networks",))
    unknown = Domain(uuid="1", name="guest", active=None, persistent=None, live=(), defined=(), complete=False)
    assert parsed(texts, (), "/nowhere") == Reading((unknown,), (), ("domain guest (1): no", "no networks"))


def test_a_network_that_libvirt_does_not_tell_is_a_problem() -> None:
    texts = Texts((), (NetworkTexts(name="pool", active=None, xml=None, trouble="no"),))
    assert parsed(texts, (), "/nowhere") == Reading((), (), ("network pool: no",))


def test_before_the_first_answer_nothing_is_said_and_that_is_a_trouble() -> None:
    libvirtd = Libvirtd(DEFAULT, lambda: None)
    assert (libvirtd.said, libvirtd.trouble) == (None, "libvirt hasn't answered yet")


def test_a_domain_is_followed_from_its_definition_to_its_end(host: Any) -> None:
    with following(DEFAULT) as (libvirtd, changes):
        answered(libvirtd)
        domain = host.defineXML(DOMAIN.format("guest"))
        wait_for(lambda: shown(libvirtd) == {"guest": False}, "the definition", 5)
        domain.create()
        wait_for(lambda: shown(libvirtd) == {"guest": True}, "the start", 5)
        domain.destroy()
        wait_for(lambda: shown(libvirtd) == {"guest": False}, "the end of its run", 5)
        domain.undefine()
        wait_for(lambda: shown(libvirtd) == {}, "the end", 5)
        assert changes == [None] * 5


def test_a_network_is_followed_too(host: Any) -> None:
    with following(DEFAULT) as (libvirtd, _):
        answered(libvirtd)
        network = host.networkDefineXML(NETWORK)
        wait_for(
            lambda: [(each.name, each.active) for each in said(libvirtd).networks][1:] == [("pool", False)], "it", 5
        )
        network.create()
        wait_for(
            lambda: [(each.name, each.active) for each in said(libvirtd).networks][1:] == [("pool", True)], "it", 5
        )
        network.destroy()
        network.undefine()
        wait_for(lambda: len(said(libvirtd).networks) == 1, "its end", 5)


def test_many_events_make_few_fetches(host: Any) -> None:
    with following(DEFAULT) as (libvirtd, changes):
        answered(libvirtd)
        for number in range(100):
            host.createXML(DOMAIN.format(f"guest{number}"))
        wait_for(lambda: len(shown(libvirtd)) == 100, "all domains", 10)
        assert len(changes) < 100
        for number in range(100):
            host.lookupByName(f"guest{number}").destroy()


def test_unchanged_texts_are_the_same_object_and_no_change() -> None:
    with following(DEFAULT) as (libvirtd, changes):
        answered(libvirtd)
        before = libvirtd.said
        assert all(libvirtd.refresh(5) for _ in range(10))
        assert libvirtd.said is before
        assert changes == [None]


def test_while_nothing_happens_nothing_is_asked(daemon: Daemon) -> None:
    with following(daemon.uri) as (libvirtd, changes):
        answered(libvirtd)
        daemon.hang_up()
        wait_for_change(changes, 3)
        daemon.asked.clear()
        time.sleep(0.5)
        assert daemon.asked == []


def test_what_changes_without_an_event_is_asked_for_now_and_then(daemon: Daemon) -> None:
    with following(daemon.uri, fetch_interval_s=0.1) as (libvirtd, changes):
        wait_for(lambda: daemon.asked.count(daemon.LIST_ALL_DOMAINS) > 3, "more fetches", 5)
        assert libvirtd.trouble is None
        assert changes == [None]


def test_two_follow_beside_each_other_and_one_after_another(host: Any) -> None:
    with following(DEFAULT) as (first, _), following(DEFAULT) as (second, _):
        answered(first)
        answered(second)
        host.defineXML(DOMAIN.format("guest"))
        wait_for(lambda: shown(first) == shown(second) == {"guest": False}, "the domain", 5)
    with following(DEFAULT) as (third, _):
        wait_for(lambda: third.said is not None and shown(third) == {"guest": False}, "the domain", 5)
        host.lookupByName("guest").undefine()
        wait_for(lambda: shown(third) == {}, "its end", 5)


def test_a_stopped_one_tells_no_changes(host: Any) -> None:
    with following(DEFAULT) as (libvirtd, changes):
        answered(libvirtd)
    host.defineXML(DOMAIN.format("guest"))
    assert not libvirtd.refresh(5)
    assert changes == [None]
    assert shown(libvirtd) == {}


# Refreshing


def test_a_refresh_shows_what_happened_before_it_every_time(host: Any) -> None:
    with following(DEFAULT) as (libvirtd, _):
        domain = host.defineXML(DOMAIN.format("guest"))
        for _ in range(100):
            domain.create()
            assert libvirtd.refresh(5)
            assert shown(libvirtd) == {"guest": True}
            domain.destroy()
            assert libvirtd.refresh(5)
            assert shown(libvirtd) == {"guest": False}


def test_any_number_that_refresh_while_a_fetch_is_under_way_share_the_next_one(daemon: Daemon) -> None:
    with following(daemon.uri) as (libvirtd, _), ThreadPoolExecutor(20) as threads:
        answered(libvirtd)
        daemon.calls.clear()
        daemon.asked.clear()
        first = threads.submit(libvirtd.refresh, 10)
        wait_for(lambda: daemon.LIST_ALL_DOMAINS in daemon.asked, "the first", 5)
        others = [threads.submit(libvirtd.refresh, 10) for _ in range(19)]
        time.sleep(0.2)
        assert not first.done()
        daemon.calls.set()
        assert first.result()
        assert all(other.result() for other in others)
        assert daemon.asked.count(daemon.LIST_ALL_DOMAINS) == 2


def test_a_refresh_waits_no_longer_than_it_is_told_to(daemon: Daemon) -> None:
    with following(daemon.uri) as (libvirtd, _):
        answered(libvirtd)
        daemon.calls.clear()
        since = time.monotonic()
        assert not libvirtd.refresh(0.3)
        assert 0.3 <= time.monotonic() - since < 1


def test_a_refresh_asks_at_once_whatever_the_back_off(absent: Daemon) -> None:
    with following(absent.uri, first_retry_s=60, last_retry_s=60) as (libvirtd, changes):
        wait_for_change(changes, 1)
        since = time.monotonic()
        assert not libvirtd.refresh(30)
        assert time.monotonic() - since < 5
        absent.start()
        assert libvirtd.refresh(30)
        assert (libvirtd.trouble, libvirtd.said) == (None, Texts((), ()))
        assert time.monotonic() - since < 10


# Trouble


def test_a_libvirtd_that_comes_late_is_found(absent: Daemon) -> None:
    with following(absent.uri) as (libvirtd, changes):
        wait_for_change(changes, 1)
        assert libvirtd.trouble is not None
        assert libvirtd.trouble.startswith(f"libvirt doesn't answer at {absent.uri} (Failed to connect socket")
        absent.start()
        answered(libvirtd)
        assert [trouble is None for trouble in changes] == [False, True]


def test_a_libvirtd_that_restarts_is_found_again_and_what_it_said_stays(daemon: Daemon) -> None:
    with following(daemon.uri) as (libvirtd, changes):
        answered(libvirtd)
        before = libvirtd.said
        daemon.stop()
        wait_for(lambda: libvirtd.trouble is not None, "the trouble", 5)
        assert changes[1] == "libvirt's connection is closed: libvirtd has ended it"
        assert libvirtd.said is before
        daemon.start()
        answered(libvirtd)
        assert libvirtd.said is before
        assert changes[-1] is None


def test_a_libvirtd_that_hangs_gives_no_sign_of_life(daemon: Daemon) -> None:
    with following(daemon.uri) as (libvirtd, changes):
        answered(libvirtd)
        daemon.calls.clear()
        daemon.signs.clear()
        wait_for(lambda: libvirtd.trouble is not None, "the trouble", 10)
        assert changes[1] == "libvirt's connection is closed: libvirtd gives no sign of life"
        daemon.calls.set()
        daemon.signs.set()
        answered(libvirtd)


def test_a_libvirtd_that_hangs_while_it_is_asked_is_given_up_too(daemon: Daemon) -> None:
    with following(daemon.uri) as (libvirtd, _):
        answered(libvirtd)
        daemon.calls.clear()
        daemon.signs.clear()
        assert not libvirtd.refresh(10)
        assert "keepalive" in str(libvirtd.trouble)


def test_a_libvirtd_that_lives_and_does_not_answer_is_a_trouble_until_it_does(daemon: Daemon) -> None:
    with following(daemon.uri, patience_s=0.2) as (libvirtd, changes):
        answered(libvirtd)
        daemon.calls.clear()
        assert not libvirtd.refresh(0.1)
        wait_for(lambda: libvirtd.trouble is not None, "the trouble", 5)
        time.sleep(4)
        assert changes[1:] == ["libvirt hasn't answered for 0.2 s: see what its daemon is waiting for"]
        daemon.calls.set()
        answered(libvirtd)
        assert len(daemon.connections) == 1


def test_a_libvirtd_that_never_answers_holds_nobody_up(daemon: Daemon) -> None:
    daemon.calls.clear()
    with following(daemon.uri) as (libvirtd, changes):
        wait_for(lambda: bool(daemon.asked), "the question", 5)
        assert not libvirtd.refresh(0.1)
        since = time.monotonic()
        libvirtd.stop()
        assert time.monotonic() - since < 1.5
        assert changes == []


def test_a_stop_while_a_fetch_hangs_is_soon(daemon: Daemon) -> None:
    with following(daemon.uri, patience_s=0.3) as (libvirtd, changes):
        answered(libvirtd)
        daemon.calls.clear()
        daemon.signs.clear()
        assert not libvirtd.refresh(0.1)
        since = time.monotonic()
        libvirtd.stop()
        assert time.monotonic() - since < 1.5
        assert changes == [None]


def test_retries_become_rare(daemon: Daemon) -> None:
    daemon.calls.clear()
    with following(daemon.uri, first_retry_s=0.1, last_retry_s=0.4) as (libvirtd, _):
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            daemon.hang_up()
            time.sleep(0.005)
        assert 4 <= len(daemon.connections) <= 15
        assert libvirtd.trouble is not None


def remains() -> tuple[int, int, int]:
    """What a connection may leave behind: objects, descriptors, threads."""
    gc.collect()
    connections = sum(isinstance(each, libvirt.virConnect) for each in gc.get_objects())
    return connections, len(os.listdir("/proc/self/fd")), threading.active_count()


def test_reconnecting_leaves_nothing_behind(daemon: Daemon) -> None:
    with following(daemon.uri) as (libvirtd, changes):
        answered(libvirtd)
        wait_for_change(changes, 1)
        before = remains()
        for number in range(1, 61):
            daemon.hang_up()
            wait_for_change(changes, 1 + 2 * number)
        wait_for(lambda: remains() == before, f"{before} instead of {remains()}", 5)
    assert remains()[0] == before[0] - 1


# The process


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30)


def test_without_the_bindings_it_says_what_to_install() -> None:
    done = run(
        "import sys, time; sys.modules['libvirt'] = None\n"
        "from pci_agent.discovery.libvirtd import Libvirtd\n"
        "changes = []\n"
        "libvirtd = Libvirtd('qemu:///system', lambda: changes.append(libvirtd.trouble))\n"
        "libvirtd.start(); time.sleep(1)\n"
        "print(libvirtd.refresh(1), libvirtd.said, len(changes), changes[0])\n"
        "libvirtd.stop()"
    )
    assert done.stdout.startswith("False None 1 libvirt can't be asked")
    assert "install python3-libvirt, or the extra pci-agent[libvirt]" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_process_ends_cleanly_while_a_question_hangs(daemon: Daemon) -> None:
    daemon.calls.clear()
    done = run(
        "import time\n"
        "from pci_agent.discovery.libvirtd import Libvirtd\n"
        f"Libvirtd('{daemon.uri}', lambda: None).start(); time.sleep(0.5)\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert daemon.asked
