"""An agent in the guest, a tracker on the host: what happens to the hardware shows in REST, without a restart."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fleets import Fleet
from labs.guest import Lab

PF0, PF1, VF = "0000:21:00.0", "0000:41:00.0", "0000:21:10.0"
BUS = "/sys/bus/pci/devices"
Devices = dict[str, dict[str, Any]]


def of(pf: str, devices: Devices) -> list[str]:
    return [address for address, device in devices.items() if device["parent_addr"] == pf]


class NotShown(AssertionError):
    """What should be in REST by now isn't."""


def has(pf: str, count: int) -> Callable[[Devices], bool]:
    return lambda seen: len(of(pf, seen)) == count


@pytest.fixture(scope="module")
def agent(lab: Lab, fleet: Fleet) -> None:
    """An agent in the lab that looks every second."""
    fleet.start_agent(lab)


@pytest.fixture
def watched(lab: Lab, fleet: Fleet, agent: None) -> Iterator[Lab]:  # noqa: ARG001
    """The lab with that agent, and 8 VFs in REST; afterwards they are there again."""
    fleet.wait_until("lab", lambda seen: len(of(PF0, seen)) == len(of(PF1, seen)) == 4, "8 VFs")
    yield lab
    file = f"{BUS}/{PF0}/sriov_numvfs"
    lab.run(f"grep -qx 4 {file} || (echo 0 > {file}; echo 4 > {file}); udevadm settle")


def write_numvfs(lab: Lab, count: int) -> tuple[float, float]:
    """Switch VFs on or off; give the seconds until the write returned and until the last VF's uevent."""
    told = lab.run(
        "udevadm monitor --kernel --subsystem-match=pci --subsystem-match=net >/tmp/events & sleep 0.5;"
        f" cut -d' ' -f1 /proc/uptime; echo {count} > {BUS}/{PF0}/sriov_numvfs; cut -d' ' -f1 /proc/uptime;"
        " sleep 1; kill $!; cat /tmp/events"
    )
    begun, returned = (float(line) for line in told.splitlines()[:2])
    events = [float(found[1]) for found in re.finditer(r"^KERNEL\[([0-9.]+)\].*0000:21:10", told, re.MULTILINE)]
    return returned - begun, max(events) - begun


def test_vfs_switched_on_and_off_show(watched: Lab, fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for count in (0, 3, 0):
        since = time.monotonic()
        returned, last = write_numvfs(watched, count)
        fleet.wait_until("lab", has(PF0, count), f"{count} VFs")
        shown = time.monotonic() - since
        times = f"write returned {returned:.2f} s, last VF uevent {last:.2f} s, visible in REST {shown:.2f} s"
        lines.append(f"numvfs {count}: {times}")
    with capsys.disabled():
        print("", *lines, sep="\n")  # noqa: T201 - for whoever runs it
    assert len(of(PF1, fleet.devices("lab"))) == 4


def test_a_vf_that_returns_is_the_same_device(watched: Lab, fleet: Fleet) -> None:
    before = {address: device["uuid"] for address, device in fleet.devices("lab").items()}
    for count in (0, 4):
        watched.run(f"echo {count} > {BUS}/{PF0}/sriov_numvfs")
        fleet.wait_until("lab", has(PF0, count), f"{count} VFs")
    assert {address: device["uuid"] for address, device in fleet.devices("lab").items()} == before


def test_a_card_pulled_out_goes_with_its_vfs_and_returns_as_the_same(watched: Lab, fleet: Fleet) -> None:
    before = fleet.devices("lab")[PF1]
    watched.unplug(1)
    fleet.wait_until("lab", lambda seen: PF1 not in seen and not of(PF1, seen), "the card to go")
    assert len(of(PF0, fleet.devices("lab"))) == 4
    watched.plug(1)
    fleet.wait_until("lab", lambda seen: PF1 in seen, "the card to return")
    assert fleet.devices("lab")[PF1]["uuid"] == before["uuid"]
    watched.run(f"until echo 4 > {BUS}/{PF1}/sriov_numvfs; do sleep 0.5; done; udevadm settle")
    fleet.wait_until("lab", lambda seen: len(of(PF1, seen)) == 4, "its VFs")


def test_a_netdev_renamed_shows_under_its_new_name(watched: Lab, fleet: Fleet) -> None:
    watched.run("ip link set ens1v0 down; ip link set ens1v0 name guest0")
    try:
        fleet.wait_until("lab", lambda seen: seen[VF]["extra_info"].get("netdevs") == "guest0", "the new name")
    finally:
        # udev keeps the old name as an alternative one.
        watched.run("ip link property del dev guest0 altname ens1v0; ip link set guest0 name ens1v0")
    fleet.wait_until("lab", lambda seen: seen[VF]["extra_info"].get("netdevs") == "ens1v0", "the old name")


def bind(lab: Lab, address: str, driver: str) -> None:
    lab.run(
        f"echo {driver} > {BUS}/{address}/driver_override; echo {address} > {BUS}/{address}/driver/unbind;"
        f" echo {address} > /sys/bus/pci/drivers_probe; echo > {BUS}/{address}/driver_override; udevadm settle"
    )


def test_a_vf_bound_to_vfio_pci_and_back_shows_its_driver(watched: Lab, fleet: Fleet) -> None:
    uuid = fleet.devices("lab")[VF]["uuid"]
    bind(watched, VF, "vfio-pci")
    try:
        fleet.wait_until("lab", lambda seen: seen[VF]["extra_info"].get("driver") == "vfio-pci", "vfio-pci")
        assert "netdevs" not in fleet.devices("lab")[VF]["extra_info"]
    finally:
        bind(watched, VF, "igbvf")
    fleet.wait_until("lab", lambda seen: seen[VF]["extra_info"].get("driver") == "igbvf", "igbvf")
    assert fleet.devices("lab")[VF]["uuid"] == uuid


def test_a_pf_brought_down_changes_nothing(watched: Lab, fleet: Fleet) -> None:
    before = fleet.devices("lab")
    watched.run("ip link set ens1 up; ip link set ens1 down; sleep 2")
    assert fleet.devices("lab") == before


def test_a_vf_listed_by_devname_stays_listed_while_vfio_pci_has_it(lab: Lab, fleet: Fleet) -> None:
    fleet.start_agent(lab, '{"devname": "ens1v0"}', host="by-name")
    fleet.wait_until("by-name", lambda seen: list(seen) == [VF], "the VF")
    bind(lab, VF, "vfio-pci")
    try:
        fleet.wait_until("by-name", lambda seen: seen[VF]["extra_info"].get("driver") == "vfio-pci", "vfio-pci")
        assert "netdevs" not in fleet.devices("by-name")[VF]["extra_info"]
    finally:
        fleet.stop_agent(lab, "by-name")
        bind(lab, VF, "igbvf")
