"""A machine as nova sees it: what its libvirt driver reports, and what nova then asks of /sys."""

from collections.abc import Sequence
from typing import Any

from pci_agent.model.device import Device, DevType


def functions(devices: Sequence[Device]) -> list[dict[str, Any]]:
    """Tell what libvirt's node devices say of functions."""
    return [
        {
            "address": str(device.address),
            "pf": None if device.parent_addr is None else str(device.parent_addr),
            "vendor_id": device.vendor_id,
            "product_id": device.product_id,
            "numa_node": device.numa_node,
            "driver": device.driver,
            "netdevs": [netdev.name for netdev in device.netdevs],
        }
        for device in devices
    ]


def machine(devices: Sequence[Device], *, serials: bool = True) -> dict[str, Any]:
    """
    Put devices in nova's words.

    Args:
        devices: every function of the host
        serials: whether cards show a serial number, without which nova leaves remote-managed devices out
    """
    netdev_of = {device.address: device.netdevs[0].name for device in devices if device.netdevs}
    reports = []
    for device in devices:
        report: dict[str, Any] = {
            "dev_id": device.dev_id,
            "address": str(device.address),
            "vendor_id": device.vendor_id,
            "product_id": device.product_id,
            "numa_node": device.numa_node,
            "label": device.label,
            "dev_type": str(device.dev_type),
        }
        if device.parent_addr is not None:
            report["parent_addr"] = str(device.parent_addr)
            if device.netdevs and device.parent_addr in netdev_of:
                report["parent_ifname"] = netdev_of[device.parent_addr]
        if serials:
            report["capabilities"] = {"vpd": {"card_serial_number": "MT2113X00000"}}
        reports.append(report)
    return {
        "devices": reports,
        "pfs": [str(device.address) for device in devices if device.dev_type is DevType.PF],
        "netdevs": {
            netdev.name: [str(device.address), device.dev_type is DevType.PF]
            for device in devices
            for netdev in device.netdevs
        },
    }
