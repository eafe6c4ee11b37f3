"""The schema of every release leads to this one, with what was in it, on every kind of database."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, select

from buses import get, rest
from pci_agent.errors import StoreRefused
from pci_agent.tracker import database, pools
from pci_agent.tracker.migrations import versions
from pci_agent.tracker.store import Store
from pci_agent.tracker.tables import metadata, pci_kinds, pci_pools
from pci_agent.wire.messages import PoolRecord

REVISIONS = sorted(file.name[:4] for file in Path(versions.__path__[0]).glob("0*.py"))

POOLS: list[dict[str, Any]] = [
    {
        "vendor_id": "8086",
        "product_id": "1520",
        "numa_node": 0,
        "dev_type": "type-VF",
        "parent_addr": "0000:04:00.0",
        "tags": {"physical_network": "PhysNet1", "rack": None},
        "free": 1,
        "used": 1,
        "total": 3,
    }
]
STATUS = {"counter": 4, "agent_version": "0.1.0", "problems": [], "config_errors": ["ü"], "unresolved_devnames": []}

HOSTS = f"""
INSERT INTO compute_nodes (id, hypervisor_hostname, agent_uuid, session, generation, digest, last_seen, status_counter,
    agent_status, pci_stats, created_at, updated_at, deleted_at, deleted)
VALUES
    (3, 'compute-ü', 'agent-1', 'session-1', 7, '00000000000000000000000000000003', '2026-11-01 10:00:00.123456', 4,
        '{json.dumps(STATUS, ensure_ascii=False)}', '{json.dumps(POOLS)}', '2026-10-01 10:00:00.000000', NULL, NULL, 0),
    (4, 'compute-2', 'agent-2', 'session-2', 1, '00000000000000000000000000000000', '2026-11-01 10:00:00.123456', 0,
        NULL, '{json.dumps(POOLS)}', '2026-10-01 10:00:00.000000', NULL, '2026-11-02 10:00:00.000000', 4)
"""
DEVICES = """
INSERT INTO pci_devices (id, uuid, compute_node_id, address, vendor_id, product_id, dev_type, dev_id, label, status,
    status_reason, parent_addr, numa_node, tags, extra_info, instance_uuid, request_id, project_id, user_id, hash,
    created_at, updated_at, deleted_at, deleted)
VALUES
    (11, 'device-1', 3, '0000:04:10.0', '8086', '1520', 'type-VF', 'pci_0000_04_10_0', 'label_8086_1520', 'allocated',
        'stolen: by nobody', '0000:04:00.0', 0, '{"rack": "7"}', '{"driver": "igbvf"}', 'instance-1', 'request-1',
        'project', 'user', '00000000000000000000000000000001', '2026-10-01 10:00:00.000000', NULL, NULL, 0),
    (12, 'device-2', 3, '0000:04:10.4', '8086', '1520', 'type-VF', 'pci_0000_04_10_4', 'label_8086_1520', 'available',
        NULL, NULL, NULL, '{}', '{}', NULL, NULL, NULL, NULL, '00000000000000000000000000000002',
        '2026-10-01 10:00:00.000000', NULL, NULL, 0),
    (13, 'device-3', 3, '0000:05:00.0', '8086', '10fb', 'type-PF', 'pci_0000_05_00_0', 'label_8086_10fb', 'available',
        NULL, NULL, NULL, '{}', '{}', NULL, NULL, NULL, NULL, '00000000000000000000000000000009',
        '2026-10-01 10:00:00.000000', NULL, '2026-11-02 10:00:00.000000', 13)
"""
ATTEMPT = "UPDATE pci_devices SET attempt = 5 WHERE id = 11"
POOL = """
INSERT INTO pci_pools (compute_node_id, vendor_id, product_id, dev_type, numa_node, parent_addr, physical_network, tags,
    free, used, total)
VALUES (3, '8086', '1520', 'type-VF', 0, '0000:04:00.0', 'physnet1', '{"physical_network": "PhysNet1", "rack": null}',
    1, 1, 3)
"""
EVENT = """
INSERT INTO pci_device_events (compute_node_id, device_uuid, at, event, after, instance_uuid, request_id)
VALUES (3, 'device-1', '2026-10-01 10:00:00.000001', 'appeared', '{"status": "available"}', NULL, NULL)
"""
TWIN = """
UPDATE compute_nodes SET refused_agent = 'agent-3', refused_session = 's', refused_at = '2026-10-01 10:00:00'
WHERE id = 3
"""
ALLOCATION = """
INSERT INTO allocations (request_id, attempt, state, agent_uuid, hypervisor_hostname, session, generation,
    instance_uuid, asked, devices, created_at, updated_at)
VALUES ('request-1', 5, 'done', 'agent-1', 'compute-ü', 'session-1', 7, 'instance-1', '{"count": 1}', '["device-1"]',
    '2026-10-01 10:00:00', '2026-10-01 10:00:00')
"""
FREE = """
INSERT INTO pending_frees (request_id, attempt, agent_uuid, not_before, created_at)
VALUES ('request-1', 4, 'agent-1', '2026-10-01 10:00:00', '2026-10-01 10:00:00')
"""

OBSERVED = "UPDATE compute_nodes SET observing = (id = 4)"
KIND = """
INSERT INTO pci_kinds (id, vendor_id, product_id, dev_type, tags)
VALUES (77, '8086', '1520', 'type-VF', '{"physical_network": "PhysNet1", "rack": null}')
"""
POOL_OF_A_KIND = """
INSERT INTO pci_pools (compute_node_id, kind_id, vendor_id, product_id, dev_type, numa_node, parent_addr, tags,
    free, used, total)
VALUES (3, 77, '8086', '1520', 'type-VF', 0, '0000:04:00.0', '{"physical_network": "PhysNet1", "rack": null}',
    1, 1, 3)
"""
DOCUMENT = """
UPDATE pci_devices SET document = '00000000000000000000000000000001{"uuid":"device-1","address":"0000:04:10.0",\
"vendor_id":"8086","product_id":"1520","status":"allocated","status_reason":"stolen: by nobody",\
"dev_id":"pci_0000_04_10_0","dev_type":"type-VF","parent_addr":"0000:04:00.0","numa_node":0,"tags":{"rack":"7"},\
"request_id":"request-1","label":"label_8086_1520","extra_info":{"driver":"igbvf","rack":"7"},"server_uuid":"instance-1"}'
WHERE id = 11
"""

MADE_AT = {
    "0001": (HOSTS, DEVICES),
    "0002": (HOSTS, DEVICES, ATTEMPT),
    "0003": (HOSTS, DEVICES, ATTEMPT),
    "0004": (HOSTS, DEVICES, ATTEMPT, POOL),
    "0005": (HOSTS, DEVICES, ATTEMPT, POOL, EVENT),
    "0006": (HOSTS, DEVICES, ATTEMPT, POOL, EVENT, TWIN),
    "0007": (HOSTS, OBSERVED, DEVICES, ATTEMPT, POOL, EVENT, TWIN),
    "0008": (HOSTS, OBSERVED, DEVICES, ATTEMPT, KIND, POOL_OF_A_KIND, EVENT, TWIN),
    "0010": (HOSTS, OBSERVED, DEVICES, ATTEMPT, KIND, POOL_OF_A_KIND, EVENT, TWIN, ALLOCATION, FREE),
    "0011": (HOSTS, OBSERVED, DEVICES, DOCUMENT, ATTEMPT, KIND, POOL_OF_A_KIND, EVENT, TWIN, ALLOCATION, FREE),
}
"""What a database of each revision may hold, as that revision's tracker could have written it. Never edit one."""


def migrated(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        config = database._alembic()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def filled(engine: Engine, revision: str) -> None:
    migrated(engine, revision)
    with engine.begin() as connection:
        for statement in MADE_AT[revision]:
            connection.exec_driver_sql(statement)


@pytest.fixture(params=REVISIONS)
def upgraded(request: pytest.FixtureRequest, unmade: Engine) -> Store:
    filled(unmade, request.param)
    database.upgrade(unmade)
    return Store(unmade, host_down_s=75)


def test_every_revision_has_its_data_here() -> None:
    assert list(MADE_AT) == REVISIONS, "add what a database of the new revision may hold"


def test_an_upgraded_database_is_as_a_new_one(upgraded: Store) -> None:
    with upgraded._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert database.check(upgraded._engine) == REVISIONS[-1]


def test_what_was_held_before_an_upgrade_is_held_afterwards(upgraded: Store) -> None:
    (host,) = upgraded.hypervisors()
    kept = ("id", "hypervisor_hostname", "session", "generation", "status_counter", "agent_status", "pci_stats", "up")
    assert [host[name] for name in kept] == [3, "compute-ü", "session-1", 7, 4, STATUS, POOLS, False]
    assert (host["last_seen"].isoformat(), host["created_at"].isoformat()) == (
        "2026-11-01T10:00:00.123456",
        "2026-10-01T10:00:00",
    )
    held, free = upgraded.devices()
    assert (held["id"], held["tags"], held["extra_info"]) == (11, {"rack": "7"}, {"driver": "igbvf"})
    assert (held["instance_uuid"], held["request_id"], held["status_reason"]) == (
        "instance-1",
        "request-1",
        "stolen: by nobody",
    )
    assert held["attempt"] in (0, 5)
    assert (free["id"], free["address"], free["instance_uuid"]) == (12, "0000:04:10.4", None)


def test_an_upgraded_device_has_its_document(upgraded: Store) -> None:
    held, free = upgraded.devices()
    assert held["document"].startswith(held["hash"] + '{"uuid":"device-1",')
    (shown,) = (each for each in listed(upgraded) if each["uuid"] == "device-2")
    assert (shown["id"], shown["tags"], shown["server_uuid"]) == (12, {}, None)
    if free["document"] is not None:  # no tracker of this version could have left it out
        assert json.loads(free["document"][32:]).items() <= shown.items()


def listed(store: Store) -> list[dict[str, Any]]:
    devices: list[dict[str, Any]] = get(rest(store), "/v3/os-pci/detail")["pci_devices"]
    return devices


def test_the_pools_of_an_upgraded_host_are_those_that_it_reported(upgraded: Store) -> None:
    (host,) = upgraded.hypervisors()
    with upgraded._engine.connect() as connection:
        assert pools.of_host(connection, host["id"]) == [PoolRecord(**POOLS[0])]
        kinds = connection.execute(select(pci_kinds).join(pci_pools)).all()
    of_a_kind = ("vendor_id", "product_id", "dev_type", "tags")
    assert [[getattr(kind, name) for name in of_a_kind] for kind in kinds] == [[POOLS[0][name] for name in of_a_kind]]
    assert kinds[0].id in (77, pools.kind_id(POOLS[0]))


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(upgraded: Store) -> None:
    before = upgraded.devices()
    database.upgrade(upgraded._engine)
    assert upgraded.devices() == before


def test_a_later_versions_schema_is_refused_and_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for refused in (database.check, database.upgrade):
        with pytest.raises(StoreRefused, match="schema is 9999, of a later version"):
            refused(engine)


def test_several_upgrades_at_once_are_one(unmade: Engine) -> None:
    code = (
        "import sys; from pci_agent.tracker import database;"
        " engine = database.connect(sys.argv[1]); database.upgrade(engine); database.check(engine)"
    )
    url = unmade.url.render_as_string(hide_password=False)
    running = [subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    told = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], told
