"""
A sysfs made small: a real directory tree, shaped as the kernel shapes it.

``config`` can't be read here, since that wakes a device, nor ``uevent`` and ``sriov_numvfs``, since that may wait.
"""

import os
import shutil
from pathlib import Path


class FakeSysfs:
    """PCI functions below *root*; what is added, changed and removed here is what a scan sees."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entries = root / "bus/pci/devices"
        self.entries.mkdir(parents=True)
        (root / "class/net").mkdir(parents=True)
        self.gone = root / "gone"

    def __str__(self) -> str:
        return str(self.root)

    def add(  # one keyword a file of the function
        self,
        address: str,
        ids: str = "8086:1521",
        *,
        below: str | None = None,
        pci_class: str = "20000",
        subsystem: str = "8086:0001",
        driver: str | None = None,
        numa_node: int | str | None = None,
        revision: str = "0x01",
        totalvfs: int | None = None,
        iommu_group: int | None = None,
        netdev: str | None = None,
        mac: str = "02:00:00:00:00:01",
        serial_number: str | None = None,
    ) -> Path:
        """Put a function on the bus, below the host bridge or below another function."""
        bridge = self.root / "devices" / f"pci{address.rpartition(':')[0][: address.index(':')]}:00"
        home = (bridge if below is None else self.place(below)) / address
        home.mkdir(parents=True)
        (vendor, product), (other_vendor, other_product) = ids.split(":"), subsystem.split(":")
        code = f"{pci_class.upper():>06}"
        named = "".join(
            f"{name}{each.upper():>08}"
            for name, each in (("v", vendor), ("d", product), ("sv", other_vendor), ("sd", other_product))
        )
        (home / "modalias").write_text(f"pci:{named}bc{code[:2]}sc{code[2:4]}i{code[4:]}\n")
        (home / "vendor").write_text(f"0x{vendor}\n")
        (home / "device").write_text(f"0x{product}\n")
        if driver is not None:
            (home / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")
        (home / "class").write_text(f"0x{pci_class:>06}\n")
        (home / "revision").write_text(f"{revision}\n")
        for forbidden in ("config", "uevent", "sriov_numvfs"):
            (home / forbidden).symlink_to(forbidden)  # whoever opens it gets ELOOP
        if numa_node is not None:
            (home / "numa_node").write_text(f"{numa_node}\n")
        if totalvfs is not None:
            (home / "sriov_totalvfs").write_text(f"{totalvfs}\n")
        if serial_number is not None:
            (home / "serial_number").write_text(f"{serial_number}\n")
        if iommu_group is not None:
            (home / "iommu_group").symlink_to(f"../../../kernel/iommu_groups/{iommu_group}")
        (self.entries / address).symlink_to(os.path.relpath(home, self.entries))
        if netdev is not None:
            self.add_netdev(address, netdev, mac)
        return home

    def add_pf(
        self,
        address: str,
        ids: str = "8086:1521",
        *,
        vfs: list[str],
        vf_ids: str = "8086:1520",
        **more: object,
    ) -> None:
        """Put a PF on the bus with these VFs, beside it, switched on."""
        self.add(address, ids, totalvfs=max(len(vfs), 7), **more)  # type: ignore[arg-type]
        for index, vf in enumerate(vfs):
            shared = {name: more[name] for name in ("numa_node", "below") if name in more}
            home = self.add(vf, vf_ids, driver="igbvf", **shared)  # type: ignore[arg-type]
            (home / "physfn").symlink_to(f"../{address}")
            (self.place(address) / f"virtfn{index}").symlink_to(f"../{vf}")

    def bind(self, address: str, driver: str) -> None:
        """Give a function to another driver."""
        link = self.place(address) / "driver"
        link.unlink(missing_ok=True)
        link.symlink_to(f"../../../bus/pci/drivers/{driver}")

    def set_numvfs(self, address: str, vfs: list[str], vf_ids: str = "8086:1520") -> None:
        """Switch VFs on or off, as a write to sriov_numvfs does."""
        home = self.place(address)
        for link in home.glob("virtfn*"):
            self.remove(link.readlink().name)
            link.unlink()
        for index, vf in enumerate(vfs):
            (self.add(vf, vf_ids, driver="igbvf") / "physfn").symlink_to(f"../{address}")
            (home / f"virtfn{index}").symlink_to(f"../{vf}")

    def add_netdev(
        self, address: str, name: str, mac: str = "02:00:00:00:00:01", *, assigned: int | None = None
    ) -> None:
        """Give a function a network interface; *assigned* is where its MAC is from: 0 for the card."""
        home = self.place(address) / "net" / name
        home.mkdir(parents=True)
        (home / "address").write_text(f"{mac}\n")
        if assigned is not None:
            (home / "addr_assign_type").write_text(f"{assigned}\n")
        net = self.root / "class/net"
        (net / name).symlink_to(os.path.relpath(home, net))

    def remove_netdev(self, name: str) -> None:
        """Take a network interface away, as another driver of its function does."""
        link = self.root / "class/net" / name
        shutil.rmtree(link.resolve())
        link.unlink()

    def place(self, address: str) -> Path:
        """Give the directory that the function's link leads to."""
        return Path(os.path.realpath(self.entries / address))

    def remove(self, address: str) -> None:
        """Take a function off the bus. Its link is kept elsewhere: sysfs gives no inode number twice, others do."""
        home = self.place(address)
        for net in (home / "net").glob("*"):
            (self.root / "class/net" / net.name).unlink()
        self.gone.mkdir(exist_ok=True)
        (self.entries / address).rename(self.gone / f"{address} {len(list(self.gone.iterdir()))}")
        shutil.rmtree(home)
