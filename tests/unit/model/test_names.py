from machines import CARD, EVERYTHING, PF, VF0, VF1
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, Netdev
from pci_agent.model.names import MOST_FORMER, names_of, remember


def after(*looks: tuple[Device, ...]) -> dict[str, set[str]]:
    """The names that count in the last of these looks, by address."""
    remembered: dict[str, str] = {}
    for devices in looks:
        remembered = remember(devices, remembered)
    return {str(address): set(names) for address, names in names_of(looks[-1], remembered).items()}


ON_VFIO = VF0._replace(driver="vfio-pci", netdevs=())


def test_a_name_counts_for_who_bears_it() -> None:
    assert after(EVERYTHING) == {
        "0000:04:00.0": {"enp4s0f0"},
        "0000:04:10.0": {"enp4s0f0v0"},
        "0000:04:10.4": {"enp4s0f0v1"},
    }


def test_a_device_that_lost_its_netdev_keeps_the_name() -> None:
    assert after((PF, VF0), (PF, ON_VFIO))["0000:04:10.0"] == {"enp4s0f0v0"}


def test_a_name_that_another_took_over_is_that_ones() -> None:
    thief = VF1._replace(netdevs=(Netdev("enp4s0f0v0", None),))
    names = after((PF, VF0, VF1), (PF, ON_VFIO, thief))
    assert "0000:04:10.0" not in names
    assert names["0000:04:10.4"] == {"enp4s0f0v0", "enp4s0f0v1"}


def test_a_device_that_moved_keeps_the_name() -> None:
    moved_pf = PF._replace(address=PciAddress.parse("0000:05:00.0"))
    moved = ON_VFIO._replace(address=PciAddress.parse("0000:05:10.0"), parent_addr=moved_pf.address)
    assert after((PF, VF0), (moved_pf, moved))["0000:05:10.0"] == {"enp4s0f0v0"}


def test_a_device_that_is_gone_has_no_name_until_it_returns() -> None:
    assert after((PF, VF0, CARD), (PF, CARD)) == {"0000:04:00.0": {"enp4s0f0"}}
    assert after((PF, VF0), (PF,), (PF, ON_VFIO))["0000:04:10.0"] == {"enp4s0f0v0"}


def named(device: Device, name: str) -> Device:
    return device._replace(netdevs=(Netdev(name, None),))


def test_a_device_whose_netdev_is_made_anew_all_day_is_remembered_by_its_newest_names() -> None:
    remembered = remember((PF, VF1), {})
    for number in range(10_000):
        remembered = remember((PF, VF1, named(VF0, f"eth{number}")), remembered)
    assert len(remembered) == 2 + 1 + MOST_FORMER
    now = names_of((PF, VF1, ON_VFIO), remember((PF, VF1, ON_VFIO), remembered))
    assert now[VF0.address] == {f"eth{number}" for number in range(10_000 - MOST_FORMER, 10_000)}
    assert now[PF.address] == {"enp4s0f0"}


def test_a_name_that_is_borne_again_is_its_newest() -> None:
    names = [f"eth{number}" for number in range(MOST_FORMER)]
    looks = [(named(PF, name),) for name in ("eno1", *names, "eno1", "late")]
    assert "eno1" in after(*looks)["0000:04:00.0"]
    assert "eth0" not in after(*looks)["0000:04:00.0"]
