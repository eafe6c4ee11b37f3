"""An agent whose store is an older copy, or damaged, or gone, takes what the tracker knows, and libvirt after that."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine
from test_reports import holds_what_the_agent_has, silence

from hosts import Host
from pci_agent.agent.commands import Commands, Done
from pci_agent.discovery.domains import Domain, Holding, How, Reading
from pci_agent.model.address import PciAddress
from pci_agent.model.claims import Claim, Verdict, Wanted
from pci_agent.model.request import PciRequest, Spec
from pci_agent.tracker.store import Store
from pci_agent.wire.messages import Verdict as Answered

PF, VF0, VF1 = "0000:04:00.0", "0000:04:10.0", "0000:04:10.4"
GUEST, OTHER = "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11", "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c12"
CLAIMED, ALLOCATED, LATER = (f"10000000-0000-4000-8000-00000000000{number}" for number in range(3))


@pytest.fixture
def tracker(sqlite: Engine) -> Store:
    return Store(sqlite, host_down_s=75)


def ask(host: Host, request: str, instance: str = GUEST, attempt: int = 1) -> Done:
    wanted = Wanted(PciRequest(request_id=request, specs=(Spec(product_id="1520"),)), attempt)
    asked = Claim(instance_uuid=instance, wanted=(wanted,), lifetime_s=300, project_id="p", user_id="u")
    ledger = host.agent.ledger
    return Commands(host.agent).claim(ledger.agent_uuid, ledger.token.session, asked)


def owners(host: Host) -> dict[str, tuple[str, str, str | None]]:
    """By address: uuid, status and request of what somebody holds."""
    return {
        str(item.device.address): (item.uuid, str(item.status), item.owner.request_id)
        for item in host.agent.ledger.tracked.values()
        if item.owner is not None
    }


def hand_out(host: Host, tracker: Store) -> dict[str, tuple[str, str, str | None]]:
    """Give one VF for good and claim the other one, and let the tracker know."""
    assert ask(host, ALLOCATED).outcome.verdict is Verdict.OK
    ledger = host.agent.ledger
    assert Commands(host.agent).allocate(ledger.agent_uuid, ALLOCATED, 1).outcome.verdict is Verdict.OK
    assert ask(host, CLAIMED, OTHER, attempt=3).outcome.verdict is Verdict.OK
    host.report(tracker)
    return owners(host)


def restore_a_copy(host: Host, tmp_path: Path) -> None:
    shutil.rmtree(host.state_dir)
    shutil.copytree(tmp_path / "backup", host.state_dir)


def damage(host: Host, _tmp_path: Path) -> None:
    (host.state_dir / "agent.sqlite").write_bytes(b"not a database" * 1000)


def lose(host: Host, _tmp_path: Path) -> None:
    (host.state_dir / "agent.sqlite").unlink()


@pytest.fixture(params=[restore_a_copy, damage, lose])
def afterwards(request: pytest.FixtureRequest, host: Host, tracker: Store, tmp_path: Path, sqlite: Engine) -> Host:
    """A host that handed out both VFs; then its agent was stopped and its store became what the parameter makes it."""
    host.start()
    host.report(tracker)
    host.stop()
    shutil.copytree(host.state_dir, tmp_path / "backup")
    host.start()
    host.report(tracker)
    host.given = hand_out(host, tracker)  # type: ignore[attr-defined]
    host.stop()
    happens: Callable[[Host, Path], None] = request.param
    happens(host, tmp_path)
    silence(sqlite, host.name)
    return host


def given(host: Host) -> dict[str, tuple[str, str, str | None]]:
    before: dict[str, tuple[str, str, str | None]] = host.given  # type: ignore[attr-defined]
    return before


def test_who_held_what_holds_it_under_the_same_uuids(afterwards: Host, tracker: Store) -> None:
    uuids = {row["address"]: row["uuid"] for row in tracker.devices()}
    afterwards.start()
    assert ask(afterwards, LATER).outcome.verdict is Verdict.STRANGER, "it serves before it was accepted"
    afterwards.report(tracker)
    assert owners(afterwards) == given(afterwards)
    assert holds_what_the_agent_has(tracker, afterwards)
    assert {row["address"]: row["uuid"] for row in tracker.devices()} == uuids
    assert ask(afterwards, LATER).outcome.verdict is Verdict.NO_FIT


def test_what_was_handed_out_can_be_claimed_again_allocated_and_freed(afterwards: Host, tracker: Store) -> None:
    afterwards.start()
    afterwards.report(tracker)
    commands, agent_uuid = Commands(afterwards.agent), afterwards.agent.ledger.agent_uuid
    again = ask(afterwards, CLAIMED, OTHER, attempt=3)
    assert again.outcome.devices == {CLAIMED: (given(afterwards)[VF1][0],)}
    assert commands.allocate(agent_uuid, CLAIMED, 3).outcome.verdict is Verdict.OK
    for request, attempt in ((CLAIMED, 3), (ALLOCATED, 1)):
        assert commands.free(agent_uuid, request, attempt).outcome.verdict is Verdict.OK
    assert owners(afterwards) == {}


def test_a_claim_that_was_taken_over_ends_by_the_agents_own_lifetime(afterwards: Host, tracker: Store) -> None:
    afterwards.start()
    afterwards.report(tracker)
    afterwards.boottime += 601
    afterwards.agent.look()
    assert owners(afterwards) == {VF0: given(afterwards)[VF0]}


def test_libvirts_word_goes_before_what_was_taken_over(afterwards: Host, tracker: Store) -> None:
    held = (Holding(PciAddress.parse(VF1), How.HOSTDEV),)
    runs = Domain(uuid=GUEST, name="guest", active=True, persistent=True, live=held, defined=held, complete=True)
    afterwards.reading = Reading((runs,), (), ())
    afterwards.start()
    afterwards.report(tracker)
    assert owners(afterwards)[VF1] == (given(afterwards)[VF1][0], "allocated", None)


def test_what_is_held_and_gone_is_shown_until_it_is_freed_and_its_place_is_not_given(
    afterwards: Host, tracker: Store
) -> None:
    afterwards.sysfs.set_numvfs(PF, [])
    afterwards.start()
    afterwards.report(tracker)
    assert owners(afterwards) == given(afterwards)
    afterwards.sysfs.set_numvfs(PF, [VF0, VF1])
    afterwards.agent.look()
    assert {VF0, VF1} <= set(owners(afterwards))
    assert ask(afterwards, LATER).outcome.verdict is Verdict.NO_FIT
    for request, attempt in ((CLAIMED, 3), (ALLOCATED, 1)):
        Commands(afterwards.agent).free(afterwards.agent.ledger.agent_uuid, request, attempt)
    assert ask(afterwards, LATER).outcome.verdict is Verdict.OK


def test_what_was_freed_while_its_domain_ran_stays_freed(afterwards: Host, tracker: Store, sqlite: Engine) -> None:
    held = (Holding(PciAddress.parse(VF0), How.HOSTDEV),)
    runs = Domain(uuid=GUEST, name="guest", active=True, persistent=True, live=held, defined=held, complete=True)
    afterwards.reading = Reading((runs,), (), ())
    afterwards.start()
    afterwards.report(tracker)
    commands = Commands(afterwards.agent)
    freed = commands.free(afterwards.agent.ledger.agent_uuid, ALLOCATED, 1)
    assert freed.outcome.verdict is Verdict.RELEASING
    afterwards.report(tracker)
    afterwards.stop()
    damage(afterwards, afterwards.state_dir)
    silence(sqlite, afterwards.name)
    afterwards.start()
    afterwards.report(tracker)
    assert owners(afterwards)[VF0][1:] == ("allocated", ALLOCATED)
    gone = Commands(afterwards.agent).allocate(afterwards.agent.ledger.agent_uuid, ALLOCATED, 1)
    assert gone.outcome.verdict is Verdict.GONE
    afterwards.reading = Reading((), (), ())
    afterwards.agent.look()
    assert VF0 not in owners(afterwards)


def test_a_store_that_was_lost_is_told_to_the_tracker(host: Host, tracker: Store, sqlite: Engine) -> None:
    host.start()
    host.report(tracker)
    host.stop()
    damage(host, host.state_dir)
    host.start()
    assert host.report(tracker) == [Answered.TAKEN], "the session before is alive for all that the tracker knows"
    silence(sqlite, host.name)
    host.report(tracker)
    (row,) = tracker.hypervisors()
    assert any("agent.sqlite is damaged" in problem["cause"] for problem in row["agent_status"]["problems"])
