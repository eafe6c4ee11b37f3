"""
One PCI function as the host reported it.

Facts only: whether it is offered, to whom, and under which tags is the inventory's part. Beside each field
stands the file below ``/sys/bus/pci/devices/<address>/`` that it came from. None means that the kernel
doesn't say.

A named tuple, where other values are dataclasses: a host has thousands, and a first scan makes them all (measured: a
tuple of so many fields is made in a fifth of the time).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pci_agent.model.address import PciAddress


class DevType(StrEnum):
    """What kind of function it is, in nova's words."""

    PCI = "type-PCI"
    PF = "type-PF"
    VF = "type-VF"
    VDPA = "vdpa"


@dataclass(frozen=True, slots=True)
class Netdev:
    """
    A network interface of a function.

    Attributes:
        name: its name now, as ``ip link`` shows it: net/<name>
        mac_address: its MAC now: net/<name>/address; None where there is none, and of a VF's, which is made up
    """

    name: str
    mac_address: str | None


class Device(NamedTuple):
    """
    One PCI function.

    Attributes:
        address: the entry's own name
        path: where the function hangs, in words that survive renumbered buses: the host bridge, then
            slot.function of each bridge and of itself; from the entry's own link. None where sysfs shows no link
        vendor_id: four hex digits: modalias v, else vendor
        product_id: four hex digits: modalias d, else device
        subsystem_vendor_id: four hex digits: modalias sv, else subsystem_vendor
        subsystem_product_id: four hex digits: modalias sd, else subsystem_device
        class_code: six hex digits, base class first: modalias bc, sc and i, else class
        revision: two hex digits: revision. The VFs of a PF share one (kernel: drivers/pci/iov.c)
        dev_type: a PF has sriov_totalvfs > 0, a VF has physfn, a vdpa device is a VF on the vdpa bus
        parent_addr: of a VF, its PF: physfn, or the PF's virtfn<N>
        vf_index: of a VF, the N of its PF's virtfn<N>
        sriov_totalvfs: of a PF, how many VFs the hardware offers
        sriov_numvfs: of a PF, how many of them are there: its virtfn<N>
        numa_node: numa_node, where not -1; a VF has its PF's
        driver: driver; None where nothing is bound
        iommu_group: the number at the end of iommu_group
        netdevs: net/*, by name
        serial_number: of a PF, serial_number: eight pairs of hex digits with hyphens. Linux shows it from 6.18 on, and
            to root alone; None too where the card has none
        permanent_mac: of a PF, net/*/address where net/*/addr_assign_type is 0: the MAC that the card was made with.
            None where it bears another now, or has several netdevs, of which none is the first for ever
    """

    address: PciAddress
    path: str | None
    vendor_id: str
    product_id: str
    subsystem_vendor_id: str | None
    subsystem_product_id: str | None
    class_code: str
    revision: str | None
    dev_type: DevType
    parent_addr: PciAddress | None
    vf_index: int | None
    sriov_totalvfs: int | None
    sriov_numvfs: int | None
    numa_node: int | None
    driver: str | None
    iommu_group: int | None
    netdevs: tuple[Netdev, ...]
    serial_number: str | None = None
    permanent_mac: str | None = None

    @property
    def dev_id(self) -> str:
        """Libvirt's name of the node device: ``pci_0000_04_10_0``."""
        return self.address.dev_id

    @property
    def label(self) -> str:
        """Nova's label: ``label_8086_1520``."""
        return f"label_{self.vendor_id}_{self.product_id}"


def identity(device: Device, parent: Device | None) -> str:
    """
    Tell what a function is, whatever its address: the same text after renumbering, reboot or rebinding.

    A VF is its PF's identity and its index, since the kernel may put it on any bus. Where sysfs shows no
    path, the address has to serve.

    Args:
        device: the function
        parent: its PF, for a VF; without it a VF is named by its own path
    """
    if parent is not None and device.vf_index is not None:
        return vf_identity(device.vf_index, identity(parent, None))
    subsystem = f"{device.subsystem_vendor_id or '-'}:{device.subsystem_product_id or '-'}"
    return f"{device.path or device.address} {device.vendor_id}:{device.product_id} {subsystem}"


def vf_identity(vf_index: int, pf_identity: str) -> str:
    """Tell what a VF is, of a PF that is told already."""
    return f"vf {vf_index} of {pf_identity}"
