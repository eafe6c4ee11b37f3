"""What an operator types of what is wanted becomes what REST takes."""

from argparse import ArgumentTypeError
from typing import Any

import pytest

from pci_agent.cli.wanted import asked, by_alias


@pytest.mark.parametrize(
    ("typed", "request_"),
    [
        (
            "count=2,vendor_id=8086,physical_network=physnet1",
            {"count": 2, "specs": [{"vendor_id": "8086", "tags": {"physical_network": "physnet1"}}]},
        ),
        (
            "id=r1, product_id=1520,type=type-VF,tag:rack=7,numa_policy=required",
            {
                "request_id": "r1",
                "numa_policy": "required",
                "specs": [{"product_id": "1520", "dev_type": "type-VF", "tags": {"rack": "7"}}],
            },
        ),
        ("alias=nic,count=3", {"alias": "nic", "count": 3}),
        (
            "vnic_type=direct,physical_network=physnet1,trusted=true",
            {"port": {"vnic_type": "direct", "physical_network": "physnet1", "trusted": True}},
        ),
        ("count=1", {"count": 1, "specs": [{}]}),
        (' {"alias": "nic"}', {"alias": "nic"}),
    ],
)
def test_a_request_is_words_with_values(typed: str, request_: dict[str, Any]) -> None:
    assert asked(typed) == request_


def test_an_alias_may_have_a_count() -> None:
    assert by_alias("nic") == {"alias": "nic", "count": 1}
    assert by_alias("nic:2") == {"alias": "nic", "count": 2}
    with pytest.raises(ArgumentTypeError, match="'many' is no whole number"):
        by_alias("nic:many")


@pytest.mark.parametrize(
    ("typed", "cure"),
    [
        ("", "write WORD=VALUE"),
        ("count", "write WORD=VALUE"),
        ("vendor_id=", "write WORD=VALUE"),
        ("count=two", "'two' is no whole number"),
        ("vendorid=8086", "vendorid: no such word"),
        ("alias=nic,vendor_id=8086", "leave out what else says it"),
        ("alias=nic,rack=7", "rack: no such word"),
        ("vnic_type=direct,trusted=yes", "write true or false"),
        ("vnic_type=direct,vendor_id=8086", "not beside the others"),
        ("count=1,count=2", "stands there twice"),
        ("{", "is no JSON object"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_cure(typed: str, cure: str) -> None:
    with pytest.raises(ArgumentTypeError, match=cure):
        asked(typed)
