"""Devices to match and to track: one PF with two VFs, one card beside them."""

from collections.abc import Iterable

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType, Netdev
from pci_agent.model.families import Families
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.standing import HostState, settle

CARD = Device(
    address=PciAddress.parse("0000:81:00.0"),
    path="0000:80/03.0/00.0",
    vendor_id="10de",
    product_id="25b6",
    subsystem_vendor_id="10de",
    subsystem_product_id="157e",
    class_code="030200",
    revision="a1",
    dev_type=DevType.PCI,
    parent_addr=None,
    vf_index=None,
    sriov_totalvfs=None,
    sriov_numvfs=None,
    numa_node=1,
    driver="nvidia",
    iommu_group=40,
    netdevs=(),
)
PF = CARD._replace(
    address=PciAddress.parse("0000:04:00.0"),
    path="0000:00/1c.0/00.0",
    vendor_id="8086",
    product_id="1521",
    class_code="020000",
    dev_type=DevType.PF,
    sriov_totalvfs=7,
    sriov_numvfs=2,
    numa_node=0,
    driver="igb",
    iommu_group=30,
    netdevs=(Netdev("enp4s0f0", "02:00:00:00:00:01"),),
)


def vf(index: int, address: str) -> Device:
    return PF._replace(
        address=PciAddress.parse(address),
        path=f"0000:00/1c.0/{address[8:]}",
        product_id="1520",
        dev_type=DevType.VF,
        parent_addr=PF.address,
        vf_index=index,
        sriov_totalvfs=None,
        sriov_numvfs=None,
        driver="igbvf",
        iommu_group=31 + index,
        netdevs=(Netdev(f"enp4s0f0v{index}", None),),
    )


def settled(items: Iterable[TrackedDevice]) -> list[TrackedDevice]:
    """Derive every status, as a commit does."""
    tracked = Families.of(items)
    return list(tracked.after(settle(tracked, HostState())).values())


VF0, VF1 = vf(0, "0000:04:10.0"), vf(1, "0000:04:10.4")
EVERYTHING = (PF, VF0, VF1, CARD)
