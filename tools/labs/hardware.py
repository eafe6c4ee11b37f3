"""
The guest's hardware, as QEMU's arguments. Pure: text in, text out.

Each NUMA node is a pxb-pcie, since only what hangs below one has a node. A PF sits in a root port of its own,
at slot 4 and up; slot 1 stays free for a card on a lower bus, which moves the addresses of all behind it.
"""

from dataclasses import asdict, dataclass
from typing import Any

_FIRST_BUS = 32
_FIRST_SLOT = 4
_MEMORY_MB = 512


@dataclass(frozen=True)
class Hardware:
    """
    What the guest has.

    Attributes:
        pf: how many igb cards, in turn on each node; each is a PF with 7 VFs at most
        vfs: how many VFs of each PF are made at boot
        nvme: whether there is an NVMe PF too, on the last node
        nodes: how many NUMA nodes
        bridge: whether two cards sit behind a plain PCI bridge, and so in one IOMMU group
        card_below: whether one more card sits on a lower bus of the first node
    """

    pf: int = 2
    vfs: int = 4
    nvme: bool = False
    nodes: int = 2
    bridge: bool = False
    card_below: bool = False

    def as_json(self) -> dict[str, Any]:
        """Give it as plain values."""
        return asdict(self)


def arguments(hardware: Hardware) -> list[str]:
    """Give QEMU's arguments for memory, IOMMU, nodes and cards."""
    args = ["-m", str(_MEMORY_MB * hardware.nodes), "-smp", "1"]
    for node in range(hardware.nodes):
        args += ["-object", f"memory-backend-ram,id=m{node},size={_MEMORY_MB}M"]
        args += ["-numa", f"node,nodeid={node},memdev=m{node}" + (",cpus=0" if node == 0 else "")]
    args += _device("intel-iommu", intremap="on", **{"caching-mode": "on", "device-iotlb": "on"})
    for node in range(hardware.nodes):
        bus = {"bus_nr": _FIRST_BUS * (node + 1), "numa_node": node, "bus": "pcie.0"}
        args += _device("pxb-pcie", id=f"node{node}", **bus)
    if hardware.card_below:
        args += _port("below", 0, slot=1, chassis=100)
        args += _device("e1000e", id="below", bus="port-below", mac="52:54:00:00:99:01")
    for number in range(hardware.pf):
        args += _port(str(number), number % hardware.nodes, _FIRST_SLOT + number // hardware.nodes, number + 1)
        args += ["-netdev", f"hubport,hubid=0,id=net{number}"]
        args += _device(**pf_device(number))
    if hardware.nvme:
        args += _port("nvme", hardware.nodes - 1, slot=16, chassis=101)
        args += _device("nvme-subsys", id="subsystem")
        args += _device("nvme", **_NVME)
    if hardware.bridge:
        args += _port("bridge", 0, slot=17, chassis=102)
        args += _device("pcie-pci-bridge", id="bridge", bus="port-bridge")
        for number in (1, 2):
            args += _device("e1000", id=f"old{number}", bus="bridge", addr=f"{number:#x}")
    return args


def pf_device(number: int) -> dict[str, str]:
    """Give the properties of one igb card, as device_add takes them too."""
    return {
        "driver": "igb",
        "id": f"pf{number}",
        "bus": f"port-{number}",
        "netdev": f"net{number}",
        "mac": f"52:54:00:00:00:{number + 1:02x}",
    }


_NVME = {
    "id": "nvme0",
    "bus": "port-nvme",
    "serial": "lab",
    "subsys": "subsystem",
    "sriov_max_vfs": 4,
    "sriov_vq_flexible": 8,
    "sriov_vi_flexible": 4,
    "max_ioqpairs": 16,
    "msix_qsize": 16,
}


def _port(name: str, node: int, slot: int, chassis: int) -> list[str]:
    return _device(
        "pcie-root-port", id=f"port-{name}", bus=f"node{node}", addr=f"{slot:#x}", chassis=chassis, slot=chassis
    )


def _device(driver: str, **properties: object) -> list[str]:
    return ["-device", ",".join([driver, *(f"{name}={value}" for name, value in properties.items())])]
