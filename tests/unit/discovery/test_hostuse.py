"""A host's /sys and /proc made small, with what it uses and what it only has."""

import os
import socket
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pci_agent.discovery.hostnet import net_addresses
from pci_agent.discovery.hostuse import HostUse, host_use
from pci_agent.discovery.sysfs import scan
from pci_agent.model.device import Device
from sysfs import FakeSysfs

PF, VF, OTHER_VF, DISK, OTHER_DISK = "0000:05:00.0", "0000:05:10.0", "0000:05:10.2", "0000:01:00.0", "0000:02:00.0"
ROUTES = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT   \n"
SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
NOWHERE = "0" * 32
TABLES = ("net/route", "net/ipv6_route", "self/mountinfo", "swaps")


class FakeHost:
    """A PF with two VFs, each with a netdev, and two disks; all is up and nothing in use."""

    def __init__(self, root: Path) -> None:
        self.sysfs = FakeSysfs(root / "sys")
        self.root = self.sysfs.root
        self.proc = root / "proc"
        self.addresses: dict[str, list[str]] = {"lo": ["127.0.0.1", "::1"]}
        for name, text in zip(TABLES, (ROUTES, "", "23 27 0:22 / /sys rw - sysfs sysfs rw\n", SWAPS), strict=True):
            self.write(name, text)
        self.sysfs.add_pf(PF, vfs=[VF, OTHER_VF], netdev="enp5s0f0")
        self.sysfs.add_netdev(VF, "enp5s0f0v0")
        self.sysfs.add_netdev(OTHER_VF, "enp5s0f0v1")
        self.virtual("lo")
        for address, name in ((DISK, "nvme0n1"), (OTHER_DISK, "nvme1n1")):
            home = self.sysfs.add(address, "144d:a808", pci_class="10802", driver="nvme")
            self.block(home / f"nvme/{name.removesuffix('n1')}/{name}", partitions=3)

    def write(self, name: str, text: str) -> None:
        (self.proc / name).parent.mkdir(parents=True, exist_ok=True)
        (self.proc / name).write_text(text)

    def append(self, name: str, line: str) -> None:
        with (self.proc / name).open("a") as file:
            file.write(f"{line}\n")

    # Network

    def netdev(self, name: str) -> Path:
        return self.root / "class/net" / name

    def virtual(self, name: str, *lowers: str) -> Path:
        home = self.root / "devices/virtual/net" / name
        home.mkdir(parents=True)
        self.netdev(name).symlink_to(os.path.relpath(home, self.root / "class/net"))
        for lower in lowers:
            (home / f"lower_{lower}").symlink_to(os.path.realpath(self.netdev(lower)))
            (self.netdev(lower) / f"upper_{name}").symlink_to(home)
        return home

    def enslave(self, name: str, master: str, port: str | None = None) -> None:
        home = self.netdev(name)
        (home / "master").symlink_to(f"../../../../virtual/net/{master}")
        (self.netdev(master) / f"lower_{name}").symlink_to(f"../{name}")
        (home / f"upper_{master}").symlink_to(f"../../../../virtual/net/{master}")
        if port is not None:
            (home / port).mkdir()

    def route(self, name: str, destination: str = "00000000", mask: str = "00000000", flags: str = "0003") -> None:
        self.append("net/route", f"{name}\t{destination}\t010200C0\t{flags}\t0\t0\t100\t{mask}\t0\t0\t0     ")

    def ipv6_route(self, name: str, destination: str = NOWHERE, length: str = "00", flags: str = "00000003") -> None:
        numbers = f"{NOWHERE} 00 {NOWHERE} 00000400 00000002 00000000 {flags}"
        self.append("net/ipv6_route", f"{destination} {length} {numbers} {name:>8}")

    # Storage

    def block(self, home: Path, partitions: int = 0) -> None:
        """Put a disk and its partitions into sysfs; the n-th block device of all has the number 259:n."""
        stem = home.name + ("p" if home.name[-1].isdigit() else "")
        for each in (home, *(home / f"{stem}{n}" for n in range(1, partitions + 1))):
            each.mkdir(parents=True)
            for folder, name in (("dev/block", f"259:{len(self.numbers())}"), ("class/block", each.name)):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
                (self.root / folder / name).symlink_to(os.path.relpath(each, self.root / folder))

    def numbers(self) -> dict[str, str]:
        folder = self.root / "dev/block"
        links = folder.iterdir() if folder.is_dir() else ()
        return {link.readlink().name: link.name for link in links}

    def stacked(self, name: str, *lowers: str, mapped: str | None = None) -> Path:
        """Put a device mapper's or RAID's device on others."""
        home = self.root / "devices/virtual/block" / name
        self.block(home, partitions=0 if mapped else 1)
        (home / "slaves").mkdir()
        for lower in lowers:
            (home / "slaves" / lower).symlink_to(os.path.realpath(self.root / "class/block" / lower))
        if mapped is not None:
            (home / "dm").mkdir()
            (home / "dm/name").write_text(f"{mapped}\n")
        return home

    def mount(self, name: str, path: str, kind: str = "ext4") -> None:
        number = self.numbers()[name]
        self.append("self/mountinfo", f"27 1 {number} / {path} rw,relatime shared:1 - {kind} /dev/{name} rw,discard")

    def mount_unnumbered(self, source: str, path: str, kind: str) -> None:
        self.append("self/mountinfo", f"28 1 0:45 / {path} rw,relatime - {kind} {source} rw")

    def swap(self, name: str, kind: str = "partition") -> None:
        self.append("swaps", f"{name}                              {kind}\t8388604\t\t0\t\t-2")

    # What is found

    def look(self) -> HostUse:
        """Look at all functions, and see that one that is asked about alone is used for the same."""
        devices = scan(str(self.sysfs)).devices
        seen = self._used(devices)
        for device in devices:
            assert self._used([device], alone=True).reasons.get(device.address) == seen.reasons.get(device.address)
        return seen

    def _used(self, devices: Sequence[Device], *, alone: bool = False) -> HostUse:
        root, proc = str(self.sysfs), str(self.proc)
        return host_use(devices, sysfs_root=root, proc_root=proc, addresses=lambda: self.addresses, alone=alone)

    def reasons(self) -> dict[str, list[str]]:
        seen = self.look()
        assert seen.problems == ()
        return {str(address): list(reasons) for address, reasons in seen.reasons.items()}


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


# Routes


def test_a_host_that_has_everything_and_uses_nothing_gives_no_reason(host: FakeHost) -> None:
    assert host.look() == HostUse({}, ())


def test_a_default_route_is_use(host: FakeHost) -> None:
    host.route("enp5s0f0")
    assert host.reasons() == {PF: ["the default route goes through enp5s0f0"]}


def test_an_ipv6_default_route_is_use(host: FakeHost) -> None:
    host.ipv6_route("enp5s0f0v0", flags="00450003")
    assert host.reasons() == {VF: ["the default route goes through enp5s0f0v0"]}


def test_a_default_route_of_both_kinds_is_one_reason(host: FakeHost) -> None:
    host.route("enp5s0f0")
    host.route("enp5s0f0")
    host.ipv6_route("enp5s0f0")
    assert host.reasons() == {PF: ["the default route goes through enp5s0f0"]}


def test_other_routes_are_not_use(host: FakeHost) -> None:
    host.route("enp5s0f0", destination="000200C0", mask="00FFFFFF", flags="0001")
    host.route("enp5s0f0", mask="00000080")  # 0.0.0.0/1
    host.route("enp5s0f0", flags="0002")  # not up
    host.route("enp5s0f0", flags="0201")  # rejects
    host.ipv6_route("enp5s0f0", destination="fe80" + "0" * 28, length="40")
    host.ipv6_route("enp5s0f0", length="03")
    host.ipv6_route("enp5s0f0", flags="00200200")  # unreachable
    host.ipv6_route("lo")
    assert host.reasons() == {}


# Addresses


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "100.64.0.1", "2001:db8::7", "fd00::7"])
def test_an_address_is_use(host: FakeHost, address: str) -> None:
    host.addresses["enp5s0f0"] = [address]
    assert host.reasons() == {PF: [f"enp5s0f0 has the address {address}"]}


@pytest.mark.parametrize(
    "address",
    ["127.0.0.2", "169.254.3.4", "224.0.0.1", "0.0.0.0", "::1", "fe80::1", "fe80::1%enp5s0f0", "ff02::1", "::"],
)
def test_an_address_that_reaches_no_other_host_is_not_use(host: FakeHost, address: str) -> None:
    host.addresses["enp5s0f0"] = [address]
    assert host.reasons() == {}


def test_several_addresses_are_one_reason_that_names_the_first_few(host: FakeHost) -> None:
    host.addresses["enp5s0f0"] = ["fd00::7", "192.0.2.7", "192.0.2.7"]
    host.addresses["enp5s0f0v0"] = [f"2001:db8::{number}" for number in range(1, 8)]
    assert host.reasons() == {
        PF: ["enp5s0f0 has the addresses 192.0.2.7 and fd00::7"],
        VF: ["enp5s0f0v0 has the addresses 2001:db8::1, 2001:db8::2, 2001:db8::3 and more"],
    }


def test_an_address_under_a_label_is_the_netdevs(host: FakeHost) -> None:
    host.addresses["enp5s0f0:1"] = ["192.0.2.7"]
    assert host.reasons() == {PF: ["enp5s0f0 has the address 192.0.2.7"]}


def test_addresses_of_this_machine_are_by_netdev_and_of_ip_alone() -> None:
    told = net_addresses()
    assert "127.0.0.1" in told["lo"]
    for address in (address for addresses in told.values() for address in addresses):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        socket.inet_pton(family, address.partition("%")[0])


# Masters


def test_a_port_of_a_bridge_is_in_use(host: FakeHost) -> None:
    host.virtual("br-ex")
    host.enslave("enp5s0f0", "br-ex", "brport")
    assert host.reasons() == {PF: ["enp5s0f0 is in the bridge br-ex"]}


def test_each_port_of_a_bond_is_in_use(host: FakeHost) -> None:
    host.virtual("bond0")
    host.enslave("enp5s0f0v0", "bond0", "bonding_slave")
    host.enslave("enp5s0f0v1", "bond0", "bonding_slave")
    assert host.reasons() == {
        VF: ["enp5s0f0v0 is in the bond bond0"],
        OTHER_VF: ["enp5s0f0v1 is in the bond bond0"],
    }


def test_a_port_of_open_vswitch_is_in_use(host: FakeHost) -> None:
    host.virtual("ovs-system")
    host.enslave("enp5s0f0", "ovs-system")
    assert host.reasons() == {PF: ["enp5s0f0 is in Open vSwitch"]}


def test_whatever_is_enslaved_to_anything_is_in_use(host: FakeHost) -> None:
    host.virtual("team0")
    host.enslave("enp5s0f0", "team0")
    assert host.reasons() == {PF: ["enp5s0f0 is enslaved to team0"]}


# What stands on a netdev


def test_a_vlan_alone_is_not_use(host: FakeHost) -> None:
    host.virtual("vlan7", "enp5s0f0")
    assert host.reasons() == {}


def test_what_a_vlan_is_used_for_its_netdev_is_used_for(host: FakeHost) -> None:
    host.virtual("vlan7", "enp5s0f0")
    host.virtual("br0")
    host.enslave("vlan7", "br0", "brport")
    host.addresses["vlan7"] = ["192.0.2.7"]
    host.route("vlan7")
    assert host.reasons() == {
        PF: [
            "the default route goes through vlan7 on enp5s0f0",
            "vlan7 on enp5s0f0 has the address 192.0.2.7",
            "vlan7 on enp5s0f0 is in the bridge br0",
        ]
    }


def test_use_reaches_down_through_every_level(host: FakeHost) -> None:
    host.virtual("bond0")
    for port in ("enp5s0f0v0", "enp5s0f0v1"):
        host.enslave(port, "bond0", "bonding_slave")
    host.virtual("bond0.7", "bond0")
    host.virtual("br0")
    host.enslave("bond0.7", "br0", "brport")
    host.virtual("macvlan0", "br0")
    host.addresses["macvlan0"] = ["192.0.2.7"]
    assert host.reasons() == {
        address: [
            f"bond0.7 on {port} is in the bridge br0",
            f"{port} is in the bond bond0",
            f"macvlan0 on {port} has the address 192.0.2.7",
        ]
        for address, port in ((VF, "enp5s0f0v0"), (OTHER_VF, "enp5s0f0v1"))
    }


def test_netdevs_that_stand_on_one_another_in_a_ring_end(host: FakeHost) -> None:
    host.virtual("a", "enp5s0f0")
    host.virtual("b", "a")
    (host.netdev("a") / "lower_b").symlink_to("../b")
    (host.netdev("a") / "lower_a").symlink_to("../a")
    host.addresses["b"] = ["192.0.2.7"]
    assert host.reasons() == {PF: ["b on enp5s0f0 has the address 192.0.2.7"]}


def test_a_master_that_is_hardware_itself_is_found_by_its_ports(host: FakeHost) -> None:
    host.sysfs.add("0000:03:00.0", "1af4:1041", netdev="standby")
    host.enslave("enp5s0f0v0", "standby")
    host.addresses["standby"] = ["192.0.2.7"]
    assert host.reasons() == {
        "0000:03:00.0": ["standby has the address 192.0.2.7"],
        VF: ["enp5s0f0v0 is enslaved to standby", "standby on enp5s0f0v0 has the address 192.0.2.7"],
    }


def test_a_netdev_on_another_bus_is_its_pci_functions(host: FakeHost) -> None:
    for below, name in (("virtio2", "eth0"), ("mlx5_core.sf.2", "enp5s0f0s88")):
        home = host.sysfs.place(PF) / below / "net" / name
        home.mkdir(parents=True)
        host.netdev(name).symlink_to(os.path.relpath(home, host.root / "class/net"))
    host.route("eth0")
    host.addresses["enp5s0f0s88"] = ["192.0.2.7"]
    assert host.reasons() == {
        PF: ["enp5s0f0s88 has the address 192.0.2.7", "the default route goes through eth0"],
    }


# Storage


def test_a_mounted_partition_is_use(host: FakeHost) -> None:
    host.mount("nvme0n1p1", "/boot/efi", "vfat")
    assert host.reasons() == {DISK: ["/boot/efi is mounted from nvme0n1p1"]}


def test_a_mounted_whole_disk_is_use(host: FakeHost) -> None:
    host.mount("nvme0n1", "/srv")
    assert host.reasons() == {DISK: ["/srv is mounted from nvme0n1"]}


def test_several_mounts_of_a_disk_are_one_reason_that_names_the_shortest(host: FakeHost) -> None:
    host.mount("nvme1n1p2", "/srv")
    host.mount("nvme1n1p2", "/srv/bound")
    host.mount("nvme0n1p1", "/boot/efi")
    host.mount("nvme0n1p2", "/")
    for number in range(40):
        host.mount("nvme0n1p2", f"/var/lib/containers/{number:02}")
    assert host.reasons() == {
        DISK: ["/ is mounted from nvme0n1"],
        OTHER_DISK: ["/srv is mounted from nvme1n1p2"],
    }


def test_a_mount_point_with_blanks_is_told_as_it_is_and_in_one_line(host: FakeHost) -> None:
    host.mount("nvme0n1p1", "/my\\040disk\\134\\012two")
    assert host.reasons() == {DISK: ["/my disk\\\ufffdtwo is mounted from nvme0n1p1"]}


def test_a_logical_volume_is_on_all_its_disks(host: FakeHost) -> None:
    host.stacked("dm-0", "nvme0n1p3", "nvme1n1", mapped="vg-root")
    host.mount("dm-0", "/")
    assert host.reasons() == {
        DISK: ["/ is mounted from vg-root on nvme0n1p3"],
        OTHER_DISK: ["/ is mounted from vg-root on nvme1n1"],
    }


def test_a_partition_of_a_raid_below_encryption_is_on_its_disks(host: FakeHost) -> None:
    host.stacked("md0", "nvme0n1p3", "nvme1n1p3")
    host.stacked("dm-1", "md0p1", mapped="crypt")
    host.mount("dm-1", "/srv")
    assert host.reasons() == {
        DISK: ["/srv is mounted from crypt on nvme0n1p3"],
        OTHER_DISK: ["/srv is mounted from crypt on nvme1n1p3"],
    }


def test_block_devices_that_stand_on_one_another_in_a_ring_end(host: FakeHost) -> None:
    home = host.stacked("dm-0", "nvme0n1p3", mapped="ring")
    (home / "slaves/dm-0").symlink_to("../../dm-0")
    host.mount("dm-0", "/")
    assert host.reasons() == {DISK: ["/ is mounted from ring on nvme0n1p3"]}


def test_a_drive_with_several_paths_is_each_controllers(host: FakeHost) -> None:
    head = host.root / "devices/virtual/nvme-subsystem/nvme-subsys0"
    host.block(head / "nvme9n1", partitions=1)
    subsystem = host.root / "class/nvme-subsystem"
    subsystem.mkdir(parents=True)
    (subsystem / "nvme-subsys0").symlink_to("../../devices/virtual/nvme-subsystem/nvme-subsys0")
    (head / "subsystem").symlink_to("../../../../class/nvme-subsystem")
    for number, address in enumerate((DISK, OTHER_DISK)):
        (head / f"nvme{number}").symlink_to(os.path.relpath(host.sysfs.place(address) / f"nvme/nvme{number}", head))
    host.mount("nvme9n1p1", "/srv")
    assert host.reasons() == {
        DISK: ["/srv is mounted from nvme9n1p1"],
        OTHER_DISK: ["/srv is mounted from nvme9n1p1"],
    }


def test_a_disk_on_another_bus_is_its_controllers(host: FakeHost) -> None:
    home = host.sysfs.add("0000:00:17.0", pci_class="10601") / "ata1/host0/target0:0:0/0:0:0:0/block/sda"
    host.block(home, partitions=2)
    host.mount("sda2", "/")
    assert host.reasons() == {"0000:00:17.0": ["/ is mounted from sda2"]}


@pytest.mark.parametrize(("first", "words"), [("nvme0n1p2", "nvme0n1p2"), ("mapper/vg-root", "vg-root on nvme0n1p2")])
def test_btrfs_is_on_all_its_devices_though_a_mount_names_but_one(host: FakeHost, first: str, words: str) -> None:
    host.stacked("dm-0", "nvme0n1p2", mapped="vg-root")
    named = "dm-0" if "mapper" in first else first
    for uuid, names in (("features", []), ("9d2e", [named, "nvme1n1"]), ("77aa", ["sdz"])):
        (host.root / "fs/btrfs" / uuid / ("devices" if names else "")).mkdir(parents=True)
        for name in names:
            (host.root / "fs/btrfs" / uuid / "devices" / name).symlink_to("../../../../block")
    host.mount_unnumbered(f"/dev/{first}", "/", "btrfs")
    host.mount_unnumbered(f"/dev/{first}", "/home", "btrfs")
    assert host.reasons() == {
        DISK: [f"/ is mounted from {words}"],
        OTHER_DISK: ["/ is mounted from nvme1n1"],
    }


def test_file_systems_without_a_device_number_are_found_by_name(host: FakeHost) -> None:
    host.stacked("dm-0", "nvme0n1p2", mapped="vg-data")
    host.mount_unnumbered("/dev/mapper/vg-data", "/data", "btrfs")
    host.mount_unnumbered("/dev/nvme0n1p1:/dev/nvme1n1", "/srv", "bcachefs")
    assert host.reasons() == {
        DISK: ["/srv is mounted from nvme0n1"],
        OTHER_DISK: ["/srv is mounted from nvme1n1"],
    }


def test_what_a_user_says_that_he_mounts_from_is_not_believed(host: FakeHost) -> None:
    host.mount_unnumbered("/dev/nvme0n1p1", "/home/user/mnt", "fuse.sshfs")
    host.mount_unnumbered("/dev/shm/scratch", "/tmp", "tmpfs")
    assert host.reasons() == {}


def test_zfs_is_a_problem_since_nothing_tells_its_disks(host: FakeHost) -> None:
    for name in ("tank", "tank/home"):
        host.mount_unnumbered(name, f"/{name}", "zfs")
    seen = host.look()
    assert seen.reasons == {}
    assert seen.problems == ("proc/self/mountinfo: ZFS is mounted, and the disks of its pools can't be told",)


def test_swap_is_use_but_a_file_of_swap_is_the_mounts(host: FakeHost) -> None:
    host.stacked("dm-0", "nvme1n1p2", mapped="vg-swap")
    host.swap("/dev/nvme0n1p3")
    host.swap("/dev/dm-0")
    host.swap("/swapfile", "file")
    assert host.reasons() == {DISK: ["nvme0n1p3 is swap"], OTHER_DISK: ["vg-swap on nvme1n1p2 is swap"]}


# Displays


def test_the_boot_display_is_in_use_and_another_display_is_not(host: FakeHost) -> None:
    for address, boot in (("0000:07:00.0", "1"), ("0000:08:00.0", "0"), ("0000:09:00.0", None)):
        home = host.sysfs.add(address, "10de:1db6", pci_class="30000")
        if boot is not None:
            (home / "boot_vga").write_text(f"{boot}\n")
    assert host.reasons() == {"0000:07:00.0": ["it is the boot display"]}


def test_only_displays_are_asked_whether_they_are_the_boot_display(host: FakeHost) -> None:
    (host.sysfs.place(PF) / "boot_vga").write_text("1\n")
    assert host.reasons() == {}


# The whole


def test_reasons_are_sorted_and_a_function_that_is_not_asked_for_is_left_out(host: FakeHost) -> None:
    host.route("enp5s0f0v0")
    host.addresses.update({"enp5s0f0v0": ["192.0.2.7"], "enp5s0f0": ["192.0.2.8"]})
    host.mount("nvme0n1p1", "/")
    devices = [device for device in scan(str(host.sysfs)).devices if str(device.address) in (VF, DISK)]
    seen = host_use(
        reversed(devices), sysfs_root=str(host.sysfs), proc_root=str(host.proc), addresses=lambda: host.addresses
    )
    assert [(str(address), reasons) for address, reasons in seen.reasons.items()] == [
        (DISK, ("/ is mounted from nvme0n1p1",)),
        (VF, ("enp5s0f0v0 has the address 192.0.2.7", "the default route goes through enp5s0f0v0")),
    ]


def test_very_many_reasons_are_counted_and_the_weightiest_named(host: FakeHost) -> None:
    for number in range(100):
        host.virtual(f"vlan{number:02}", "enp5s0f0")
        host.addresses[f"vlan{number:02}"] = ["192.0.2.7"]
    host.route("vlan99")
    reasons = host.reasons()[PF]
    assert len(reasons) == 17
    assert reasons[-2:] == ["vlan14 on enp5s0f0 has the address 192.0.2.7", "and 85 more"]
    assert "the default route goes through vlan99 on enp5s0f0" in reasons


def test_a_tree_of_another_machine_is_read_without_this_ones_addresses(host: FakeHost) -> None:
    devices = scan(str(host.sysfs)).devices
    seen = host_use(devices, sysfs_root=str(host.sysfs), proc_root=str(host.proc), addresses=dict)
    assert seen == HostUse({}, ())


# What is missing or broken


def test_a_file_system_by_name_of_what_is_not_there_is_a_problem(host: FakeHost) -> None:
    host.mount_unnumbered("/dev/root", "/", "btrfs")
    assert host.look() == HostUse({}, ("sys/class/block/root: btrfs is mounted from it, and it isn't there",))


def test_what_is_missing_is_a_problem_and_the_rest_is_told(host: FakeHost) -> None:
    host.route("enp5s0f0")
    host.mount("nvme0n1p1", "/")
    host.swap("/dev/nvme0n1p9")
    (host.root / "dev/block" / host.numbers()["nvme0n1p1"]).unlink()
    seen = host.look()
    assert [str(address) for address in seen.reasons] == [PF]
    assert seen.problems == (
        "sys/class/block/nvme0n1p9: swap, and not there",
        "sys/dev/block/259:1: mounted, and not there",
    )


def test_tables_that_are_missing_are_problems_unless_a_kernel_may_lack_them(host: FakeHost) -> None:
    for name in TABLES:
        (host.proc / name).unlink()
    assert host.look().problems == (
        "proc/net/route: no such file or directory",
        "proc/self/mountinfo: no such file or directory",
    )


def test_a_host_without_sys_and_proc_is_all_problems(tmp_path: Path) -> None:
    seen = host_use((), sysfs_root=str(tmp_path / "no"), proc_root=str(tmp_path / "no"), addresses=dict)
    assert seen.reasons == {}
    assert seen.problems == (
        "proc/net/route: no such file or directory",
        "sys/class/net: no such file or directory",
        "proc/self/mountinfo: no such file or directory",
    )


def test_a_table_that_is_no_file_is_a_problem(host: FakeHost) -> None:
    for name in TABLES:
        (host.proc / name).unlink()
    (host.proc / "net/route").mkdir()
    (host.proc / "net/ipv6_route").symlink_to("ipv6_route")
    os.mkfifo(host.proc / "self/mountinfo")
    (host.proc / "swaps").symlink_to("nowhere")
    assert host.look().problems == (
        "proc/net/ipv6_route: too many levels of symbolic links",
        "proc/net/route: is a directory",
    )


def test_a_line_that_is_garbage_is_a_problem_and_the_others_are_told(host: FakeHost) -> None:
    for name in TABLES:
        host.append(name, "garbage\x00")
    host.append("net/route", "enp5s0f0 zero 0 0003 0 0 0 0")
    host.append("self/mountinfo", "27 1 one:two / / rw - ext4 /dev/sda rw")
    host.append("self/mountinfo", "28 1 0:45 / /\\000 rw - btrfs /dev/sda rw")
    host.route("enp5s0f0")
    host.ipv6_route("enp5s0f0v0")
    host.mount("nvme0n1p1", "/")
    host.swap("/dev/nvme1n1p1")
    seen = host.look()
    assert [str(address) for address in seen.reasons] == [DISK, OTHER_DISK, PF, VF]
    assert seen.problems == tuple(sorted(f"proc/{name}: 'garbage\\x00' is no line of this table" for name in TABLES))


def test_links_that_are_no_links_are_problems(host: FakeHost) -> None:
    (host.netdev("enp5s0f0") / "master").write_text("br0\n")
    link = host.root / "dev/block" / host.numbers()["nvme0n1p1"]
    host.mount("nvme0n1p1", "/")
    link.unlink()
    link.symlink_to("nowhere/at:all")
    host.mount("nvme1n1p1", "/srv")
    (host.root / "dev/block" / host.numbers()["nvme1n1p1"]).unlink()
    (host.root / "dev/block/259:5").mkdir()
    (host.root / "class/net/bonding_masters").write_text("\n")
    host.netdev("loop").symlink_to("/virtual/net/../../loop/loop")
    seen = host.look()
    assert seen.reasons == {}
    assert seen.problems == (
        "sys/class/net/enp5s0f0/master: a plain file or directory, not a link",
        "sys/dev/block/259:5: a plain file or directory, not a link",
    )


def test_addresses_that_cannot_be_had_are_a_problem(host: FakeHost) -> None:
    def refused() -> Mapping[str, Sequence[str]]:
        raise PermissionError(13, "Permission denied")

    host.route("enp5s0f0")
    devices = scan(str(host.sysfs)).devices
    seen = host_use(devices, sysfs_root=str(host.sysfs), proc_root=str(host.proc), addresses=refused)
    assert [str(address) for address in seen.reasons] == [PF]
    assert seen.problems == ("addresses: '[Errno 13] Permission denied'",)


def test_an_address_that_is_none_is_a_problem_and_the_others_are_told(host: FakeHost) -> None:
    host.addresses["enp5s0f0"] = ["banana", "192.0.2.7"]
    seen = host.look()
    assert list(seen.reasons.values()) == [("enp5s0f0 has the address 192.0.2.7",)]
    assert seen.problems == ("addresses: 'banana' is no IP address",)


def test_very_many_problems_are_counted(host: FakeHost) -> None:
    for minor in range(100, 200):
        host.append("self/mountinfo", f"27 1 8:{minor} / /{minor} rw - ext4 /dev/sd{minor} rw")
    problems = host.look().problems
    assert (len(problems), problems[-1]) == (17, "and 84 more")


def test_a_table_of_very_many_lines_is_read(host: FakeHost) -> None:
    lines = (f"27 1 0:{n} / /run/{n} rw shared:1 - tmpfs tmpfs rw,size=4k,mode=755" for n in range(20_000))
    host.append("self/mountinfo", "\n".join(lines))
    host.mount("nvme0n1p1", "/")
    assert host.reasons() == {DISK: ["/ is mounted from nvme0n1p1"]}


def test_a_table_without_end_is_read_to_a_bound(host: FakeHost) -> None:
    host.mount("nvme0n1p1", "/")
    host.append("self/mountinfo", "28 1 0:45 / /x rw - tmpfs tmpfs rw\n" * 260_000)
    seen = host.look()
    assert len(seen.reasons) == 1
    assert seen.problems == ("proc/self/mountinfo: only the first 8 MiB of it were read",)


def test_names_that_are_no_text_are_told_as_text(host: FakeHost) -> None:
    net = os.fsencode(host.root / "class/net")
    home = os.fsencode(host.sysfs.place(VF)) + b"/net/eth\xff\x1b"
    os.makedirs(home)
    os.symlink(os.path.relpath(home, net), net + b"/eth\xff\x1b")
    with (host.proc / "net/route").open("ab") as file:
        file.write(b"eth\xff\x1b\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n")
    host.mount("nvme0n1p1", "/long" + "g" * 4000)
    assert host.reasons() == {
        DISK: ["/long" + "g" * 75 + "… is mounted from nvme0n1p1"],
        VF: ["the default route goes through eth\ufffd\ufffd"],
    }


odd = st.sampled_from(
    (
        b"/dev/nvme0n1p1",
        b"/dev/mapper/vg\\040x",
        b"/dev/dm-0",
        b"/dev/..",
        b"/dev/a/../../b\\000",
        b"\\777\\000",
        b"259:1",
        b"0:45",
        b"99999999999999999999:1",
        b"-",
        b"btrfs",
        b"zfs",
        b"partition",
        b"enp5s0f0",
        b"lo",
        b"00000000",
        b"0003",
        b"0" * 32,
        b"",
    )
)
words = st.lists(odd | st.binary(max_size=12), max_size=14)
lines = st.builds(lambda parts, between: between.join(parts), words, st.sampled_from((b" ", b"\t", b"  ")))
tables = st.fixed_dictionaries(
    {name: st.binary(max_size=300) | st.builds(b"\n".join, st.lists(lines, max_size=8)) for name in TABLES}
)
addresses = st.dictionaries(
    st.sampled_from(("enp5s0f0", "enp5s0f0:1", "lo")), st.lists(st.text(max_size=20) | st.ip_addresses().map(str))
)


@settings(max_examples=200, deadline=None)
@given(tables, addresses)
def test_no_text_in_proc_raises_and_every_sentence_is_one_line(
    texts: dict[str, bytes], told: dict[str, list[str]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        host = FakeHost(Path(folder))
        host.stacked("dm-0", "nvme0n1p3", mapped="vg x")
        for name, text in texts.items():
            (host.proc / name).write_bytes(text)
        host.addresses.update(told)
        seen = host.look()
    sentences = [*seen.problems, *(reason for reasons in seen.reasons.values() for reason in reasons)]
    assert all(sentence.isprintable() for sentence in sentences), sentences


def test_what_one_source_can_no_longer_tell_stays_as_it_was_and_another_goes_on(host: FakeHost) -> None:
    host.addresses["enp5s0f0"] = ["192.0.2.7"]
    host.mount("nvme0n1p2", "/")
    before = host.look()
    (host.proc / "self/mountinfo").unlink()
    host.addresses.clear()
    now = host.look()
    assert now.reasons == {}
    kept = now.after(before)
    assert {str(address): list(reasons) for address, reasons in kept.reasons.items()} == {
        DISK: ["/ is mounted from nvme0n1p2"]
    }
    assert host.look().after(kept) == kept
