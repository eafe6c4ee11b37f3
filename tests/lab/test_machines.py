"""Whole machines: two side by side, one rebooted with its addresses moved, captures of them all."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from callers import Caller

from fleets import Fleet, started
from labs.guest import Lab
from labs.hardware import Hardware
from pci_agent.wire.commands import SpecRecord

CARDS = '{"vendor_id": "8086", "product_id": "10c9"}', '{"vendor_id": "8086", "product_id": "10ca"}'
A_VF, A_PF = SpecRecord(product_id="10ca"), SpecRecord(product_id="10c9", dev_type="type-PF")
DOMAIN = """\
<domain type='qemu'>
  <name>owner</name><uuid>{}</uuid><memory unit='MiB'>48</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><hostdev mode='subsystem' type='pci' managed='yes'><source>
    <address bus='0x21' slot='0x10' function='0'/>
  </source></hostdev></devices>
</domain>
"""
Devices = dict[str, dict[str, Any]]


def test_a_capture_replayed_on_the_host_gives_the_same_json_byte_for_byte(lab: Lab, tmp_path: Path) -> None:
    there = lab.run("pci-agent discover -f json")
    encoded = lab.run("pci-agent capture --keep-identifiers /tmp/capture.tar.gz >/dev/null; base64 /tmp/capture.tar.gz")
    file = tmp_path / "capture.tar.gz"
    file.write_bytes(subprocess.run(["base64", "-d"], input=encoded.encode(), capture_output=True, check=True).stdout)
    discover = [str(Path(sys.executable).parent / "pci-agent"), "discover", "-f", "json", "--sysfs-root", str(file)]
    here = subprocess.run(discover, capture_output=True, text=True, check=True, timeout=60).stdout
    assert here == there
    assert json.loads(here)["devices"]


@pytest.fixture(scope="module")
def other() -> Iterator[Lab]:
    """A second lab, whose two cards sit on one node and have no VFs after boot."""
    with started("other", Hardware(pf=2, vfs=0, nodes=1)) as made:
        yield made


def test_two_labs_run_side_by_side(lab: Lab, other: Lab) -> None:
    assert lab.run("hostname") != other.run("hostname")


def test_a_reboot_that_moves_addresses_keeps_ids_uuids_and_owners(lab: Lab, other: Lab, fleet: Fleet) -> None:
    switch_on(other, "0000:21:00.0")
    fleet.start_agent(other, *CARDS, host="other")
    fleet.wait_until("other", lambda seen: len(seen) == 5, "two PFs, and 3 VFs of the first")
    with fleet.caller("other") as caller:
        give_away(caller, other)
        given = ["allocated", "allocated", "allocated", "claimed"]
        fleet.wait_until("other", lambda seen: sorted(each["status"] for each in of_owners(seen)) == given, "owners")
    before = fleet.devices("other")
    assert sorted(before) == ["0000:21:00.0", "0000:21:10.0", "0000:21:10.2", "0000:21:10.4", "0000:22:00.0"]
    fleet.stop_agent(other, "other")
    boot = other.run("cat /proc/sys/kernel/random/boot_id")
    other.reboot(card_below=True)
    assert other.run("cat /proc/sys/kernel/random/boot_id") != boot
    fleet.start_agent(other, *CARDS, host="other")
    fleet.wait_until("other", lambda seen: "0000:23:00.0" in seen and "0000:21:00.0" not in seen, "other addresses")
    without_vfs = fleet.devices("other")
    assert {each["dev_type"]: each["status_reason"] for each in of_owners(without_vfs)} == {
        "type-PF": None,
        "type-VF": "retiring: it is gone from the host",
    }
    assert whose(without_vfs) == whose(before)
    switch_on(other, "0000:22:00.0")
    fleet.wait_until("other", lambda seen: not any(each["status_reason"] for each in of_owners(seen)), "the VFs again")
    after = fleet.devices("other")
    assert sorted(after) == ["0000:22:00.0", "0000:22:10.0", "0000:22:10.2", "0000:22:10.4", "0000:23:00.0"]
    assert whose(after) == whose(before)
    for there, here in zip(sorted(before), sorted(after), strict=True):
        assert (before[there]["uuid"], before[there]["id"]) == (after[here]["uuid"], after[here]["id"])
    fleet.stop_agent(other, "other")
    assert lab.run("echo here") == "here\n", "one lab's reboot leaves the other"


def switch_on(lab: Lab, pf: str) -> None:
    lab.run(f"echo 3 >/sys/bus/pci/devices/{pf}/sriov_numvfs; udevadm settle")


def of_owners(devices: Devices) -> list[dict[str, Any]]:
    return [device for device in devices.values() if device["server_uuid"] is not None]


def whose(devices: Devices) -> dict[str, tuple[str, str | None, str | None]]:
    """By uuid, the status where somebody has it, and who does."""
    return {each["uuid"]: (each["status"], each["server_uuid"], each["request_id"]) for each in of_owners(devices)}


def give_away(caller: Caller, lab: Lab) -> None:
    """Allocate a VF to an instance with a domain, one to an instance without; claim one; allocate the other PF."""
    lab.run("until virsh -q list >/dev/null 2>&1; do sleep 0.2; done")
    for spec, has_domain, is_allocated in (
        (A_VF, True, True),
        (A_VF, False, True),
        (A_VF, False, False),
        (A_PF, False, True),
    ):
        request, instance = str(uuid4()), str(uuid4())
        assert caller.claim(request, instance, spec).verdict == "ok"
        if has_domain:
            lab.run(f"cat >/tmp/owner.xml <<'END'\n{DOMAIN.format(instance)}\nEND\nvirsh -q define /tmp/owner.xml")
        if is_allocated:
            assert caller.allocate(request).verdict == "ok"
