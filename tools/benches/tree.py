"""A host's sysfs on paper: the directories, files and links of every function, shaped as the kernel shapes them."""

import os
from collections.abc import Iterable

from pci_agent.model.device import Device, DevType

_BRIDGES = 32


def grow(root: str, devices: Iterable[Device], *, netdevs: bool = True) -> None:
    """Write a host's functions below *root*, PFs before their VFs; each card behind a bridge of the root bus."""
    entries, net = f"{root}/bus/pci/devices", f"{root}/class/net"
    for folder in (entries, net):
        os.makedirs(folder)
    homes: dict[object, str] = {}
    for number, device in enumerate(devices):
        pf = device.parent_addr or device.address
        bridge = f"devices/pci0000:00/0000:00:{(pf.domain + pf.bus) % _BRIDGES:02x}.0"
        home = homes[device.address] = f"{bridge}/{device.address}"
        os.makedirs(f"{root}/{home}")
        os.symlink(f"../../../{home}", f"{entries}/{device.address}")
        os.symlink(f"../../../../kernel/iommu_groups/{number}", f"{root}/{home}/iommu_group")
        os.symlink(f"../../../../bus/pci/drivers/{device.driver}", f"{root}/{home}/driver")
        for name, content in _files(device).items():
            _write(f"{root}/{home}/{name}", content)
        if device.parent_addr is not None:
            os.symlink(f"../{pf}", f"{root}/{home}/physfn")
            os.symlink(f"../{device.address}", f"{root}/{homes[pf]}/virtfn{device.vf_index}")
        for index, netdev in enumerate(device.netdevs if netdevs else ()):
            os.makedirs(f"{root}/{home}/net/{netdev.name}")
            os.symlink(f"../../{home}/net/{netdev.name}", f"{net}/{netdev.name}")
            mac = f"02:{index:02x}" + "".join(f":{each:02x}" for each in number.to_bytes(4))
            _write(f"{root}/{home}/net/{netdev.name}/address", f"{mac}\n")
            _write(f"{root}/{home}/net/{netdev.name}/addr_assign_type", "0\n")


def _files(device: Device) -> dict[str, str]:
    ids = f"{device.vendor_id}:{device.product_id}".upper()
    subsystem = f"{device.subsystem_vendor_id}:{device.subsystem_product_id}".upper()
    alias = (
        f"pci:v0000{device.vendor_id}d0000{device.product_id}sv0000{device.subsystem_vendor_id}"
        f"sd0000{device.subsystem_product_id}bc02sc00i00\n"
    )
    uevent = (
        f"DRIVER={device.driver}\nPCI_CLASS={device.class_code.lstrip('0').upper()}\nPCI_ID={ids}\n"
        f"PCI_SUBSYS_ID={subsystem}\nPCI_SLOT_NAME={device.address}\nMODALIAS={alias}"
    )
    files = {
        "uevent": uevent,
        "modalias": alias,
        "revision": f"0x{device.revision}\n",
        "numa_node": f"{device.numa_node}\n",
    }
    if device.dev_type is DevType.PF:
        files |= {"sriov_totalvfs": f"{device.sriov_totalvfs}\n", "sriov_numvfs": f"{device.sriov_numvfs}\n"}
    return files


def _write(path: str, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, content.encode())
    finally:
        os.close(descriptor)
