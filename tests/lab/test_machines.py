"""Whole machines: two side by side, one rebooted with its addresses moved, captures of them all."""

import json
import subprocess
import sys
from pathlib import Path

from fleets import Fleet, started
from labs.guest import Lab
from labs.hardware import Hardware


def test_a_capture_replayed_on_the_host_gives_the_same_json_byte_for_byte(lab: Lab, tmp_path: Path) -> None:
    there = lab.run("pci-agent discover -f json")
    encoded = lab.run("pci-agent capture --keep-identifiers /tmp/capture.tar.gz >/dev/null; base64 /tmp/capture.tar.gz")
    file = tmp_path / "capture.tar.gz"
    file.write_bytes(subprocess.run(["base64", "-d"], input=encoded.encode(), capture_output=True, check=True).stdout)
    discover = [str(Path(sys.executable).parent / "pci-agent"), "discover", "-f", "json", "--sysfs-root", str(file)]
    here = subprocess.run(discover, capture_output=True, text=True, check=True, timeout=60).stdout
    assert here == there
    assert json.loads(here)["devices"]


def test_two_labs_run_side_by_side_and_a_reboot_moves_addresses_but_not_devices(lab: Lab, fleet: Fleet) -> None:
    cards = '{"vendor_id": "8086", "product_id": "10c9"}', '{"vendor_id": "8086", "product_id": "10ca"}'
    with started("other", Hardware(pf=1, vfs=2, nodes=2)) as other:
        assert lab.run("hostname") != other.run("hostname")
        fleet.start_agent(other, *cards, host="other")
        fleet.wait_until("other", lambda seen: len(seen) == 3, "a PF and its 2 VFs")
        before = fleet.devices("other")
        fleet.stop_agent(other, "other")
        boot = other.run("cat /proc/sys/kernel/random/boot_id")
        other.reboot(card_below=True)
        assert other.run("cat /proc/sys/kernel/random/boot_id") != boot
        fleet.start_agent(other, *cards, host="other")
        fleet.wait_until("other", lambda seen: not set(seen) & set(before) and len(seen) == 3, "other addresses")
        after = fleet.devices("other")
        assert [device["uuid"] for device in after.values()] == [device["uuid"] for device in before.values()]
        assert [device["id"] for device in after.values()] == [device["id"] for device in before.values()]
        fleet.stop_agent(other, "other")
    assert lab.run("echo here") == "here\n", "ending one lab leaves the other"
