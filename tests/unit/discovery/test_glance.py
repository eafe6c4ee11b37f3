"""A glance at a function before it is given: what a scan would find changed is noticed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pci_agent.discovery.glance import is_as_seen
from pci_agent.discovery.sysfs import scan
from pci_agent.model.device import Device
from sysfs import FakeSysfs

PF, VF = "0000:04:00.0", "0000:04:10.0"


@pytest.fixture
def host(tmp_path: Path) -> FakeSysfs:
    sysfs = FakeSysfs(tmp_path / "sys")
    sysfs.add_pf(PF, vfs=[VF])
    sysfs.add_netdev(VF, "ens1v0")
    (sysfs.place(VF) / "iommu_group").symlink_to("../../../kernel/iommu_groups/7")
    return sysfs


def device(host: FakeSysfs, address: str) -> Device:
    return next(each for each in scan(str(host)).devices if str(each.address) == address)


def test_what_is_as_it_was_passes(host: FakeSysfs) -> None:
    assert is_as_seen(device(host, VF), str(host))


@pytest.mark.parametrize("machine", ["harvester-vgpu-node", "hwloc-40intel64-2g2n4c_pcilocality"])
def test_every_function_of_a_real_machine_but_its_pfs_passes(captures: Path, machine: str) -> None:
    root = str(captures / machine / "sys")
    seen = [each for each in scan(root).devices if each.dev_type != "type-PF"]
    assert seen
    assert all(is_as_seen(each, root) for each in seen)


def rebind(host: FakeSysfs) -> None:
    host.bind(VF, "vfio-pci")


def swap(host: FakeSysfs) -> None:
    modalias = host.place(VF) / "modalias"
    modalias.write_text(modalias.read_text().replace("1520", "1521"))


def regroup(host: FakeSysfs) -> None:
    link = host.place(VF) / "iommu_group"
    link.unlink()
    link.symlink_to("../../../kernel/iommu_groups/8")


def lose_the_pf(host: FakeSysfs) -> None:
    (host.place(VF) / "physfn").unlink()


def lose_the_netdev(host: FakeSysfs) -> None:
    (host.place(VF) / "net" / "ens1v0").rename(host.place(VF) / "net" / "renamed")


@pytest.mark.parametrize(
    "happens",
    [rebind, swap, regroup, lose_the_pf, lose_the_netdev, lambda host: host.remove(VF)],
    ids=["another driver", "another card", "another group", "no PF", "another netdev", "gone"],
)
def test_what_has_changed_is_noticed(host: FakeSysfs, happens: Callable[[FakeSysfs], None]) -> None:
    seen = device(host, VF)
    happens(host)
    assert not is_as_seen(seen, str(host))


def test_a_pf_always_takes_a_scan(host: FakeSysfs) -> None:
    assert not is_as_seen(device(host, PF), str(host))
