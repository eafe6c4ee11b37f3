import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pci_agent.errors import ConfigurationRefused, Refusal
from pci_agent.model.device_spec import parse, written
from shares import examples


def refusals(*values: str) -> tuple[Refusal, ...]:
    with pytest.raises(ConfigurationRefused) as caught:
        parse(values)
    return caught.value.refusals


def test_physical_network_and_other_tags_are_kept() -> None:
    entry = parse(
        ['{"vendor_id": "0x8086", "product_id": "10ED", "physical_network": "physnet1", "rack": "7"}']
    ).entries[0]
    assert (entry.vendor_id, entry.product_id) == ("8086", "10ed")
    assert entry.tags == {"physical_network": "physnet1", "rack": "7"}


def test_a_boolean_tag_becomes_text_and_only_physical_network_may_be_null() -> None:
    entry = parse(['{"vendor_id": "8086", "trusted": true, "physical_network": null}']).entries[0]
    assert entry.tags == {"trusted": "true", "physical_network": None}
    assert [refusal.key for refusal in refusals('{"vendor_id": "8086", "rack": null}')] == ["rack"]


@pytest.mark.parametrize("tag", ["managed", "trusted", "remote_managed", "live_migratable", "one_time_use"])
def test_novas_own_switches_are_true_or_false_however_they_are_written(tag: str) -> None:
    for written_as, read in ((True, "true"), ("True", "true"), ("1", "true"), ("no", "false"), (False, "false")):
        entry = parse([json.dumps({"vendor_id": "8086", tag: written_as})]).entries[0]
        assert entry.tags == {tag: read}


def test_what_is_meant_for_placement_is_kept_as_text() -> None:
    entry = parse(['{"vendor_id": "8086", "resource_class": "CUSTOM_QAT", "traits": "CUSTOM_A,CUSTOM_B"}']).entries[0]
    assert entry.tags == {"resource_class": "CUSTOM_QAT", "traits": "CUSTOM_A,CUSTOM_B"}


def test_an_entry_may_offer_what_the_host_uses() -> None:
    assert parse(['{"vendor_id": "8086", "allow_host_use": true}']).entries[0].allow_host_use
    assert not parse(['{"vendor_id": "8086"}']).entries[0].allow_host_use


@pytest.mark.parametrize(
    ("beside", "vendor_id", "product_id"),
    [('"product_id": "1520"', "8086", "1520"), ('"vendor_id": "1137"', "1137", "8086")],
)
def test_the_juno_specs_device_id_stands_for_the_id_that_is_missing(
    beside: str, vendor_id: str, product_id: str
) -> None:
    entry = parse([f'{{"device_id": "8086", {beside}}}']).entries[0]
    assert (entry.vendor_id, entry.product_id) == (vendor_id, product_id)


@pytest.mark.parametrize(
    "value",
    ["{}", '{"vendor_id": "*"}', '{"address": ""}', '{"address": "*"}', '{"address": {}}', '{"devname": ""}',
     '{"address": {"bus": ".*"}}', '{"address": {"bus": ".+"}}', '{"address": {"bus": "[0-9a-f]*", "slot": "(?x) .*"}}',
     '{"physical_network": "physnet1"}', '{"device_id": "*"}'],
)  # fmt: skip
def test_an_entry_that_constrains_nothing_is_refused(value: str) -> None:
    assert [refusal.what for refusal in refusals(value)] == [
        "it constrains nothing, so it would offer every device of the host"
    ]


def test_parts_of_an_address_are_tags_like_any_other() -> None:
    assert parse(['{"vendor_id": "8086", "slot": "upper"}']).entries[0].tags == {"slot": "upper"}


def test_everything_can_be_offered_by_saying_so() -> None:
    assert len(parse(['{"address": "*:*:*.*"}']).entries) == 1


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("adress", "address"),
        ("vendor-id", "vendor_id"),
        ("Product_ID", "product_id"),
        ("physical_netwrok", "physical_network"),
        ("dev_name", "devname"),
        ("exlude", "exclude"),
    ],
)
def test_a_slip_of_the_pen_is_refused_with_the_right_spelling(key: str, meant: str) -> None:
    (refusal,) = refusals(json.dumps({"vendor_id": "8086", key: "0000:04:00.0"}))
    assert (refusal.key, refusal.cure) == (key, f"did you mean {meant}?")


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ('{"vendor_id": 8086}', "vendor_id"),
        ('{"vendor_id": "-1"}', "vendor_id"),
        ('{"vendor_id": "1_0"}', "vendor_id"),
        ('{"vendor_id": "18086"}', "vendor_id"),
        ('{"product_id": ""}', "product_id"),
        ('{"device_id": "8086"}', "device_id"),
        ('{"device_id": "8086", "vendor_id": "8086", "product_id": "1520"}', "device_id"),
        ('{"address": "1:0000:0a:00.1"}', "address"),
        ('{"address": "0000:0a:20.0"}', "address"),
        ('{"address": "0000:0a:0x1.0"}', "address"),
        ('{"address": "0*:0a:00.0"}', "address"),
        ('{"address": 5}', "address"),
        ('{"address": {"bus": "("}}', "address"),
        ('{"address": {"bus": "(?u)0a"}}', "address"),
        ('{"vendor_id": "8086", "allow_host_use": "yes"}', "allow_host_use"),
        ('{"vendor_id": "8086", "allow_host_use": true, "exclude": true}', "allow_host_use"),
        ('{"vendor_id": "8086", "managed": "maybe"}', "managed"),
        ('{"vendor_id": "8086", "trusted": null}', "trusted"),
        ('{"vendor_id": "8086", "one_time_use": 2}', "one_time_use"),
        ('{"vendor_id": "8086", "traits": ""}', "traits"),
        ('{"vendor_id": "8086", "resource_class": 5}', "resource_class"),
        ('{"vendor_id": "8086", "Dev_Type": "1"}', "Dev_Type"),
        ('{"vendor_id": "8086", "rack": "\\ud800"}', None),
        ('{"address": {"bus": 4}}', "address"),
        ('{"address": {"func": "0"}}', "address"),
        ('{"devname": "eth0", "address": "0000:04:00.0"}', "devname"),
        ('{"devname": 0}', "devname"),
        ('{"devname": "eth0 "}', "devname"),
        ('{"devname": " "}', "devname"),
        ('{"address": {"bus": "[[a]"}}', "address"),
        ('{"vendor_id": "8086", "rack": "a\\u0000b"}', "rack"),
        ('{"vendor_id": "8086", "ra\\nck": "7"}', "ra\nck"),
        ('{"vendor_id": "8086", "exclude": "yes"}', "exclude"),
        ('{"vendor_id": "8086", "exclude": true, "rack": "7"}', "rack"),
        ('{"vendor_id": "8086", "rack": ["7"]}', "rack"),
        ('{"vendor_id": "8086", "numa_node": "1"}', "numa_node"),
        ('{"vendor_id": "8086", "": "1"}', ""),
        ('{"vendor_id": "8086", "vendor_id": "8087"}', "vendor_id"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_key(value: str, key: str | None) -> None:
    assert [refusal.key for refusal in refusals(value)] == [key]


@pytest.mark.parametrize(
    "value", ["", "abc", "5", "null", "{", '{"vendor_id": "8086",}', "[1]", "[[{}]]", "[" * 100_000]
)
def test_what_is_no_json_dict_is_refused_whole(value: str) -> None:
    (refusal,) = refusals(value)
    assert refusal.key is None
    assert "JSON dict" in refusal.cure


def test_all_errors_of_all_entries_are_told_at_once() -> None:
    told = refusals('{"vendor_id": "x", "product_id": "y"}', '{"vendor_id": "8086"}', "nonsense", '[{"adress": "1"}]')
    assert [(refusal.entry, refusal.key) for refusal in told] == [
        (1, "vendor_id"),
        (1, "product_id"),
        (3, None),
        (4, "adress"),
    ]


def test_an_error_says_option_entry_key_value_and_cure() -> None:
    (refusal,) = refusals('{"vendor_id": "8086"}', '{"vendor_id": "80861"}')
    assert str(refusal) == (
        '[pci] device_spec entry 2, vendor_id = "80861": this is no PCI id;'
        ' write 1 to 4 hex digits in quotes, as in "8086", or "*"'
    )


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
keys = st.text(max_size=12) | st.sampled_from(("vendor_id", "product_id", "device_id", "address", "devname", "exclude"))
entries = st.dictionaries(keys, st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner)))
anything = (
    st.text()
    | entries.map(json.dumps)
    | st.lists(entries).map(json.dumps)
    | scalars
    | st.binary()
    | st.integers(1, 200_000).map(lambda depth: "[" * depth)
    | st.integers(1, 3_000).map(lambda depth: '{"a":' * depth + "1" + "}" * depth)
    | st.integers(1, 6_000).map(lambda digits: '{"vendor_id":' + "9" * digits + "}")
)


@examples(400, long=100_000)
@given(st.lists(anything, max_size=4))
def test_no_input_raises_anything_but_our_refusal(values: list[object]) -> None:
    try:
        parse(values)
    except ConfigurationRefused as refused:
        assert refused.refusals
        assert all(refusal.what and refusal.cure for refusal in refused.refusals)


ids = st.sampled_from(["8086", "0x8086", "86", " 8086 ", "10DE", "*"])
globs = st.builds(
    lambda fields, function: ":".join(fields) + function,
    st.lists(st.sampled_from(["", "*", "0", "0000", "0a", "1F", " 4 ", "10"]), max_size=3),
    st.sampled_from(["", ".", ".*", ".0", ".7"]),
)
patterns = st.dictionaries(
    st.sampled_from(["domain", "bus", "slot", "function"]),
    st.sampled_from([".*", "0a", "0[ab]", "1.", "[0-3]", "0", "(?i)0A", ""]),
)
tags = st.dictionaries(
    st.sampled_from(["physical_network", "rack", "zone", "rôle", "trusted", "managed", "traits"]),
    st.sampled_from(["true", "false", "a b", "Ü"]) | st.booleans(),
)


@examples(400, long=20_000)
@given(
    st.dictionaries(st.sampled_from(["vendor_id", "product_id"]), ids),
    st.none() | globs | patterns,
    st.sampled_from([{}, {"devname": "eth0"}, {"exclude": True}, {"allow_host_use": True}]),
    tags,
)
def test_what_is_accepted_survives_being_written_and_read(
    named: dict[str, object], address: object, more: dict[str, object], tags: dict[str, object]
) -> None:
    try:
        (entry,) = parse([json.dumps({**named, "address": address, **more, **tags})]).entries
    except ConfigurationRefused:
        return
    (again,) = parse([written(entry)]).entries
    assert again == entry
    assert written(again) == written(entry)


def test_a_tag_of_any_length_is_none() -> None:
    for item in ({"rack": "x" * 256}, {"x" * 256: "7"}):
        assert len(refusals(json.dumps({"vendor_id": "8086", **item}))) == 1


def test_a_dict_of_numbers_that_are_not_padded_is_one_of_regular_expressions() -> None:
    (entry,) = parse(['{"address": {"domain": "0", "bus": "a", "slot": "0", "function": "0"}}']).entries
    assert entry.address is not None
    assert entry.address.exact is None


def test_an_entry_is_written_in_full() -> None:
    values = [
        '{"product_id": "1a", "address": "a:0.1", "physical_network": null, "trusted": true}',
        '{"address": {"bus": "0[AB]"}, "exclude": true}',
        '{"address": "*:*:*.*", "allow_host_use": true}',
    ]
    assert [json.loads(written(entry)) for entry in parse(values).entries] == [
        {"product_id": "001a", "address": "*:0a:00.1", "physical_network": None, "trusted": "true"},
        {"address": {"domain": ".*", "bus": "0[AB]", "slot": ".*", "function": ".*"}, "exclude": True},
        {"address": "*:*:*.*", "allow_host_use": True},
    ]
