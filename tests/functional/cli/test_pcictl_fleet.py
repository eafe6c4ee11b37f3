"""Each command of pcictl that changes something, or shows what another did, against a fleet of its own."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from commands import INSTANCE, NAME, PF, TAGGED, VF, VF2, A, B, Fleet, running


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running(tmp_path) as made:
        yield made


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
    told = fleet.refused("device", "disable", NAME, "--reason", "x")
    assert "compute-1, compute-2. Choose one with --host NAME." in told


def test_stats_are_the_pools_of_all_hosts_or_of_one(fleet: Fleet) -> None:
    tag(fleet, B, TAGGED)
    fleet.told("allocation", "create", INSTANCE, "--request", "physical_network=physnet1")
    fleet.centre.report()
    pools = fleet.told("stats")
    counts = [[each[name] for name in ("Host", "Free", "Used", "Blocked", "Total")] for each in pools]
    assert counts == [[A, 1, 0, 0, 1], [B, 1, 1, 0, 2]]
    (pool,) = fleet.told("stats", "--host", B)
    assert pool == pools[1]
    assert (pool["Physical Network"], pool["Tags"], pool["Parent"]) == ("physnet1", {"rack": "7"}, PF)


def test_what_is_neither_free_nor_used_is_blocked(fleet: Fleet) -> None:
    fleet.told("device", "disable", NAME, "--host", B, "--reason", "x")
    fleet.centre.report()
    (host,) = [each for each in fleet.told("hypervisor", "list") if each["Host"] == B]
    assert [host[name] for name in ("Free", "Used", "Blocked", "Total")] == [1, 0, 1, 2]
    (pool,) = fleet.told("stats", "--host", B)
    assert [pool[name] for name in ("Free", "Used", "Blocked", "Total")] == [1, 0, 1, 2]


def test_instances_are_listed_and_shown_with_their_devices(fleet: Fleet) -> None:
    fleet.told("allocation", "create", INSTANCE, "--alias", "nic:2", "--project", "p1", "--user", "u1")
    fleet.centre.report()
    (server,) = fleet.told("server", "list", "--long")
    assert (server["ID"], server["Project ID"], server["User ID"], server["Host"]) == (INSTANCE, "p1", "u1", [B])
    assert server["PCI Devices"] == [VF, VF2]
    shown = fleet.told("server", "show", INSTANCE)
    assert [each["uuid"] for each in shown["os-pci:pci_devices"]] == server["UUIDs"]
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


def test_a_request_may_be_written_as_rest_takes_it(fleet: Fleet) -> None:
    request = {"request_id": "r1", "count": 2, "specs": [{"product_id": "1521"}, {"product_id": "1520"}]}
    (claimed,) = fleet.told("allocation", "create", INSTANCE, "--request", json.dumps(request), "--lifetime", "60")
    assert (claimed["Request"], claimed["Devices"]) == ("r1", [VF, VF2])


def test_the_whitelist_of_a_host_is_shown_with_what_each_entry_matches(fleet: Fleet) -> None:
    tag(fleet, B, TAGGED, '{"devname": "enp9s0"}')
    first, second = fleet.told("whitelist", "show", B)
    assert (first["Number"], first["Devices"], first["Exclude"]) == (1, [VF, VF2], False)
    assert first["Tags"] == {"physical_network": "physnet1", "rack": "7"}
    assert second["Devices"] == []
    told = fleet.run("whitelist", "show", B).stderr
    assert "2 of 3 functions are offered" in told
    assert "no netdev is called enp9s0 there" in told


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
