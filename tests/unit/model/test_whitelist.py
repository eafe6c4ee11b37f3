import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines import CARD, EVERYTHING, PF, VF0, VF1
from pci_agent.errors import ConfigurationRefused
from pci_agent.model.device import Device
from pci_agent.model.device_spec import parse
from pci_agent.model.names import names_of, remember
from shares import examples


def matched(*values: str) -> list[Device]:
    return [device for device in EVERYTHING if parse(values).match(device, NAMES)]


NAMES = names_of(EVERYTHING, remember(EVERYTHING, {}))


def test_an_empty_whitelist_offers_nothing() -> None:
    assert matched() == []


def test_vendor_and_product_must_both_hold() -> None:
    assert matched('{"vendor_id": "8086", "product_id": "1520"}') == [VF0, VF1]


def test_a_fully_given_address_of_a_pf_takes_its_vfs_along() -> None:
    assert matched('{"address": "0000:04:00.0"}') == [PF, VF0, VF1]


def test_the_other_conditions_are_tested_on_the_vf_itself() -> None:
    assert matched('{"address": "0000:04:00.0", "product_id": "1520"}') == [VF0, VF1]


def test_a_devname_of_a_pf_takes_its_vfs_along() -> None:
    assert matched('{"devname": "enp4s0f0"}') == [PF, VF0, VF1]


def test_a_devname_of_a_vf_is_that_vf_alone() -> None:
    assert matched('{"devname": "enp4s0f0v1"}') == [VF1]


@pytest.mark.parametrize("address", ["*:04:00.*", ":04:00.", "0000:04:00", "04:00.0"])
def test_an_address_with_a_wildcard_never_takes_vfs_along(address: str) -> None:
    assert matched(f'{{"address": "{address}"}}') == [PF]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("*:*:*.*", [PF, VF0, VF1, CARD]),
        ("81:00.0", [CARD]),
        ("0:4:10.4", [VF1]),
        ("10.*", [VF0, VF1]),
        (".4", [VF1]),
        ("0000:81:", [CARD]),
    ],
)
def test_an_address_reads_as_lspcis(address: str, expected: list[Device]) -> None:
    assert matched(f'{{"address": "{address}"}}') == expected


def test_a_regular_expression_matches_whole_fields() -> None:
    assert matched('{"address": {"bus": "0"}}') == []
    assert matched('{"address": {"bus": "0[0-9A-F]", "slot": "1."}}') == [VF0, VF1]


def test_a_dict_without_wildcards_is_a_fully_given_address() -> None:
    assert matched('{"address": {"domain": "0000", "bus": "04", "slot": "00", "function": "0"}}') == [
        PF,
        VF0,
        VF1,
    ]


def test_the_first_entry_that_matches_decides() -> None:
    whitelist = parse(
        [
            '[{"address": "0000:04:10.4", "physical_network": "physnet2"},'
            ' {"vendor_id": "8086", "physical_network": "physnet1"}]',
            '{"address": "*:*:*.*"}',
        ]
    )
    numbers = [entry.number for device in EVERYTHING if (entry := whitelist.match(device, NAMES))]
    assert numbers == [2, 2, 1, 3]


def test_an_excluding_entry_decides_too() -> None:
    entry = parse(['{"address": "0000:04:10.4", "exclude": true}', '{"vendor_id": "8086"}']).match(VF1, NAMES)
    assert entry is not None
    assert entry.exclude


def test_a_vf_whose_pf_cannot_be_read_matches_by_its_pfs_address() -> None:
    assert parse(['{"address": "0000:04:00.0"}']).match(VF0, {}) is not None


def test_an_entry_names_the_first_condition_that_failed() -> None:
    entry = parse(['{"vendor_id": "8086", "product_id": "1520", "devname": "eth9"}']).entries[0]
    assert entry.failed_condition(CARD, {}) == "vendor_id"
    assert entry.failed_condition(PF, {}) == "product_id"
    assert entry.failed_condition(VF0, NAMES) == "devname"


def test_a_devname_that_no_device_bears_is_reported() -> None:
    whitelist = parse(['{"devname": "eth7"}', '{"devname": "enp4s0f0"}', '{"devname": "eth7"}'])
    assert whitelist.unresolved_devnames(NAMES) == ("eth7",)


def test_a_domain_above_16_bits_matches() -> None:
    far = CARD._replace(address=CARD.address._replace(domain=0x10000))
    assert parse(['{"address": "10000:81:00.0"}']).match(far, {}) is not None
    assert parse(['{"address": "0000:81:00.0"}']).match(far, {}) is None


ADDRESSES = ["0000:04:00.0", "0000:04:10.0", "04:10.4", "*:04:10.*", ".0", "*:*:*.*"]
some_entries = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "vendor_id": st.sampled_from(["8086", "10de", "*"]),
            "product_id": st.sampled_from(["1520", "1521", "*"]),
            "exclude": st.booleans(),
        },
    ).flatmap(
        lambda ids: st.sampled_from(
            [{**ids, "address": address} for address in ADDRESSES]
            + [{**ids, "address": {"bus": "0.", "slot": "1."}}]
            + [{**ids, "devname": name} for name in ("enp4s0f0", "enp4s0f0v1", "eth9")]
        )
    ),
    max_size=8,
)


@examples(500, long=20_000)
@given(some_entries)
def test_finding_by_index_is_trying_one_entry_after_the_other(entries: list[dict[str, object]]) -> None:
    try:
        whitelist = parse([json.dumps(entries)])
    except ConfigurationRefused:
        return
    for device in EVERYTHING:
        tried = (entry for entry in whitelist.entries if entry.failed_condition(device, NAMES) is None)
        assert whitelist.match(device, NAMES) is next(tried, None)
