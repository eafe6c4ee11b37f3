"""Each command of pcictl, as a process of its own, against a real API with real agents behind it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from buses import parts
from centres import Centre, centre
from pci_agent.api.app import application
from pci_agent.api.serving import http_server
from pci_agent.model.request import parse_aliases
from pci_agent.tracker.store import Store
from services import as_nobody

PCICTL = Path(sys.executable).parent / "pcictl"
A, B = "compute-1", "compute-2"
PF, VF, VF2 = "0000:04:00.0", "0000:04:10.0", "0000:04:10.1"
NAME = "pci_0000_04_10_0"
INSTANCE = "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11"
ALIASES = parse_aliases(['{"name": "nic", "vendor_id": "8086", "product_id": "1520"}'])
TAGGED = '{"product_id": "1520", "physical_network": "physnet1", "rack": "7"}'


@dataclass
class Fleet:
    """A host with one VF and one with two, and the command."""

    centre: Centre
    endpoint: str

    def run(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [PCICTL, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            input=stdin,
            env={**as_nobody(), "OS_ENDPOINT": self.endpoint},
        )

    def told(self, *arguments: str) -> Any:
        """What a command tells machines."""
        ran = self.run(*arguments, "-f", "json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def refused(self, *arguments: str, code: int = 1) -> str:
        """What a command that fails tells on stderr."""
        ran = self.run(*arguments)
        assert (ran.returncode, ran.stdout) == (code, "")
        return ran.stderr


@pytest.fixture
def fleet(tmp_path: Path, sqlite: Engine) -> Iterator[Fleet]:
    store = Store(sqlite, host_down_s=75)
    with centre(tmp_path, store, {A: 1, B: 2}) as made:
        server = http_server(application(parts(store, agents=made.agents, aliases=ALIASES, most=2)), "127.0.0.1", 0)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield Fleet(made, f"http://127.0.0.1:{server.bind_addr[1]}")
        finally:
            server.stop()
            thread.join()


def tag(fleet: Fleet, host: str, *specs: str) -> None:
    """Put another whitelist in force."""
    fleet.centre.hosts[host].reconfigure(*specs)
    fleet.centre.report()


def test_devices_are_filtered_by_whatever_rest_filters_by(fleet: Fleet) -> None:
    tag(fleet, B, TAGGED)
    (one,) = fleet.told("device", "list", "--host", A)
    for some, hosts in (
        (["--physical-network", "physnet1"], [B, B]),
        (["--tag", "rack=7", "--address", VF], [B]),
        (["--tag", "rack=8"], []),
        (["--status", "available", "--vendor-id", "8086", "--product-id", "1520", "--type", "type-VF"], [A, B, B]),
        (["--type", "type-PF"], []),
        (["--instance", INSTANCE], []),
        (["--request", "r1"], []),
        (["--limit", "1"], [A]),
        (["--marker", one["UUID"]], [B, B]),
        (["--sort", "address:desc", "--limit", "1"], [B]),
    ):
        assert [each["Host"] for each in fleet.told("device", "list", *some)] == hosts, some
    assert "'status'" in fleet.refused("device", "list", "--status", "free")
    assert [each["Host"] for each in fleet.told("device", "list", "--sort-column", "Host", "--sort-descending")] == [
        B, B, A,
    ]  # fmt: skip


def test_the_long_list_has_who_holds_a_device(fleet: Fleet) -> None:
    fleet.told("allocation", "create", INSTANCE, "--request", "id=r1,product_id=1520", "--host", A)
    (device,) = fleet.told("device", "list", "--long", "--instance", INSTANCE)
    assert (device["Instance"], device["Request"], device["Status"]) == (INSTANCE, "r1", "claimed")
    assert (device["Vendor ID"], device["Product ID"], device["Parent"]) == ("8086", "1520", PF)
    assert device["Extra Info"]["vf_index"] == "0"


def test_a_device_tells_what_became_of_it(fleet: Fleet) -> None:
    fleet.told("allocation", "create", INSTANCE, "--request", "id=r1", "--host", A)
    fleet.centre.report()
    newest, oldest = fleet.told("device", "history", NAME, "--host", A)
    assert (newest["Event"], newest["Request"], newest["Instance"]) == ("changed", "r1", INSTANCE)
    assert (newest["Before"]["status"], newest["After"]["status"]) == ("available", "claimed")
    assert oldest["Event"] == "appeared"
    (only,) = fleet.told("device", "history", NAME, "--host", A, "--limit", "1", "--long")
    assert fleet.told("device", "history", NAME, "--host", A, "--marker", str(only["ID"])) == [oldest]


def test_a_device_is_explained_entry_by_entry(fleet: Fleet) -> None:
    why = fleet.told("device", "explain", PF, "--host", A)
    assert (why["hypervisor_hostname"], why["address"], why["offered"]) == (A, PF, False)
    assert why["entries"][0]["failed"] == "its product_id is 1521, not 1520"
    table = fleet.run("device", "explain", PF, "--host", A).stdout
    assert "no: its product_id is 1521, not 1520" in table
    assert "to offer it, add an entry such as" in table
    assert "names several functions: name one of 0000:04:00.0, 0000:04:10.0" in fleet.refused(
        "device", "explain", "0000:04:*.0", "--host", A
    )


def test_a_device_is_disabled_for_a_while_and_enabled(fleet: Fleet) -> None:
    told = fleet.told("device", "disable", NAME, "--host", A, "--reason", "its fan is broken", "--for", "2h")
    assert told["status"] == "unavailable"
    assert "its fan is broken" in told["status_reason"]
    assert fleet.told("device", "enable", NAME, "--host", A)["status"] == "available"
    told = fleet.told("device", "disable", NAME, "--host", A, "--reason", "x", "--until", "2099-12-24T18:00:00Z")
    assert told["status"] == "unavailable"
    (word,) = [each.disabled for each in fleet.centre.hosts[A].agent.ledger.tracked.values() if each.disabled]
    assert word.until == datetime(2099, 12, 24, 18, tzinfo=UTC).timestamp()
    assert "it is over already" in fleet.refused(
        "device", "disable", NAME, "--host", A, "--reason", "x", "--until", "2001-01-01"
    )
    assert "is no duration" in fleet.refused("device", "disable", NAME, "--reason", "x", "--for", "2 weeks", code=2)
    assert "--reason" in fleet.refused("device", "disable", NAME, code=2)
    assert "compute-1, compute-2" in fleet.refused("device", "disable", NAME, "--reason", "x")


def test_stats_are_the_pools_of_all_hosts_or_of_one(fleet: Fleet) -> None:
    tag(fleet, B, TAGGED)
    fleet.told("allocation", "create", INSTANCE, "--request", "physical_network=physnet1")
    fleet.centre.report()
    pools = fleet.told("stats")
    assert [(each["Host"], each["Free"], each["Used"], each["Total"]) for each in pools] == [(A, 1, 0, 1), (B, 1, 1, 2)]
    (pool,) = fleet.told("stats", "--host", B)
    assert pool == pools[1]
    assert (pool["Physical Network"], pool["Tags"], pool["Parent"]) == ("physnet1", {"rack": "7"}, PF)


def test_hosts_are_listed_by_state_and_at_length(fleet: Fleet) -> None:
    assert [each["Host"] for each in fleet.told("hypervisor", "list", "--state", "up", "--limit", "1")] == [A]
    assert fleet.told("hypervisor", "list", "--state", "down") == []
    hosts = fleet.told("hypervisor", "list", "--long", "--sort", "hypervisor_hostname:desc")
    assert [(each["Host"], each["Free"], each["Used"], each["Problems"]) for each in hosts] == [
        (B, 2, 0, []),
        (A, 1, 0, []),
    ]


def test_instances_are_listed_and_shown_with_their_devices(fleet: Fleet) -> None:
    fleet.told("allocation", "create", INSTANCE, "--alias", "nic:2", "--project", "p1", "--user", "u1")
    fleet.centre.report()
    (server,) = fleet.told("server", "list", "--long")
    assert (server["ID"], server["Project ID"], server["User ID"], server["Host"]) == (INSTANCE, "p1", "u1", [B])
    assert server["Addresses"] == [VF, VF2]
    shown = fleet.told("server", "show", INSTANCE)
    assert [each["uuid"] for each in shown["os-pci:pci_devices"]] == server["PCI Devices"]
    assert fleet.refused("server", "show", "nobody") == "Server nobody holds no PCI device on any host. (HTTP 404)\n"


def test_an_instance_claims_is_confirmed_and_freed(fleet: Fleet) -> None:
    (claimed,) = fleet.told(
        "allocation", "create", INSTANCE, "--request", "id=r1,count=2,vendor_id=8086,product_id=1520,type=type-VF"
    )
    assert claimed == {
        "Request": "r1", "State": "done", "Confirmed": False, "Host": B, "Devices": [VF, VF2], "Reason": None,
    }  # fmt: skip
    (confirmed,) = fleet.told("allocation", "confirm", INSTANCE, "--request", "r1", "--long")
    assert (confirmed["Confirmed"], confirmed["Verdict"], len(confirmed["UUIDs"])) == (True, "ok", 2)
    assert fleet.told("allocation", "show", INSTANCE) == [{**claimed, "Confirmed": True}]
    ran = fleet.run("allocation", "delete", INSTANCE, "--request", "r1", "--host", B)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert fleet.centre.holders() == {A: [], B: []}


def test_requests_without_an_id_get_one_each(fleet: Fleet) -> None:
    first, second = fleet.told("allocation", "create", INSTANCE, "--alias", "nic", "--request", "alias=nic")
    assert first["Request"] != second["Request"]
    (third,) = fleet.told("allocation", "create", INSTANCE, "--request", "vnic_type=direct")
    assert third["Host"] == A


def test_what_no_host_has_is_one_line_and_says_so(fleet: Fleet) -> None:
    told = fleet.refused("allocation", "create", INSTANCE, "--alias", "nic:3")
    assert told == "no host that is up has devices for it. (HTTP 409)\n"
    fleet.centre.agents.deaf.add((A, "claim"))
    told = fleet.refused("allocation", "create", INSTANCE, "--alias", "nic", "--host", A)
    assert "Nothing is claimed" in told
    assert told.count("\n") == 1


def test_nothing_wanted_is_a_bad_command_line(fleet: Fleet) -> None:
    assert "--request or --alias" in fleet.refused("allocation", "create", INSTANCE, code=2)
    assert "'two' is no whole number" in fleet.refused("candidate", "list", "--request", "count=two", code=2)


def test_a_request_may_be_written_as_rest_takes_it(fleet: Fleet) -> None:
    request = {"request_id": "r1", "count": 2, "specs": [{"product_id": "1521"}, {"product_id": "1520"}]}
    (claimed,) = fleet.told("allocation", "create", INSTANCE, "--request", json.dumps(request), "--lifetime", "60")
    assert (claimed["Request"], claimed["Devices"]) == ("r1", [VF, VF2])


def test_candidates_are_hosts_or_the_reasons_why_none_is(fleet: Fleet) -> None:
    assert [each["Host"] for each in fleet.told("candidate", "list", "--alias", "nic")] == [A, B]
    (host,) = fleet.told("candidate", "list", "--request", "count=2", "--numa-node", "0", "--limit", "1")
    assert (host["Host"], host["Free"]) == (B, 2)
    ran = fleet.run("candidate", "list", "--alias", "nic:3", "-f", "json")
    assert (ran.returncode, json.loads(ran.stdout)) == (0, [])
    assert "hosts that each filter left: " in ran.stderr
    assert "compute-2 failed free" in ran.stderr
    assert "hosts that each filter left: " in fleet.run("candidate", "list", "--alias", "nic", "--explain").stderr
    sockets = ["--request", "numa_policy=socket", "--numa-node", "1", "--numa-socket", "0=0", "--numa-socket", "1=0"]
    assert fleet.told("candidate", "list", *sockets) == []


def test_the_whitelist_of_a_host_is_shown_with_what_each_entry_matches(fleet: Fleet) -> None:
    tag(fleet, B, TAGGED, '{"devname": "enp9s0"}')
    first, second = fleet.told("whitelist", "show", B)
    assert (first["Number"], first["Devices"], first["Exclude"]) == (1, [VF, VF2], False)
    assert first["Tags"] == {"physical_network": "physnet1", "rack": "7"}
    assert second["Devices"] == []
    told = fleet.run("whitelist", "show", B).stderr
    assert "2 of 3 functions are offered" in told
    assert "no netdev is called enp9s0 there" in told


def test_another_whitelist_is_tried_and_changes_nothing(fleet: Fleet, tmp_path: Path) -> None:
    entry = json.dumps({"address": PF})
    plan = fleet.told("whitelist", "plan", B, "--device-spec", entry)
    assert [(each["Change"], each["Address"], each["PCI ID"]) for each in plan] == [("gained", PF, "8086:1521")]
    (tmp_path / "entries.json").write_text(f"[{entry}]")
    assert fleet.told("whitelist", "plan", B, "--file", str(tmp_path / "entries.json")) == plan
    ran = fleet.run("whitelist", "plan", B, "--file", "-", "-f", "json", stdin="[]")
    assert [each["Change"] for each in json.loads(ran.stdout)] == ["lost", "lost"]
    assert len(fleet.centre.hosts[B].agent.records()) == 2
    told = fleet.refused(
        "whitelist", "plan", B, "--device-spec", '{"adress": "1"}', "--device-spec", '{"vendor_id": "x"}'
    )
    assert "did you mean address?" in told
    assert told.count("\n") == 1
    assert "JSON list of entries" in fleet.refused("whitelist", "plan", B, "--file", str(tmp_path))
    assert "--device-spec" in fleet.refused("whitelist", "plan", B, code=2)


def test_every_list_has_every_form(fleet: Fleet) -> None:
    fleet.told("allocation", "create", INSTANCE, "--alias", "nic")
    fleet.centre.report()
    for form in ("table", "csv", "yaml", "value"):
        for command in (
            "device list --long",
            "hypervisor list",
            "stats",
            "server list --long",
            "whitelist show compute-1",
        ):
            ran = fleet.run(*command.split(), "-f", form)
            assert (ran.returncode, A in ran.stdout or VF in ran.stdout) == (0, True), (command, form, ran)


def test_commands_and_their_options_are_completed(fleet: Fleet) -> None:
    ran = fleet.run("complete")
    assert ran.returncode == 0, ran.stderr
    assert "cmds_device='disable enable explain history list show'" in ran.stdout
    assert "--physical-network" in ran.stdout


def test_a_command_that_does_not_exist_is_a_bad_command_line(fleet: Fleet) -> None:
    ran = fleet.run("device", "lst")
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
