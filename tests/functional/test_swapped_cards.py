"""Another card of the same model in the same slot is another device, as far as anything tells the two apart."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hosts import Host
from pci_agent.agent.commands import Commands
from pci_agent.model.claims import Claim, Verdict, Wanted
from pci_agent.model.request import PciRequest, Spec
from pci_agent.tracker.store import Store
from sysfs import FakeSysfs

PF, VF0, VF1 = "0000:04:00.0", "0000:04:10.0", "0000:04:10.4"
FIRST, SECOND = "00:25:90:00:00:01", "00:25:90:00:00:02"
GUEST, REQUEST = "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11", "10000000-0000-4000-8000-000000000000"


def put(sysfs: FakeSysfs, mac: str | None = FIRST, serial_number: str | None = None) -> None:
    """Put a card in, with its VFs switched on; without a MAC it is on vfio-pci."""
    sysfs.add_pf(PF, vfs=[VF0, VF1], serial_number=serial_number)
    if mac is not None:
        sysfs.add_netdev(PF, "enp4s0f0", mac, assigned=0)


def pull(sysfs: FakeSysfs) -> None:
    sysfs.set_numvfs(PF, [])
    sysfs.remove(PF)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host("compute-1", FakeSysfs(tmp_path / "sys"), tmp_path / "agent")


def uuids(host: Host) -> dict[str, str]:
    host.agent.look()
    return {str(item.device.address): item.uuid for item in host.agent.ledger.tracked.values() if item.offered}


def exchange(host: Host, put_in: Callable[[], None], *, looked: bool = True) -> dict[str, str]:
    """Pull the card, and look or not, then put another one in its place."""
    pull(host.sysfs)
    if looked:
        host.agent.look()
    put_in()
    return uuids(host)


@pytest.mark.parametrize("looked", [True, False], ids=["seen empty", "between two looks"])
def test_another_card_in_the_slot_is_another_device_with_other_vfs(host: Host, *, looked: bool) -> None:
    put(host.sysfs)
    host.start()
    before = uuids(host)
    after = exchange(host, lambda: put(host.sysfs, SECOND), looked=looked)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert uuids(host) == after
    host.restart()
    assert uuids(host) == after


def test_each_card_gets_its_own_uuids_back_when_it_returns(host: Host) -> None:
    put(host.sysfs)
    host.start()
    first = uuids(host)
    second = exchange(host, lambda: put(host.sysfs, SECOND))
    assert exchange(host, lambda: put(host.sysfs, FIRST)) == first
    assert exchange(host, lambda: put(host.sysfs, SECOND)) == second
    third = exchange(host, lambda: put(host.sysfs, "00:25:90:00:00:03"))
    assert len({*first.values(), *second.values(), *third.values()}) == 9


def test_a_serial_number_goes_before_a_mac(host: Host) -> None:
    put(host.sysfs, FIRST, "00-00-00-ff-ff-00-00-01")
    host.start()
    before = uuids(host)
    assert exchange(host, lambda: put(host.sysfs, SECOND, "00-00-00-ff-ff-00-00-01")) == before
    assert exchange(host, lambda: put(host.sysfs, SECOND, "00-00-00-ff-ff-00-00-02")) != before


def test_a_card_of_which_nothing_is_known_is_the_one_that_was_there(host: Host) -> None:
    put(host.sysfs)
    host.start()
    before = uuids(host)
    assert exchange(host, lambda: put(host.sysfs, None)) == before


def test_what_was_known_before_a_card_went_to_vfio_still_tells_it_from_another(host: Host) -> None:
    put(host.sysfs)
    host.start()
    before = uuids(host)
    host.sysfs.remove_netdev("enp4s0f0")
    assert uuids(host) == before
    host.restart()
    assert not set(exchange(host, lambda: put(host.sysfs, SECOND)).values()) & set(before.values())


def test_what_was_not_known_at_first_is_learnt(host: Host) -> None:
    put(host.sysfs, None)
    host.start()
    before = uuids(host)
    host.sysfs.add_netdev(PF, "enp4s0f0", FIRST, assigned=0)
    assert uuids(host) == before
    assert exchange(host, lambda: put(host.sysfs, SECOND)) != before


def test_vfs_of_a_pf_that_is_not_offered_itself_are_told_apart_too(host: Host) -> None:
    put(host.sysfs)
    host.start()
    host.reconfigure('{"product_id": "1520"}')
    before = uuids(host)
    assert set(before) == {VF0, VF1}
    assert not set(exchange(host, lambda: put(host.sysfs, SECOND)).values()) & set(before.values())


def test_a_card_in_the_place_of_one_that_is_held_is_not_given_until_that_one_is_freed(
    host: Host, sqlite: Engine
) -> None:
    tracker = Store(sqlite, host_down_s=75)
    put(host.sysfs)
    host.start()
    host.report(tracker)
    commands, ledger = Commands(host.agent), host.agent.ledger
    wanted = Wanted(PciRequest(request_id=REQUEST, specs=(Spec(product_id="1520"),)), 1)
    asked = Claim(instance_uuid=GUEST, wanted=(wanted,), lifetime_s=300)
    assert commands.claim(ledger.agent_uuid, ledger.token.session, asked).outcome.verdict is Verdict.OK
    exchange(host, lambda: put(host.sysfs, SECOND))
    host.report(tracker)
    rows = [(row["address"], row["status"], row["status_reason"]) for row in tracker.devices()]
    assert (VF0, "claimed", "retiring: it is gone from the host") in rows
    assert (VF0, "unavailable", f"{GUEST} holds the one that was at its address") in rows
    assert commands.free(ledger.agent_uuid, REQUEST, 1).outcome.verdict is Verdict.OK
    host.report(tracker)
    assert [row["status"] for row in tracker.devices()] == ["available"] * 3
