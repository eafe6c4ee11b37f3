"""What a real kernel does to cards wakes, once a burst, whether udevd runs or not; times are told, it is emulated."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from labs.guest import Lab

PF, VF, NETDEV = "0000:21:00.0", "0000:21:10.0", "ens1v0"
BUS = "/sys/bus/pci/devices"
UDEVD = "/lib/systemd/systemd-udevd"
LISTEN = """
import logging, signal, sys, time
from pci_agent.discovery.udev import Uevents
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
uevents = Uevents(lambda: print(f"{time.monotonic():.6f}", flush=True))
uevents.start()
print("trouble:", uevents.trouble, flush=True)
signal.pause()
"""


@dataclass(frozen=True, slots=True)
class Heard:
    """When it woke and when the uevents were that it listens to, by the guest's clock."""

    wakes: list[float]
    uevents: list[float]

    def __str__(self) -> str:
        lasted, after = self.uevents[-1] - self.uevents[0], self.wakes[-1] - self.uevents[-1]
        counted = f"{len(self.uevents)} uevents in {lasted:.2f} s, {len(self.wakes)} wakes"
        return f"{counted}, the last {after * 1000:.0f} ms after the last uevent"


@pytest.fixture(scope="module")
def listening(lab: Lab) -> Iterator[Lab]:
    """The lab with something that listens, and with udevadm beside it."""
    lab.run(f"cat >/tmp/listen.py <<'END'\n{LISTEN}\nEND")
    matches = " ".join(f"--subsystem-match={each}" for each in ("pci", "net", "iommu", "vfio"))
    lab.run(
        "udevadm settle;"
        " PYTHONPATH=/project:/site setsid python3 /tmp/listen.py >/tmp/wakes 2>&1 & echo $! >/run/listen.pid;"
        f" setsid udevadm monitor --kernel --udev {matches} >/tmp/uevents & echo $! >/run/monitor.pid;"
        " until grep -q '^[0-9]' /tmp/wakes; do sleep 0.1; done"
    )
    assert "trouble: None" in lab.run("cat /tmp/wakes")
    yield lab
    lab.run("kill $(cat /run/listen.pid) $(cat /run/monitor.pid)")


def heard(lab: Lab, command: str, source: str = "UDEV") -> Heard:
    """Do something in the guest, and tell what came of it."""
    since = float(lab.run(f"sleep 1; python3 -c 'import time; print(time.monotonic())'; {command}").split()[0])
    time.sleep(1.5)  # longer than any burst
    told = lab.run("cat /tmp/wakes /tmp/uevents")
    wakes = [float(found) for found in re.findall(r"^([0-9.]+)$", told, re.MULTILINE)]
    uevents = [float(found) for found in re.findall(rf"^{source} *\[([0-9.]+)\]", told, re.MULTILINE)]
    return Heard([each for each in wakes if each > since], [each for each in uevents if each > since])


def test_vfs_made_anew_wake_seldom_and_after_the_last_uevent(
    listening: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    numvfs = f"{BUS}/{PF}/sriov_numvfs"
    told = heard(listening, f"echo 0 >{numvfs}; echo 4 >{numvfs}; udevadm settle")
    with capsys.disabled():
        print("", told, sep="\n")  # noqa: T201 - for whoever runs it
    assert 1 <= len(told.wakes) < len(told.uevents) / 3
    assert told.uevents[-1] < told.wakes[-1] < told.uevents[-1] + 1.5


def test_a_driver_unbound_and_bound_wakes(listening: Lab) -> None:
    for what in ("unbind", "bind"):
        told = heard(listening, f"echo {VF} >/sys/bus/pci/drivers/igbvf/{what}; udevadm settle")
        assert told.wakes[-1] > told.uevents[-1]


def test_a_netdev_renamed_wakes(listening: Lab) -> None:
    try:
        told = heard(listening, f"ip link set {NETDEV} down; ip link set {NETDEV} name guest0; udevadm settle")
        assert told.wakes[-1] > told.uevents[-1]
    finally:
        # udev keeps the old name as an alternative one.
        listening.run(f"ip link property del dev guest0 altname {NETDEV}; ip link set guest0 name {NETDEV}")


@contextmanager
def udevd_killed(lab: Lab) -> Iterator[None]:
    lab.run("kill -9 $(pidof systemd-udevd); sleep 7")
    try:
        yield
    finally:
        lab.run(f"{UDEVD} --daemon; sleep 7; udevadm settle")


def test_it_wakes_without_udevd_and_with_udevd_again(listening: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    there, back = f"ip link set {NETDEV} name guest0", f"ip link set guest0 name {NETDEV}"
    with udevd_killed(listening):
        alone = heard(listening, f"{there}; {back}", "KERNEL")
        assert alone.wakes[-1] > alone.uevents[-1]
    told = heard(listening, f"{there}; udevadm settle; ip link property del dev guest0 altname {NETDEV}; {back}")
    assert told.wakes[-1] > told.uevents[-1]
    assert re.findall("listening to uevents of (.*)", listening.run("cat /tmp/wakes")) == ["udev", "kernel", "udev"]
    with capsys.disabled():
        print("", f"without udevd {alone}", f"with udevd {told}", sep="\n")  # noqa: T201
