"""
Which devices can't be given because somebody holds another one: their PF, their VFs, their IOMMU groups.

A PF and its VFs exclude one another: whoever has the PF has the VFs' hardware. The kernel gives the members of
an IOMMU group to one guest alone. What is held still counts once it has left, until it is freed: another one of its
kind at its address isn't given, since the holder's domain asks for that address. So does a device that a domain has
though the whitelist never offered it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.state import Status


@dataclass(frozen=True, slots=True)
class Hold:
    """One device that somebody holds; *status* is claimed or allocated."""

    device: Device
    instance_uuid: str
    status: Status


def holds(inventory: Iterable[TrackedDevice], elsewhere: Iterable[Hold] = ()) -> list[Hold]:
    """
    List what is held on a host.

    Args:
        inventory: what is tracked
        elsewhere: what domains have of the devices that aren't tracked
    """
    found = list(elsewhere)
    for item in inventory:
        if item.owner is not None:
            found.append(Hold(item.device, item.owner.instance_uuid, item.owner.status))
        if item.domain is not None and (item.owner is None or item.owner.instance_uuid != item.domain):
            found.append(Hold(item.device, item.domain, Status.ALLOCATED))
    return found


class Held:
    """What the holders of a host's devices keep from others."""

    def __init__(self, holds: Iterable[Hold]) -> None:
        self._by_address: dict[PciAddress, Hold] = {}
        self._by_parent: dict[PciAddress, Hold] = {}
        self._by_group: dict[int, list[Hold]] = {}
        for hold in holds:
            device = hold.device
            _keep_firmer(self._by_address, device.address, hold)
            if device.parent_addr is not None:
                _keep_firmer(self._by_parent, device.parent_addr, hold)
            if device.iommu_group is not None:
                self._by_group.setdefault(device.iommu_group, []).append(hold)

    def __bool__(self) -> bool:
        return bool(self._by_address)

    def obstacle(self, device: Device, *, guest: str | None = None) -> tuple[Status, str] | None:
        """
        Tell what a held device means for another one.

        Args:
            device: the one that might be given, which nobody holds
            guest: to whom; the IOMMU groups that this instance has a part of are open to it

        Returns:
            The status that it has because of that, and why; None where nothing is in the way.
        """
        relative = self._by_parent.get(device.address)
        if relative is None and device.parent_addr is not None:
            relative = self._by_address.get(device.parent_addr)
        before = self._by_address.get(device.address)
        if before is not None and _are_alike(before.device, device):
            return Status.UNAVAILABLE, f"{before.instance_uuid} holds the one that was at its address"
        if relative is not None:
            kind = "its PF" if relative.device.address == device.parent_addr else "its VF"
            status = Status.UNAVAILABLE if relative.status is Status.ALLOCATED else Status.UNCLAIMABLE
            return status, f"{kind} {relative.device.address} is {relative.status} to {relative.instance_uuid}"
        if device.iommu_group is not None:
            for hold in self._by_group.get(device.iommu_group, ()):
                if hold.instance_uuid != guest and hold.device.address != device.address:
                    what = f"{hold.device.address} of its IOMMU group {device.iommu_group}"
                    return Status.UNAVAILABLE, f"{hold.instance_uuid} holds {what}"
        return None


def _are_alike(one: Device, other: Device) -> bool:
    return (one.vendor_id, one.product_id) == (other.vendor_id, other.product_id)


def _keep_firmer(held: dict[PciAddress, Hold], address: PciAddress, hold: Hold) -> None:
    """Keep an allocated one before a claimed one."""
    known = held.get(address)
    if known is None or known.status is not Status.ALLOCATED:
        held[address] = hold
