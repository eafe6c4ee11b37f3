"""
``pci-agent discover``: every PCI function of the host as the agent would see it, whitelist or not.

Needs no configuration, no bus and no root. Its JSON is ``{"devices": [...], "problems": [...]}``, with the
names that sysfs and nova use; what the host doesn't say is null.
"""

import json
from typing import Any

from prettytable import PrettyTable

from pci_agent.discovery.sysfs import Scan
from pci_agent.model.device import Device

_COLUMNS = {
    "Address": "address",
    "PCI ID": None,
    "Class": "class",
    "Type": "dev_type",
    "Parent": "parent_addr",
    "VF": "vf_index",
    "VFs": None,
    "NUMA": "numa_node",
    "IOMMU": "iommu_group",
    "Driver": "driver",
    "Netdevs": None,
}


def as_json(scan: Scan) -> str:
    """Write a scan as one indented JSON document."""
    document = {
        "devices": [_facts(device) for device in scan.devices],
        "problems": [{"address": problem.address, "cause": problem.cause} for problem in scan.problems],
    }
    return json.dumps(document, indent=2)


def as_table(scan: Scan) -> str:
    """Write a scan as a table for people, problems below it."""
    table = PrettyTable([*_COLUMNS])
    table.align = "l"
    for device in scan.devices:
        table.add_row([_cell(device, title) for title in _COLUMNS])
    lines = [str(table.get_string())]
    lines += [f"problem: {problem.address or 'the host'}: {problem.cause}" for problem in scan.problems]
    return "\n".join(lines)


def _facts(device: Device) -> dict[str, Any]:
    return {
        "address": str(device.address),
        "dev_id": device.dev_id,
        "label": device.label,
        "vendor_id": device.vendor_id,
        "product_id": device.product_id,
        "subsystem_vendor_id": device.subsystem_vendor_id,
        "subsystem_product_id": device.subsystem_product_id,
        "class": device.class_code,
        "revision": device.revision,
        "dev_type": device.dev_type.value,
        "parent_addr": None if device.parent_addr is None else str(device.parent_addr),
        "vf_index": device.vf_index,
        "sriov_totalvfs": device.sriov_totalvfs,
        "sriov_numvfs": device.sriov_numvfs,
        "numa_node": device.numa_node,
        "driver": device.driver,
        "iommu_group": device.iommu_group,
        "netdevs": [{"name": netdev.name, "mac_address": netdev.mac_address} for netdev in device.netdevs],
        "path": device.path,
    }


def _cell(device: Device, title: str) -> str:
    if title == "PCI ID":
        return f"{device.vendor_id}:{device.product_id}"
    if title == "VFs":
        return "" if device.sriov_totalvfs is None else f"{device.sriov_numvfs} of {device.sriov_totalvfs}"
    if title == "Netdevs":
        return " ".join(netdev.name for netdev in device.netdevs)
    value = _facts(device)[_COLUMNS[title] or title]
    return "" if value is None else str(value)
