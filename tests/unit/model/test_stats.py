from dataclasses import replace

from machines import CARD, PF, VF0, VF1
from pci_agent.model.device import Device
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.state import Status
from pci_agent.model.stats import Pool, pools


def tracked(device: Device, status: Status = Status.AVAILABLE, *, present: bool = True, **tags: str) -> TrackedDevice:
    return TrackedDevice(
        uuid=str(device.address), identity="", device=device, tags=tags, status=status, present=present
    )


def test_the_vfs_of_a_pf_are_one_pool() -> None:
    counted = pools([tracked(VF0, physical_network="physnet1"), tracked(VF1, physical_network="physnet1")])
    assert counted == [
        Pool(
            vendor_id="8086",
            product_id="1520",
            numa_node=0,
            dev_type=VF0.dev_type,
            parent_addr=PF.address,
            tags=(("physical_network", "physnet1"),),
            free=2,
            total=2,
        )
    ]


def test_tags_and_nodes_part_pools() -> None:
    counted = pools([tracked(VF0, rack="7"), tracked(VF1), tracked(replace(VF1, numa_node=1))])
    assert [pool.total for pool in counted] == [1, 1, 1]


def test_a_device_that_is_held_counts_in_total_and_not_in_free() -> None:
    (pool,) = pools([tracked(VF0), tracked(VF1, Status.ALLOCATED)])
    assert (pool.free, pool.total) == (1, 2)


def test_a_pool_whose_devices_are_gone_is_gone() -> None:
    assert pools([tracked(CARD, present=False)]) == []


def test_the_order_of_the_inventory_does_not_matter() -> None:
    inventory = [tracked(CARD), tracked(PF), tracked(VF0), tracked(VF1, rack="7")]
    assert pools(inventory) == pools(reversed(inventory))
