"""
The JSON of the page that the product was asked for from ("Pci-api-support"), letter for letter.

A store is filled with that page's device and host; what REST answers must be the page's own examples, with
every key and no other.
"""

import json
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from buses import get, rest
from pci_agent.tracker.store import Store
from pci_agent.tracker.tables import compute_nodes, pci_devices, utcnow

SERVER = '{ "server": {"os-pci:pci_devices": [{"id": 1}], "tenant_id": "openstack", "user_id": "fake"}}'
HYPERVISOR = """{"hypervisor": {"pci_stats": [{"count": 5, "vendor_id": "8086", "product_id": "1520",
    "extra_info": {"phys_function": "abc", "key1": "value1"}}]}}"""
LIST = """{"pci_devices": [{ "address": "0000:04:10.0",  "compute_node_id": 1, "id": 1, "product_id": "1520",
    "status": "available",  "vendor_id": "8086" } ]}"""
DEVICE = """{ "address": "0000:04:10.0", "compute_node_id": 1, "created_at": null, "deleted": false,
    "deleted_at": null, "dev_id": "pci_0000_04_10_0",  "dev_type": "type-VF",
    "extra_info": { "key1": "value1", "key2": "value2", "phys_function": "0x004" }, "id": 1,
    "instance_uuid": "246ca", "label": "label_8086_1520", "product_id": "1520", "status": "available",
    "updated_at": null, "vendor_id": "8086"}"""
DETAIL = f'{{ "pci_devices": [ {DEVICE}]}}'
SHOW = f'{{"pci_device": {DEVICE}}}'


@pytest.fixture
def filled(engine: Engine) -> Store:
    pool = {
        "vendor_id": "8086",
        "product_id": "1520",
        "numa_node": None,
        "dev_type": None,
        "parent_addr": "abc",
        "tags": {"key1": "value1"},
        "free": 5,
        "total": 5,
    }
    with engine.begin() as connection:
        connection.execute(
            insert(compute_nodes).values(
                id=1,
                hypervisor_hostname="compute-1",
                agent_uuid="agent",
                session="session",
                generation=1,
                digest="0" * 32,
                last_seen=utcnow(),
                status_counter=0,
                pci_stats=[pool],
            )
        )
        connection.execute(
            insert(pci_devices).values(
                id=1,
                uuid="2d3a4b5c-0000-4000-8000-000000000001",
                compute_node_id=1,
                address="0000:04:10.0",
                vendor_id="8086",
                product_id="1520",
                dev_type="type-VF",
                dev_id="pci_0000_04_10_0",
                label="label_8086_1520",
                status="available",
                parent_addr="0x004",
                tags={"key1": "value1", "key2": "value2"},
                extra_info={"phys_function": "0x004"},
                instance_uuid="246ca",
                project_id="openstack",
                user_id="fake",
                hash="0" * 32,
            )
        )
    return Store(engine, host_down_s=75)


@pytest.mark.parametrize(
    ("path", "example"),
    [
        ("/v2/openstack/servers/246ca", SERVER),
        ("/v2/openstack/os-hypervisors/compute-1", HYPERVISOR),
        ("/v2/openstack/os-hypervisors/1", HYPERVISOR),
        ("/v2/openstack/os-pci", LIST),
        ("/v2/openstack/os-pci/detail", DETAIL),
        ("/v2/openstack/os-pci/1", SHOW),
        ("/v2/openstack/os-pci/pci_0000_04_10_0", SHOW),
        ("/v2/openstack/os-pci/2d3a4b5c-0000-4000-8000-000000000001", SHOW),
    ],
)
def test_the_pages_example_comes_back_key_for_key(filled: Store, path: str, example: str) -> None:
    assert get(rest(filled), path) == json.loads(example)


def test_v3_shows_novas_keys_and_ours_beside_them(filled: Store) -> None:
    client = rest(filled)
    listed: dict[str, Any] = get(client, "/v3/os-pci/detail")["pci_devices"][0]
    nova = {"id", "address", "vendor_id", "product_id", "status", "compute_node_id", "dev_type", "label", "dev_id"}
    ours = {"uuid", "hypervisor_hostname", "parent_addr", "numa_node", "tags", "request_id", "status_reason"}
    assert set(listed) == nova | {"extra_info", "server_uuid"} | ours | {"created_at", "updated_at"}
    assert listed["server_uuid"] == "246ca"
    assert get(client, "/v3/os-pci/1")["pci_device"] == listed
    server = get(client, "/v3/servers/246ca")["server"]
    assert server["os-pci:pci_devices"][0]["id"] == 1
    (pool,) = get(client, "/v3/os-hypervisors/compute-1")["hypervisor"]["os-pci:pci_stats"]
    assert (pool["count"], pool["vendor_id"], pool["product_id"], pool["key1"]) == (5, "8086", "1520", "value1")
