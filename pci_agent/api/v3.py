"""
Version 3: what nova's own v3 os-pci showed, and what operators missed in it.

nova's keys keep their names and meaning (``server_uuid``, ``os-pci:pci_stats`` with flat tags). Beside them
stand the device's uuid, its host by name, its PF, node, tags and reason; beside a host, how its agent fares.
"""

from collections.abc import Sequence
from typing import Any

from pci_agent import __version__
from pci_agent.api.view import Document, View, extra_info, time
from pci_agent.model import stats
from pci_agent.model.versions import is_older
from pci_agent.tracker.store import RowMap
from pci_agent.wire.messages import PoolRecord


def _device(row: RowMap) -> Document:
    return {
        "id": row["id"],
        "uuid": row["uuid"],
        "address": row["address"],
        "vendor_id": row["vendor_id"],
        "product_id": row["product_id"],
        "status": row["status"],
        "status_reason": row["status_reason"],
        "compute_node_id": row["compute_node_id"],
        "hypervisor_hostname": row["hypervisor_hostname"],
        "dev_id": row["dev_id"],
        "dev_type": row["dev_type"],
        "parent_addr": row["parent_addr"],
        "numa_node": row["numa_node"],
        "tags": row["tags"],
        "request_id": row["request_id"],
    }


def _device_detail(row: RowMap) -> Document:
    return {
        **_device(row),
        "label": row["label"],
        "extra_info": extra_info(row),
        "server_uuid": row["instance_uuid"],
        "created_at": time(row["created_at"]),
        "updated_at": time(row["updated_at"]),
    }


def _pool(pool: dict[str, Any]) -> Document:
    return {
        **pool["tags"],
        "count": pool["free"],
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


def _hypervisor_detail(row: RowMap) -> Document:
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
    device=_device,
    device_detail=_device_detail,
    hypervisor=_hypervisor,
    hypervisor_detail=_hypervisor_detail,
    server=_server,
)
