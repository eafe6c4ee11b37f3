"""Version 2: the JSON of the "Pci-api-support" page, to the letter and no key more."""

from collections.abc import Mapping, Sequence
from typing import Any

from pci_agent.api.view import Document, Shape, View, time
from pci_agent.model import stats
from pci_agent.tracker.document import with_tags
from pci_agent.tracker.store import RowMap
from pci_agent.wire.messages import PoolRecord

_PLAIN = ("address", "compute_node_id", "id", "product_id", "status", "vendor_id")
_MORE = (
    "created_at",
    "deleted",
    "deleted_at",
    "dev_id",
    "dev_type",
    "extra_info",
    "instance_uuid",
    "label",
    "updated_at",
)


def _devices(rows: Sequence[Any], _hosts: Mapping[int, str]) -> list[Document]:
    return [_device(row) for row in rows]


def _device(row: Any) -> Document:
    return {name: getattr(row, name) for name in _PLAIN}


def _devices_in_full(rows: Sequence[Any], _hosts: Mapping[int, str]) -> list[Document]:
    return [
        {
            **_device(row),
            "created_at": time(row.created_at),
            "deleted": bool(row.deleted),
            "deleted_at": time(row.deleted_at),
            "dev_id": row.dev_id,
            "dev_type": row.dev_type,
            "extra_info": with_tags(row.extra_info, row.tags),
            "instance_uuid": row.instance_uuid,
            "label": row.label,
            "updated_at": time(row.updated_at),
        }
        for row in rows
    ]


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
    return {"id": row["id"], "hypervisor_hostname": row["hypervisor_hostname"], **_hypervisor_alone(row)}


def _hypervisor_alone(row: RowMap) -> Document:
    return {"pci_stats": [_pool(pool) for pool in row["pci_stats"]]}


def _server(_instance_uuid: str, devices: Sequence[RowMap]) -> Document:
    return {
        "os-pci:pci_devices": [{"id": row["id"]} for row in devices],
        "tenant_id": devices[0]["project_id"],
        "user_id": devices[0]["user_id"],
    }


def _server_in_list(instance_uuid: str, devices: Sequence[RowMap]) -> Document:
    """Show an instance in a list: the page has no example, so nova's key beside those of one alone."""
    return {"id": instance_uuid, **_server(instance_uuid, devices)}


VIEW = View(
    devices=Shape(_PLAIN, _devices),
    devices_in_full=Shape((*_PLAIN, *_MORE, "tags"), _devices_in_full),
    hypervisor=_hypervisor,
    hypervisor_in_list=_hypervisor,
    hypervisor_alone=_hypervisor_alone,
    server=_server,
    server_in_list=_server_in_list,
)
