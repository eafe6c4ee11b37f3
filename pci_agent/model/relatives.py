"""
Which devices can't be given because somebody holds another one: their PF, their VFs, their IOMMU groups.

A PF and its VFs exclude one another: whoever has the PF has the VFs' hardware. The kernel gives the members of
an IOMMU group to one guest alone. What is held still counts once it has left, until it is freed.
"""

from collections.abc import Iterable

from pci_agent.model.device import Device
from pci_agent.model.inventory import TrackedDevice


class Held:
    """What the holders of a host's devices keep from others."""

    def __init__(self, inventory: Iterable[TrackedDevice]) -> None:
        held = [item.device for item in inventory if item.owner is not None]
        self._addresses = {device.address for device in held}
        self._parents = {device.parent_addr for device in held if device.parent_addr is not None}
        self._groups = {device.iommu_group for device in held if device.iommu_group is not None}

    def __bool__(self) -> bool:
        return bool(self._addresses)

    def keeps(self, device: Device) -> bool:
        """True where the device can't be given because of another one that is held."""
        return (
            device.iommu_group in self._groups
            or device.address in self._parents
            or (device.parent_addr is not None and device.parent_addr in self._addresses)
        )
