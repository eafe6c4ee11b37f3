"""The lab's machines, recorded with pci-agent capture (tools/captures makes them anew): the whole of each."""

from collections import Counter
from pathlib import Path

import pytest

from pci_agent.discovery.sysfs import Scan, scan
from pci_agent.inspect.capture import replayed
from pci_agent.model.device import DevType
from pci_agent.model.device_spec import parse
from pci_agent.model.inventory import TrackedDevice, apply, offered, reconcile

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
ALL = parse(['{"address": "*:*:*.*"}'])
STEPS = ("two-nodes-0-vfs", "two-nodes-4-vfs", "two-nodes-7-vfs", "two-nodes-7-vfs-2-on-vfio")
Row = tuple[str, str, int | None, int | None, int | None, str | None, str]


@pytest.fixture(scope="module")
def machines() -> dict[str, Scan]:
    seen = {}
    for step in STEPS:
        with replayed(str(CAPTURES / f"{step}.tar.gz")) as root:
            seen[step] = scan(root)
    return seen


def rows(seen: Scan, bus: str) -> list[Row]:
    """Slot, type, VF, node, group, driver and netdev of each function on a bus."""
    return [
        (
            str(device.address)[8:],
            device.dev_type.value,
            device.vf_index,
            device.numa_node,
            device.iommu_group,
            device.driver,
            " ".join(netdev.name for netdev in device.netdevs),
        )
        for device in seen.devices
        if f"{device.address.bus:02x}" == bus
    ]


def test_no_capture_is_left_out() -> None:
    assert sorted(path.name.removesuffix(".tar.gz") for path in CAPTURES.iterdir()) == sorted(STEPS)


@pytest.mark.parametrize(("step", "vfs"), [(STEPS[0], 0), (STEPS[1], 8), (STEPS[2], 14), (STEPS[3], 14)])
def test_nothing_is_a_problem_and_nothing_is_missing(machines: dict[str, Scan], step: str, vfs: int) -> None:
    assert machines[step].problems == ()
    types = Counter(device.dev_type for device in machines[step].devices)
    assert (types[DevType.PCI], types[DevType.PF], types[DevType.VF]) == (18, 3, vfs)


def test_a_pf_and_its_vfs_as_the_guest_shows_them(machines: dict[str, Scan]) -> None:
    assert rows(machines["two-nodes-4-vfs"], "41") == [
        ("00.0", "type-PF", None, 1, 11, "igb", "ens2"),
        ("10.0", "type-VF", 0, 1, 21, "igbvf", "ens2v0"),
        ("10.2", "type-VF", 1, 1, 22, "igbvf", "ens2v1"),
        ("10.4", "type-VF", 2, 1, 23, "igbvf", "ens2v2"),
        ("10.6", "type-VF", 3, 1, 24, "igbvf", "ens2v3"),
    ]


def test_vfs_on_vfio_pci_have_that_driver_and_no_netdev(machines: dict[str, Scan]) -> None:
    on_vfio = [str(device.address) for device in machines[STEPS[3]].devices if device.driver == "vfio-pci"]
    assert on_vfio == ["0000:21:10.0", "0000:41:10.2"]
    assert rows(machines[STEPS[3]], "21")[1] == ("10.0", "type-VF", 0, 0, 17, "vfio-pci", "")


def test_cards_behind_a_plain_bridge_share_its_iommu_group(machines: dict[str, Scan]) -> None:
    seen = machines["two-nodes-0-vfs"]
    assert [row[4] for row in rows(seen, "22") + rows(seen, "23")] == [16, 16, 16]


def test_paths_name_the_firmwares_bridge_and_the_slots_down_to_the_card(machines: dict[str, Scan]) -> None:
    paths = {str(device.address): device.path for device in machines["two-nodes-0-vfs"].devices}
    assert paths["0000:41:00.0"] == "0000:\\_SB_.PC40/04.0/00.0"
    assert paths["0000:23:02.0"] == "0000:\\_SB_.PC20/11.0/00.0/02.0"


def test_uuids_stay_while_vfs_come_go_and_change_drivers(machines: dict[str, Scan]) -> None:
    tracked: dict[str, TrackedDevice] = {}
    uuids: dict[str, str] = {}
    numbers = iter(range(1000))
    for step in (*STEPS, *reversed(STEPS)):
        seen = offered(machines[step].devices, ALL, {})
        change = reconcile(tracked, seen, untold=frozenset(), new_uuid=lambda: f"uuid-{next(numbers)}")
        tracked = apply(tracked, change)
        for item in tracked.values():
            assert uuids.setdefault(str(item.device.address), item.uuid) == item.uuid
    assert len(uuids) == 18 + 3 + 14
