"""Lists of REST: what they are filtered by, how they are sorted, and how they go on from page to page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine, event, text

from buses import get, rest
from hosts import Host
from pci_agent.agent.commands import Commands
from pci_agent.model.claims import Claim, Wanted
from pci_agent.model.request import PciRequest, Spec
from pci_agent.tracker.lists import HOST_SORT_KEYS, SORT_KEYS
from pci_agent.tracker.store import Store
from sysfs import FakeSysfs

HOSTS = ("compute-10", "compute-2", "Compute-3")
INSTANCES = ("11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002")
VFS = ("0000:04:10.0", "0000:04:10.4")
WHITELIST = (
    '{"address": "0000:04:00.0", "physical_network": "PhysNet1", "trusted": true}',
    '{"address": "*:05:00.*", "rack": "7"}',
    '{"address": "*:05:*.*"}',
)


class Fleet:
    """Three hosts with a PF, two VFs and two cards each; two instances hold a VF, one of them on two hosts."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.client = store, rest(store, most=4)
        self.hosts = {name: self._host(name, folder) for name in HOSTS}
        for host in self.hosts.values():
            host.start()
            host.report(store)
        for name, instance in ((HOSTS[0], INSTANCES[0]), (HOSTS[1], INSTANCES[0]), (HOSTS[1], INSTANCES[1])):
            self.hold(name, instance, f"of-{instance[0]}-on-{name}")

    @staticmethod
    def _host(name: str, folder: Path) -> Host:
        sysfs = FakeSysfs(folder / f"{name}-sys")
        sysfs.add_pf("0000:04:00.0", vfs=[*VFS])
        sysfs.add("0000:05:00.0", "10de:25b6", pci_class="30200")
        sysfs.add("0000:05:01.0", "10de:25b6", pci_class="30200")
        return Host(name, sysfs, folder / name, *WHITELIST)

    def hold(self, name: str, instance: str, request: str) -> None:
        host = self.hosts[name]
        asked = Claim(
            instance_uuid=instance,
            wanted=(Wanted(PciRequest(request_id=request, specs=(Spec(product_id="1520"),)), 1),),
            project_id=f"project-{instance[0]}",
        )
        ledger = host.agent.ledger
        assert Commands(host.agent).claim(ledger.agent_uuid, ledger.token.session, asked).outcome.changed
        host.report(self.store)

    def all(self, asked: str = "", version: str = "/v3") -> list[dict[str, Any]]:
        """List all devices, page by page."""
        return self.pages(f"{version}/os-pci{asked}", "pci_devices")

    def pages(self, path: str, key: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        while True:
            page = get(self.client, path)
            items += page[key]
            if f"{key}_links" not in page:
                return items
            assert 0 < len(page[key]) <= 4, "no page is longer than the API's limit"
            (link,) = page[f"{key}_links"]
            assert link["rel"] == "next"
            parts = urlsplit(link["href"])
            path = f"{parts.path}?{parts.query}"


@pytest.fixture
def fleet(store: Store, tmp_path: Path) -> Iterator[Fleet]:
    yield from _fleet(store, tmp_path)


@pytest.fixture
def small(sqlite: Engine, tmp_path: Path) -> Iterator[Fleet]:
    yield from _fleet(Store(sqlite, host_down_s=75), tmp_path)


def _fleet(store: Store, folder: Path) -> Iterator[Fleet]:
    made = Fleet(store, folder)
    yield made
    for host in made.hosts.values():
        host.stop()


def on(devices: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(device["hypervisor_hostname"], device["address"]) for device in devices]


EVERYWHERE = [(name, a) for name in HOSTS for a in ("0000:04:00.0", *VFS, "0000:05:00.0", "0000:05:01.0")]


def test_all_devices_come_page_by_page_host_by_host(fleet: Fleet) -> None:
    assert on(fleet.all()) == EVERYWHERE
    assert on(fleet.all("/detail")) == EVERYWHERE
    assert on(fleet.all("?limit=1")) == EVERYWHERE
    assert [device["id"] for device in fleet.all("/detail?limit=3", "/v2/openstack")] == [
        device["id"] for device in fleet.all()
    ]


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("key", SORT_KEYS)
def test_every_order_shows_each_device_once(fleet: Fleet, key: str, direction: str) -> None:
    devices = fleet.all(f"?sort_key={key}&sort_dir={direction}&limit=2")
    found = [(device[key], device["compute_node_id"], device["id"]) for device in devices]
    assert found == sorted(found, reverse=direction == "desc")
    assert sorted(on(devices)) == sorted(EVERYWHERE)


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ("status=available", 10),
        ("status=claimed", 3),
        ("status=unclaimable", 2),
        ("vendor_id=10de", 6),
        ("vendor_id=0x10DE&product_id=25b6", 6),
        ("product_id=1521", 3),
        ("dev_type=type-VF", 6),
        ("hypervisor=compute-2", 5),
        ("hypervisor=nowhere", 0),
        ("address=0000:04:10.0", 3),
        (f"instance_uuid={INSTANCES[0]}", 2),
        (f"instance_uuid={INSTANCES[0]}&hypervisor=compute-2", 1),
        ("request_id=of-2-on-compute-2", 1),
        ("physical_network=physnet1", 9),
        ("physical_network=PHYSNET1&dev_type=type-PF", 3),
        ("trusted=true", 9),
        ("rack=7", 3),
        ("rack=8", 0),
        ("tag:rack=7&hypervisor=compute-10", 1),
        ("tag:limit=1", 0),
        ("managed=true", 0),
    ],
)
def test_a_list_is_filtered(fleet: Fleet, asked: str, count: int) -> None:
    assert len(fleet.all(f"?limit=2&{asked}")) == count


def test_a_host_is_named_by_id_too(small: Fleet) -> None:
    one = small.all("?hypervisor=compute-2")[0]["compute_node_id"]
    assert on(small.all(f"?hypervisor={one}")) == on(small.all(f"?compute_node_id={one}"))
    assert len(small.all(f"?compute_node_id={one}")) == 5


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("status=free", "'status'"),
        ("status=available&status=claimed", "'status': it is given more than once"),
        ("vendor_id=80866", "'vendor_id': this is no PCI id"),
        ("vendor_id=*", "'vendor_id': leave it out"),
        ("dev_type=VF", "'dev_type'"),
        ("compute_node_id=x", "'compute_node_id'"),
        ("compute_node_id=2147483648", "'compute_node_id': no id is so great"),
        ("address=04:10", "'address'"),
        ("address=%00", "'address'"),
        ("instance_uuid=", "'instance_uuid'"),
        ("hypervisor=%00", "'hypervisor'"),
        ("limit=0", "'limit': it must be 1 at least"),
        ("limit=-1", "'limit'"),
        ("limit=1&limit=2", "'limit': it is given more than once"),
        ("marker=nothing", "'marker': no device is called nothing"),
        ("marker=", "'marker'"),
        ("sort_key=tags", "'sort_key'"),
        ("sort_dir=up", "'sort_dir'"),
        ("rakc=7", "'rakc': it isn't known"),
        ("rakc=7", "address, and the fleet's tags, or any tag as tag:NAME."),
        ("rack=7&rack=8", "'rack': write one value"),
        ("tag:=7", "'tag:': no tag is called that"),
        ('tag:a"b=7', "no tag is called that"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(small: Fleet, asked: str, told: str) -> None:
    for path in ("/v3/os-pci", "/v2/openstack/os-pci/detail"):
        assert told in get(small.client, f"{path}?{asked}", 400)["badRequest"]["message"]


def test_a_page_goes_on_though_its_marker_is_gone_and_others_have_come(small: Fleet) -> None:
    first = get(small.client, "/v3/os-pci?limit=2")["pci_devices"]
    host = small.hosts[HOSTS[0]]
    host.sysfs.add("0000:05:02.0", "10de:25b6", pci_class="30200")
    host.sysfs.remove("0000:05:00.0")
    host.agent.look()
    host.report(small.store)
    rest_of_it = small.all(f"?marker={first[-1]['uuid']}")
    assert on(first + rest_of_it)[:6] == [
        (HOSTS[0], each) for each in ("0000:04:00.0", *VFS, "0000:05:01.0", "0000:05:02.0")
    ] + [(HOSTS[1], "0000:04:00.0")]
    assert small.all(f"?marker={first[-1]['id']}") == rest_of_it, "an id is a marker too"


def test_a_marker_that_has_vanished_still_says_where_to_go_on(small: Fleet) -> None:
    card = small.all("?address=0000:05:00.0")[0]
    small.hosts[HOSTS[0]].sysfs.remove("0000:05:00.0")
    small.hosts[HOSTS[0]].agent.look()
    small.hosts[HOSTS[0]].report(small.store)
    assert on(small.all(f"?marker={card['uuid']}")) == EVERYWHERE[4:]


def test_a_page_reads_no_more_rows_than_it_shows(small: Fleet) -> None:
    read: list[str] = []
    engine = small.store._engine
    event.listen(engine, "before_cursor_execute", lambda *told: read.append(told[2]))
    for most in (5, 3):
        get(small.client, "/v3/os-pci/detail?limit=2")
        of_devices = [statement for statement in read if "FROM pci_devices" in statement]
        assert all("LIMIT" in statement or "IN (?, ?)" in statement for statement in of_devices)
        assert len(read) <= most
        read.clear()
    with engine.connect() as connection:
        for given in (
            "(compute_node_id, id) > (5, 5) ORDER BY compute_node_id, id",
            "(address, compute_node_id, id) > ('5', 5, 5) ORDER BY address, compute_node_id, id",
            "(status, compute_node_id, id) < ('5', 5, 5) ORDER BY status DESC, compute_node_id DESC, id DESC",
            "status = 'claimed' AND (compute_node_id, id) > (5, 5) ORDER BY compute_node_id, id",
        ):
            query = f"SELECT document FROM pci_devices WHERE deleted = 0 AND {given} LIMIT 2"
            plan = connection.execute(text(f"EXPLAIN QUERY PLAN {query}")).all()
            assert "USING INDEX" in plan[0][3]
            assert len(plan) == 1, "no sorting by hand"


def test_a_row_that_an_earlier_version_wrote_is_shown_as_it_is(fleet: Fleet) -> None:
    before = fleet.all("/detail")
    with fleet.store._engine.begin() as connection:
        connection.execute(text("UPDATE pci_devices SET document = NULL WHERE address = '0000:04:10.0'"))
        changed = f"UPDATE pci_devices SET hash = '{'0' * 32}', status = 'x'"
        connection.execute(text(f"{changed} WHERE address = '0000:05:00.0'"))
    after = fleet.all("/detail")
    assert [device["status"] for device in after if device["address"] == "0000:05:00.0"] == ["x"] * 3
    assert [each for each in after if each["status"] != "x"] == [
        each for each in before if each["address"] != "0000:05:00.0"
    ]


def test_instances_are_listed_with_their_devices(fleet: Fleet) -> None:
    servers = fleet.pages("/v3/servers/detail?limit=1", "servers")
    assert [(each["id"], each["tenant_id"]) for each in servers] == [
        (INSTANCES[0], "project-1"),
        (INSTANCES[1], "project-2"),
    ]
    hosts = [[device["hypervisor_hostname"] for device in each["os-pci:pci_devices"]] for each in servers]
    assert hosts == [["compute-10", "compute-2"], ["compute-2"]]
    old = fleet.pages("/v2/openstack/servers/detail", "servers")
    assert [list(each) for each in old] == [["id", "os-pci:pci_devices", "tenant_id", "user_id"]] * 2
    assert [each["os-pci:pci_devices"] for each in old] == [
        [{"id": device["id"]} for device in each["os-pci:pci_devices"]] for each in servers
    ]
    assert "'status'" in get(fleet.client, "/v3/servers/detail?status=ACTIVE", 400)["badRequest"]["message"]


@pytest.mark.parametrize("key", HOST_SORT_KEYS)
def test_hosts_are_listed_page_by_page(fleet: Fleet, key: str) -> None:
    for path in ("os-hypervisors", "os-hypervisors/detail"):
        hosts = fleet.pages(f"/v3/{path}?limit=1&sort_key={key}", "hypervisors")
        assert [each[key] for each in hosts] == sorted(each[key] for each in hosts)
        assert {each["hypervisor_hostname"] for each in hosts} == {*HOSTS}
        back = fleet.pages(f"/v3/{path}?limit=2&sort_key={key}&sort_dir=desc", "hypervisors")
        assert back == hosts[::-1]


def test_hosts_in_full_are_as_each_alone(small: Fleet) -> None:
    for prefix, alone in (("/v3", {}), ("/v2/openstack", {"id", "hypervisor_hostname"})):
        for each in get(small.client, f"{prefix}/os-hypervisors/detail")["hypervisors"]:
            shown = get(small.client, f"{prefix}/os-hypervisors/{each['id']}")["hypervisor"]
            assert shown == {name: value for name, value in each.items() if name not in alone}


def test_hosts_are_filtered_by_whether_they_are_up(small: Fleet) -> None:
    with small.store._engine.begin() as connection:
        silent = "UPDATE compute_nodes SET last_seen = '2026-01-01 00:00:00.000000'"
        connection.execute(text(f"{silent} WHERE hypervisor_hostname = 'compute-2'"))
    for state, expected in (("down", ["compute-2"]), ("up", ["Compute-3", "compute-10"])):
        hosts = get(small.client, f"/v3/os-hypervisors?state={state}")["hypervisors"]
        assert [(each["hypervisor_hostname"], each["state"]) for each in hosts] == [(each, state) for each in expected]
    for wrong, told in (("state=x", "'state'"), ("marker=x", "no host is called x"), ("sort_key=state", "'sort_key'")):
        assert told in get(small.client, f"/v3/os-hypervisors?{wrong}", 400)["badRequest"]["message"]


def test_a_pool_counts_what_is_free_used_and_there(small: Fleet) -> None:
    (pool,) = (
        pool
        for pool in get(small.client, "/v3/os-hypervisors/compute-2")["hypervisor"]["os-pci:pci_stats"]
        if pool["product_id"] == "1520"
    )
    assert (pool["count"], pool["free"], pool["used"], pool["total"]) == (0, 0, 2, 2)


def test_the_history_of_a_device_is_told_newest_first(fleet: Fleet) -> None:
    device = fleet.all(f"?hypervisor=compute-10&address={VFS[0]}")[0]
    for name in (device["id"], device["uuid"], f"{device['dev_id']}"):
        events = fleet.pages(f"/v3/os-pci/{name}/history?limit=1&hypervisor=compute-10", "events")
        assert [(each["event"], each["request_id"]) for each in events] == [
            ("changed", "of-1-on-compute-10"),
            ("appeared", None),
        ]
        assert events[0]["before"]["status"] == "available"
        assert events[0]["after"]["status"] == "claimed"
        assert (events[0]["instance_uuid"], events[0]["at"][-1]) == (INSTANCES[0], "Z")
    assert "itemNotFound" in get(fleet.client, "/v3/os-pci/nothing/history", 404)
    assert "'marker'" in get(fleet.client, f"/v3/os-pci/{device['id']}/history?marker=x", 400)["badRequest"]["message"]


def test_the_history_of_a_device_that_is_gone_is_told_by_its_uuid(small: Fleet) -> None:
    card = small.all("?hypervisor=compute-2&address=0000:05:00.0")[0]
    small.hosts["compute-2"].sysfs.remove("0000:05:00.0")
    small.hosts["compute-2"].agent.look()
    small.hosts["compute-2"].report(small.store)
    get(small.client, f"/v3/os-pci/{card['uuid']}", 404)
    events = get(small.client, f"/v3/os-pci/{card['uuid']}/history")["events"]
    assert [each["event"] for each in events] == ["vanished", "appeared"]
