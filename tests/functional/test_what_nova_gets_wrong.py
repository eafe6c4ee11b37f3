"""
What operators of nova have to live with, by name, each here as it is with us: from sysfs to the tracker's rows.

D1 to D4 are defects of nova 34.0.0's PCI code; the rows are what its bug tracker is full of. Each docstring says what
nova does. An agent on its own store commands a host in a directory, and reports to a real tracker's store.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hosts import EVERYTHING, Host
from pci_agent.agent.commands import Commands, Done
from pci_agent.agent.identity import Machine
from pci_agent.discovery.domains import Domain, Holding, How, Reading
from pci_agent.errors import ConfigurationRefused
from pci_agent.model.address import PciAddress
from pci_agent.model.claims import Claim, Verdict, Wanted
from pci_agent.model.device import DevType
from pci_agent.model.reality import Habits
from pci_agent.model.request import PciRequest, Spec, from_port
from pci_agent.tracker.store import Store
from pci_agent.wire.messages import Token
from sysfs import FakeSysfs

PF, VF0, VF1, CARD = "0000:04:00.0", "0000:04:10.0", "0000:04:10.4", "0000:81:00.0"
INSTANCE, OTHER = "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11", "0f1d2c3b-5a69-4788-8796-a5b4c3d2e1f0"
LIFETIME_S = 300.0
A_VF = Spec(vendor_id="8086", product_id="1520")
A_PF = Spec(vendor_id="8086", product_id="1521", dev_type=DevType.PF)
A_CARD = Spec(vendor_id="10de")
NOTHING = Spec(vendor_id="ffff")

OK, NO_FIT, GONE, FREED = Verdict.OK, Verdict.NO_FIT, Verdict.GONE, Verdict.FREED


def wants(name: str, spec: Spec, count: int = 1) -> PciRequest:
    return PciRequest(request_id=name, count=count, specs=(spec,))


@dataclass
class Compute:
    """A hypervisor and the tracker that it reports to after each step."""

    host: Host
    tracker: Store

    @property
    def sysfs(self) -> FakeSysfs:
        return self.host.sysfs

    def look(self) -> None:
        self.host.agent.look()
        self.host.report(self.tracker)

    def offers(self, *specs: str) -> None:
        self.host.reconfigure(*specs)
        self.host.report(self.tracker)

    def restart(self) -> None:
        self.host.restart()
        self.host.report(self.tracker)

    @property
    def token(self) -> Token:
        return self.host.agent.ledger.token

    @property
    def _agent_uuid(self) -> str:
        return self.host.agent.ledger.agent_uuid

    def _told(self, done: Done) -> Verdict:
        self.host.report(self.tracker)
        return done.outcome.verdict

    def claim(self, *requests: PciRequest, instance: str = INSTANCE, attempt: int = 1) -> Verdict:
        wanted = tuple(Wanted(each, attempt) for each in requests)
        asked = Claim(instance_uuid=instance, wanted=wanted, lifetime_s=LIFETIME_S)
        return self._told(Commands(self.host.agent).claim(self._agent_uuid, self.token.session, asked))

    def allocate(self, name: str, attempt: int = 1) -> Verdict:
        return self._told(Commands(self.host.agent).allocate(self._agent_uuid, name, attempt))

    def free(self, name: str, attempt: int = 1) -> Verdict:
        return self._told(Commands(self.host.agent).free(self._agent_uuid, name, attempt))

    def give(self, name: str, spec: Spec, instance: str = INSTANCE) -> None:
        assert self.claim(wants(name, spec), instance=instance) is OK
        assert self.allocate(name) is OK

    def rows(self) -> dict[str, str]:
        """Every device's status at the tracker, by address."""
        return {row["address"]: row["status"] for row in self.tracker.devices()}

    def reason(self, address: str) -> str | None:
        told: dict[str, str | None] = {row["address"]: row["status_reason"] for row in self.tracker.devices()}
        return told[address]

    def uuids(self) -> dict[str, str]:
        return {row["address"]: row["uuid"] for row in self.tracker.devices()}

    def holder(self, name: str) -> set[str]:
        """The addresses of what a request holds."""
        return {row["address"] for row in self.tracker.devices() if row["request_id"] == name}

    def stats(self) -> list[Mapping[str, object]]:
        (row,) = self.tracker.hypervisors()
        pools: list[Mapping[str, object]] = row["pci_stats"]
        return pools

    def counts(self) -> dict[str, tuple[int, int]]:
        """How many are free, and how many there are, by type."""
        counted: dict[str, tuple[int, int]] = {}
        for pool in self.stats():
            free, total = counted.get(str(pool["dev_type"]), (0, 0))
            counted[str(pool["dev_type"])] = (free + int(str(pool["free"])), total + int(str(pool["total"])))
        return counted

    def status(self) -> Mapping[str, list[object]]:
        (row,) = self.tracker.hypervisors()
        told: Mapping[str, list[object]] = row["agent_status"]
        return told


ALL_FREE = {"type-PF": (1, 1), "type-VF": (2, 2), "type-PCI": (1, 1)}


@pytest.fixture
def compute(host: Host, sqlite: Engine) -> Compute:
    host.sysfs.add(CARD, "10de:25b6", pci_class="30200", numa_node=1)
    host.start()
    made = Compute(host, Store(sqlite, host_down_s=75))
    host.report(made.tracker)
    assert made.counts() == ALL_FREE
    return made


def running(address: str, instance: str) -> Reading:
    held = (Holding(PciAddress.parse(address), How.HOSTDEV),)
    domain = Domain(uuid=instance, name="guest", active=True, persistent=True, live=held, defined=held, complete=True)
    return Reading((domain,), (), ())


# D1


def test_d1_a_claim_of_several_requests_that_fails_takes_nothing_away(compute: Compute) -> None:
    """
    D1: nova puts the VF of the first request back after the second one failed, but not the PF that went with it.

    The PF is available and in no pool until nova-compute is restarted.
    """
    before = compute.token
    assert compute.claim(wants("vf", A_VF), wants("no", NOTHING)) is NO_FIT
    assert compute.claim(wants("pf", A_PF), wants("no", NOTHING)) is NO_FIT
    assert compute.token == before, "nothing was written either"
    assert compute.counts() == ALL_FREE
    assert compute.claim(wants("pf", A_PF)) is OK


# D2


def test_d2_a_free_device_that_is_at_another_numa_node_now_is_counted_and_given_there(compute: Compute) -> None:
    """
    D2: nova leaves the device in the pool of its old node; when it vanishes the sync dies with PciDevicePoolEmpty.
    """
    (compute.sysfs.place(PF) / "numa_node").write_text("1\n")
    compute.look()
    assert {pool["numa_node"] for pool in compute.stats()} == {1}
    compute.sysfs.set_numvfs(PF, [])
    compute.look()
    assert compute.counts() == {"type-PF": (1, 1), "type-PCI": (1, 1)}
    compute.give("pf", A_PF)
    assert compute.counts() == {"type-PF": (0, 1), "type-PCI": (1, 1)}


def test_d2_a_free_device_with_another_product_id_is_counted_by_that_one_and_may_go(compute: Compute) -> None:
    """D2: nova leaves it in the pool of its old product_id, promises it as that, and fails when it goes."""
    compute.sysfs.remove(CARD)
    compute.sysfs.add(CARD, "10de:25b7", pci_class="30200", numa_node=1)
    compute.look()
    assert [pool["product_id"] for pool in compute.stats() if pool["dev_type"] == "type-PCI"] == ["25b7"]
    assert compute.claim(wants("old", Spec(vendor_id="10de", product_id="25b6"))) is NO_FIT
    compute.sysfs.remove(CARD)
    compute.look()
    assert compute.counts() == {"type-PF": (1, 1), "type-VF": (2, 2)}
    assert compute.claim(wants("vf", A_VF, 2)) is OK


# D3


def test_d3_vfs_that_return_while_their_pf_is_held_are_no_capacity(compute: Compute) -> None:
    """D3: nova makes them available; the claim that the scheduler sends dies, and after the free there are 3 of 2."""
    compute.give("pf", A_PF)
    compute.sysfs.set_numvfs(PF, [])
    compute.look()
    assert compute.rows() == {PF: "allocated", CARD: "available"}
    compute.sysfs.set_numvfs(PF, [VF0, VF1])
    compute.look()
    assert compute.rows() == {PF: "allocated", VF0: "unavailable", VF1: "unavailable", CARD: "available"}
    assert compute.counts() == {"type-PF": (0, 1), "type-VF": (0, 2), "type-PCI": (1, 1)}
    assert compute.claim(wants("vf", A_VF), instance=OTHER) is NO_FIT
    assert compute.free("pf") is OK
    assert compute.counts() == ALL_FREE


def test_d3_a_pf_that_is_listed_again_while_a_vf_of_it_is_held_is_no_capacity(compute: Compute) -> None:
    """D3: nova makes the PF available beside its allocated VF, and its claim dies with PciDeviceVFInvalidStatus."""
    compute.give("vf", A_VF)
    compute.offers('{"product_id": "1520"}')
    assert PF not in compute.rows()
    compute.offers(EVERYTHING)
    assert compute.rows()[PF] == "unavailable"
    assert compute.claim(wants("pf", A_PF), instance=OTHER) is NO_FIT
    assert compute.free("vf") is OK
    assert compute.counts() == ALL_FREE


def test_d3_a_card_that_is_pulled_and_put_back_under_a_guest_has_one_holder(compute: Compute) -> None:
    """D3: nova drops the PF though its VF is in use, and offers it anew when it returns."""
    compute.give("vf", A_VF)
    (held,) = compute.holder("vf")
    before = compute.uuids()
    compute.sysfs.set_numvfs(PF, [])
    compute.sysfs.remove(PF)
    compute.look()
    assert compute.rows() == {held: "allocated", CARD: "available"}
    compute.sysfs.add_pf(PF, vfs=[VF0, VF1], numa_node=0, netdev="enp4s0f0")
    compute.look()
    assert compute.uuids() == before
    assert (compute.rows()[PF], compute.rows()[held], compute.reason(held)) == ("unavailable", "allocated", None)
    assert compute.counts()["type-VF"] == (1, 2)


# D4


def test_d4_two_claims_of_one_instance_are_both_allocated_and_both_freed(compute: Compute) -> None:
    """D4: nova's second claim overwrites the first one's devices, which nothing reaches any more until a restart."""
    assert compute.claim(wants("flavor", A_CARD)) is OK
    assert compute.claim(wants("port", A_VF)) is OK
    assert compute.allocate("flavor") is OK
    assert compute.allocate("port") is OK
    assert compute.rows()[CARD] == "allocated"
    assert (compute.free("flavor"), compute.free("port")) == (OK, OK)
    assert compute.counts() == ALL_FREE


def test_d4_two_claims_of_one_instance_that_are_given_up_leave_nothing_claimed(compute: Compute) -> None:
    """D4: in nova the first claim's devices stay claimed when the migration that asked for them fails."""
    assert compute.claim(wants("flavor", A_CARD)) is OK
    assert compute.claim(wants("port", A_VF)) is OK
    assert (compute.free("port"), compute.free("flavor")) == (OK, OK)
    assert compute.counts() == ALL_FREE


# Row 1: removed from the host or the whitelist while allocated


def test_row_1_what_leaves_the_whitelist_while_it_is_held_retires_and_is_never_given_again(compute: Compute) -> None:
    """Row 1: nova gave the freed device to the next one though no entry offers it, until nova-compute was restarted."""
    compute.give("vf", A_VF)
    (held,) = compute.holder("vf")
    compute.offers(f'{{"address": "{held}", "exclude": true}}', EVERYTHING)
    assert compute.rows()[held] == "allocated"
    assert compute.reason(held) == "retiring: the whitelist doesn't offer it any more"
    compute.restart()
    assert compute.reason(held) == "retiring: the whitelist doesn't offer it any more"
    assert compute.free("vf") is OK
    assert held not in compute.rows()
    assert compute.claim(wants("two", A_VF, 2), instance=OTHER) is NO_FIT
    assert compute.claim(wants("one", A_VF), instance=OTHER) is OK
    assert compute.holder("one") == {VF0, VF1} - {held}


def test_row_1_what_leaves_the_host_while_it_is_held_can_be_freed(compute: Compute) -> None:
    """Row 1: nova's rows were deleted by force, and the instance that had the device couldn't be deleted."""
    compute.give("card", A_CARD)
    compute.sysfs.remove(CARD)
    compute.look()
    assert (compute.rows()[CARD], compute.reason(CARD)) == ("allocated", "retiring: it is gone from the host")
    compute.restart()
    assert compute.holder("card") == {CARD}
    assert compute.claim(wants("next", A_CARD), instance=OTHER) is NO_FIT
    assert compute.free("card") is OK
    assert CARD not in compute.rows()


def test_row_1_a_whitelist_that_offers_nothing_by_mistake_takes_nothing_from_anybody(compute: Compute) -> None:
    """Row 1: one mistake in nova's whitelist deleted the rows of all devices, allocated ones too."""
    compute.give("vf", A_VF)
    compute.give("card", A_CARD, OTHER)
    before, uuids = compute.rows(), compute.uuids()
    compute.offers('{"vendor_id": "8068"}')
    assert set(compute.rows().values()) == {"allocated"}
    compute.restart()
    assert set(compute.rows()) == compute.holder("vf") | compute.holder("card")
    compute.offers(EVERYTHING)
    assert (compute.rows(), compute.uuids()) == (before, uuids)


# Row 2: removed devices


def test_row_2_all_that_left_is_gone_after_one_look_in_one_transaction_and_one_report(
    tmp_path: Path, sysfs: FakeSysfs, sqlite: Engine
) -> None:
    """Row 2: nova took removed devices from the list that it was walking, so that each save deleted half of them."""
    vfs = [f"0000:04:{number >> 3:02x}.{number & 7}" for number in range(8, 72)]
    sysfs.add_pf(PF, vfs=vfs)
    host = Host("compute-1", sysfs, tmp_path / "agent")
    host.start()
    compute = Compute(host, Store(sqlite, host_down_s=75))
    host.report(compute.tracker)
    assert compute.counts() == {"type-PF": (1, 1), "type-VF": (64, 64)}
    statements: list[str] = []
    host.store._database.set_trace_callback(statements.append)
    sysfs.set_numvfs(PF, [])
    host.agent.look()
    assert statements.count("COMMIT") == 1
    assert len(host.report(compute.tracker)) == 1
    assert compute.rows() == {PF: "available"}
    compute.restart()
    assert compute.rows() == {PF: "available"}
    host.stop()


# Row 3: no change while it runs


def test_row_3_vfs_that_are_made_while_it_runs_are_given_without_a_restart(compute: Compute) -> None:
    """Row 3: nova looks once in the life of nova-compute; what comes later isn't there until a restart."""
    session, generation = compute.token.session, compute.token.generation
    compute.sysfs.set_numvfs(PF, [VF0, VF1, "0000:04:11.0"])
    compute.look()
    assert (compute.token.session, compute.token.generation) == (session, generation + 1)
    assert compute.claim(wants("three", A_VF, 3)) is OK


def test_row_3_a_driver_a_node_and_a_netdev_that_change_while_it_runs_show(compute: Compute) -> None:
    """Row 3: in nova such a change shows after a restart of nova-compute."""
    compute.sysfs.bind(VF0, "vfio-pci")
    compute.sysfs.add_netdev(VF1, "enp4s0f0v1")
    (compute.sysfs.place(CARD) / "numa_node").write_text("0\n")
    compute.look()
    rows = {row["address"]: row for row in compute.tracker.devices()}
    assert rows[VF0]["extra_info"]["driver"] == "vfio-pci"
    assert rows[VF1]["extra_info"]["netdevs"] == "enp4s0f0v1"
    assert rows[CARD]["numa_node"] == 0


def test_row_3_what_is_gone_since_the_last_look_is_not_given(compute: Compute) -> None:
    """Row 3: nova gives what it found at its start, and the guest fails to start."""
    compute.sysfs.set_numvfs(PF, [VF1])
    assert compute.claim(wants("vf", A_VF)) is OK
    assert compute.holder("vf") == {VF1}
    compute.sysfs.remove(CARD)
    assert compute.claim(wants("card", A_CARD)) is NO_FIT


# Row 5: devname


DEVNAME = '{"devname": "enp4s0f0", "physical_network": "physnet1"}'


def test_row_5_a_netdev_name_holds_when_its_device_goes_to_vfio_over_a_restart_too(compute: Compute) -> None:
    """Row 5: to nova the name is gone with the netdev, the entry matches nothing, and says so to nobody."""
    compute.offers(DEVNAME)
    assert set(compute.rows()) == {PF, VF0, VF1}
    compute.sysfs.remove_netdev("enp4s0f0")
    compute.look()
    compute.restart()
    assert set(compute.rows()) == {PF, VF0, VF1}
    compute.give("pf", A_PF)
    compute.look()
    assert (compute.rows()[PF], compute.reason(PF)) == ("allocated", None)


def test_row_5_a_netdev_that_is_renamed_is_still_meant_until_another_bears_its_name(compute: Compute) -> None:
    """Row 5: nova's entry means whatever bears the name at the moment; a rename moves or loses it silently."""
    compute.offers(DEVNAME)
    compute.sysfs.remove_netdev("enp4s0f0")
    compute.sysfs.add_netdev(PF, "uplink0")
    compute.look()
    assert set(compute.rows()) == {PF, VF0, VF1}
    compute.sysfs.add_netdev(CARD, "enp4s0f0")
    compute.look()
    assert set(compute.rows()) == {CARD}


def test_row_5_a_name_that_no_device_bears_is_told_to_the_tracker(compute: Compute) -> None:
    """Row 5: nova says nothing of an entry whose netdev isn't there."""
    compute.offers(DEVNAME, '{"devname": "enp9s0"}')
    assert compute.status()["unresolved_devnames"] == ["enp9s0"]
    compute.sysfs.add_netdev(CARD, "enp9s0")
    compute.look()
    assert compute.status()["unresolved_devnames"] == []
    assert set(compute.rows()) == {PF, VF0, VF1, CARD}


# Row 6: PF and VF flips


def test_row_6_a_card_that_becomes_a_pf_is_counted_as_one_and_not_given_as_a_card(compute: Compute) -> None:
    """Row 6: nova left the device in the pool of type-PCI."""
    before = compute.uuids()
    compute.sysfs.remove(CARD)  # its firmware was told, and it was taken off the bus and found again
    compute.sysfs.add(CARD, "10de:25b6", pci_class="30200", totalvfs=16)
    compute.look()
    assert compute.counts() == {"type-PF": (2, 2), "type-VF": (2, 2)}
    assert compute.uuids() == before
    assert compute.claim(wants("card", A_CARD)) is NO_FIT
    assert compute.claim(wants("pf", Spec(vendor_id="10de", dev_type=DevType.PF))) is OK


def test_row_6_what_the_store_says_of_a_status_is_never_believed(compute: Compute) -> None:
    """Row 6: nova believes its rows: VFs stay unavailable beside their available PF, and claims find empty pools."""
    compute.host.stop()
    with closing(sqlite3.connect(compute.host.state_dir / "agent.sqlite")) as database, database:
        changed = database.execute(
            "UPDATE device SET tracked = json_set(tracked, '$.status', 'unavailable', '$.status_reason', 'its PF')"
            " WHERE tracked LIKE '%type-VF%'"
        )
        assert changed.rowcount == 2
    compute.host.start()
    compute.host.report(compute.tracker)
    assert compute.counts() == ALL_FREE
    assert compute.claim(wants("two", A_VF, 2)) is OK


def test_row_6_vfs_of_a_pf_with_a_held_vf_may_come_and_go(compute: Compute) -> None:
    """Row 6: nova's counts drifted with each change of sriov_numvfs beside an allocation."""
    compute.give("vf", A_VF)
    (held,) = compute.holder("vf")
    for vfs in ([held], [held, VF1 if held == VF0 else VF0], [], [VF0, VF1]):
        compute.sysfs.set_numvfs(PF, sorted(vfs))
        compute.look()
        assert compute.rows()[PF] == "unavailable"
        assert compute.counts()["type-PF"] == (0, 1)
    assert compute.counts()["type-VF"] == (1, 2)
    assert compute.free("vf") is OK
    assert compute.counts() == ALL_FREE


# Row 7: leaked and stale claims


def test_row_7_a_claim_that_nobody_allocates_ends_over_a_restart_too(compute: Compute) -> None:
    """Row 7: nova's claim of a build that failed stays until somebody finds it."""
    assert compute.claim(wants("vf", A_VF)) is OK
    compute.restart()
    assert compute.rows()[PF] == "unclaimable"
    compute.host.boottime += LIFETIME_S + 1
    compute.look()
    assert compute.counts() == ALL_FREE
    assert compute.allocate("vf") is GONE
    assert compute.claim(wants("vf", A_VF)) is FREED, "the claim that was repeated too late holds nothing"


def test_row_7_a_claims_time_begins_anew_after_a_reboot_and_ends(compute: Compute) -> None:
    """Row 7: nova's claims outlive the reboot that ended the build."""
    assert compute.claim(wants("vf", A_VF)) is OK
    compute.host.machine = Machine(compute.host.machine.machine_id, None, "the next boot")
    compute.host.boottime = 5.0
    compute.restart()
    assert len(compute.holder("vf")) == 1
    compute.host.boottime += LIFETIME_S + 1
    compute.look()
    assert compute.counts() == ALL_FREE


def test_row_7_a_free_may_be_repeated_and_a_late_claim_does_not_undo_it(compute: Compute) -> None:
    """Row 7: a reschedule that overtakes its clean-up leaves nova's device claimed on the host that was given up."""
    assert compute.free("vf", attempt=1) is OK
    assert compute.claim(wants("vf", A_VF), attempt=1) is FREED
    assert compute.claim(wants("vf", A_VF), attempt=2) is OK
    assert (compute.free("vf", attempt=2), compute.free("vf", attempt=2)) == (OK, OK)
    assert compute.counts() == ALL_FREE


@pytest.mark.parametrize("repair", [False, True])
def test_row_7_an_allocation_without_any_domain_shows_as_leaked_or_is_freed(compute: Compute, *, repair: bool) -> None:
    """Row 7: nova's allocation of an instance that is archived or was never built stays, and nothing shows it."""
    compute.host.habits = Habits(free_leaked=repair)
    compute.restart()
    compute.give("card", A_CARD)
    compute.look()
    compute.host.boottime += 601
    compute.look()
    assert compute.rows()[CARD] == ("available" if repair else "allocated")
    assert compute.reason(CARD) == (None if repair else "leaked: no domain of its instance is there")
    assert compute.free("card") is OK
    assert compute.counts() == ALL_FREE


def test_row_7_nothing_leaks_for_lack_of_libvirts_answer(compute: Compute) -> None:
    """Row 7: while libvirt is silent its domains may be anywhere."""
    compute.host.habits = Habits(free_leaked=True)
    compute.restart()
    compute.give("card", A_CARD)
    compute.look()
    compute.host.reading = Reading((), (), ("it is away",), fresh=False)
    for _ in range(3):
        compute.host.boottime += 601
        compute.look()
    assert (compute.rows()[CARD], compute.reason(CARD)) == ("allocated", None)
    compute.host.reading = Reading((), (), ())
    compute.look()
    assert compute.rows()[CARD] == "available"


def test_row_7_an_allocation_whose_domain_runs_is_not_leaked_however_long(compute: Compute) -> None:
    """Row 7: nova doesn't ask libvirt; here its word decides, and the domain's end frees what was freed meanwhile."""
    compute.host.habits = Habits(free_leaked=True)
    compute.host.reading = running(CARD, INSTANCE)
    compute.restart()
    assert compute.rows()[CARD] == "allocated"
    compute.host.boottime += 6001
    compute.look()
    assert (compute.rows()[CARD], compute.reason(CARD)) == ("allocated", None)
    compute.host.reading = Reading((), (), ())
    compute.look()
    assert compute.counts() == ALL_FREE


# Row 13: odd hardware


def test_row_13_a_function_in_a_32_bit_domain_is_tracked_as_any_other(compute: Compute) -> None:
    """Row 13: nova refuses the address, and for a while the sync of all other devices with it."""
    compute.sysfs.add("10000:e1:00.0", "144d:a808", pci_class="10802")
    compute.look()
    assert compute.rows()["10000:e1:00.0"] == "available"
    assert compute.claim(wants("disk", Spec(vendor_id="144d"))) is OK
    assert compute.holder("disk") == {"10000:e1:00.0"}


@pytest.mark.parametrize("damage", ["no ids", "garbage", "dangling", "not an address", "numa_node"])
def test_row_13_a_function_that_cannot_be_read_is_told_and_spoils_no_other(compute: Compute, damage: str) -> None:
    """Row 13: one bad function aborts nova's whole sync."""
    bad = "0000:05:00.0"
    home = compute.sysfs.add(bad, "1234:5678")
    if damage == "no ids":
        for name in ("modalias", "vendor"):
            (home / name).unlink()
    elif damage == "garbage":
        for name in ("modalias", "vendor"):
            (home / name).write_bytes(b"pci:v\xff\xfebanana\n")
    elif damage == "dangling":
        (compute.sysfs.entries / bad).unlink()
        (compute.sysfs.entries / bad).symlink_to("../../../devices/nowhere")
    elif damage == "not an address":
        (compute.sysfs.entries / bad).rename(compute.sysfs.entries / "0000:zz:00.0")
        bad = "0000:zz:00.0"
    else:
        (home / "numa_node").write_text("banana\n")
    compute.sysfs.set_numvfs(PF, [VF0])
    compute.look()
    assert compute.counts() == {"type-PF": (1, 1), "type-VF": (1, 1), "type-PCI": (1, 1)}
    assert [problem["address"] for problem in problems(compute)] == [bad]
    compute.give("card", A_CARD)


def problems(compute: Compute) -> list[dict[str, object]]:
    return [each for each in compute.status()["problems"] if isinstance(each, dict)]


def test_row_13_a_held_device_that_cannot_be_read_for_a_while_stays_as_it_was(compute: Compute) -> None:
    """Row 13: to nova what can't be read is gone, or ends the sync; here it is neither gone nor another device."""
    compute.give("card", A_CARD)
    numa_node = compute.sysfs.place(CARD) / "numa_node"
    readable = numa_node.read_text()
    numa_node.write_text("banana\n")
    compute.look()
    assert (compute.rows()[CARD], compute.reason(CARD)) == ("allocated", None)
    assert [problem["address"] for problem in problems(compute)] == [CARD]
    numa_node.write_text(readable)
    compute.look()
    assert compute.free("card") is OK
    assert (compute.counts(), problems(compute)) == (ALL_FREE, [])


def test_row_13_vfs_that_are_no_nics_and_vfs_without_a_netdev_anywhere_are_offered(compute: Compute) -> None:
    """Row 13: nova asks the PF's netdev for each VF, and fell over accelerators and PFs that have none."""
    qat = ["0000:3d:01.0", "0000:3d:01.1"]
    compute.sysfs.add_pf("0000:3d:00.0", "8086:37c8", vfs=qat, vf_ids="8086:37c9", pci_class="b4000")
    for address in qat:
        modalias = compute.sysfs.place(address) / "modalias"
        modalias.write_text(modalias.read_text().replace("bc02sc00i00", "bc0Bsc40i00"))
    compute.sysfs.remove_netdev("enp4s0f0")
    compute.look()
    assert {compute.rows()[address] for address in (*qat, VF0, VF1)} == {"available"}
    assert compute.claim(wants("qat", Spec(product_id="37c9"), 2)) is OK
    port = from_port("direct", None, request_id="port")
    assert port is not None
    assert compute.claim(port) is OK
    assert compute.holder("port") <= {VF0, VF1}


def test_row_13_a_netdev_named_by_its_mac_or_gone_in_between_harms_nothing(compute: Compute) -> None:
    """Row 13: nova stumbled over libvirt's names of netdevs, and over one that vanished while it was asked."""
    compute.sysfs.add_netdev(VF0, "enx020000000002", "02:00:00:00:00:02")
    (compute.sysfs.root / "class/net/gone0").symlink_to("../../devices/pci0000:00/0000:09:00.0/net/gone0")
    (compute.sysfs.root / "class/net/loose0").symlink_to("nowhere at all")
    compute.look()
    assert (compute.counts(), problems(compute)) == (ALL_FREE, [])
    (row,) = (row for row in compute.tracker.devices() if row["address"] == VF0)
    assert row["extra_info"]["netdevs"] == "enx020000000002"


def test_row_13_a_whitelist_with_a_mistake_is_refused_whole_and_takes_nothing_away(compute: Compute) -> None:
    """Row 13, and 4: nova-compute doesn't start, or its periodic job dies; the devices of good entries are lost too."""
    compute.give("vf", A_VF)
    before = compute.rows()
    with pytest.raises(ConfigurationRefused, match="did you mean address"):
        compute.offers('{"adress": "0000:04:00.0"}', EVERYTHING)
    compute.look()
    assert compute.rows() == before
