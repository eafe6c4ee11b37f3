import os
from pathlib import Path

import pytest

from pci_agent.discovery.sysfs import Problem, scan
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType, Netdev
from sysfs import FakeSysfs

PF, VF = "0000:04:00.0", "0000:04:10.0"


def by_address(sysfs: FakeSysfs) -> dict[str, Device]:
    return {str(device.address): device for device in scan(str(sysfs)).devices}


def causes(sysfs: FakeSysfs) -> list[tuple[str | None, str]]:
    return [(problem.address, problem.cause) for problem in scan(str(sysfs)).problems]


def test_a_vf_is_told_with_every_field(sysfs: FakeSysfs) -> None:
    sysfs.add("0000:00:1c.0", "8086:8c10", pci_class="60400")
    sysfs.add_pf(PF, vfs=["0000:04:10.0", "0000:04:10.4"], numa_node=1, driver="igb", netdev="enp4s0f0")
    sysfs.add_netdev(VF, "enp4s0f0v0", "02:AA:00:00:00:10")
    (sysfs.place(VF) / "iommu_group").symlink_to("../../../kernel/iommu_groups/31")
    assert by_address(sysfs)[VF] == Device(
        address=PciAddress(0, 4, 0x10, 0),
        path="0000:00/10.0",
        vendor_id="8086",
        product_id="1520",
        subsystem_vendor_id="8086",
        subsystem_product_id="0001",
        class_code="020000",
        revision="01",
        dev_type=DevType.VF,
        parent_addr=PciAddress(0, 4, 0, 0),
        vf_index=0,
        sriov_totalvfs=None,
        sriov_numvfs=None,
        numa_node=1,
        driver="igbvf",
        iommu_group=31,
        netdevs=(Netdev("enp4s0f0v0", None),),
    )


def test_a_pf_is_told_with_its_counts_of_vfs(sysfs: FakeSysfs) -> None:
    sysfs.add_pf(PF, vfs=[VF], numa_node=0)
    pf = by_address(sysfs)[PF]
    assert (pf.dev_type, pf.sriov_totalvfs, pf.sriov_numvfs, pf.numa_node) == (DevType.PF, 7, 1, 0)


def test_a_pf_with_no_vf_switched_on_is_a_pf(sysfs: FakeSysfs) -> None:
    sysfs.add(PF, totalvfs=7)
    assert by_address(sysfs)[PF].dev_type == "type-PF"


def test_a_function_whose_hardware_offers_no_vf_is_plain(sysfs: FakeSysfs) -> None:
    sysfs.add(PF, totalvfs=0)
    pf = by_address(sysfs)[PF]
    assert (pf.dev_type, pf.sriov_totalvfs) == ("type-PCI", None)


def test_node_minus_one_is_no_node(sysfs: FakeSysfs) -> None:
    sysfs.add(PF, numa_node=-1)
    assert by_address(sysfs)[PF].numa_node is None


def test_a_vdpa_device_is_a_vf_on_the_vdpa_bus(sysfs: FakeSysfs) -> None:
    sysfs.add_pf(PF, vfs=[VF])
    bus = sysfs.root / "bus/vdpa/devices"
    bus.mkdir(parents=True)
    (bus / "vdpa0").symlink_to(f"../../../devices/pci0000:00/{VF}/vdpa0")
    assert by_address(sysfs)[VF].dev_type == "vdpa"


def test_the_path_names_bridges_by_slot_so_that_it_survives_renumbering(sysfs: FakeSysfs) -> None:
    sysfs.add("0000:00:1c.0", pci_class="60400")
    sysfs.add("0000:05:00.1", below="0000:00:1c.0")
    assert by_address(sysfs)["0000:05:00.1"].path == "0000:00/1c.0/00.1"


def test_the_path_starts_at_the_firmwares_name_of_the_host_bridge(sysfs: FakeSysfs) -> None:
    sysfs.add("0000:00:02.0")
    firmware = sysfs.root / "devices/pci0000:00/firmware_node"
    firmware.mkdir()
    (firmware / "path").write_text("\\_SB_.PCI0\n")
    assert by_address(sysfs)["0000:00:02.0"].path == "0000:\\_SB_.PCI0/02.0"


def test_a_domain_made_up_at_boot_is_no_part_of_the_path(sysfs: FakeSysfs) -> None:
    home = sysfs.root / "devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0"
    home.mkdir(parents=True)
    (home / "modalias").write_text("pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02\n")
    (sysfs.entries / "10000:e0:06.0").symlink_to("../../../devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0")
    assert by_address(sysfs)["10000:e0:06.0"].path == "0000:00/0e.0/bus e0/06.0"


def test_a_tree_without_modalias_is_read_file_by_file(sysfs: FakeSysfs) -> None:
    home = sysfs.add(PF, "8086:1521", driver="igb")
    (home / "modalias").unlink()
    pf = by_address(sysfs)[PF]
    assert (pf.vendor_id, pf.product_id, pf.class_code, pf.driver) == ("8086", "1521", "020000", "igb")
    assert pf.subsystem_vendor_id is None


def test_an_unchanged_function_is_handed_back_as_the_same_object(sysfs: FakeSysfs) -> None:
    sysfs.add(PF)
    sysfs.add("0000:05:00.0")
    before = scan(str(sysfs))
    (sysfs.place("0000:05:00.0") / "numa_node").write_text("1\n")
    after = scan(str(sysfs), before)
    assert [new is old for new, old in zip(after.devices, before.devices, strict=True)] == [True, False]


@pytest.mark.parametrize(
    ("file", "text", "field", "value"),
    [
        ("numa_node", "1\n", "numa_node", 1),
        ("net/enp4s0f0/address", "02:00:00:00:00:99\n", "netdevs", (Netdev("enp4s0f0", "02:00:00:00:00:99"),)),
        ("net/enp4s0f0/addr_assign_type", "0\n", "permanent_mac", "02:00:00:00:00:01"),
        ("serial_number", "b4-96-91-ff-ff-a1-b2-c0\n", "serial_number", "b4-96-91-ff-ff-a1-b2-c0"),
    ],
)
def test_a_change_is_seen(sysfs: FakeSysfs, file: str, text: str, field: str, value: object) -> None:
    sysfs.add_pf(PF, vfs=[VF], numa_node=0, netdev="enp4s0f0")
    before = scan(str(sysfs))
    (sysfs.place(PF) / file).write_text(text)
    after = scan(str(sysfs), before)
    assert (getattr(before.devices[0], field) == value, getattr(after.devices[0], field)) == (False, value)
    assert after == scan(str(sysfs))


def test_a_change_of_a_vf_is_seen(sysfs: FakeSysfs) -> None:
    sysfs.add_pf(PF, vfs=[VF])
    before = scan(str(sysfs))
    (sysfs.place(VF) / "iommu_group").symlink_to("../../../kernel/iommu_groups/31")
    sysfs.bind(VF, "vfio-pci")
    sysfs.add_netdev(VF, "enp4s0f0v0")
    vf = scan(str(sysfs), before).devices[1]
    assert vf.driver == "vfio-pci"
    assert (vf.iommu_group, vf.netdevs) == (31, (Netdev("enp4s0f0v0", None),))


def test_a_node_that_changed_is_seen_on_the_vfs(sysfs: FakeSysfs) -> None:
    sysfs.add_pf(PF, vfs=[VF], numa_node=0)
    before = scan(str(sysfs))
    (sysfs.place(PF) / "numa_node").write_text("1\n")
    assert [device.numa_node for device in scan(str(sysfs), before).devices] == [1, 1]


def test_what_cannot_change_while_a_function_stands_is_asked_once(sysfs: FakeSysfs) -> None:
    sysfs.add("0000:00:1c.0", revision="0x07")
    sysfs.add_pf(PF, vfs=[VF])
    before = scan(str(sysfs))
    for address in ("0000:00:1c.0", PF, VF):
        revision = sysfs.place(address) / "revision"
        revision.unlink()
        revision.mkdir()  # whoever reads it finds a problem
    for name in ("sriov_totalvfs", "physfn"):
        (sysfs.place("0000:00:1c.0") / name).mkdir()
    after = scan(str(sysfs), before)
    assert after.problems == ()
    assert all(new is old for new, old in zip(after.devices, before.devices, strict=True))


def test_a_function_that_was_put_back_is_asked_everything(sysfs: FakeSysfs) -> None:
    sysfs.add(PF)
    before = scan(str(sysfs))
    sysfs.remove(PF)
    sysfs.add(PF, revision="0x02", totalvfs=7)
    (pf,) = scan(str(sysfs), before).devices
    assert (pf.revision, pf.dev_type) == ("02", "type-PF")


def test_a_vf_on_its_way_out_is_no_plain_function(sysfs: FakeSysfs) -> None:
    sysfs.add_pf(PF, vfs=[VF])
    before = scan(str(sysfs))
    (sysfs.place(PF) / "virtfn0").unlink()
    (sysfs.place(VF) / "physfn").unlink()
    after = scan(str(sysfs), before)
    assert after.unreadable == {PciAddress(0, 4, 0x10, 0)}


def test_a_vf_that_is_not_beside_its_pf_is_read_all_the_same(sysfs: FakeSysfs) -> None:
    sysfs.add("0000:00:1c.0", pci_class="60400")
    sysfs.add_pf(PF, vfs=[VF], numa_node=1, below="0000:00:1c.0")
    home = sysfs.place(VF)
    home.rename(home.parents[1] / VF)
    (sysfs.place(PF) / "virtfn0").unlink()
    (sysfs.place(PF) / "virtfn0").symlink_to(f"../../{VF}")
    (sysfs.entries / VF).unlink()
    (sysfs.entries / VF).symlink_to(f"../../../devices/pci0000:00/{VF}")
    vf = by_address(sysfs)[VF]
    assert (vf.dev_type, vf.vf_index, vf.numa_node, vf.path) == ("type-VF", 0, 1, "0000:00/10.0")


def test_what_wakes_a_device_or_waits_for_it_is_never_read(sysfs: FakeSysfs) -> None:
    sysfs.add_pf(PF, vfs=[VF], driver="igb")
    for name in ("config", "uevent", "sriov_numvfs"):
        for address in (PF, VF):
            assert (sysfs.place(address) / name).readlink().name == name  # opening it fails
    assert causes(sysfs) == []
    assert len(by_address(sysfs)) == 2


# Evidence of which card it is


def test_a_pf_shows_its_serial_number_and_the_mac_it_was_made_with(sysfs: FakeSysfs) -> None:
    sysfs.add_pf(PF, vfs=[VF], serial_number="B4-96-91-FF-FF-A1-B2-C0")
    sysfs.add_netdev(PF, "enp4s0f0", "B4:96:91:A1:B2:C0", assigned=0)
    pf = by_address(sysfs)[PF]
    assert (pf.serial_number, pf.permanent_mac) == ("b4-96-91-ff-ff-a1-b2-c0", "b4:96:91:a1:b2:c0")


def test_a_vf_shows_neither_since_its_pf_gave_it_its_mac(sysfs: FakeSysfs) -> None:
    sysfs.add_pf(PF, vfs=[VF])
    (sysfs.place(VF) / "serial_number").write_text("b4-96-91-ff-ff-a1-b2-c0\n")
    sysfs.add_netdev(VF, "enp4s0f0v0", assigned=0)
    assert [(each.serial_number, each.permanent_mac) for each in by_address(sysfs).values()] == [(None, None)] * 2


@pytest.mark.parametrize("said", ["", "00-00-00-00-00-00-00-00", "ff-ff-ff-ff-ff-ff-ff-ff", "12345", None])
def test_what_is_no_serial_number_is_none_and_no_problem(sysfs: FakeSysfs, said: str | None) -> None:
    sysfs.add(PF, totalvfs=7, serial_number=said)
    assert by_address(sysfs)[PF].serial_number is None
    assert causes(sysfs) == []


def test_a_serial_number_that_cannot_be_read_is_none_and_no_problem(sysfs: FakeSysfs) -> None:
    (sysfs.add(PF, totalvfs=7) / "serial_number").mkdir()
    assert by_address(sysfs)[PF].serial_number is None
    assert causes(sysfs) == []


@pytest.mark.parametrize("assigned", [1, 2, 3, None])
def test_a_mac_that_was_given_to_a_pf_is_not_the_one_it_was_made_with(sysfs: FakeSysfs, assigned: int | None) -> None:
    sysfs.add(PF, totalvfs=7)
    sysfs.add_netdev(PF, "enp4s0f0", assigned=assigned)
    assert by_address(sysfs)[PF].permanent_mac is None


@pytest.mark.parametrize("address", ["", "00:00:00:00:00:00", "00:00:10:49:" + ":".join(["fe"] * 16)])
def test_what_is_no_mac_that_lasts_is_none(sysfs: FakeSysfs, address: str) -> None:
    sysfs.add(PF, totalvfs=7)
    sysfs.add_netdev(PF, "enp4s0f0", address, assigned=0)
    assert by_address(sysfs)[PF].permanent_mac is None


def test_of_several_netdevs_none_is_the_first_for_ever(sysfs: FakeSysfs) -> None:
    sysfs.add(PF, totalvfs=7)
    for number in range(2):
        sysfs.add_netdev(PF, f"enp4s0d{number}", f"02:00:00:00:00:0{number}", assigned=0)
    assert by_address(sysfs)[PF].permanent_mac is None


# Odd and broken functions


def test_an_entry_that_is_no_address_is_a_problem(sysfs: FakeSysfs) -> None:
    (sysfs.entries / "pci0").mkdir()
    assert causes(sysfs) == [("pci0", "its name is no PCI address")]


def test_one_broken_function_leaves_the_others_unharmed(sysfs: FakeSysfs) -> None:
    sysfs.add(PF)
    broken = sysfs.add("0000:05:00.0")
    for name in ("modalias", "vendor"):
        (broken / name).unlink()
    seen = scan(str(sysfs))
    assert [str(device.address) for device in seen.devices] == [PF]
    assert seen.problems == (Problem("0000:05:00.0", "vendor: missing"),)
    assert seen.unreadable == {PciAddress(0, 5, 0, 0)}


def test_a_link_that_leads_nowhere_is_a_problem(sysfs: FakeSysfs) -> None:
    (sysfs.entries / PF).symlink_to(f"../../../devices/pci0000:00/{PF}")
    assert causes(sysfs) == [(PF, "its link leads nowhere: the function is gone")]


def test_a_link_to_itself_is_a_problem(sysfs: FakeSysfs) -> None:
    (sysfs.entries / PF).symlink_to(PF)
    assert causes(sysfs) == [(PF, "its directory: too many levels of symbolic links")]


def test_garbage_where_a_number_belongs_is_a_problem(sysfs: FakeSysfs) -> None:
    sysfs.add(PF, numa_node="one")
    assert causes(sysfs) == [(PF, "numa_node: 'one' is no number from -1 to 2147483647")]
    assert by_address(sysfs) == {}


def test_garbage_where_an_id_belongs_is_a_problem(sysfs: FakeSysfs) -> None:
    (sysfs.add(PF) / "modalias").write_text("pci:banana\n")
    assert causes(sysfs) == [(PF, "modalias: 'pci:banana' is not that of a PCI function")]


def test_garbage_in_a_single_file_is_a_problem(sysfs: FakeSysfs) -> None:
    home = sysfs.add(PF)
    (home / "modalias").unlink()
    (home / "device").write_text("banana\n")
    assert causes(sysfs) == [(PF, "device: 'banana' is not a hex number of 4 digits")]


def test_vfs_keep_their_index_while_the_first_of_them_has_gone(sysfs: FakeSysfs) -> None:
    sysfs.add_pf(PF, vfs=[VF, "0000:04:10.4", "0000:04:11.0"])
    sysfs.remove(VF)
    (sysfs.place(PF) / "virtfn0").unlink()
    seen = by_address(sysfs)
    assert [device.vf_index for device in seen.values()] == [None, 1, 2]
    assert seen[PF].sriov_numvfs == 2
    assert causes(sysfs) == []


def test_a_vf_that_its_pf_has_no_link_to_cannot_be_told_yet(sysfs: FakeSysfs) -> None:
    sysfs.add_pf(PF, vfs=[VF, "0000:04:10.4"])
    (sysfs.place(PF) / "virtfn1").unlink()
    assert list(by_address(sysfs)) == [PF, VF]
    assert ("0000:04:10.4", f"it is coming or going: none of the virtfn links of {PF} leads to it") in causes(sysfs)


def test_more_vfs_than_any_hardware_offers_are_garbage(sysfs: FakeSysfs) -> None:
    sysfs.add(PF)
    for text in ("65536", "0" * 20 + "9" * 4000):
        (sysfs.place(PF) / "sriov_totalvfs").write_text(text)
        assert [address for address, _ in causes(sysfs)] == [PF]


def test_names_that_are_no_text_are_told_as_text(sysfs: FakeSysfs) -> None:
    sysfs.add(PF)
    net = os.fsencode(sysfs.root) + b"/class/net"
    home = os.fsencode(sysfs.place(PF)) + b"/net/eth\xff"
    os.makedirs(home)
    os.symlink(os.path.relpath(home, net), net + b"/eth\xff")
    os.mkdir(os.fsencode(sysfs.entries) + b"/odd\xff")
    assert by_address(sysfs)[PF].netdevs == (Netdev("eth\ufffd", None),)
    assert causes(sysfs) == [("odd\ufffd", "its name is no PCI address")]


def test_a_bridge_whose_name_cannot_be_read_gives_no_function_another_path(sysfs: FakeSysfs) -> None:
    sysfs.add(PF)
    (sysfs.root / "devices/pci0000:00/firmware_node/path").mkdir(parents=True)
    assert [address for address, _ in causes(sysfs)] == [PF]


def test_a_vf_whose_pf_is_unreadable_is_a_vf(sysfs: FakeSysfs) -> None:
    sysfs.add_pf(PF, vfs=[VF], numa_node=1)
    (sysfs.place(PF) / "sriov_totalvfs").write_text("several\n")
    vf = by_address(sysfs)[VF]
    assert (vf.dev_type, str(vf.parent_addr), vf.vf_index, vf.numa_node) == ("type-VF", PF, None, 1)


def test_a_plain_directory_is_a_problem_beside_its_device(sysfs: FakeSysfs) -> None:
    home = sysfs.add(PF)
    (sysfs.entries / PF).unlink()
    home.rename(sysfs.entries / PF)
    assert causes(sysfs) == [(PF, "it is a plain directory, not a link into devices")]
    assert by_address(sysfs)[PF].path is None


def test_a_host_without_the_directory_is_not_a_host_without_devices(tmp_path: Path) -> None:
    seen = scan(str(tmp_path))
    assert not seen.complete
    assert seen.problems == (Problem(None, f"{tmp_path}/bus/pci/devices: no such file or directory"),)


def test_this_machine_scans_without_a_problem() -> None:
    seen = scan()
    assert seen.problems == ()
    assert len(seen.devices) == len(list(Path("/sys/bus/pci/devices").iterdir()))


def test_a_scan_is_settled_where_each_pf_has_as_many_vfs_as_it_says_and_all_can_be_told(sysfs: FakeSysfs) -> None:
    sysfs.add("0000:00:1f.0")
    sysfs.add_pf(PF, vfs=[VF, "0000:04:10.4"])
    assert scan(str(sysfs)).settled
    (sysfs.place(PF) / "virtfn0").unlink()  # the VF is on its way out
    assert not scan(str(sysfs)).settled
    sysfs.remove(VF)
    assert scan(str(sysfs)).settled
    (sysfs.place(PF) / "virtfn0").symlink_to(f"../{VF}")  # or on its way in
    assert not scan(str(sysfs)).settled
    (sysfs.place(PF) / "virtfn0").unlink()
    sysfs.set_numvfs(PF, [])
    assert scan(str(sysfs)).settled
    (sysfs.place("0000:00:1f.0") / "numa_node").write_text("banana\n")
    assert not scan(str(sysfs)).settled
    assert not scan(f"{sysfs}/nowhere").settled
