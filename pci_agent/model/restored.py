"""
What an agent takes over from the tracker when its own store is an older copy, or was lost: uuids and owners.

The tracker's row is later than the store, so its word goes before: who holds what there holds it, and who holds nothing
there holds nothing. What only libvirt can tell is libvirt's to say afterwards. A device is found by its uuid, else by
its kind and address, and then gets the row's uuid. One that somebody holds and that isn't there is kept as gone, so
that it is shown until it is freed; whoever stands at its address is not given meanwhile (relatives.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.state import Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One device as the tracker has it."""

    uuid: str
    address: PciAddress
    vendor_id: str
    product_id: str
    dev_type: DevType
    parent_addr: PciAddress | None
    owner: Owner | None


def restored(tracked: Iterable[TrackedDevice], known: Iterable[Known]) -> list[TrackedDevice]:
    """
    Tell which devices are other than believed.

    Args:
        tracked: what the store holds, after a look
        known: every device that the tracker's row shows

    Returns:
        The devices as they are afterwards; those of the row that only an owner makes worth keeping are new.
    """
    items = list(tracked)
    by_uuid = {item.uuid: item for item in items}
    by_place = {_place(item.device): item for item in items if item.offered}
    taken: dict[str, TrackedDevice] = {}
    for each in sorted(known, key=lambda each: (each.uuid not in by_uuid, each.owner is None)):
        item = by_uuid.get(each.uuid) or by_place.get((each.address, each.vendor_id, each.product_id))
        if (item is None or item.identity in taken) and each.owner is not None:
            item = _gone(each)
        if item is not None and item.identity not in taken:
            taken[item.identity] = replace(item, uuid=each.uuid, owner=each.owner, leaked=False)
    ended = (replace(item, owner=None, leaked=False) for item in items if item.identity not in taken)
    before = {item.identity: item for item in items}
    return [item for item in (*taken.values(), *ended) if item != before.get(item.identity)]


def _place(device: Device) -> tuple[PciAddress, str, str]:
    return (device.address, device.vendor_id, device.product_id)


def _gone(known: Known) -> TrackedDevice:
    device = Device(
        address=known.address,
        path=None,
        vendor_id=known.vendor_id,
        product_id=known.product_id,
        subsystem_vendor_id=None,
        subsystem_product_id=None,
        class_code="",
        revision=None,
        dev_type=known.dev_type,
        parent_addr=known.parent_addr,
        vf_index=None,
        sriov_totalvfs=None,
        sriov_numvfs=None,
        numa_node=None,
        driver=None,
        iommu_group=None,
        netdevs=(),
    )
    return TrackedDevice(uuid=known.uuid, identity=f"restored {known.uuid}", device=device, present=False, listed=False)
