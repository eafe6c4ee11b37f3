"""pci-agent as systemd runs it: a process of its own, with a socket to notify and signals to heed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pci_agent.agent.identity import Machine
from pci_agent.agent.store import Store
from services import wait_for
from sysfs import FakeSysfs

PROGRAMS = Path(sys.executable).parent
NO_BROKER = "rabbit://guest:guest@127.0.0.1:1/"


class Systemd:
    """Starts a process, hears what it notifies, and sends it signals."""

    def __init__(self, folder: Path, *command: str, watchdog_s: float | None = None) -> None:
        self._heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._socket.setblocking(False)
        environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify")}
        if watchdog_s is not None:
            environment["WATCHDOG_USEC"] = str(int(watchdog_s * 1_000_000))
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)

    def heard(self) -> list[str]:
        """Every line notified so far."""
        try:
            while True:
                self._heard += self._socket.recv(65536).decode().splitlines()
        except BlockingIOError:
            return self._heard

    def wait_for(self, line: str, times: int = 1) -> None:
        wait_for(lambda: sum(heard.startswith(line) for heard in self.heard()) >= times, f"{line} in {self._heard}")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)
        self._socket.close()


@pytest.fixture
def config(tmp_path: Path, sysfs: FakeSysfs) -> Path:
    sysfs.add_pf("0000:04:00.0", vfs=["0000:04:10.0", "0000:04:10.4"])
    file = tmp_path / "pci-agent.conf"
    file.write_text(
        f"[DEFAULT]\nhost = compute-1\ntransport_url = {NO_BROKER}\n"
        f"[agent]\nrpc_timeout_s = 2\nlibvirt_uri =\nstate_dir = {tmp_path}/state\n"
        f"sysfs_root = {sysfs}\nlook_interval_s = 1\n"
        '[pci]\ndevice_spec = {"vendor_id": "8086"}\n'
    )
    return file


@pytest.fixture
def systemd(tmp_path: Path, config: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path, str(PROGRAMS / "pci-agent"), "--config-file", str(config), watchdog_s=1)
    yield made
    made.close()


def test_it_is_ready_after_the_first_look_and_says_what_it_sees(systemd: Systemd) -> None:
    systemd.wait_for("READY=1")
    heard = systemd.heard()
    assert heard[0] == "STATUS=3 of 3 PCI functions offered, 1 problems; tracker: no tracker has answered yet"
    assert heard[1] == "READY=1"
    systemd.wait_for("STATUS=3 of 3 PCI functions offered, 1 problems; tracker: no broker answers in 2 s")


def test_it_feeds_the_watchdog(systemd: Systemd) -> None:
    systemd.wait_for("WATCHDOG=1", times=3)


def test_it_looks_again_on_its_timer_with_no_broker_to_be_had(systemd: Systemd, sysfs: FakeSysfs) -> None:
    systemd.wait_for("READY=1")
    sysfs.set_numvfs("0000:04:00.0", [])
    systemd.wait_for("STATUS=1 of 1 PCI functions offered")


def test_sigterm_ends_it_within_two_seconds_with_no_broker_to_be_had(systemd: Systemd) -> None:
    systemd.wait_for("READY=1")
    asked = time.monotonic()
    assert systemd.stop() == 0
    assert time.monotonic() - asked < 2.5
    assert systemd.heard()[-1] == "STOPPING=1"


@pytest.fixture
def slow(tmp_path: Path, config: Path) -> Iterator[Systemd]:
    """An agent whose looks hang while the file ``hangs`` is there."""
    command = [sys.executable, str(Path(__file__).with_name("slow_agent.py")), str(tmp_path / "hangs")]
    made = Systemd(tmp_path, *command, "--config-file", str(config), watchdog_s=1)
    yield made
    made.close()


def let_a_look_hang(tmp_path: Path) -> None:
    (tmp_path / "hangs").touch()
    wait_for((tmp_path / "hangs.asked").exists, "a look that hangs")


def test_sigterm_ends_it_within_two_seconds_though_a_look_hangs(slow: Systemd, tmp_path: Path) -> None:
    slow.wait_for("READY=1")
    let_a_look_hang(tmp_path)
    asked = time.monotonic()
    assert slow.stop() == 0
    assert time.monotonic() - asked < 2.5
    assert slow.heard()[-1] == "STOPPING=1"


def test_sigterm_ends_it_within_two_seconds_though_its_first_look_hangs(slow: Systemd, tmp_path: Path) -> None:
    let_a_look_hang(tmp_path)
    asked = time.monotonic()
    assert slow.stop() == 0
    assert time.monotonic() - asked < 2.5
    assert "READY=1" not in slow.heard()


def test_a_look_that_lasts_while_it_stops_is_waited_for_and_kept(
    slow: Systemd, tmp_path: Path, sysfs: FakeSysfs
) -> None:
    slow.wait_for("READY=1")
    sysfs.set_numvfs("0000:04:00.0", [])
    let_a_look_hang(tmp_path)
    slow.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    (tmp_path / "hangs").unlink()
    assert slow.stop() == 0
    assert slow.heard()[-1] == "STOPPING=1"
    with Store.opened(str(tmp_path / "state"), Machine.read()) as store:
        assert [str(item.device.address) for item in store.tracked().values() if item.offered] == ["0000:04:00.0"]


def test_a_look_that_hangs_starves_the_watchdog(slow: Systemd, tmp_path: Path) -> None:
    slow.wait_for("WATCHDOG=1", times=2)
    let_a_look_hang(tmp_path)
    time.sleep(0.5)
    fed = slow.heard().count("WATCHDOG=1")
    time.sleep(2)
    assert slow.heard().count("WATCHDOG=1") == fed


def test_a_loop_that_fails_ends_the_process_as_a_failure(tmp_path: Path, config: Path) -> None:
    broken = (
        "import sys; from pci_agent.agent.daemon import Daemon; from pci_agent.cmd import agent_daemon, process\n"
        "Daemon._look = lambda self: 1 / 0\n"
        "process.serve(lambda: agent_daemon.serve(sys.argv[1:], ()))"
    )
    systemd = Systemd(tmp_path, sys.executable, "-c", broken, "--config-file", str(config))
    try:
        assert systemd.process.wait(20) == 1
        assert "ZeroDivisionError" in systemd.log.read_text()
    finally:
        systemd.close()


def test_it_is_ready_and_says_so_though_libvirt_is_away(tmp_path: Path, config: Path) -> None:
    uri = f"qemu+unix:///system?socket={tmp_path}/nowhere"
    config.write_text(config.read_text().replace("libvirt_uri =", f"libvirt_uri = {uri}"))
    systemd = Systemd(tmp_path, str(PROGRAMS / "pci-agent"), "--config-file", str(config))
    try:
        systemd.wait_for("READY=1")
        systemd.wait_for(f"STATUS=3 of 3 PCI functions offered, 2 problems; libvirt doesn't answer at {uri}")
    finally:
        systemd.close()


def test_sighup_reads_the_whitelist_again(systemd: Systemd, config: Path) -> None:
    systemd.wait_for("READY=1")
    config.write_text(config.read_text().replace('"vendor_id": "8086"', '"product_id": "1520"'))
    systemd.process.send_signal(signal.SIGHUP)
    systemd.wait_for("RELOADING=1")
    systemd.wait_for("MONOTONIC_USEC=")
    systemd.wait_for("READY=1", times=2)
    systemd.wait_for("STATUS=2 of 3 PCI functions offered")


@pytest.mark.parametrize(
    "broken", ['device_spec = {"vendor": "8086"', "look_interval_s = soon", "no option at all", "\udce9"]
)
def test_sighup_keeps_the_last_good_configuration_where_the_new_one_is_bad(
    systemd: Systemd, config: Path, broken: str
) -> None:
    systemd.wait_for("READY=1")
    text = f"{config.read_text()}[agent]\n{broken}\n[pci]\n{broken}\n"
    config.write_bytes(text.encode(errors="surrogateescape"))
    systemd.process.send_signal(signal.SIGHUP)
    systemd.wait_for("READY=1", times=2)
    systemd.wait_for("STATUS=3 of 3 PCI functions offered, 1 problems; configuration refused: ")
    assert "the one before stays in force" in systemd.log.read_text()


def test_a_storm_of_signals_neither_stops_nor_deafens_it(systemd: Systemd) -> None:
    systemd.wait_for("READY=1")
    for _ in range(300):
        systemd.process.send_signal(signal.SIGHUP)
        time.sleep(0.0004)
    reloads = sum(heard == "RELOADING=1" for heard in systemd.heard())
    systemd.process.send_signal(signal.SIGHUP)
    systemd.wait_for("RELOADING=1", times=reloads + 1)
    assert systemd.stop() == 0


def test_a_host_that_cannot_be_listed_is_not_told_as_it_was_before(
    tmp_path: Path, systemd: Systemd, config: Path, sysfs: FakeSysfs
) -> None:
    systemd.wait_for("READY=1")
    systemd.stop()
    sysfs.entries.rename(tmp_path / "away")
    again = tmp_path / "again"
    again.mkdir()
    blind = Systemd(again, str(PROGRAMS / "pci-agent"), "--config-file", str(config))
    try:
        blind.wait_for("READY=1")
        time.sleep(4)
        assert blind.heard()[0].endswith("1 problems; tracker: no tracker has answered yet")
        assert not any("no broker answers" in heard for heard in blind.heard()), "nothing was told"
        (tmp_path / "away").rename(sysfs.entries)
        blind.wait_for("STATUS=3 of 3 PCI functions offered, 1 problems; tracker: no broker answers")
    finally:
        blind.close()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('device_spec = {"vendor_id": "80861"}', "[pci] device_spec entry 2, vendor_id"),
        ("device_spec = {}", "it constrains nothing"),
        ("[agent]\nlook_interval_s = soon", "look_interval_s"),
        ("nonsense", "mend the file"),
        ("[DEFAULT]\nuse_journal = maybe", "Invalid Boolean value: maybe"),
        ("[DEFAULT]\ntransport_url = rabit://x", "[DEFAULT] transport_url: Failed to load transport driver"),
        ("[DEFAULT]\ntransport_url = nonsense", "[DEFAULT] transport_url: No scheme specified"),
        ('device_spec = {"vendor_id": "8086", "pool": "a$b"}', "is written $$"),
    ],
)
def test_a_bad_configuration_at_start_is_told_and_ends_it_for_good(config: Path, line: str, told: str) -> None:
    config.write_text(config.read_text() + line + "\n")
    ran = subprocess.run(
        [PROGRAMS / "pci-agent", "--config-file", config], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 78
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


def test_novas_file_may_hold_the_whitelist(tmp_path: Path, config: Path) -> None:
    own = config.read_text()
    config.write_text(own[: own.index("[pci]")])
    nova = tmp_path / "nova.conf"
    nova.write_text('[DEFAULT]\npci_passthrough_whitelist = {"product_id": "1520"}\n[libvirt]\nvirt_type = $x\n')
    systemd = Systemd(tmp_path, str(PROGRAMS / "pci-agent"), "--config-file", str(config), "--nova-config", str(nova))
    try:
        systemd.wait_for("STATUS=2 of 3 PCI functions offered")
        nova.write_text('[pci]\ndevice_spec = {"vendor_id": "8086"}\n')
        systemd.process.send_signal(signal.SIGHUP)
        systemd.wait_for("STATUS=3 of 3 PCI functions offered")
    finally:
        systemd.close()


def test_sighup_keeps_the_last_good_one_where_a_value_of_the_command_line_s_options_is_bad(
    systemd: Systemd, config: Path
) -> None:
    systemd.wait_for("READY=1")
    config.write_text(config.read_text().replace("[DEFAULT]", "[DEFAULT]\ndebug = maybe"))
    systemd.process.send_signal(signal.SIGHUP)
    systemd.wait_for("STATUS=3 of 3 PCI functions offered, 1 problems; configuration refused: ")
    assert systemd.process.poll() is None


def test_a_second_agent_on_the_same_state_is_refused(systemd: Systemd, config: Path) -> None:
    systemd.wait_for("READY=1")
    ran = subprocess.run(
        [PROGRAMS / "pci-agent", "--config-file", config], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 78
    assert "another pci-agent is running on it" in ran.stderr
