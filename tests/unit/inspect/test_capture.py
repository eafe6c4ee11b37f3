import gzip
import io
import tarfile
import time
from pathlib import Path

import pytest

from pci_agent.discovery.sysfs import scan
from pci_agent.errors import CommandFailed
from pci_agent.inspect.capture import capture, replayed
from pci_agent.inspect.discover import as_json
from sysfs import FakeSysfs

PF, VF = "0000:04:00.0", "0000:04:10.0"


def there_and_back(root: Path, file: Path, *, keep_identifiers: bool = True) -> tuple[str, str]:
    """The discover JSON of a machine, and of its capture."""
    capture(str(file), root=str(root), keep_identifiers=keep_identifiers)
    with replayed(str(file)) as folder:
        return as_json(scan(str(root))), as_json(scan(folder))


@pytest.fixture
def machine(sysfs: FakeSysfs) -> FakeSysfs:
    sysfs.add("0000:00:1c.0", pci_class="60400")
    sysfs.add("0000:05:00.0", below="0000:00:1c.0", iommu_group=7)
    sysfs.add_pf(PF, vfs=[VF, "0000:04:10.4"], numa_node=1, netdev="enp4s0f0")
    sysfs.add_netdev(VF, "Eth-0200000000AA", "02:00:00:00:00:aa")
    firmware = sysfs.root / "devices/pci0000:00/firmware_node"
    firmware.mkdir()
    (firmware / "path").write_text("\\_SB_.PCI0\n")
    return sysfs


def test_a_capture_with_identifiers_gives_the_same_json_byte_for_byte(machine: FakeSysfs, tmp_path: Path) -> None:
    here, there = there_and_back(machine.root, tmp_path / "capture.tar")
    assert there == here


def test_mac_addresses_are_left_out_unless_asked_for(machine: FakeSysfs, tmp_path: Path) -> None:
    here, there = there_and_back(machine.root, tmp_path / "capture.tar", keep_identifiers=False)
    assert "02:00:00:00:00:01" in here
    blanked = here.replace("Eth-0200000000AA", "net1")
    for mac in ("02:00:00:00:00:01", "02:00:00:00:00:aa"):
        blanked = blanked.replace(f'"{mac}"', "null")
    assert there == blanked
    content = (tmp_path / "capture.tar").read_bytes()
    assert b"02:00:00" not in content
    assert b"0200000000aa" not in content.lower()


def test_serial_numbers_are_left_out_unless_asked_for(machine: FakeSysfs, tmp_path: Path) -> None:
    machine.add("0000:06:00.0", totalvfs=7, serial_number="b4-96-91-ff-ff-a1-b2-c0")
    machine.add_netdev("0000:06:00.0", "enp6s0", "b4:96:91:a1:b2:c0", assigned=0)
    told = []
    for keep in (True, False):
        there_and_back(machine.root, tmp_path / "capture.tar", keep_identifiers=keep)
        with replayed(str(tmp_path / "capture.tar")) as folder:
            told.append([(pf.serial_number, pf.permanent_mac) for pf in scan(folder).devices if pf.address.bus == 6])
    assert told == [[("b4-96-91-ff-ff-a1-b2-c0", "b4:96:91:a1:b2:c0")], [(None, None)]]


def test_what_is_odd_stays_odd(machine: FakeSysfs, tmp_path: Path) -> None:
    (machine.place(PF) / "numa_node").write_text("banana\n")
    (machine.entries / "0000:09:00.0").symlink_to("../../../devices/pci0000:00/0000:09:00.0")
    (machine.entries / "0000:0a:00.0").symlink_to("../../../../../../nowhere/0000:0a:00.0")
    (machine.entries / "0000:0b:00.0").symlink_to("/nowhere/0000:0b:00.0")
    (machine.entries / "not an address").mkdir()
    home = machine.place("0000:05:00.0")
    (machine.entries / "0000:05:00.0").unlink()
    home.rename(machine.entries / "0000:05:00.0")
    here, there = there_and_back(machine.root, tmp_path / "capture.tar")
    assert there == here
    assert here.count('"cause"') == 6


def test_nothing_that_discovery_does_not_read_is_in_it(machine: FakeSysfs, tmp_path: Path) -> None:
    (machine.place(PF) / "vpd").write_text("serial number 12345\n")
    capture(str(tmp_path / "capture.tar"), root=str(machine))
    with tarfile.open(tmp_path / "capture.tar") as tar:
        names = {Path(name).name for name in tar.getnames()}
    assert not names & {"config", "vpd", "resource", "address"}


def test_the_same_machine_gives_the_same_tar(machine: FakeSysfs, tmp_path: Path) -> None:
    for ending in ("tar", "tar.gz"):
        capture(str(tmp_path / f"1.{ending}"), root=str(machine))
        time.sleep(1.1 if ending == "tar.gz" else 0)
        capture(str(tmp_path / f"2.{ending}"), root=str(machine))
        assert (tmp_path / f"1.{ending}").read_bytes() == (tmp_path / f"2.{ending}").read_bytes()


@pytest.mark.parametrize("name", ["capture.tar", "capture.tar.gz"])
def test_this_machine_can_be_captured(tmp_path: Path, name: str) -> None:
    here, there = there_and_back(Path("/sys"), tmp_path / name)
    assert there == here


@pytest.mark.parametrize(
    "machine_name",
    [
        "ghw-sriov-2052b9c7",
        "harvester-vgpu-node",
        "hwloc-2pa-pcidomain32bits",
        "nfd-rootfs-1",
        "openshift-master.internal",
    ],
)
def test_a_capture_of_a_captured_machine_gives_the_same_json(captures: Path, tmp_path: Path, machine_name: str) -> None:
    here, there = there_and_back(captures / machine_name / "sys", tmp_path / "capture.tar")
    assert there == here


def test_a_file_that_is_no_capture_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello\n")
    with pytest.raises(CommandFailed, match="not a capture"), replayed(str(tmp_path / "file")):
        pass


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize(
    "members",
    [
        [tarfile.TarInfo("../../outside")],
        [tarfile.TarInfo("/outside")],
        [link("a", "/etc/passwd")],
        [link("a", "../..")],
        [link("a/b/c/up", "../../../.."), link("z", "a/b/c/up/../.."), tarfile.TarInfo("z/outside")],
        [link("a", "b"), tarfile.TarInfo("a")],
        [tarfile.TarInfo("a"), tarfile.TarInfo("a")],
    ],
)
def test_a_capture_that_leads_out_of_its_folder_is_refused(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    file = tmp_path / "in/evil.tar"
    file.parent.mkdir()
    with tarfile.open(file, "w") as tar:
        for member in members:
            tar.addfile(member)
    with pytest.raises(CommandFailed, match="not a capture"), replayed(str(file)):
        pass


def test_a_capture_that_was_cut_or_grows_without_end_is_refused(machine: FakeSysfs, tmp_path: Path) -> None:
    file = tmp_path / "cut.tar.gz"
    capture(str(file), root=str(machine))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(CommandFailed, match="not a capture"), replayed(str(file)):
        pass
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=1) as packed:
        for _ in range(260):
            packed.write(bytes(1 << 20))
    file.write_bytes(bomb.getvalue())
    with pytest.raises(CommandFailed, match="more than 256 MiB"), replayed(str(file)):
        pass


def test_a_place_that_cannot_be_written_is_told(machine: FakeSysfs, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="capture:"):
        capture(str(tmp_path / "nowhere/capture.tar"), root=str(machine))
