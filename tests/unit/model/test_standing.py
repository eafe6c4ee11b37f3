from dataclasses import replace

import pytest

from machines import CARD, PF, VF0, VF1, settled
from pci_agent.errors import IllegalMove
from pci_agent.model.device import Device
from pci_agent.model.inventory import TrackedDevice, moved
from pci_agent.model.relatives import Hold
from pci_agent.model.standing import HostState, settle
from pci_agent.model.state import MOVES, Disabled, Event, Owner, Status, after

INSTANCE, OTHER = "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11", "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c12"
CLAIMED, ALLOCATED = Owner(instance_uuid=INSTANCE), Owner(instance_uuid=INSTANCE, allocated=True)


def tracked(device: Device, owner: Owner | None = None) -> TrackedDevice:
    return TrackedDevice(uuid=str(device.address), identity=str(device.address), device=device, owner=owner)


def stands(*items: TrackedDevice, host: HostState | None = None) -> list[tuple[Status, str | None]]:
    """Status and reason of each, in order."""
    by_uuid = {item.uuid: item for item in items}
    by_uuid |= {item.uuid: item for item in settle(items, host or HostState())}
    return [(by_uuid[item.uuid].status, by_uuid[item.uuid].status_reason) for item in items]


def test_a_held_vf_keeps_its_pf_back_and_a_held_pf_its_vfs() -> None:
    assert stands(tracked(PF), tracked(VF0, CLAIMED), tracked(VF1)) == [
        (Status.UNCLAIMABLE, f"its VF {VF0.address} is claimed to {INSTANCE}"),
        (Status.CLAIMED, None),
        (Status.AVAILABLE, None),
    ]
    assert stands(tracked(PF, ALLOCATED), tracked(VF0))[1] == (
        Status.UNAVAILABLE,
        f"its PF {PF.address} is allocated to {INSTANCE}",
    )


def test_an_allocated_relative_counts_before_a_claimed_one() -> None:
    assert stands(tracked(PF), tracked(VF0, CLAIMED), tracked(VF1, ALLOCATED))[0][0] is Status.UNAVAILABLE


def test_a_member_of_a_group_keeps_the_others_back() -> None:
    other = CARD._replace(iommu_group=VF0.iommu_group)
    assert stands(tracked(VF0, CLAIMED), tracked(other))[1] == (
        Status.UNAVAILABLE,
        f"{INSTANCE} holds {VF0.address} of its IOMMU group {VF0.iommu_group}",
    )


def test_what_a_domain_has_of_the_unlisted_counts_too() -> None:
    elsewhere = (Hold(PF, OTHER, Status.ALLOCATED),)
    assert stands(tracked(VF0), host=HostState(elsewhere=elsewhere))[0][0] is Status.UNAVAILABLE


def test_the_host_s_own_use_comes_before_a_relative_and_an_operators_word_after_both() -> None:
    word = Disabled(reason="broken", actor="me")
    used = replace(tracked(VF0), host_use=("a route",), disabled=word)
    assert stands(tracked(PF, ALLOCATED), used)[1] == (Status.UNAVAILABLE, "the host uses it: a route")
    assert stands(replace(tracked(VF1), disabled=word))[0] == (Status.UNAVAILABLE, "disabled by me: broken")


def test_what_holds_the_whole_host_back_overrides_only_what_is_nobodys() -> None:
    waiting = HostState(waiting="libvirt")
    assert stands(tracked(VF0), tracked(VF1, ALLOCATED), host=waiting) == [
        (Status.UNAVAILABLE, "waiting for libvirt"),
        (Status.ALLOCATED, None),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"present": False}, "retiring: it is gone from the host"),
        ({"listed": False}, "retiring: the whitelist doesn't offer it any more"),
        ({"domain": OTHER}, f"stolen: the domain {OTHER} runs with it"),
        ({"leaked": True}, "leaked: no domain of its instance is there"),
    ],
)
def test_a_held_device_keeps_its_status_and_says_what_became_of_it(change: dict[str, object], reason: str) -> None:
    held = replace(tracked(VF0, ALLOCATED), **change)  # type: ignore[arg-type]
    assert stands(held) == [(Status.ALLOCATED, reason)]
    assert held.shown


def test_a_device_that_left_and_is_nobodys_is_not_shown() -> None:
    (gone,) = settled([replace(tracked(VF0), listed=False)])
    assert (gone.status, gone.shown) == (Status.REMOVED, False)


def test_the_table_of_moves_is_all_there_is() -> None:
    owners = {Status.AVAILABLE: None, Status.CLAIMED: CLAIMED, Status.ALLOCATED: ALLOCATED}
    for status, owner in owners.items():
        for event in Event:
            item = tracked(VF0, owner)
            if event not in MOVES[status]:
                with pytest.raises(IllegalMove):
                    after(status, event)
                with pytest.raises(IllegalMove):
                    moved(item, event, owner)
                continue
            leads_to = MOVES[status][event]
            assert moved(item, event, owners[leads_to]).owner == owners[leads_to]
            for other, wrong in owners.items():
                if other is not leads_to:
                    with pytest.raises(IllegalMove):
                        moved(item, event, wrong)
