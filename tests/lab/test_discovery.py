"""What discover tells of a real kernel is what lspci, ip and virsh tell."""

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from labs.guest import Lab

PF0, PF1, NVME = "0000:21:00.0", "0000:41:00.0", "0000:42:00.0"


@pytest.fixture(scope="module")
def devices(lab: Lab) -> dict[str, dict[str, Any]]:
    told = json.loads(lab.run("pci-agent discover -f json"))
    assert told["problems"] == []
    return {device["address"]: device for device in told["devices"]}


def test_two_pfs_on_two_nodes_have_four_vfs_each(devices: dict[str, dict[str, Any]]) -> None:
    for pf, node in ((PF0, 0), (PF1, 1)):
        assert (devices[pf]["dev_type"], devices[pf]["sriov_totalvfs"], devices[pf]["sriov_numvfs"]) == (
            "type-PF",
            7,
            4,
        )
        vfs = [device for device in devices.values() if device["parent_addr"] == pf]
        assert [vf["vf_index"] for vf in vfs] == [0, 1, 2, 3]
        assert {(vf["dev_type"], vf["driver"], vf["numa_node"]) for vf in vfs} == {("type-VF", "igbvf", node)}
        assert all(vf["iommu_group"] is not None and len(vf["netdevs"]) == 1 for vf in vfs)


def test_an_nvme_drive_is_a_pf_too(devices: dict[str, dict[str, Any]]) -> None:
    assert (devices[NVME]["dev_type"], devices[NVME]["driver"], devices[NVME]["sriov_numvfs"]) == ("type-PF", "nvme", 4)
    assert {vf["driver"] for vf in devices.values() if vf["parent_addr"] == NVME} == {None}


def test_every_function_is_as_lspci_tells_it(lab: Lab, devices: dict[str, dict[str, Any]]) -> None:
    blocks = [
        dict(line.split(":\t", 1) for line in block.splitlines())
        for block in lab.run("lspci -D -n -k -vmm").strip().split("\n\n")
    ]
    told = {
        block["Slot"]: (
            block["Vendor"],
            block["Device"],
            block["Class"],
            block.get("Rev", "00"),
            block.get("Driver"),
            block.get("NUMANode"),
            block.get("IOMMUGroup"),
        )
        for block in blocks
    }
    assert told == {
        address: (
            device["vendor_id"],
            device["product_id"],
            device["class"][:4],
            device["revision"],
            device["driver"],
            None if device["numa_node"] is None else str(device["numa_node"]),
            str(device["iommu_group"]),
        )
        for address, device in devices.items()
    }


def test_every_netdev_is_as_ip_tells_it(lab: Lab, devices: dict[str, dict[str, Any]]) -> None:
    vfs = {address for address, device in devices.items() if device["parent_addr"] is not None}
    told = {
        (link["parentdev"], link["ifname"], None if link["parentdev"] in vfs else link["address"])
        for link in json.loads(lab.run("ip -j -d link"))
        if link.get("parentbus") == "pci"
    }
    assert told == {
        (address, netdev["name"], netdev["mac_address"])
        for address, device in devices.items()
        for netdev in device["netdevs"]
    }
    assert len(told) == 10


def test_every_function_is_as_libvirt_tells_it(lab: Lab, devices: dict[str, dict[str, Any]]) -> None:
    lab.run("until virsh -q nodedev-list >/dev/null 2>&1; do sleep 0.2; done")
    names = lab.run("virsh -q nodedev-list --cap pci").split()
    assert sorted(names) == sorted(device["dev_id"] for device in devices.values())
    dumped = lab.run(f"for name in {' '.join(names)}; do virsh nodedev-dumpxml $name; done")
    told = {node.findtext("name"): _as_libvirt(node) for node in ET.fromstring(f"<all>{dumped}</all>")}
    assert told == {device["dev_id"]: _as_we(address, device, devices) for address, device in devices.items()}


def _address(node: ET.Element) -> str:
    domain, bus, slot, function = (int(node.get(part, ""), 16) for part in ("domain", "bus", "slot", "function"))
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def _as_libvirt(node: ET.Element) -> dict[str, object]:
    group, numa = node.find("capability/iommuGroup"), node.find("capability/numa")
    vfs, pf = (
        node.find("capability/capability[@type='virt_functions']"),
        node.find(".//capability[@type='phys_function']/address"),
    )
    return {
        "driver": node.findtext("driver/name"),
        "group": None if group is None else int(group.get("number", "")),
        "node": None if numa is None else int(numa.get("node", "")),
        "vfs": [] if vfs is None else [_address(each) for each in vfs.findall("address")],
        "most": None if vfs is None else int(vfs.get("maxCount", "")),
        "pf": None if pf is None else _address(pf),
    }


def _as_we(address: str, device: dict[str, Any], devices: dict[str, dict[str, Any]]) -> dict[str, object]:
    vfs = [vf for vf in devices.values() if vf["parent_addr"] == address]
    return {
        "driver": device["driver"],
        "group": device["iommu_group"],
        "node": device["numa_node"],
        "vfs": [vf["address"] for vf in sorted(vfs, key=lambda vf: vf["vf_index"])],
        "most": device["sriov_totalvfs"],
        "pf": device["parent_addr"],
    }
