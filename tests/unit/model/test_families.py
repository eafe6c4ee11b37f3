"""What is derived family by family is what would be derived of the whole inventory at once."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from machines import CARD, PF, VF0, VF1, vf
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device
from pci_agent.model.families import Families, Family
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.standing import HostState, settle
from pci_agent.model.state import Disabled, Owner
from pci_agent.model.stats import pools
from shares import examples

INSTANCE, OTHER = "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11", "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c12"
OTHER_PF = PF._replace(address=PciAddress.parse("0000:05:00.0"), path="0000:00/1d.0/00.0")
OTHER_VF = vf(0, "0000:05:10.0")._replace(parent_addr=OTHER_PF.address)
DEVICES = (PF, VF0, VF1, OTHER_PF, OTHER_VF, CARD)


def tracked(device: Device, **facts: object) -> TrackedDevice:
    name = f"{device.dev_type} {device.address}"
    return TrackedDevice(uuid=name, identity=name, device=device, **facts)  # type: ignore[arg-type]


FACTS: list[Callable[[TrackedDevice], TrackedDevice]] = [
    lambda item: replace(item, owner=Owner(instance_uuid=INSTANCE)),
    lambda item: replace(item, owner=Owner(instance_uuid=OTHER, allocated=True)),
    lambda item: replace(item, owner=None),
    lambda item: replace(item, present=False),
    lambda item: replace(item, present=True, listed=True),
    lambda item: replace(item, domain=OTHER),
    lambda item: replace(item, domain=None),
    lambda item: replace(item, host_use=("it is the boot display",)),
    lambda item: replace(item, disabled=Disabled(reason="broken", actor="me")),
    lambda item: replace(item, device=item.device._replace(iommu_group=7)),
    lambda item: replace(item, device=item.device._replace(iommu_group=8)),
    lambda item: replace(item, device=item.device._replace(iommu_group=None)),
    lambda item: replace(item, tags={"rack": "7"}),
    lambda item: replace(item, device=item.device._replace(address=replaced(item.device.address))),
]
CHANGES = st.tuples(st.integers(0, len(DEVICES) - 1), st.sampled_from(FACTS))


def replaced(address: PciAddress) -> PciAddress:
    return PciAddress(address.domain, address.bus ^ 0x40, address.slot, address.function)


@given(commits=st.lists(st.lists(CHANGES, min_size=1, max_size=3), max_size=8))
@examples(300, long=20_000)
def test_status_and_pools_family_by_family_are_those_of_the_whole(
    commits: list[list[tuple[int, Callable[[TrackedDevice], TrackedDevice]]]],
) -> None:
    items = [tracked(device) for device in DEVICES]
    names = [item.identity for item in items]
    inventory = Families.of(items)
    inventory = inventory.after(settle(inventory, HostState()))
    for commit in commits:
        changed = inventory
        for number, fact in commit:
            changed = changed.after([fact(changed[names[number]])])
        inventory = changed.after(settle(changed, HostState(), changed.touched(inventory)))
        afresh = Families.of(list(changed.values()))
        assert dict(inventory) == dict(afresh.after(settle(afresh, HostState())))
        assert pools(inventory) == pools(list(inventory.values())) == pools(afresh.after(inventory.values()))


def test_a_change_of_one_device_leaves_the_other_families_as_they_are() -> None:
    before = Families.of(tracked(device) for device in DEVICES)
    item = before[f"type-VF {VF0.address}"]
    after = before.after([replace(item, owner=Owner(instance_uuid=INSTANCE))])
    assert after.families[OTHER_PF.address] is before.families[OTHER_PF.address]
    assert [each.identity for each in after.differing(before)] == [item.identity]
    assert before[item.identity] is item
    assert [each.identity for each in after.owned()] == [item.identity]


def test_what_differs_is_told_in_order_of_address() -> None:
    before = Families.of([])
    after = before.after([tracked(device) for device in reversed(DEVICES)])
    addresses = [item.device.address for item in after.differing(before)]
    assert addresses == sorted(device.address for device in DEVICES)


def test_what_is_the_same_changes_nothing() -> None:
    before = Families.of(tracked(device) for device in DEVICES)
    assert before.after([replace(item) for item in before.values()]) is before


def test_a_fact_is_found_out_once_a_family() -> None:
    (family,) = Families.of([tracked(CARD)]).families.values()
    found: list[list[Device]] = [family.told(lambda each: [item.device for item in each.items])]
    assert found == [[CARD]]
    assert family.told(devices_of) is family.told(devices_of)


def devices_of(family: Family) -> list[Device]:
    return [item.device for item in family.items]
