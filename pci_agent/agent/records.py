"""How a tracked device reads to the tracker: every field as text or number, sealed with a hash."""

from collections.abc import Iterable
from functools import lru_cache

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.restored import Known
from pci_agent.model.standing import RELEASING
from pci_agent.model.state import Owner, Status
from pci_agent.model.stats import Pool
from pci_agent.wire.messages import DeviceRecord, KnownRecord, PoolRecord, device_record


def record_of(item: TrackedDevice) -> DeviceRecord:
    """Write down one tracked device."""
    device = item.device
    return device_record(
        {
            "uuid": item.uuid,
            "address": str(device.address),
            "vendor_id": device.vendor_id,
            "product_id": device.product_id,
            "dev_type": device.dev_type,
            "dev_id": device.dev_id,
            "label": device.label,
            "parent_addr": None if device.parent_addr is None else str(device.parent_addr),
            "numa_node": device.numa_node,
            "status": item.status,
            "status_reason": item.status_reason,
            "tags": dict(item.tags),
            "extra_info": _extra_info(device),
            **_owner(item.owner),
        }
    )


def _owner(owner: Owner | None) -> dict[str, object]:
    if owner is None:
        return {}
    return {name: getattr(owner, name) for name in ("instance_uuid", "request_id", "attempt", "project_id", "user_id")}


def known_of(record: KnownRecord, lifetime_s: float) -> Known:
    """Read what the tracker knows of a device; a claim's lifetime isn't in it, and is the agent's own then."""
    allocated = record.status == Status.ALLOCATED
    owner = (
        None
        if record.instance_uuid is None
        else Owner(
            instance_uuid=record.instance_uuid,
            request_id=record.request_id,
            attempt=record.attempt,
            project_id=record.project_id,
            user_id=record.user_id,
            allocated=allocated,
            lifetime_s=None if allocated else lifetime_s,
            releasing=f"{RELEASING}: " in (record.status_reason or ""),
        )
    )
    return Known(
        uuid=record.uuid,
        address=PciAddress.parse(record.address),
        vendor_id=record.vendor_id,
        product_id=record.product_id,
        dev_type=DevType(record.dev_type),
        parent_addr=None if record.parent_addr is None else PciAddress.parse(record.parent_addr),
        owner=owner,
    )


def pool_records(pools: Iterable[Pool]) -> tuple[PoolRecord, ...]:
    """Write down the pools of a host."""
    return tuple(_pool_record(pool) for pool in pools)


@lru_cache(maxsize=4096)  # a change touches one or two of a host's pools
def _pool_record(pool: Pool) -> PoolRecord:
    return PoolRecord(
        vendor_id=pool.vendor_id,
        product_id=pool.product_id,
        numa_node=pool.numa_node,
        dev_type=pool.dev_type,
        parent_addr=None if pool.parent_addr is None else str(pool.parent_addr),
        tags=dict(pool.tags),
        free=pool.free,
        used=pool.used,
        total=pool.total,
    )


def _extra_info(device: Device) -> dict[str, str]:
    """Give the facts that have no column of their own, as text; what the host doesn't say is left out."""
    facts: dict[str, object] = {
        "phys_function": device.parent_addr,
        "vf_index": device.vf_index,
        "sriov_totalvfs": device.sriov_totalvfs,
        "sriov_numvfs": device.sriov_numvfs,
        "driver": device.driver,
        "iommu_group": device.iommu_group,
        "class": device.class_code,
        "revision": device.revision,
        "subsystem_vendor_id": device.subsystem_vendor_id,
        "subsystem_product_id": device.subsystem_product_id,
        "netdevs": ",".join(netdev.name for netdev in device.netdevs) or None,
        "mac_address": ",".join(netdev.mac_address for netdev in device.netdevs if netdev.mac_address) or None,
    }
    return {name: str(fact) for name, fact in facts.items() if fact is not None}
