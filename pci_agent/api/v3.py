"""
Version 3: what nova's own v3 os-pci showed, and what operators missed in it.

nova's keys keep their names and meaning (``server_uuid``, ``os-pci:pci_stats`` with flat tags). Beside them
stand the device's uuid, its host by name, its PF, node, tags and reason; beside a host, how its agent fares.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from pci_agent import __version__
from pci_agent.api.view import Document, Shape, View, time
from pci_agent.model import stats
from pci_agent.model.versions import is_older
from pci_agent.tracker import document
from pci_agent.tracker.store import RowMap
from pci_agent.wire.messages import PoolRecord

_PLAIN = (
    "id",
    "uuid",
    "address",
    "vendor_id",
    "product_id",
    "status",
    "status_reason",
    "compute_node_id",
    "dev_id",
    "dev_type",
    "parent_addr",
    "numa_node",
    "tags",
    "request_id",
)
_IN_FULL = ("id", "uuid", "compute_node_id", "created_at", "updated_at", "hash", "document")


def _devices(rows: Sequence[Any], hosts: Mapping[int, str]) -> list[Document]:
    return [
        {**{name: getattr(row, name) for name in _PLAIN}, "hypervisor_hostname": hosts[row.compute_node_id]}
        for row in rows
    ]


def _devices_in_full(rows: Sequence[Any], hosts: Mapping[int, str]) -> list[orjson.Fragment]:
    """Join each device's document with what its row and host say; nothing is taken apart, or written, twice."""
    names = {node_id: orjson.dumps(name).decode() for node_id, name in hosts.items()}
    members = document.MEMBERS
    return [
        orjson.Fragment(
            f'{{"id":{row_id},{facts[members]},"compute_node_id":{node_id},"hypervisor_hostname":'
            f'{names[node_id]},"created_at":{_time(created)},"updated_at":{_time(updated)}}}'.encode()
        )
        for row_id, _, node_id, created, updated, _, facts in rows
    ]


@lru_cache(maxsize=4096)
def _time(moment: object) -> str:
    return "null" if moment is None else f'"{time(moment)}"'


def _pool(pool: dict[str, Any]) -> Document:
    return {
        **pool["tags"],
        "count": pool["free"],
        "free": pool["free"],
        "used": pool.get("used", 0),
        "total": pool["total"],
        "vendor_id": pool["vendor_id"],
        "product_id": pool["product_id"],
        "numa_node": pool["numa_node"],
        "dev_type": pool["dev_type"],
        "parent_addr": pool["parent_addr"],
    }


def _refused(row: RowMap) -> Document | None:
    """Show the other agent that asked last to speak for a host; None where none did."""
    if row["refused_agent"] is None:
        return None
    return {
        "agent_uuid": row["refused_agent"],
        "session": row["refused_session"],
        "refused_at": time(row["refused_at"]),
    }


def _status(row: RowMap) -> Document:
    status: Document | None = row["agent_status"]
    return status or {}


def _hypervisor(row: RowMap) -> Document:
    version = _status(row).get("agent_version")
    return {
        "id": row["id"],
        "hypervisor_hostname": row["hypervisor_hostname"],
        "state": "up" if row["up"] else "down",
        "last_seen": time(row["last_seen"]),
        "refused_agent": _refused(row),
        "observing": bool(row["observing"]),
        "agent_version": version,
        "agent_is_older": None if version is None else is_older(version, __version__),
        "os-pci:pci_stats": [_pool(pool) for pool in row["pci_stats"]],
    }


def _hypervisor_in_full(row: RowMap) -> Document:
    status = _status(row)
    return {
        **_hypervisor(row),
        "physical_networks": stats.per_network(PoolRecord(**pool) for pool in row["pci_stats"]),
        "agent_uuid": row["agent_uuid"],
        "problems": status.get("problems", []),
        "config_errors": status.get("config_errors", []),
        "unresolved_devnames": status.get("unresolved_devnames", []),
    }


def _server(instance_uuid: str, devices: Sequence[RowMap]) -> Document:
    return {
        "id": instance_uuid,
        "tenant_id": devices[0]["project_id"],
        "user_id": devices[0]["user_id"],
        "os-pci:pci_devices": [
            {
                "id": row["id"],
                "uuid": row["uuid"],
                "address": row["address"],
                "hypervisor_hostname": row["hypervisor_hostname"],
                "request_id": row["request_id"],
            }
            for row in devices
        ],
    }


VIEW = View(
    devices=Shape(_PLAIN, _devices),
    devices_in_full=Shape(_IN_FULL, _devices_in_full, kept=True),
    hypervisor=_hypervisor,
    hypervisor_in_list=_hypervisor_in_full,
    hypervisor_alone=_hypervisor_in_full,
    server=_server,
    server_in_list=_server,
)
