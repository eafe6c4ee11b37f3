"""tools/run: the whole product in one process on this machine's own devices."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from pci_agent.discovery.sysfs import scan
from services import free_port, wait_for

ROOT = Path(__file__).resolve().parents[3]
RUN = str(ROOT / "tools/run")


def run_once(state: Path, *arguments: str) -> list[list[str]]:
    """Run it once, and give the table's cells, header first."""
    command = [RUN, "--once", "--port", str(free_port()), "--state-dir", str(state), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert all(line[:1] in ("+", "|", "") for line in ran.stdout.splitlines()), "nothing but the table"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in ran.stdout.splitlines() if "|" in line]


def addresses() -> list[str]:
    return sorted(entry.name for entry in Path("/sys/bus/pci/devices").iterdir())


def dev_ids(names: Sequence[str]) -> list[str]:
    return [f"pci_{name.replace(':', '_').replace('.', '_')}" for name in names]


def test_once_prints_every_function_of_this_machine_with_status_and_host(tmp_path: Path) -> None:
    header, *rows = run_once(tmp_path)
    devices = [dict(zip(header, row, strict=True)) for row in rows]
    assert [device["Name"] for device in devices] == dev_ids(addresses())
    assert {device["Status"] for device in devices} <= {"available", "unavailable"}
    assert {device["Host"] for device in devices} == {os.uname().nodename}


def test_a_second_run_shows_the_same_ids_and_uuids(tmp_path: Path) -> None:
    assert run_once(tmp_path) == run_once(tmp_path)


def test_with_a_whitelist_of_ones_own_only_what_it_names_shows(tmp_path: Path) -> None:
    one = scan().devices[-1]
    sample = (ROOT / "conf/pci-agent.conf").read_text()
    mine = tmp_path / "mine.conf"
    mine.write_text(sample + f'device_spec = {{"address": "{one.address}"}}\n')
    header, row = run_once(tmp_path, "--config-file", str(mine))
    assert dict(zip(header, row, strict=True))["Name"] == one.dev_id


def test_with_the_sample_as_it_is_nothing_is_offered(tmp_path: Path) -> None:
    assert len(run_once(tmp_path, "--config-file", str(ROOT / "conf/pci-agent.conf"))) <= 1


def test_a_whitelist_that_cannot_be_used_is_told_with_the_cure(tmp_path: Path) -> None:
    bad = tmp_path / "bad.conf"
    bad.write_text('[pci]\ndevice_spec = {"adress": "0000:04:00.0"}\n')
    command = [RUN, "--once", "--state-dir", str(tmp_path), "--config-file", str(bad)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 78
    assert ran.stderr.strip() == (
        '[pci] device_spec entry 1, adress = "0000:04:00.0": this looks like a slip of the pen; did you mean address?'
    )


def test_where_no_sysfs_is_it_says_so_and_prints_nothing(tmp_path: Path) -> None:
    command = [RUN, "--once", "--state-dir", str(tmp_path / "state"), "--sysfs-root", str(tmp_path / "nope")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (78, "", 1), ran.stderr
    assert "no sysfs is there" in ran.stderr


def test_another_machine_has_a_state_of_its_own_and_no_problem(tmp_path: Path) -> None:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        once = [sys.executable, "-m", "pci_agent.cmd.standalone", "--once", "--state-home", str(tmp_path)]
        return subprocess.run([*once, *arguments], capture_output=True, text=True, check=True, timeout=120)

    mine = run().stdout
    captured = run("--sysfs-root", str(ROOT / "tests/captures/two-nodes-4-vfs.tar.gz"))
    assert "pci_0000_21_10_0" in captured.stdout
    assert "problem" not in captured.stderr
    assert run().stdout == mine


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(tmp_path: Path, by: signal.Signals) -> None:
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [RUN, "--port", str(port), "--state-dir", tmp_path / "state"], stdout=log, stderr=log
        )

    def listed() -> int:
        try:
            with urlopen(f"http://127.0.0.1:{port}/v2/openstack/os-pci", timeout=5) as answer:
                return len(json.load(answer)["pci_devices"])
        except OSError:
            return -1

    wait_for(lambda: listed() == len(addresses()), "this machine in REST")
    process.send_signal(by)
    assert process.wait(30) == 0


def test_it_gives_devices_out_over_rest_and_takes_them_back(tmp_path: Path) -> None:
    port = free_port()
    devices = f"http://127.0.0.1:{port}/v3/os-pci"

    def asked(method: str, path: str = "", body: object = None) -> Any:
        text = None if body is None else json.dumps(body).encode()
        with urlopen(Request(devices + path, text, method=method), timeout=30) as answer:
            return json.load(answer)

    def free() -> list[dict[str, Any]]:
        try:
            listed: list[dict[str, Any]] = asked("GET", "?status=available")["pci_devices"]
        except OSError:
            return []
        return listed

    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [RUN, "--port", str(port), "--state-dir", tmp_path / "state"], stdout=log, stderr=log
        )
    try:
        wait_for(lambda: len(free()) > 0, "a device that is free")
        one = free()[0]
        at = "/allocations/6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11"
        spec = {"vendor_id": one["vendor_id"], "product_id": one["product_id"], "dev_type": one["dev_type"]}
        asked("PUT", at, {"requests": [{"request_id": "r1", "specs": [spec]}]})
        (request,) = asked("POST", f"{at}/confirm")["allocation"]["requests"]
        assert (request["confirmed"], len(request["devices"])) == (True, 1)
        assert asked("GET", "?status=allocated")["pci_devices"][0]["uuid"] == request["devices"][0]["uuid"]
        asked("DELETE", at)
        assert one["uuid"] in [device["uuid"] for device in free()]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_pci_agent_discover_shows_the_same_functions_with_no_bus(tmp_path: Path) -> None:
    discover = [str(Path(sys.executable).parent / "pci-agent"), "discover", "-f", "json"]
    told = json.loads(subprocess.run(discover, capture_output=True, check=True, timeout=60).stdout)
    assert sorted(told) == ["devices", "problems"]
    assert [device["address"] for device in told["devices"]] == addresses()
    missing = subprocess.run([*discover, "--sysfs-root", str(tmp_path)], capture_output=True, check=False, timeout=60)
    assert missing.returncode == 1
    assert "no such file or directory" in json.loads(missing.stdout)["problems"][0]["cause"]
