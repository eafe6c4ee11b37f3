import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines import CARD, PF, VF0
from pci_agent.errors import ConfigurationRefused, Refusal, RequestRefused
from pci_agent.model.device import DevType
from pci_agent.model.request import (
    Alias,
    NumaPolicy,
    PciRequest,
    Spec,
    from_extra_specs,
    from_port,
    parse_aliases,
)
from shares import examples

A1 = '{"name": "a1", "vendor_id": "8086", "product_id": "154d", "device_type": "type-PF"}'
ALIASES = parse_aliases([A1, '{"name": "b1", "vendor_id": "10de", "product_id": "25b6", "numa_policy": "required"}'])


def refusals(*values: str) -> tuple[Refusal, ...]:
    with pytest.raises(ConfigurationRefused) as caught:
        parse_aliases(values)
    return caught.value.refusals


def asked(text: str, policy: str | None = None) -> tuple[PciRequest, ...]:
    names = iter("abcdefgh")
    more = {} if policy is None else {"hw:pci_numa_affinity_policy": policy}
    return from_extra_specs({"pci_passthrough:alias": text, "hw:cpu_policy": "x", **more}, ALIASES, lambda: next(names))


def refused(text: str, policy: str | None = None) -> list[str]:
    with pytest.raises(RequestRefused) as caught:
        asked(text, policy)
    return [str(refusal) for refusal in caught.value.refusals]


# Aliases


def test_an_alias_is_read_as_nova_reads_it() -> None:
    assert parse_aliases([A1]) == {
        "a1": Alias(
            name="a1",
            specs=(Spec(vendor_id="8086", product_id="154d", dev_type=DevType.PF),),
            numa_policy=NumaPolicy.LEGACY,
        )
    }


def test_a_name_that_stands_again_has_alternatives() -> None:
    again = parse_aliases([A1, A1.replace("154d", "1572")])["a1"]
    assert [spec.product_id for spec in again.specs] == ["154d", "1572"]


def test_alternatives_need_no_type_as_long_as_both_have_none() -> None:
    plain = '{"name": "q", "vendor_id": "8086", "product_id": "0442"}'
    assert len(parse_aliases([plain, plain.replace("0442", "0443")])["q"].specs) == 2


def test_alternatives_of_another_type_or_policy_are_refused() -> None:
    assert [refusal.key for refusal in refusals(A1, A1.replace("type-PF", "type-VF"))] == ["device_type"]
    assert [refusal.key for refusal in refusals(A1, A1.replace("}", ', "numa_policy": "required"}'))] == ["numa_policy"]


def test_an_alias_may_ask_for_any_tag_and_then_needs_no_ids() -> None:
    alias = parse_aliases(['{"name": "fast", "physical_network": "physnet1", "trusted": true, "rack": "7"}'])["fast"]
    assert alias.specs[0].tags == {"physical_network": "physnet1", "trusted": "true", "rack": "7"}


def test_what_is_meant_for_placement_or_says_pci_asks_for_nothing() -> None:
    more = ', "resource_class": "CUSTOM_A", "traits": "CUSTOM_B", "capability_type": "pci"}'
    assert parse_aliases([A1.replace("}", more)]) == parse_aliases([A1])


def test_live_migratable_is_true_or_false_however_it_is_written() -> None:
    assert parse_aliases([A1.replace("}", ', "live_migratable": "yes"}')])["a1"].specs[0].tags == {
        "live_migratable": "true"
    }


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("[]", None),
        ("5", None),
        ("{", None),
        (f"[{A1}]", None),
        ('{"vendor_id": "8086", "product_id": "154d"}', None),
        ('{"name": "", "vendor_id": "8086"}', "name"),
        ('{"name": "a:1", "vendor_id": "8086"}', "name"),
        ('{"name": 5, "vendor_id": "8086"}', "name"),
        ('{"name": "a1"}', None),
        ('{"name": "a1", "device_type": "type-VF"}', None),
        ('{"name": "a1", "resource_class": "CUSTOM_A"}', None),
        ('{"name": "a1", "physical_network": null}', None),
        ('{"name": "a1", "remote_managed": false}', None),
        ('{"name": "a1", "vendor_id": "80866"}', "vendor_id"),
        ('{"name": "a1", "vendor_id": "8086", "device_type": "vdpa"}', "device_type"),
        ('{"name": "a1", "vendor_id": "8086", "device_type": null}', "device_type"),
        ('{"name": "a1", "vendor_id": "8086", "dev_type": "type-VF"}', "dev_type"),
        ('{"name": "a1", "vendor_id": "8086", "devicetype": "type-VF"}', "devicetype"),
        ('{"name": "a1", "vendor_id": "8086", "numa_policy": "near"}', "numa_policy"),
        ('{"name": "a1", "vendor_id": "8086", "numa_policy": null}', "numa_policy"),
        ('{"name": "a1", "vendor_id": "8086", "capability_type": "usb"}', "capability_type"),
        ('{"name": "a1", "vendor_id": "8086", "address": "0000:04:00.0"}', "address"),
        ('{"name": "a1", "vendor_id": "8086", "device_id": "154d"}', "device_id"),
        ('{"name": "a1", "vendor_id": "8086", "rack": ["7"]}', "rack"),
        ('{"name": "a1", "vendor_id": "8086", "numa_node": "1"}', "numa_node"),
    ],
)
def test_an_alias_that_cannot_be_used_is_refused_by_its_key(value: str, key: str | None) -> None:
    assert [refusal.key for refusal in refusals(value)] == [key]


def test_all_errors_of_all_aliases_are_told_at_once() -> None:
    told = refusals('{"vendor_id": "x", "product_id": "y"}', A1, "nonsense", A1.replace("type-PF", "type-VF"))
    assert [(refusal.entry, refusal.key) for refusal in told] == [
        (1, None),
        (1, "vendor_id"),
        (1, "product_id"),
        (3, None),
        (4, "device_type"),
    ]


# Flavors


def test_a_flavor_asks_for_aliases_with_counts() -> None:
    first, second, third = asked(" a1 : 2,b1:1,a1:1")
    assert (first.alias_name, first.count, first.request_id, first.numa_policy) == ("a1", 2, "a", NumaPolicy.LEGACY)
    assert (second.alias_name, second.count, second.numa_policy) == ("b1", 1, NumaPolicy.REQUIRED)
    assert (third.alias_name, third.request_id) == ("a1", "c")


def test_a_flavors_policy_goes_before_the_aliases() -> None:
    assert {request.numa_policy for request in asked("a1:1,b1:1", "socket")} == {NumaPolicy.SOCKET}


def test_a_flavor_without_the_extra_spec_asks_for_nothing() -> None:
    assert from_extra_specs({"hw:cpu_policy": "dedicated"}, ALIASES, str) == ()


@pytest.mark.parametrize("text", ["", "a1", "a1:", "a1:x", "a1:1:1", ":1", "a1:-1", "a1:0", "a1:1.0", "a1:²", "c1:1"])
def test_an_item_that_says_no_alias_and_count_is_refused(text: str) -> None:
    assert len(refused(text)) == 1


def test_every_bad_item_is_told_with_its_cure() -> None:
    assert refused("a1:1,a1,c1:1,", "near") == [
        "hw:pci_numa_affinity_policy = near: this is no NUMA policy; write one of required, legacy, preferred, socket",
        "pci_passthrough:alias entry 2 = a1: this is no alias with a count; write alias:count, as in a1:2,b1:1",
        "pci_passthrough:alias entry 3 = c1:1: no alias is called c1; define it in [pci] alias, or use one of: a1, b1",
        'pci_passthrough:alias entry 4 = "": this is no alias with a count; write alias:count, as in a1:2,b1:1',
    ]


# Ports


@pytest.mark.parametrize(
    ("vnic_type", "dev_type"),
    [
        ("direct", DevType.VF),
        ("macvtap", DevType.VF),
        ("virtio-forwarder", DevType.VF),
        ("direct-physical", DevType.PF),
        ("vdpa", DevType.VDPA),
    ],
)
def test_a_port_asks_for_one_device_on_its_network(vnic_type: str, dev_type: DevType) -> None:
    request = from_port(vnic_type, "physnet1", request_id="r", numa_policy=NumaPolicy.REQUIRED)
    assert request == PciRequest(
        request_id="r",
        specs=(Spec(dev_type=dev_type, tags={"physical_network": "physnet1", "remote_managed": "false"}),),
        numa_policy=NumaPolicy.REQUIRED,
        for_port=True,
    )


def test_a_remote_managed_port_asks_for_such_a_device_and_a_trusted_one_for_trust() -> None:
    remote = from_port("remote-managed", None, request_id="r")
    trusted = from_port("direct", None, request_id="r", trusted=True)
    assert remote is not None
    assert trusted is not None
    assert remote.specs[0].tags == {"physical_network": None, "remote_managed": "true"}
    assert trusted.specs[0].tags["trusted"] == "true"


def test_a_normal_port_asks_for_no_device() -> None:
    assert from_port("normal", "physnet1", request_id="r") is None


# What a spec means


def test_a_nic_that_is_not_said_to_be_managed_remotely_is_managed_here() -> None:
    here = Spec(tags={"remote_managed": "False"})
    assert here.is_met_by(VF0, {})
    assert here.is_met_by(VF0, {"remote_managed": "false"})
    assert not here.is_met_by(VF0, {"remote_managed": "true"})
    assert not here.is_met_by(CARD, {})


def test_every_condition_of_a_spec_must_hold() -> None:
    spec = Spec(vendor_id="8086", product_id="1521", dev_type=DevType.PF, tags={"rack": "7"})
    assert spec.is_met_by(PF, {"rack": "7", "zone": "a"})
    assert not spec.is_met_by(PF, {})
    assert not spec.is_met_by(PF._replace(vendor_id="8087"), {"rack": "7"})
    assert not spec.is_met_by(VF0, {"rack": "7"})


anything = st.text() | st.integers() | st.none() | st.binary() | st.booleans()
keys = st.text(max_size=8) | st.sampled_from(
    ["name", "vendor_id", "product_id", "device_type", "numa_policy", "capability_type", "rack", "trusted"]
)
values = st.recursive(anything, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))
dicts = st.dictionaries(keys, values, max_size=5).map(lambda item: json.dumps(item, default=str))


@examples(400, long=100_000)
@given(st.lists(anything | dicts, max_size=4))
def test_no_alias_raises_anything_but_our_refusal(values: list[object]) -> None:
    try:
        parse_aliases(values)
    except ConfigurationRefused as refused:
        assert refused.refusals


@examples(400, long=100_000)
@given(
    st.text() | st.text("a1b:, 0+-", max_size=12), st.none() | st.text() | st.sampled_from([*NumaPolicy, "Required"])
)
def test_no_extra_spec_raises_anything_but_our_refusal(text: str, policy: str | None) -> None:
    try:
        requests = asked(text, policy)
    except RequestRefused as refused:
        assert refused.refusals
    else:
        assert all(request.count > 0 for request in requests)
