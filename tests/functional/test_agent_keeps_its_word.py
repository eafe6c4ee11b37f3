"""
The agent against a model of what it promises, through anything that may happen to a host.

A host in a directory with one PF that has VFs and a card; libvirt's word is a reading that the test writes. Commands
may be repeated and delayed, the agent killed, the host booted, the store put back as it was or damaged. What is
checked after each step: no device has two owners, no answered claim is lost, no answered free is undone, no device of
a running domain is offered, pools are the fold of the inventory.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from test_reports import silence

from pci_agent.agent.commands import Commands, Done
from pci_agent.agent.identity import Machine
from pci_agent.agent.ledger import Clock
from pci_agent.agent.senses import Senses
from pci_agent.agent.service import Agent
from pci_agent.agent.store import Store
from pci_agent.discovery.domains import Domain, Holding, How, Reading
from pci_agent.discovery.hostuse import HostUse
from pci_agent.model import device_spec
from pci_agent.model.address import PciAddress
from pci_agent.model.claims import Claim, Verdict, Wanted
from pci_agent.model.device import DevType
from pci_agent.model.request import PciRequest, Spec
from pci_agent.model.state import Disabled, Status
from pci_agent.model.stats import pools
from pci_agent.tracker import database
from pci_agent.tracker.database import upgrade
from pci_agent.tracker.store import Store as TrackerStore
from pci_agent.wire.messages import Heartbeat, Report
from shares import examples
from sysfs import FakeSysfs

PF, CARD = "0000:04:00.0", "0000:81:00.0"
VFS = [f"0000:04:10.{number}" for number in range(4)]
ALL = [PF, *VFS, CARD]
INSTANCES = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(3)]
REQUESTS = [f"10000000-0000-4000-8000-00000000000{number}" for number in range(4)]
EVERYTHING = '{"address": "*:*:*.*"}'
WHITELISTS = [EVERYTHING, EVERYTHING, '{"product_id": "1520"}', '{"address": "0000:04:10.0"}']
SPECS = {
    "vf": Spec(product_id="1520"),
    "pf": Spec(product_id="1521", dev_type=DevType.PF),
    "card": Spec(vendor_id="10de"),
}
LIFETIME_S = 100.0
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a run makes hundreds of durable commits


@dataclass
class Promise:
    """A claim that was answered."""

    instance: str
    attempt: int
    devices: frozenset[str]
    allocated: bool = False


@dataclass
class World:
    """What is outside the agent."""

    domains: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """By address: who has it, and whether that one runs."""
    uses: set[str] = field(default_factory=set)
    now: float = 1000.0
    wall: float = 1_700_000_000.0
    boots: int = 1
    numvfs: int = 4


class Host(RuleBasedStateMachine):
    """One agent on one host."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="pci-word-", dir=MEMORY))
        self.sysfs = FakeSysfs(self.folder / "sys")
        self.sysfs.add_pf(PF, vfs=VFS, netdev="ens1")
        self.sysfs.add(CARD, "10de:25b6", pci_class="30200")
        self.world = World()
        self.whitelist = EVERYTHING
        self.tracker = TrackerStore(database.connect(f"sqlite:///{self.folder}/tracker"), host_down_s=75)
        self.promises: dict[str, Promise] = {}
        self.freed: dict[str, int] = {}
        self.attempts: dict[str, int] = dict.fromkeys(REQUESTS, 0)
        self.late: list[Callable[[], Done]] = []
        self.reading: Reading = Reading((), (), ())
        self.unseen = False

    @initialize()
    def boot(self) -> None:
        upgrade(self.tracker._engine)
        self._start()

    def _start(self) -> None:
        self.opened = Store.opened(str(self.folder / "agent"), Machine("machine", None, f"boot {self.world.boots}"))
        self.store = self.opened.__enter__()
        self.agent = Agent(
            self.store,
            host="compute-1",
            whitelist=device_spec.parse([self.whitelist]),
            senses=Senses(
                sysfs_root=str(self.sysfs),
                host_use=lambda _: HostUse({PciAddress.parse(each): ("used",) for each in self.world.uses}, ()),
                use_of=lambda _: HostUse({PciAddress.parse(each): ("used",) for each in self.world.uses}, ()),
                reading=lambda _: self.reading,
            ),
            clock=Clock(boottime=lambda: self.world.now, wall=lambda: self.world.wall),
        )
        self.agent.start()
        self.commands = Commands(self.agent)
        self._look()
        self._report()

    def _look(self) -> None:
        self._hear_of_domains()
        if self.unseen:
            return
        self.agent.look()
        self._keep_promises_in_step()

    def _hear_of_domains(self) -> None:
        held: dict[str, dict[bool, list[Holding]]] = {}
        for address, (instance, runs) in self.world.domains.items():
            held.setdefault(instance, {True: [], False: []})[runs].append(
                Holding(PciAddress.parse(address), How.HOSTDEV)
            )
        domains = tuple(
            Domain(
                uuid=instance,
                name=instance,
                active=bool(each[True]),
                persistent=True,
                live=tuple(each[True]),
                defined=tuple(each[True] + each[False]),
                complete=True,
            )
            for instance, each in sorted(held.items())
        )
        said = Reading(domains, (), ())
        if said != self.reading:
            self.reading = said

    def _keep_promises_in_step(self) -> None:
        """Take from the model what reality or time has ended."""
        for request, promise in list(self.promises.items()):
            owners = [item.owner for item in self._items().values() if item.uuid in promise.devices]
            if promise.allocated:
                continue
            if any(owner is not None and owner.instance_uuid != promise.instance for owner in owners):
                del self.promises[request]  # void: a domain of another's runs with it
            elif any(owner is not None and owner.allocated for owner in owners):
                promise.allocated = True

    def _report(self) -> None:
        for _ in range(8):
            message: Report | Heartbeat = self.agent.next_message()
            answer = self.tracker.accept(message) if isinstance(message, Report) else self.tracker.hear(message)
            self.agent.answered(answer)
            if self.agent.agreed:
                return
        raise AssertionError("no agreement")

    def _items(self) -> dict[str, Any]:
        return {str(item.device.address): item for item in self.agent.ledger.tracked.values()}

    # Commands

    def _claim(self, request: str, attempt: int, instance: str, what: tuple[str, int], session: str) -> Done:
        kind, count = what
        wanted = Wanted(PciRequest(request_id=request, count=count, specs=(SPECS[kind],)), attempt)
        asked = Claim(instance_uuid=instance, wanted=(wanted,), lifetime_s=LIFETIME_S)
        done = self.commands.claim(self.agent.ledger.agent_uuid, session, asked)
        event(f"claim: {done.outcome.verdict}")
        self._hear_of_domains()
        self._keep_promises_in_step()
        if done.outcome.verdict is Verdict.OK:
            assert self.freed.get(request, 0) < attempt, "a late claim after its free"
            given = frozenset(done.outcome.devices[request])
            known = self.promises.get(request)
            assert known is None or known.devices == given
            if known is None:
                self._see_that_they_are_free(given)
            self.promises[request] = Promise(instance, attempt, given, known is not None and known.allocated)
        return done

    def _see_that_they_are_free(self, given: frozenset[str]) -> None:
        """See that what was given is there and that neither the host nor a domain of another's has it."""
        for address, item in self._items().items():
            if item.uuid in given and item.owner is not None:
                assert (self.sysfs.entries / address).is_symlink(), f"{address} is gone and was given"
                assert address not in self.world.uses, f"{address} is in use and was given"
                who, runs = self.world.domains.get(address, ("", False))
                assert not runs or who == item.owner.instance_uuid, f"{address} was given, and {who} runs with it"
                for relative in VFS if address == PF else [PF] if address in VFS else []:
                    assert not self.world.domains.get(relative, ("", False))[1], f"a domain has {relative}"

    @rule(
        request=st.sampled_from(REQUESTS),
        instance=st.sampled_from(INSTANCES),
        kind=st.sampled_from(sorted(SPECS)),
        count=st.integers(1, 2),
        delayed=st.booleans(),
        twice=st.booleans(),
    )
    def claim(self, request: str, instance: str, kind: str, count: int, *, delayed: bool, twice: bool) -> None:
        self.attempts[request] += 1
        attempt, session = self.attempts[request], self.agent.ledger.token.session

        def send() -> Done:
            return self._claim(request, attempt, instance, (kind, count), session)

        if delayed:
            self.late.append(send)
            return
        first = send()
        if twice:
            again = send()
            if first.outcome.verdict is Verdict.OK:
                assert again.outcome.devices == first.outcome.devices

    @rule(request=st.sampled_from(REQUESTS), instance=st.sampled_from(INSTANCES))
    def claim_a_vf(self, request: str, instance: str) -> None:
        self.attempts[request] += 1
        self._claim(request, self.attempts[request], instance, ("vf", 1), self.agent.ledger.token.session)

    @rule(request=st.sampled_from(REQUESTS), instance=st.sampled_from(INSTANCES))
    def a_claim_is_overtaken_by_its_free(self, request: str, instance: str) -> None:
        self.attempts[request] += 1
        attempt, session = self.attempts[request], self.agent.ledger.token.session
        self.free(request, delayed=False)
        assert self._claim(request, attempt, instance, ("vf", 1), session).outcome.verdict is Verdict.FREED

    @rule(
        change=st.sampled_from(["VFs leave", "the PF leaves", "it is used", "a domain starts"]),
        address=st.sampled_from(ALL),
        who=st.tuples(st.sampled_from(INSTANCES), st.sampled_from(INSTANCES)),
        what=st.tuples(st.sampled_from(sorted(SPECS)), st.integers(1, 3)),
        request=st.sampled_from(REQUESTS),
    )
    def the_host_changes_just_before_a_claim(
        self, change: str, address: str, who: tuple[str, str], what: tuple[str, int], request: str
    ) -> None:
        """Nobody has looked since, and no event has arrived."""
        self.unseen = True
        if change == "VFs leave":
            self.set_numvfs(0)
        elif change == "the PF leaves":
            self.pull_or_put_back_the_pf()
        elif change == "it is used":
            self.host_use_comes_or_goes(address)
        else:
            self.a_domain_starts(address, who[0])
        self.unseen = False
        self.attempts[request] += 1
        self._claim(request, self.attempts[request], who[1], what, self.agent.ledger.token.session)
        self._look()

    @precondition(lambda self: self.promises)
    @rule(data=st.data(), instance=st.sampled_from(INSTANCES))
    def a_domain_starts_on_what_was_claimed(self, data: st.DataObject, instance: str) -> None:
        promise = self.promises[data.draw(st.sampled_from(sorted(self.promises)))]
        addresses = [address for address, item in self._items().items() if item.uuid in promise.devices]
        self.a_domain_starts(addresses[0], data.draw(st.sampled_from([promise.instance, instance])))

    @precondition(lambda self: self.promises)
    @rule(data=st.data())
    def allocate_what_was_claimed(self, data: st.DataObject) -> None:
        self.allocate(data.draw(st.sampled_from(sorted(self.promises))), 0)

    @precondition(lambda self: self.promises)
    @rule(data=st.data())
    def free_what_was_claimed(self, data: st.DataObject) -> None:
        self.free(data.draw(st.sampled_from(sorted(self.promises))), delayed=False)

    @rule(request=st.sampled_from(REQUESTS), behind=st.integers(0, 1))
    def allocate(self, request: str, behind: int) -> None:
        attempt = self.attempts[request] - behind
        done = self.commands.allocate(self.agent.ledger.agent_uuid, request, attempt)
        event(f"allocate: {done.outcome.verdict}")
        self._keep_promises_in_step()
        promise = self.promises.get(request)
        if done.outcome.verdict is Verdict.OK:
            assert promise is not None
            assert promise.attempt == attempt
            promise.allocated = True
        elif promise is not None and promise.attempt == attempt:
            raise AssertionError(f"an answered claim is lost: {done.outcome}")

    @rule(request=st.sampled_from(REQUESTS), delayed=st.booleans())
    def free(self, request: str, *, delayed: bool) -> None:
        attempt = self.attempts[request]

        def send() -> Done:
            done = self.commands.free(self.agent.ledger.agent_uuid, request, attempt)
            event(f"free: {done.outcome.verdict}")
            assert done.outcome.verdict in (Verdict.OK, Verdict.RELEASING)
            self.freed[request] = max(attempt, self.freed.get(request, 0))
            promise = self.promises.get(request)
            if promise is not None and promise.attempt <= attempt:
                del self.promises[request]
            return done

        if delayed:
            self.late.append(send)
        else:
            send()

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        self.late.pop(data.draw(st.integers(0, len(self.late) - 1)))()

    @rule(address=st.sampled_from(ALL))
    def disable(self, address: str) -> None:
        item = self._items().get(address)
        if item is not None:
            self.commands.disable(self.agent.ledger.agent_uuid, item.uuid, Disabled(reason="broken", actor="me"))

    @rule()
    def enable_all(self) -> None:
        for item in self._items().values():
            self.commands.enable(self.agent.ledger.agent_uuid, item.uuid)

    # The host

    @rule()
    def look(self) -> None:
        self._look()

    @rule(seconds=st.sampled_from([1.0, 60.0, 150.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds
        self.world.wall += seconds
        before = {name: promise for name, promise in self.promises.items() if not promise.allocated}
        self.agent.expire()
        held = {item.owner.request_id for item in self._items().values() if item.owner is not None}
        for name in before:
            if name not in held:
                assert seconds >= 60
                self.freed[name] = max(self.promises[name].attempt, self.freed.get(name, 0))
                del self.promises[name]
        for item in self._items().values():
            if item.owner is not None and not item.owner.allocated:
                assert 0 < item.owner.deadline - self.world.now <= item.owner.lifetime_s

    @rule(number=st.sampled_from([4, 4, 3, 0]))
    def set_numvfs(self, number: int) -> None:
        if not (self.sysfs.entries / PF).is_symlink():
            return
        self.sysfs.set_numvfs(PF, VFS[:number])
        self.world.numvfs = number
        self._drop_domains_of_what_is_gone()
        self._look()

    @rule()
    def pull_or_put_back_the_pf(self) -> None:
        if (self.sysfs.entries / PF).is_symlink():
            self.sysfs.set_numvfs(PF, [])
            self.sysfs.remove(PF)
            self.world.numvfs = 0
        else:
            self.sysfs.add_pf(PF, vfs=[], netdev="ens1")
        self._drop_domains_of_what_is_gone()
        self._look()

    def _drop_domains_of_what_is_gone(self) -> None:
        there = {entry.name for entry in self.sysfs.entries.iterdir()}
        self.world.domains = {address: each for address, each in self.world.domains.items() if address in there}
        self.world.uses &= there

    @rule(whitelist=st.sampled_from(WHITELISTS))
    def reload(self, whitelist: str) -> None:
        self.whitelist = whitelist
        self.agent.use(device_spec.parse([whitelist]))
        self._look()

    @rule(address=st.sampled_from(ALL))
    def host_use_comes_or_goes(self, address: str) -> None:
        if (self.sysfs.entries / address).is_symlink():
            self.world.uses ^= {address}
            self._look()

    @rule(address=st.sampled_from(ALL), instance=st.sampled_from(INSTANCES))
    def a_domain_starts(self, address: str, instance: str) -> None:
        """A domain starts on a function that the kernel would give it: no running one has it or a relative."""
        if not (self.sysfs.entries / address).is_symlink():
            return
        running = {each for each, (_, runs) in self.world.domains.items() if runs}
        if address in running or (address == PF and running & set(VFS)) or (address in VFS and PF in running):
            return
        self.world.domains[address] = (instance, True)
        self._look()

    @rule(address=st.sampled_from(ALL), undefined=st.booleans())
    def a_domain_stops(self, address: str, *, undefined: bool) -> None:
        if address in self.world.domains:
            if undefined:
                del self.world.domains[address]
            else:
                self.world.domains[address] = (self.world.domains[address][0], False)
            self._look()

    @rule()
    def kill_and_start(self) -> None:
        self.opened.__exit__(None, None, None)
        self._start()

    @rule()
    def boot_the_host(self) -> None:
        """No domain runs, no VF is there, nothing is in use, and the clock of claims begins anew."""
        self.opened.__exit__(None, None, None)
        self.world.boots += 1
        self.world.now, self.world.wall = 10.0, self.world.wall + 60
        self.world.uses.clear()
        if (self.sysfs.entries / PF).is_symlink():
            self.sysfs.set_numvfs(PF, [])
        self.world.numvfs = 0
        self.world.domains = {address: (instance, False) for address, (instance, _) in self.world.domains.items()}
        self._start()

    @rule()
    def copy_the_store(self) -> None:
        shutil.rmtree(self.folder / "copy", ignore_errors=True)
        shutil.copytree(self.folder / "agent", self.folder / "copy")

    @precondition(lambda self: (self.folder / "copy").exists())
    @rule(whole=st.booleans())
    def put_the_copy_back(self, *, whole: bool) -> None:
        """An older state is put back, or none at all; the tracker knows the newest one, and the host was silent."""
        self._report()
        self.opened.__exit__(None, None, None)
        if whole:
            shutil.rmtree(self.folder / "agent")
            shutil.copytree(self.folder / "copy", self.folder / "agent")
        else:
            (self.folder / "agent/agent.sqlite").write_bytes(b"not a database" * 100)
        silence(self.tracker._engine, "compute-1")
        self._start()

    # What must hold

    @invariant()
    def no_answered_claim_is_lost_and_none_has_two_owners(self) -> None:
        if not hasattr(self, "agent"):
            return
        by_uuid = {item.uuid: item for item in self.agent.ledger.tracked.values()}
        seen: set[str] = set()
        for request, promise in self.promises.items():
            assert not seen & promise.devices
            seen |= promise.devices
            for uuid in promise.devices:
                owner = by_uuid[uuid].owner
                assert owner is not None, f"{request} lost {by_uuid[uuid].device.address}"
                assert (owner.instance_uuid, owner.request_id) == (promise.instance, request)

    @invariant()
    def nothing_of_a_running_domain_is_offered(self) -> None:
        if not hasattr(self, "agent"):
            return
        items = self._items()
        for address, (_, runs) in self.world.domains.items():
            item = items.get(address)
            if runs and item is not None and item.present:
                assert item.status is not Status.AVAILABLE
                assert item.owner is None or item.owner.allocated, "a running domain's device is only claimed"

    @invariant()
    def relatives_exclude_one_another(self) -> None:
        if not hasattr(self, "agent"):
            return
        held = {address for address, item in self._items().items() if item.owner is not None}
        for address, item in self._items().items():
            if item.status is Status.AVAILABLE:
                assert not (address == PF and held & set(VFS))
                assert not (address in VFS and PF in held)

    @invariant()
    def what_the_tracker_would_hear_is_what_is_kept(self) -> None:
        if not hasattr(self, "agent"):
            return
        assert self.store.tracked() == dict(self.agent.ledger.tracked)
        told = {record.uuid: record.status for record in self.agent.records()}
        assert told == {item.uuid: item.status for item in self.agent.ledger.tracked.values() if item.shown}
        free = sum(pool.free for pool in pools(self.agent.ledger.tracked.values()))
        assert free == sum(status == "available" for status in told.values())

    def teardown(self) -> None:
        if hasattr(self, "opened"):
            self.opened.__exit__(None, None, None)
        self.tracker._engine.dispose()
        shutil.rmtree(self.folder)


TestHost = Host.TestCase
TestHost.settings = settings(examples(800, long=2_000), stateful_step_count=50)
