import pytest

from pci_agent.model.versions import is_older


@pytest.mark.parametrize(
    ("version", "than"), [("0.9.3", "0.10.0"), ("0.9", "1.0"), ("1.9.9", "2.0.0rc1"), ("0.1.0.dev7", "0.2.0")]
)
def test_a_lower_minor_or_major_version_is_older(version: str, than: str) -> None:
    assert is_older(version, than)
    assert not is_older(than, version)


@pytest.mark.parametrize(
    ("version", "than"), [("0.1.0", "0.1.9"), ("0.1.0.dev7", "0.1.0"), ("", "0.1.0"), ("banana", "0.1.0"), ("7", "8.0")]
)
def test_a_patch_or_what_is_no_version_is_not(version: str, than: str) -> None:
    assert not is_older(version, than)
    assert not is_older(than, version)
