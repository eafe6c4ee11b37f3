"""Claim, allocate and free over the bus, and what REST shows of them."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from buses import fake_bus
from hosts import Host
from pci_agent.agent.endpoint import Endpoint
from pci_agent.discovery.domains import Domain, Holding, How, Reading
from pci_agent.errors import AgentSilent
from pci_agent.model.address import PciAddress
from pci_agent.tracker.store import Store
from pci_agent.wire import rpc
from pci_agent.wire.commands import (
    AskCommand,
    AttemptCommand,
    ClaimCommand,
    CommandAnswer,
    DisableCommand,
    EnableCommand,
    Listing,
    RequestRecord,
    SpecRecord,
)
from pci_agent.wire.messages import Model
from sysfs import FakeSysfs

PF, VF0, VF1 = "0000:04:00.0", "0000:04:10.0", "0000:04:10.4"
INSTANCE, REQUEST = str(uuid4()), str(uuid4())


class Called:
    """An agent that is spoken to over a bus, and a tracker that hears its reports."""

    def __init__(self, host: Host, tracker: Store, client: rpc.AgentClient) -> None:
        self.host, self.tracker, self.client = host, tracker, client

    def call(self, verb: str, command: Model) -> CommandAnswer:
        answer = self.client.call("compute-1", verb, command, CommandAnswer)
        if answer.report is not None:
            self.tracker.accept(answer.report)
        return answer

    def claim(
        self, attempt: int = 1, count: int = 1, instance: str = INSTANCE, spec: SpecRecord | None = None
    ) -> CommandAnswer:
        specs = (spec or SpecRecord(product_id="1520"),)
        wanted = RequestRecord(request_id=REQUEST, attempt=attempt, count=count, specs=specs)
        ledger = self.host.agent.ledger
        return self.call(
            "claim",
            ClaimCommand(
                agent_uuid=ledger.agent_uuid,
                session=ledger.token.session,
                instance_uuid=instance,
                project_id="project",
                requests=(wanted,),
            ),
        )

    def attempt(self, verb: str, attempt: int = 1) -> CommandAnswer:
        uuid = self.host.agent.ledger.agent_uuid
        return self.call(verb, AttemptCommand(agent_uuid=uuid, request_id=REQUEST, attempt=attempt))

    def listing(self) -> Listing:
        asked = AskCommand(agent_uuid=self.host.agent.ledger.agent_uuid)
        return self.client.call("compute-1", "list_devices", asked, Listing)

    def rows(self) -> dict[str, tuple[str, str | None]]:
        return {row["address"]: (row["status"], row["instance_uuid"]) for row in self.tracker.devices()}


@pytest.fixture
def called(tmp_path: Path, store: Store) -> Iterator[Called]:
    sysfs = FakeSysfs(tmp_path / "sys")
    sysfs.add_pf(PF, vfs=[VF0, VF1])
    host = Host("compute-1", sysfs, tmp_path / "agent")
    host.start()
    host.report(store)
    with fake_bus(rpc.AGENT_TOPIC, "compute-1", Endpoint(host.agent, lifetime_s=300)) as bus:
        yield Called(host, store, rpc.AgentClient(bus, timeout_s=3))
    host.stop()


def test_a_claim_is_allocated_and_freed_and_the_tracker_sees_each_step(called: Called) -> None:
    claimed = called.claim()
    assert claimed.verdict == "ok"
    assert called.rows() == {
        PF: ("unclaimable", None),
        VF0: ("claimed", INSTANCE),
        VF1: ("available", None),
    }
    assert called.attempt("allocate").verdict == "ok"
    assert called.rows()[PF] == ("unavailable", None)
    assert called.rows()[VF0] == ("allocated", INSTANCE)
    assert called.attempt("free").verdict == "ok"
    assert set(called.rows().values()) == {("available", None)}


def test_a_repeated_claim_gets_the_same_devices_and_a_late_one_after_its_free_none(called: Called) -> None:
    first = called.claim()
    assert called.claim().devices == first.devices
    assert called.claim(attempt=2).devices == first.devices
    assert (called.claim(attempt=1).verdict, called.claim(attempt=1).highest) == ("stale", 2)
    assert called.claim(attempt=2, count=2).verdict == "conflict"
    called.attempt("free", attempt=2)
    late = called.claim(attempt=2)
    assert (late.verdict, late.highest) == ("freed", 2)
    assert called.attempt("allocate", attempt=2).verdict == "gone"


def test_a_claim_is_all_or_nothing_and_says_what_was_in_the_way(called: Called) -> None:
    refused = called.claim(count=3)
    assert refused.verdict == "no_fit"
    assert "asks for 3, devices left by each filter: spec 2, type 2, numa 2, free 2" in (refused.reason or "")
    assert {status for status, _ in called.rows().values()} == {"available"}


def test_a_claim_reads_the_function_that_it_gives_once_more_and_no_other(called: Called) -> None:
    called.host.sysfs.bind(VF1, "vfio-pci")
    (given,) = called.claim().devices[REQUEST]
    drivers = {item.uuid: item.device.driver for item in called.host.agent.ledger.tracked.values()}
    assert sorted(driver for uuid, driver in drivers.items() if uuid != given and driver) == ["igbvf"]
    called.host.agent.look()
    drivers = {item.uuid: item.device.driver for item in called.host.agent.ledger.tracked.values()}
    assert sorted(driver for uuid, driver in drivers.items() if uuid != given and driver) == ["vfio-pci"]


def test_a_function_that_has_left_since_the_last_look_is_not_given(called: Called) -> None:
    called.host.sysfs.set_numvfs(PF, [])
    assert called.claim().verdict == "no_fit"
    assert called.rows() == {PF: ("available", None)}


def test_a_function_that_the_host_has_taken_since_the_last_look_is_not_given(called: Called) -> None:
    called.host.uses = {VF0: "it carries the default route"}
    (given,) = called.claim().devices[REQUEST]
    assert called.rows()[VF1] == ("claimed", INSTANCE)
    assert called.rows()[VF0] == ("unavailable", None)
    assert given == next(row["uuid"] for row in called.tracker.devices() if row["address"] == VF1)


def test_a_free_does_not_wait_for_a_claim_that_waits_for_libvirt(called: Called) -> None:
    asked, answered = threading.Event(), threading.Event()

    def refresh() -> bool:
        asked.set()
        return answered.wait(10)

    called.claim()
    called.host.agent._senses = replace(called.host.agent._senses, refresh=refresh)
    claiming = threading.Thread(target=called.claim, kwargs={"attempt": 2})
    claiming.start()
    assert asked.wait(10)
    assert called.attempt("free").verdict == "ok"
    assert not answered.is_set()
    answered.set()
    claiming.join(10)
    assert sorted(called.rows().values()) == [("available", None), ("claimed", INSTANCE), ("unclaimable", None)]


def test_commands_for_another_agent_or_session_are_refused(called: Called) -> None:
    stranger = AttemptCommand(agent_uuid=str(uuid4()), request_id=REQUEST, attempt=1)
    assert called.call("free", stranger).verdict == "stranger"
    called.host.agent.ledger._begin()
    assert called.claim().verdict == "stranger"


def test_an_agent_that_is_not_accepted_serves_nothing(called: Called) -> None:
    called.host.agent.ledger._conversation.accepted = False
    assert called.claim().verdict == "stranger"


def test_a_claim_that_is_not_allocated_ends(called: Called) -> None:
    called.claim()
    agent = called.host.agent
    assert 0 < (agent.next_expiry() or 0) <= 300
    called.host.boottime += 301
    agent.look()
    assert called.attempt("allocate").verdict == "gone"
    assert called.claim().verdict == "freed"


def test_an_operators_word_keeps_a_device_or_the_host_back(called: Called) -> None:
    uuid = called.host.agent.ledger.agent_uuid
    device = next(each for each in called.listing().devices if each.address == VF0)

    def word(device_uuid: str | None = None) -> DisableCommand:
        return DisableCommand(agent_uuid=uuid, device_uuid=device_uuid, reason="it is broken", actor="me")

    assert called.call("disable", word(device.uuid)).verdict == "ok"
    assert called.rows()[VF0] == ("unavailable", None)
    assert called.claim(count=2).verdict == "no_fit"
    assert called.call("enable", EnableCommand(agent_uuid=uuid, device_uuid=device.uuid)).verdict == "ok"
    assert called.call("disable", word()).verdict == "ok"
    refused = called.claim()
    assert (refused.verdict, refused.reason) == ("unavailable", "the host is disabled by me: it is broken")
    called.host.restart()
    assert called.host.agent.ledger.state.disabled is not None
    assert called.call("disable", word(str(uuid4()))).verdict != "ok"


def test_an_operators_word_ends_at_its_time(called: Called) -> None:
    uuid = called.host.agent.ledger.agent_uuid
    until = called.host.wall + 60
    called.call("disable", DisableCommand(agent_uuid=uuid, reason="a reboot", actor="me", until=until))
    assert called.rows()[VF0] == ("unavailable", None)
    called.host.wall += 61
    assert called.claim().verdict == "ok"


def test_a_restart_keeps_what_was_answered(called: Called) -> None:
    claimed = called.claim()
    called.host.restart()
    called.host.report(called.tracker)
    (owner,) = (item.owner for item in called.host.agent.ledger.tracked.values() if item.owner is not None)
    assert (owner.request_id, owner.instance_uuid, owner.project_id) == (REQUEST, INSTANCE, "project")
    assert claimed.devices[REQUEST]
    assert called.rows()[VF0] == ("claimed", INSTANCE)


def running(instance: str, address: str) -> Reading:
    held = (Holding(PciAddress.parse(address), How.HOSTDEV),)
    domain = Domain(uuid=instance, name="guest", active=True, persistent=True, live=held, defined=held, complete=True)
    return Reading((domain,), (), ())


def test_what_a_domain_runs_with_is_allocated_to_it_and_never_given(called: Called) -> None:
    called.host.reading = running(INSTANCE, VF0)
    other = called.claim(instance=str(uuid4()))
    assert called.rows()[VF0] == ("allocated", INSTANCE)
    (given,) = other.devices[REQUEST]
    assert called.rows()[VF1][0] == "claimed"
    assert given != next(each.uuid for each in called.listing().devices if each.address == VF0)


def test_what_its_own_instance_claimed_becomes_allocated_by_the_domains_start(called: Called) -> None:
    called.claim()
    called.host.reading = running(INSTANCE, VF0)
    called.host.agent.look()
    (owner,) = (item.owner for item in called.host.agent.ledger.tracked.values() if item.owner is not None)
    assert (owner.allocated, owner.request_id) == (True, REQUEST)
    assert called.attempt("allocate").verdict == "ok"
    assert called.attempt("free").verdict == "releasing"
    called.host.reading = Reading((), (), ())
    called.host.agent.look()
    called.host.report(called.tracker)
    assert called.rows()[VF0] == ("available", None)


@pytest.mark.parametrize(
    ("taken", "spec"),
    [(VF0, SpecRecord(dev_type="type-PF")), (PF, SpecRecord(product_id="1520"))],
)
def test_a_claim_never_gets_a_relative_of_what_a_domain_has_just_taken(
    called: Called, taken: str, spec: SpecRecord
) -> None:
    called.host.reading = running(str(uuid4()), taken)  # said, and not looked at yet
    answer = called.claim(spec=spec)
    assert (answer.verdict, answer.devices) == ("no_fit", {})


def test_a_claim_that_another_domain_took_is_void(called: Called) -> None:
    called.claim()
    thief = str(uuid4())
    called.host.reading = running(thief, VF0)
    called.host.agent.look()
    called.host.report(called.tracker)
    assert called.rows()[VF0] == ("allocated", thief)
    assert called.attempt("allocate").verdict == "gone"
    assert called.claim().verdict == "freed"


def test_an_allocation_that_another_domain_took_is_shown_as_stolen(called: Called) -> None:
    called.claim()
    called.attempt("allocate")
    called.host.reading = running(str(uuid4()), VF0)
    called.host.agent.look()
    called.host.report(called.tracker)
    (row,) = (row for row in called.tracker.devices() if row["address"] == VF0)
    assert (row["status"], row["instance_uuid"]) == ("allocated", INSTANCE)
    assert row["status_reason"].startswith("stolen: the domain ")


def test_a_held_vf_that_leaves_retires_and_goes_when_it_is_freed(called: Called) -> None:
    called.claim()
    called.attempt("allocate")
    called.host.sysfs.set_numvfs(PF, [])
    called.host.agent.look()
    called.host.report(called.tracker)
    (row,) = (row for row in called.tracker.devices() if row["address"] == VF0)
    assert (row["status"], row["status_reason"]) == ("allocated", "retiring: it is gone from the host")
    called.attempt("free")
    assert VF0 not in called.rows()


def test_a_message_that_cannot_be_read_is_refused_by_name(called: Called) -> None:
    answer = called.call("claim", AskCommand(agent_uuid=str(uuid4())))
    assert answer.verdict == "refused"
    assert "session" in (answer.reason or "")


def test_a_host_without_an_agent_is_silent(called: Called) -> None:
    with pytest.raises(AgentSilent, match="compute-9"):
        called.client.call("compute-9", "rescan", AskCommand(agent_uuid=str(uuid4())), CommandAnswer)
