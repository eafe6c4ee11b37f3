"""Commands that change nothing, all of them against one fleet."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import INSTANCE, PCICTL, PF, A, B, Fleet, running
from services import as_nobody


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One for tests that change nothing."""
    with running(tmp_path_factory.mktemp("still")) as made:
        yield made


def test_a_device_is_explained_entry_by_entry(still: Fleet) -> None:
    why = still.told("device", "explain", PF, "--host", A)
    assert (why["hypervisor_hostname"], why["address"], why["offered"]) == (A, PF, False)
    assert why["entries"][0]["failed"] == "its product_id is 1521, not 1520"
    table = still.run("device", "explain", PF, "--host", A).stdout
    assert "no: its product_id is 1521, not 1520" in table
    assert "to offer it, add an entry such as" in table
    assert "say on which host it is with --host NAME." in still.refused("device", "explain", PF)
    assert "names several functions: name one of 0000:04:00.0, 0000:04:10.0" in still.refused(
        "device", "explain", "0000:04:*.0", "--host", A
    )


def test_hosts_are_listed_by_state_and_at_length(still: Fleet) -> None:
    assert [each["Host"] for each in still.told("hypervisor", "list", "--state", "up", "--limit", "1")] == [A]
    assert still.told("hypervisor", "list", "--state", "down") == []
    hosts = still.told("hypervisor", "list", "--long", "--sort", "hypervisor_hostname:desc")
    assert [(each["Host"], each["Free"], each["Used"], each["Problems"]) for each in hosts] == [
        (B, 2, 0, []),
        (A, 1, 0, []),
    ]


def test_nothing_wanted_is_a_bad_command_line(still: Fleet) -> None:
    assert "--request or --alias" in still.refused("allocation", "create", INSTANCE, code=2)
    assert "'two' is no whole number" in still.refused("candidate", "list", "--request", "count=two", code=2)


def test_candidates_are_hosts_or_the_reasons_why_none_is(still: Fleet) -> None:
    assert [each["Host"] for each in still.told("candidate", "list", "--alias", "nic")] == [A, B]
    (host,) = still.told("candidate", "list", "--request", "count=2", "--numa-node", "0", "--limit", "1")
    assert (host["Host"], host["Free"]) == (B, 2)
    ran = still.run("candidate", "list", "--alias", "nic:3", "-f", "json")
    assert (ran.returncode, json.loads(ran.stdout)) == (0, [])
    assert "hosts that each filter left: " in ran.stderr
    assert "compute-2 failed free" in ran.stderr
    assert "hosts that each filter left: " in still.run("candidate", "list", "--alias", "nic", "--explain").stderr
    sockets = ["--request", "numa_policy=socket", "--numa-node", "1", "--numa-socket", "0=0", "--numa-socket", "1=0"]
    assert still.told("candidate", "list", *sockets) == []


def test_another_whitelist_is_tried_and_changes_nothing(still: Fleet, tmp_path: Path) -> None:
    entry = json.dumps({"address": PF})
    plan = still.told("whitelist", "plan", B, "--device-spec", entry)
    assert [(each["Change"], each["Address"], each["PCI ID"]) for each in plan] == [("gained", PF, "8086:1521")]
    (tmp_path / "entries.json").write_text(f"[{entry}]")
    assert still.told("whitelist", "plan", B, "--file", str(tmp_path / "entries.json")) == plan
    ran = still.run("whitelist", "plan", B, "--file", "-", "-f", "json", stdin="[]")
    assert [each["Change"] for each in json.loads(ran.stdout)] == ["lost", "lost"]
    assert len(still.centre.hosts[B].agent.records()) == 2
    told = still.refused(
        "whitelist", "plan", B, "--device-spec", '{"adress": "1"}', "--device-spec", '{"vendor_id": "x"}'
    )
    assert "did you mean address?" in told
    assert told.count("\n") == 1
    assert "JSON list of entries" in still.refused("whitelist", "plan", B, "--file", str(tmp_path))
    assert "--device-spec" in still.refused("whitelist", "plan", B, code=2)


def test_commands_and_their_options_are_completed(still: Fleet) -> None:
    ran = still.run("complete")
    assert ran.returncode == 0, ran.stderr
    assert "cmds_device='disable enable explain history list show'" in ran.stdout
    assert "--physical-network" in ran.stdout


def test_a_command_that_does_not_exist_is_a_bad_command_line(still: Fleet) -> None:
    ran = still.run("device", "lst")
    assert ran.returncode == 2
    assert "Did you mean one of these?" in ran.stdout


@pytest.mark.parametrize(
    "command",
    ["device list", "device show x", "stats", "server show x", "allocation delete x", "whitelist show x"],
)
def test_an_api_that_does_not_answer_is_one_line_with_the_cure(command: str) -> None:
    ran = subprocess.run(
        [PCICTL, "--os-endpoint", "http://127.0.0.1:1", *command.split()],
        capture_output=True, text=True, check=False, timeout=60, env=as_nobody(),
    )  # fmt: skip
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
    assert "start pci-api, or name another with --os-endpoint" in ran.stderr
