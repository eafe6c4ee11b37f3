import pytest
from hypothesis import given
from hypothesis import strategies as st

from pci_agent.errors import InvalidAddress
from pci_agent.model.address import PciAddress

addresses = st.builds(
    PciAddress,
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFF),
    st.integers(0, 0x1F),
    st.integers(0, 7),
)


@given(addresses)
def test_an_address_survives_being_printed_and_parsed(address: PciAddress) -> None:
    assert PciAddress.parse(str(address)) == address


def test_a_domain_above_16_bits_is_an_address() -> None:
    assert PciAddress.parse("10000:00:04.0") == PciAddress(0x10000, 0, 4, 0)


def test_capital_digits_are_the_same_address() -> None:
    assert str(PciAddress.parse("0000:AF:1F.7")) == "0000:af:1f.7"


def test_the_device_name_is_libvirts() -> None:
    assert PciAddress.parse("0000:04:10.0").dev_id == "pci_0000_04_10_0"


def test_a_pf_sorts_before_its_vfs_on_a_higher_bus() -> None:
    texts = ["0000:05:02.0", "0000:04:10.1", "10000:00:00.0", "0000:04:00.0"]
    assert [str(address) for address in sorted(map(PciAddress.parse, texts))] == [
        "0000:04:00.0",
        "0000:04:10.1",
        "0000:05:02.0",
        "10000:00:00.0",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "04:10.0",
        "0000:04:10",
        "0000:04:20.0",
        "0000:04:10.8",
        "0000:04:10.0\n",
        " 0000:04:10.0",
        "١000:04:10.0",
    ],
)
def test_other_text_is_refused_with_the_form_to_write(text: str) -> None:
    with pytest.raises(InvalidAddress, match="as in 0000:04:10.0"):
        PciAddress.parse(text)


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        PciAddress.parse(text)
    except InvalidAddress:
        pass
