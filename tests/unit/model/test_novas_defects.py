"""Defects of nova 34.0.0's PCI code that a core such as this could have, by number, each passing here."""

import json
from dataclasses import replace

import pytest

from machines import EVERYTHING, PF, VF0, VF1, settled, vf
from pci_agent.errors import ConfigurationRefused
from pci_agent.model.device import Device, DevType
from pci_agent.model.device_spec import parse
from pci_agent.model.fit import Assignment, GuestNuma, NoFit, fit
from pci_agent.model.inventory import TrackedDevice, apply, offered, reconcile
from pci_agent.model.names import identities
from pci_agent.model.request import NumaPolicy, PciRequest, Spec, from_port
from pci_agent.model.state import Owner
from pci_agent.model.stats import pools

OWNER = Owner(instance_uuid="6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11", allocated=True)
A_VF = PciRequest(request_id="vf", specs=(Spec(vendor_id="8086", product_id="1520"),))
A_PF = PciRequest(request_id="pf", specs=(Spec(vendor_id="8086", product_id="1521", dev_type=DevType.PF),))
WHITELIST = parse(['{"vendor_id": "8086"}'])


def looked(tracked: dict[str, TrackedDevice], *devices: Device) -> dict[str, TrackedDevice]:
    """The inventory after a look at these devices."""
    seen = offered(devices, WHITELIST, {})
    uuids = (str(number) for number in range(len(tracked), 100))
    there = {name: device for device in devices for name in [identities(devices)[device.address]]}
    change = reconcile(tracked, seen, there=there, untold=frozenset(), new_uuid=lambda: next(uuids))
    return {item.identity: item for item in settled(apply(tracked, change).values())}


def held(tracked: dict[str, TrackedDevice], device: Device) -> dict[str, TrackedDevice]:
    """The inventory once somebody has a device."""
    items = [replace(item, owner=OWNER) if item.device.address == device.address else item for item in tracked.values()]
    return {item.identity: item for item in settled(items)}


def free(tracked: dict[str, TrackedDevice]) -> dict[DevType, int]:
    return {pool.dev_type: pool.free for pool in pools(tracked.values())}


def test_d1_a_set_that_fails_takes_nothing_away() -> None:
    tracked = looked({}, PF, VF0, VF1)
    impossible = PciRequest(request_id="no", specs=(Spec(vendor_id="ffff"),))
    before = pools(tracked.values())
    assert isinstance(fit(tracked.values(), [A_VF, impossible]), NoFit)
    assert pools(tracked.values()) == before
    assert isinstance(fit(tracked.values(), [A_PF]), Assignment)


def test_d2_a_free_device_that_changes_is_counted_as_it_is_now() -> None:
    tracked = looked({}, PF, VF0)
    moved = looked(tracked, PF._replace(numa_node=1), VF0._replace(numa_node=1))
    assert {pool.numa_node for pool in pools(moved.values())} == {1}
    gone = looked(moved, PF._replace(numa_node=1))
    assert free(gone) == {DevType.PF: 1}
    assert isinstance(fit(gone.values(), [A_PF]), Assignment)


def test_d3_vfs_that_return_while_the_pf_is_held_are_no_capacity() -> None:
    tracked = held(looked({}, PF, VF0, VF1), PF)
    returned = looked(looked(tracked, PF), PF, VF0, VF1)
    assert free(returned) == {DevType.PF: 0, DevType.VF: 0}
    assert isinstance(fit(returned.values(), [A_VF]), NoFit)


def test_d3_a_pf_that_returns_while_a_vf_is_held_is_no_capacity() -> None:
    tracked = held(looked({}, PF, VF0, VF1), VF0)
    returned = looked(looked(tracked, VF0, VF1), PF, VF0, VF1)
    assert free(returned) == {DevType.PF: 0, DevType.VF: 1}
    assert isinstance(fit(returned.values(), [A_PF]), NoFit)


def test_d5_what_is_said_to_fit_can_be_taken_together() -> None:
    tracked = looked({}, PF, VF0, VF1)
    assert isinstance(fit(tracked.values(), [A_VF, A_PF]), NoFit)
    assert isinstance(fit(tracked.values(), [A_PF, A_VF]), NoFit)


def test_d6_a_port_without_a_physical_network_gets_no_accelerators_vf() -> None:
    accelerator = VF0._replace(class_code="0b4000")
    tracked = looked({}, PF, accelerator)
    port = from_port("direct", None, request_id="port")
    assert port is not None
    assert isinstance(fit(tracked.values(), [port]), NoFit)


def test_d7_a_pf_that_nobody_asked_for_does_not_starve_who_prefers_its_node() -> None:
    away = vf(0, "0000:05:10.0")._replace(parent_addr=None, numa_node=1)
    tracked = looked({}, PF, away)
    prefers = PciRequest(request_id="r", specs=(Spec(vendor_id="8086"),), numa_policy=NumaPolicy.PREFERRED)
    answer = fit(tracked.values(), [prefers], GuestNuma(frozenset({0})))
    assert isinstance(answer, Assignment)
    assert [item.device for item in answer.devices["r"]] == [away]


def test_d8_a_pfs_address_may_offer_its_vfs_as_remote_managed() -> None:
    spec = {"address": str(PF.address), "product_id": VF0.product_id, "remote_managed": True}
    whitelist = parse([json.dumps(spec)])
    assert [str(item.device.address) for item in offered(EVERYTHING, whitelist, {})] == [
        str(VF0.address),
        str(VF1.address),
    ]
    assert {item.tags["remote_managed"] for item in offered(EVERYTHING, whitelist, {})} == {"true"}


@pytest.mark.parametrize("trusted", [True, "true", "True"])
def test_d9_a_boolean_tag_is_what_a_trusted_port_asks_for(trusted: object) -> None:
    whitelist = parse([json.dumps({"vendor_id": "8086", "product_id": "1520", "trusted": trusted})])
    seen = offered([PF, VF0], whitelist, {})
    tracked = apply({}, reconcile({}, seen, untold=frozenset(), new_uuid=lambda: "u"))
    port = from_port("direct", None, request_id="port", trusted=True)
    assert port is not None
    assert isinstance(fit(tracked.values(), [port]), Assignment)


def test_d9_a_tag_that_cannot_be_counted_by_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationRefused, match="a tag's value is text"):
        parse(['{"vendor_id": "8086", "rack": ["7"]}'])


def test_d10_a_device_that_is_gone_leaves_no_empty_pool_behind() -> None:
    tracked = held(looked({}, PF, VF0), VF0)
    retiring = looked(tracked, PF)
    assert free(retiring) == {DevType.PF: 0, DevType.VF: 0}
    assert [pool.total for pool in pools(retiring.values())] == [1, 1]
    freed = settled(replace(item, owner=None) for item in retiring.values())
    assert {pool.dev_type: pool.free for pool in pools(freed)} == {DevType.PF: 1}


def test_d11_a_look_that_sees_the_same_changes_nothing() -> None:
    tracked = looked({}, PF, VF0, VF1)
    again = [device._replace() for device in (PF, VF0, VF1)]
    assert not reconcile(tracked, offered(again, WHITELIST, {}), untold=frozenset(), new_uuid=str)
