"""Hosts to measure with, of any size: SR-IOV cards of one kind, on two NUMA nodes."""

import json
from typing import Any

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType, Netdev

VENDOR, PF_PRODUCT, VF_PRODUCT = "8086", "1521", "1520"
ENTRIES = ("one vendor entry", "an address entry a PF")
_NETWORKS = 4
_FUNCTIONS_OF_A_BUS = 256


def devices(count: int, vfs: int) -> tuple[Device, ...]:
    """Make a host with *count* functions: PFs, each with *vfs* VFs behind it on the same bus or buses."""
    buses = -(-(vfs + 1) // _FUNCTIONS_OF_A_BUS)
    made: list[Device] = []
    for number in range(count // (vfs + 1)):
        domain, bus = divmod(number * buses, 256)
        made += _card(number, domain, bus, vfs)
    return tuple(made)


def plain(count: int) -> tuple[Device, ...]:
    """Make a host with *count* functions without SR-IOV."""
    none: dict[str, Any] = {"dev_type": DevType.PCI, "sriov_totalvfs": None, "sriov_numvfs": None}
    return tuple(device._replace(**none) for device in devices(count, 0))


def _card(number: int, domain: int, bus: int, vfs: int) -> list[Device]:
    addresses = [PciAddress(domain, bus + place // 256, place % 256 // 8, place % 8) for place in range(vfs + 1)]
    return [_function(number, addresses, index) for index in range(-1, vfs)]


def _function(number: int, addresses: list[PciAddress], index: int) -> Device:
    """Make a card's PF (index -1) or one of its VFs."""
    is_pf = index < 0
    address = addresses[index + 1]
    return Device(
        address=address,
        path=f"0000:00/{number:x}.0/{address.slot:02x}.{address.function}",
        vendor_id=VENDOR,
        product_id=PF_PRODUCT if is_pf else VF_PRODUCT,
        subsystem_vendor_id=VENDOR,
        subsystem_product_id="0001",
        class_code="020000",
        revision="01",
        dev_type=DevType.PF if is_pf else DevType.VF,
        parent_addr=None if is_pf else addresses[0],
        vf_index=None if is_pf else index,
        sriov_totalvfs=len(addresses) - 1 if is_pf else None,
        sriov_numvfs=len(addresses) - 1 if is_pf else None,
        numa_node=number % 2,
        driver="igb" if is_pf else "igbvf",
        iommu_group=None,
        netdevs=(Netdev(f"ens{number}f0" + ("" if is_pf else f"v{index}"), None),),
    )


def values(host: tuple[Device, ...], entries: str) -> list[str]:
    """Write the whitelist: everything of the vendor, or each PF by its address, on one of some networks."""
    if entries == ENTRIES[0]:
        return [json.dumps({"vendor_id": VENDOR, "physical_network": "physnet0"})]
    pfs = [device for device in host if device.dev_type is DevType.PF]
    return [
        json.dumps({"address": str(pf.address), "physical_network": f"physnet{number % _NETWORKS}"})
        for number, pf in enumerate(pfs)
    ]


Request = dict[str, object]
"""count, and the specs that a device may meet."""


def one_vf() -> list[Request]:
    """Ask for a VF."""
    return [{"count": 1, "specs": [{"vendor_id": VENDOR, "product_id": VF_PRODUCT}]}]


def one_pf() -> list[Request]:
    """Ask for a PF."""
    return [{"count": 1, "specs": [{"vendor_id": VENDOR, "product_id": PF_PRODUCT, "dev_type": "type-PF"}]}]


def eight_mixed(*, with_pf: bool) -> list[Request]:
    """Ask for eight things at once, VFs but for a PF where there is more than one."""
    any_vf: dict[str, str] = {"vendor_id": VENDOR, "product_id": VF_PRODUCT}
    other = {"vendor_id": "15b3", "product_id": "1018"}
    mixed: list[Request] = [
        {"count": 1, "specs": [any_vf]},
        {"count": 2, "specs": [any_vf]},
        {"count": 1, "specs": [{**any_vf, "dev_type": "type-VF"}]},
        {"count": 1, "specs": [other, any_vf]},
        {"count": 2, "specs": [{"product_id": VF_PRODUCT, "physical_network": "physnet0"}]},
        {"count": 1, "specs": [{"physical_network": "physnet0"}]},
        {"count": 4, "specs": [{**any_vf, "physical_network": "physnet0"}]},
    ]
    return [*mixed, *(one_pf() if with_pf else one_vf())]
