"""Version 2: the JSON of the "Pci-api-support" page, to the letter and no key more."""

from collections.abc import Sequence
from typing import Any

from pci_agent.api.view import Document, View, extra_info, time
from pci_agent.model import stats
from pci_agent.tracker.store import RowMap
from pci_agent.wire.messages import PoolRecord


def _device(row: RowMap) -> Document:
    return {
        "address": row["address"],
        "compute_node_id": row["compute_node_id"],
        "id": row["id"],
        "product_id": row["product_id"],
        "status": row["status"],
        "vendor_id": row["vendor_id"],
    }


def _device_detail(row: RowMap) -> Document:
    return {
        **_device(row),
        "created_at": time(row["created_at"]),
        "deleted": bool(row["deleted"]),
        "deleted_at": time(row["deleted_at"]),
        "dev_id": row["dev_id"],
        "dev_type": row["dev_type"],
        "extra_info": extra_info(row),
        "instance_uuid": row["instance_uuid"],
        "label": row["label"],
        "updated_at": time(row["updated_at"]),
    }


def _pool(pool: dict[str, Any]) -> Document:
    """Show a pool with all but its ids in extra_info."""
    return {
        "count": pool["free"],
        "vendor_id": pool["vendor_id"],
        "product_id": pool["product_id"],
        "extra_info": stats.extra_info(PoolRecord(**pool)),
    }


def _hypervisor(row: RowMap) -> Document:
    """Show a host in a list: the page has no example, so nova's two keys, and the stats that its use case asks for."""
    return {"id": row["id"], "hypervisor_hostname": row["hypervisor_hostname"], **_hypervisor_detail(row)}


def _hypervisor_detail(row: RowMap) -> Document:
    return {"pci_stats": [_pool(pool) for pool in row["pci_stats"]]}


def _server(_instance_uuid: str, devices: Sequence[RowMap]) -> Document:
    return {
        "os-pci:pci_devices": [{"id": row["id"]} for row in devices],
        "tenant_id": devices[0]["project_id"],
        "user_id": devices[0]["user_id"],
    }


VIEW = View(
    device=_device,
    device_detail=_device_detail,
    hypervisor=_hypervisor,
    hypervisor_detail=_hypervisor_detail,
    server=_server,
)
