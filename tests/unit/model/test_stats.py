from collections.abc import Iterable

from machines import CARD, EVERYTHING, PF, VF0, VF1, settled, vf
from pci_agent.model.device import Device
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.state import Owner
from pci_agent.model.stats import Pool, extra_info, network_counts, nova_pools, per_network
from pci_agent.model.stats import pools as fold

HELD = Owner(instance_uuid="6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11", allocated=True)


def tracked(
    device: Device,
    owner: Owner | None = None,
    *,
    present: bool = True,
    host_use: tuple[str, ...] = (),
    **tags: str | None,
) -> TrackedDevice:
    return TrackedDevice(
        uuid=str(device.address),
        identity=str(device.address),
        device=device,
        tags=tags,
        owner=owner,
        present=present,
        host_use=host_use,
    )


def pools(items: Iterable[TrackedDevice]) -> list[Pool]:
    return fold(settled(items))


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
            used=0,
            total=2,
        )
    ]


def test_tags_and_nodes_part_pools() -> None:
    counted = pools([tracked(VF0, rack="7"), tracked(VF1), tracked(vf(2, "0000:04:11.0")._replace(numa_node=1))])
    assert [pool.total for pool in counted] == [1, 1, 1]


def test_a_device_that_is_held_counts_as_used_and_not_as_free() -> None:
    (pool,) = pools([tracked(VF0), tracked(VF1, HELD)])
    assert (pool.free, pool.used, pool.total) == (1, 1, 2)


def test_a_device_that_the_host_uses_counts_in_total_alone() -> None:
    (pool,) = pools([tracked(VF0, host_use=("the default route goes through eth0",)), tracked(VF1)])
    assert (pool.free, pool.used, pool.total) == (1, 0, 2)


def test_what_nova_hands_on_to_placement_parts_no_pools() -> None:
    (pool,) = pools([tracked(VF0, traits="CUSTOM_A"), tracked(VF1, resource_class="CUSTOM_B")])
    assert (pool.total, pool.tags) == (2, ())


def test_devices_with_equal_tags_of_their_own_are_one_pool() -> None:
    (pool,) = pools([tracked(VF0, rack="7"), tracked(VF1, rack="7")])
    assert pool.total == 2


def test_the_seeds_pci_stats_hold_text_only_and_leave_out_what_has_no_value() -> None:
    (pool,) = pools([tracked(VF0, physical_network=None, rack="7")])
    assert extra_info(pool) == {
        "phys_function": "0000:04:00.0",
        "numa_node": "0",
        "dev_type": "type-VF",
        "rack": "7",
    }


def test_free_devices_are_counted_by_physical_network_product_and_vendor() -> None:
    counted = pools(
        [
            tracked(VF0, physical_network="physnet1"),
            tracked(VF1, HELD, physical_network="physnet1"),
            tracked(PF, physical_network="physnet1"),  # one of its VFs is held
            tracked(CARD),
        ]
    )
    assert network_counts(counted) == {("physnet1", "1520", "8086"): 1, ("physnet1", "1521", "8086"): 0}
    assert per_network(counted) == {"physnet1": 1}


def test_novas_pools_are_by_pf_and_say_who_manages_them() -> None:
    inventory = [tracked(VF0, traits="CUSTOM_A"), tracked(VF1, HELD), tracked(CARD)]
    assert nova_pools(settled(inventory), EVERYTHING) == [
        {
            "vendor_id": "8086",
            "product_id": "1520",
            "numa_node": 0,
            "dev_type": "type-VF",
            "address": "0000:04:00.0",
            "parent_ifname": "enp4s0f0",
            "remote_managed": "false",
            "count": 1,
        },
        {
            "vendor_id": "10de",
            "product_id": "25b6",
            "numa_node": 1,
            "dev_type": "type-PCI",
            "address": "0000:81:00.0",
            "count": 1,
        },
    ]


def test_a_pool_whose_devices_are_gone_is_gone() -> None:
    assert pools([tracked(CARD, present=False)]) == []


def test_the_order_of_the_inventory_does_not_matter() -> None:
    inventory = [tracked(CARD), tracked(PF), tracked(VF0), tracked(VF1, rack="7")]
    assert pools(inventory) == pools(reversed(inventory))
