from itertools import count

from machines import CARD, EVERYTHING, PF, VF0, VF1, vf
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device
from pci_agent.model.device_spec import parse
from pci_agent.model.inventory import Change, TrackedDevice, apply, offered, reconcile, untold
from pci_agent.model.names import names_of, remember

ALL = parse(['{"address": "*:*:*.*"}'])
Tracked = dict[str, TrackedDevice]


def look(tracked: Tracked, *devices: Device, whitelist: str = "", unreadable: tuple[PciAddress, ...] = ()) -> Change:
    numbers = count(len(tracked))
    names = names_of(devices, remember(devices, {}))
    seen = offered(devices, parse([whitelist]) if whitelist else ALL, names)
    missed = untold(devices, frozenset(unreadable))
    return reconcile(tracked, seen, untold=missed, new_uuid=lambda: f"uuid-{next(numbers)}")


def tracked_after(*looks: tuple[Device, ...]) -> Tracked:
    tracked: Tracked = {}
    for devices in looks:
        tracked = apply(tracked, look(tracked, *devices))
    return tracked


def uuid_of(tracked: Tracked, device: Device) -> str:
    return next(item.uuid for item in tracked.values() if item.device is device)


def test_the_first_look_adds_what_the_whitelist_offers() -> None:
    change = look({}, *EVERYTHING, whitelist='{"vendor_id": "8086", "physical_network": "physnet1"}')
    assert [(item.device, item.tags) for item in change.added] == [
        (device, {"physical_network": "physnet1"}) for device in (PF, VF0, VF1)
    ]


def test_an_excluded_device_is_not_tracked() -> None:
    change = look({}, *EVERYTHING, whitelist='[{"devname": "enp4s0f0", "exclude": true}, {"address": "*:*:*.*"}]')
    assert [item.device for item in change.added] == [CARD]


def test_an_unchanged_host_changes_nothing() -> None:
    assert not look(tracked_after(EVERYTHING), *EVERYTHING)


def test_a_device_that_vanished_is_removed() -> None:
    change = look(tracked_after(EVERYTHING), PF, VF0, CARD)
    assert [(item.device, item.present) for item in change.removed] == [(VF1, False)]


def test_a_device_that_left_the_whitelist_is_removed() -> None:
    change = look(tracked_after(EVERYTHING), *EVERYTHING, whitelist='{"vendor_id": "8086"}')
    assert [item.device for item in change.removed] == [CARD]


def test_a_device_that_returns_gets_its_uuid_back() -> None:
    first = tracked_after(EVERYTHING)
    back = tracked_after(EVERYTHING, (PF, CARD), EVERYTHING)
    assert uuid_of(back, VF1) == uuid_of(first, VF1)


def test_other_facts_or_tags_are_an_update() -> None:
    bound = VF0._replace(driver="vfio-pci")
    change = look(tracked_after(EVERYTHING), PF, bound, VF1, CARD)
    assert [item.device.driver for item in change.updated] == ["vfio-pci"]
    retagged = look(tracked_after((CARD,)), CARD, whitelist='{"vendor_id": "10de", "rack": "7"}')
    assert [item.tags for item in retagged.updated] == [{"rack": "7"}]


def test_renumbered_buses_keep_every_uuid() -> None:
    before = tracked_after(EVERYTHING)
    moved_pf = PF._replace(address=PciAddress.parse("0000:05:00.0"))
    moved_vf = VF0._replace(address=PciAddress.parse("0000:05:10.0"), parent_addr=moved_pf.address)
    change = look(before, moved_pf, moved_vf)
    assert {item.uuid: item.device.address for item in change.updated} == {
        uuid_of(before, PF): moved_pf.address,
        uuid_of(before, VF0): moved_vf.address,
    }


def test_another_card_at_the_old_address_is_another_device() -> None:
    before = tracked_after((CARD,))
    other = CARD._replace(product_id="2235")
    change = look(before, other)
    assert [item.device for item in change.added] == [other]
    assert [item.device for item in change.removed] == [CARD]


def test_what_could_not_be_read_is_left_as_it_was() -> None:
    assert not look(tracked_after(EVERYTHING), PF, VF0, VF1, unreadable=(CARD.address,))


def test_the_vfs_of_a_pf_that_cannot_be_read_are_left_as_they_were() -> None:
    orphan = VF0._replace(vf_index=None, numa_node=1)
    assert not look(tracked_after(EVERYTHING), orphan, VF1, CARD, unreadable=(PF.address,))
    by_name = '{"devname": "enp4s0f0"}'
    tracked = apply({}, look({}, PF, VF0, whitelist=by_name))
    assert not look(tracked, orphan, whitelist=by_name, unreadable=(PF.address,))


def test_a_new_vf_waits_until_its_pf_can_be_read() -> None:
    tracked = tracked_after((PF,))
    assert not look(tracked, VF0, unreadable=(PF.address,))
    assert [item.device for item in look(tracked, PF, VF0).added] == [VF0]


def test_two_functions_that_cannot_be_told_apart_are_two_devices() -> None:
    twin = CARD._replace(address=PciAddress.parse("0000:82:00.0"))
    assert len({item.uuid for item in look({}, CARD, twin).added}) == 2


def test_a_vf_is_its_pf_and_index_on_whichever_bus() -> None:
    before = tracked_after((PF, VF0))
    elsewhere = vf(0, "0000:05:00.0")
    assert [item.uuid for item in look(before, PF, elsewhere).updated] == [uuid_of(before, VF0)]
