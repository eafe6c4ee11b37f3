"""Eight real machines: what a scan finds is what the captures' own verify.py counts with other code."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from conftest import CAPTURES
from pci_agent.discovery.sysfs import Scan, scan
from pci_agent.model.device import DevType

MACHINES = (
    "ghw-intel-i7-1270P",
    "ghw-sriov-2052b9c7",
    "harvester-vgpu-node",
    "hwloc-2pa-pcidomain32bits",
    "hwloc-40intel64-2g2n4c_pcilocality",
    "nfd-rootfs-1",
    "opae-dfl_n6000_sku1_nlb0",
    "openshift-master.internal",
)
# Directories where the kernel has links, for this one was copied with cp -rL.
_PLACES = "00:04.0 00:11.1 00:11.5 00:14.2 00:16.0 00:1c.0 00:1f.2 00:1f.5 02:00.0 3b:00.0 3f:00.0"
ODD = {"nfd-rootfs-1": {f"0000:{place}" for place in _PLACES.split()}}


@pytest.fixture(scope="module")
def counted(captures: Path) -> dict[str, dict[str, str]]:
    told = subprocess.run(
        [sys.executable, CAPTURES / "verify.py", captures], check=True, capture_output=True, text=True
    )
    header, *rows = (line.split("\t") for line in told.stdout.splitlines())
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def seen(captures: Path, machine: str) -> Scan:
    return scan(str(captures / machine / "sys"))


def test_no_machine_is_left_out(counted: dict[str, dict[str, str]]) -> None:
    assert sorted(counted) == sorted(MACHINES)


def test_the_counts_are_those_of_the_capture(seen: Scan, machine: str, counted: dict[str, dict[str, str]]) -> None:
    row = counted[machine]
    types = Counter(device.dev_type for device in seen.devices)
    assert len(seen.devices) == int(row["pci"]) - int(row["no_vendor"])
    assert len(seen.unreadable) == int(row["no_vendor"]) + int(row["dangling"])
    assert types[DevType.PF] == int(row["PF(totalvfs>0)"])
    assert types[DevType.VF] == int(row["VF(physfn)"])
    assert sum(device.sriov_numvfs or 0 for device in seen.devices) == int(row["VF(physfn)"])
    assert sum(len(device.netdevs) for device in seen.devices) == int(row["netdevs"])


def test_problems_are_exactly_the_odd_devices(seen: Scan, machine: str) -> None:
    assert {problem.address for problem in seen.problems} == ODD.get(machine, set())


def test_every_linked_function_has_a_path_of_its_own(seen: Scan) -> None:
    paths = [device.path for device in seen.devices if device.path is not None]
    assert len(set(paths)) == len(paths)


def test_every_vf_knows_its_pf_and_index(seen: Scan) -> None:
    for vf in (device for device in seen.devices if device.dev_type == "type-VF"):
        assert vf.parent_addr in {device.address for device in seen.devices if device.dev_type == "type-PF"}
        assert vf.vf_index is not None
