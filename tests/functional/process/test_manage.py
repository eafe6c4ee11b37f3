"""pci-tracker-manage as an operator runs it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from test_databases import report
from test_upkeep import write

from pci_agent.tracker import database
from pci_agent.tracker.store import Store
from test_agent_daemon import PROGRAMS

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def manage(tmp_path: Path) -> Run:
    config = tmp_path / "pci.conf"
    config.write_text(f"[database]\nconnection = sqlite:///{tmp_path}/tracker.sqlite\n")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(PROGRAMS / "pci-tracker-manage"), *arguments, "--config-file", str(config)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return run


@pytest.fixture
def fleet(manage: Run, tmp_path: Path) -> Store:
    assert manage("upgrade").returncode == 0
    store = Store(database.connect(f"sqlite:///{tmp_path}/tracker.sqlite"), host_down_s=75)
    store.accept(report("a", "compute-1", 1))
    return store


def test_verify_tells_which_hosts_do_not_agree_by_name_and_exit_code(manage: Run, fleet: Store) -> None:
    ran = manage("verify")
    assert (ran.returncode, ran.stdout) == (0, "all hosts agree\n")
    write(fleet._engine, "UPDATE compute_nodes SET digest = '00000000000000000000000000000001'")
    ran = manage("verify")
    first, last = ran.stdout.splitlines()
    assert (ran.returncode, ran.stderr) == (1, "")
    assert first.startswith("compute-1: its devices' hashes sum up to 00000000000000000000000000000000, its state is")
    assert last.startswith("1 of the hosts doesn't agree with itself: pci-tracker-manage forget HOST lets")


def test_purge_tells_how_much_went(manage: Run, fleet: Store) -> None:
    fleet.forget("compute-1")
    write(fleet._engine, "UPDATE compute_nodes SET deleted_at = '2020-01-01 00:00:00.000000'")
    ran = manage("purge", "--older-than", "30")
    assert (ran.returncode, ran.stdout) == (
        0,
        "deleted for good: 0 of pci_device_events, 0 of pci_devices, 1 of compute_nodes, 0 of allocations\n",
    )


@pytest.mark.parametrize("days", ["0", "-1", "soon", "٣", "99999999999"])
def test_purge_wants_a_number_of_days(manage: Run, days: str) -> None:
    ran = manage("purge", "--older-than", days)
    assert (ran.returncode, "--older-than" in ran.stderr) == (2, True)


def test_forget_takes_a_host_out_and_says_what_is_not_there(manage: Run, fleet: Store) -> None:
    assert manage("forget", "compute-1").returncode == 0
    assert fleet.hypervisors() == []
    ran = manage("forget", "compute-1")
    assert (ran.returncode, ran.stderr) == (1, "no host compute-1 is listed; pcictl hypervisor list names them\n")


def test_a_database_without_a_schema_is_told_with_the_cure(manage: Run) -> None:
    for command in (("verify",), ("purge", "--older-than", "1"), ("forget", "compute-1"), ("check",)):
        ran = manage(*command)
        assert (ran.returncode, "run pci-tracker-manage upgrade" in ran.stderr) == (78, True)


def test_the_file_may_be_named_before_the_command(tmp_path: Path, fleet: Store) -> None:
    assert fleet.verify() == []
    ran = subprocess.run(
        [PROGRAMS / "pci-tracker-manage", "--config-file", tmp_path / "pci.conf", "verify"], check=False, timeout=60
    )
    assert ran.returncode == 0
