"""A thousand damaged trees: whatever a host shows, scan answers with devices and problems."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pci_agent.discovery.sysfs import scan
from sysfs import FakeSysfs

ADDRESSES = ("0000:00:1c.0", "0000:04:00.0", "0000:04:10.0", "0000:04:10.4", "10000:00:00.0")
FILES = (
    "modalias vendor device class revision numa_node sriov_totalvfs iommu_group driver physfn"
    " virtfn0 virtfn1 net subsystem_vendor net/eth0/address net/eth0/addr_assign_type serial_number"
).split()
DAMAGE = ("remove", "garbage", "loop", "dangle", "directory", "pipe", "huge", "empty", "unreadable bytes")

damages = st.lists(
    st.tuples(st.sampled_from(DAMAGE), st.sampled_from(ADDRESSES), st.sampled_from(("", *FILES))), max_size=12
)
vanishing = st.lists(st.tuples(st.integers(1, 40), st.sampled_from(ADDRESSES)), max_size=3)


def machine(root: Path) -> FakeSysfs:
    sysfs = FakeSysfs(root)
    sysfs.add("0000:00:1c.0", pci_class="60400", numa_node=0)
    sysfs.add_pf("0000:04:00.0", vfs=["0000:04:10.0", "0000:04:10.4"], numa_node=1, iommu_group=3, netdev="eth0")
    sysfs.add("10000:00:00.0", "144d:a808", pci_class="10802")
    return sysfs


def damage(sysfs: FakeSysfs, how: str, address: str, name: str) -> None:
    target = sysfs.place(address) / name if name else sysfs.entries / address
    if not target.parent.is_dir():
        return
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    elif target.exists():
        return
    if how == "garbage":
        target.write_text("\0�=banana\n=\n")
    elif how == "loop":
        target.symlink_to(target.name)
    elif how == "dangle":
        target.symlink_to("../../nowhere/at:all")
    elif how == "directory":
        target.mkdir()
    elif how == "pipe":
        os.mkfifo(target)
    elif how == "huge":
        target.write_text("9" * 9000)
    elif how == "empty":
        target.touch()
    elif how == "unreadable bytes":
        target.write_bytes(bytes(range(256)))


class _Vanishing:
    """Removes functions in the middle of a scan: at its n-th open, counted by the interpreter's audit hook."""

    def __init__(self) -> None:
        self.plan: dict[int, Path] = {}
        self.opened = 0
        self.busy = True

    def __call__(self, event: str, _arguments: object) -> None:
        if event != "open" or self.busy:
            return
        self.opened += 1
        target = self.plan.get(self.opened)
        if target is not None:
            self.busy = True
            if target.is_dir():
                shutil.rmtree(os.path.realpath(target), ignore_errors=True)
            if target.is_symlink():
                target.unlink()
            self.busy = False

    @contextmanager
    def during(self, plan: dict[int, Path]) -> Iterator[None]:
        self.plan, self.opened, self.busy = plan, 0, False
        try:
            yield
        finally:
            self.busy = True


VANISHING = _Vanishing()
sys.addaudithook(VANISHING)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damages, vanishing)
def test_no_damaged_tree_raises_out_of_scan(done: list[tuple[str, str, str]], gone: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sysfs = machine(Path(folder) / "sys")
        for how, address, name in done:
            damage(sysfs, how, address, name)
        with VANISHING.during({number: sysfs.entries / address for number, address in gone}):
            seen = scan(str(sysfs))
        told = {str(device.address) for device in seen.devices} | {str(address) for address in seen.unreadable}
        left = {entry.name for entry in sysfs.entries.iterdir()} if seen.complete else set()
        assert left <= told, "what stands on the bus is a device or a problem"
        assert {str(address) for address in seen.unreadable} <= {problem.address for problem in seen.problems}


def test_the_harness_does_take_functions_away_in_the_middle_of_a_scan(tmp_path: Path) -> None:
    sysfs = machine(tmp_path / "sys")
    with VANISHING.during({4: sysfs.entries / "10000:00:00.0"}):
        seen = scan(str(sysfs))
    assert [problem.address for problem in seen.problems] == ["10000:00:00.0"]
    assert seen.complete
