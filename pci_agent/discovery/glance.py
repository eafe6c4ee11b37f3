"""
Tells whether a function still is what the last scan saw, just before it is given away.

A glance concludes nothing: where something differs, or can't be read, a whole scan has to tell what it means. It
reads what may change without any warning in time: whether the function is there, its ids and driver, its group, its
PF and its netdevs. As in a scan, nothing that waits for the device's lock (sysfs.py).
"""

import os

from pci_agent.discovery.attributes import opened, read
from pci_agent.model.device import Device, DevType


def is_as_seen(device: Device, root: str = "/sys") -> bool:
    """Tell whether nothing speaks against a function's being as it was; a PF always takes a scan, for its VFs."""
    if device.dev_type is DevType.PF:
        return False
    try:
        with opened(os.path.join(root, "bus/pci/devices", str(device.address))) as directory:
            return (
                _names(read("modalias", directory), device)
                and _leads_to(directory, "driver", device.driver)
                and _leads_to(directory, "iommu_group", device.iommu_group)
                and _leads_to(directory, "physfn", device.parent_addr)
                and _netdevs(directory) == [netdev.name for netdev in device.netdevs]
            )
    except OSError:
        return False


def _names(modalias: str, device: Device) -> bool:
    return modalias.lower().startswith(f"pci:v0000{device.vendor_id}d0000{device.product_id}sv")


def _leads_to(directory: int, name: str, last: object) -> bool:
    try:
        return os.readlink(name, dir_fd=directory).rpartition("/")[2] == str(last)
    except FileNotFoundError:
        return last is None


def _netdevs(directory: int) -> list[str]:
    try:
        with opened("net", directory) as net:
            return sorted(os.listdir(net))
    except FileNotFoundError:
        return []
