"""
The agent: gather, decide, keep, tell.

A look gathers what sysfs, the host's own use and libvirt say, and decides with pure functions; the ledger keeps and
tells. A look at an unchanged host writes nothing and tells nothing. Libvirt's silence changes no allocation, but
until its first answer of this boot nothing is offered.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import uuid4

from pci_agent import __version__
from pci_agent.agent.ledger import Clock, Ledger
from pci_agent.agent.senses import Seen, Senses, domains_of
from pci_agent.agent.store import HostFacts, Store
from pci_agent.discovery.domains import Reading
from pci_agent.discovery.hostuse import HostUse
from pci_agent.discovery.sysfs import Scan
from pci_agent.model.address import PciAddress
from pci_agent.model.cards import cards, evidence_of
from pci_agent.model.claims import expired, next_expiry
from pci_agent.model.inventory import Change, TrackedDevice, apply, offered, reconcile, untold
from pci_agent.model.names import Remembered, names_of, remember
from pci_agent.model.reality import Habits, absences, compare, voided
from pci_agent.model.relatives import Held, Hold, holds
from pci_agent.model.standing import HostState, is_over, lifted, own_obstacle
from pci_agent.model.state import Status
from pci_agent.model.whitelist import Names, Whitelist
from pci_agent.wire.messages import AgentStatus, Answer, DeviceRecord, Heartbeat, ProblemRecord, Report

LOG = logging.getLogger(__name__)

_LIBVIRT = "libvirt's first answer in this boot"


@dataclass(frozen=True, slots=True)
class Looked:
    """
    What a look found.

    Attributes:
        functions: how many PCI functions the host has
        offered: how many of them the whitelist offers
        problems: how many things were wrong or odd
        changed: whether anything is other than before
        complete: False where the functions couldn't even be listed, so that nothing was concluded
        unsettled: True where functions couldn't be told, or VFs were coming or going: another look soon may tell
    """

    functions: int
    offered: int
    problems: int
    changed: bool
    complete: bool
    unsettled: bool


@dataclass(frozen=True, slots=True)
class View:
    """
    What the agent goes by at one moment.

    Attributes:
        whitelist: the one in force
        scan: of the newest look that was complete
        use: what the host used then
        reading: what libvirt had said then; None where it had said nothing, or isn't asked
        tracked: the inventory, by identity
        remembered: who bears which netdev name in this boot
    """

    whitelist: Whitelist
    scan: Scan
    use: HostUse
    reading: Reading | None
    tracked: Mapping[str, TrackedDevice]
    remembered: Remembered


@dataclass(slots=True)
class _Memory:
    """What is known between looks and needn't outlive the process."""

    seen: Seen | None = None
    newest: Seen | None = None
    names: Names = field(default_factory=dict)
    absent: dict[str, float] = field(default_factory=dict)
    leaked: frozenset[str] = frozenset()


class Agent:
    """One hypervisor's devices. Every method may be called by any thread."""

    def __init__(
        self,
        store: Store,
        *,
        host: str,
        whitelist: Whitelist,
        senses: Senses | None = None,
        habits: Habits | None = None,
        leak_grace_s: float = 600,
        lifetime_s: float = 600,
        clock: Clock | None = None,
    ) -> None:
        self.ledger = Ledger(store, host=host, clock=clock or Clock(), lifetime_s=lifetime_s)
        self.habits = habits or Habits()
        self._store = store
        self._whitelist = whitelist
        self._senses = senses or Senses()
        self._leak_grace_s = leak_grace_s
        self._memory = _Memory()
        self._changed: Callable[[], None] = lambda: None
        self._status = AgentStatus(counter=0, agent_version=__version__, observing=self.habits.observe)

    def start(self, changed: Callable[[], None] = lambda: None) -> None:
        """
        Take up what the store holds, in a session of its own. Call once, before anything else.

        Args:
            changed: called after each change of facts or status, to wake whoever tells the tracker
        """
        self._changed = changed
        self.ledger.start(changed)
        self._remembered: Remembered = self._store.remembered()

    # Looking

    def look(self) -> Looked:
        """Look at the host and keep what changed. Where sysfs can't be listed, nothing is concluded."""
        with self.ledger.lock:
            before = self._memory.seen
            seen = self._senses.look(before)
            changed = self._expire()
            if seen.scan.complete:
                if not seen.same_as(before):
                    changed |= self._conclude(seen)
                changed |= self._count_absences(seen)
                self._memory.seen = self._memory.newest = seen
            self._say_how_it_fares(seen)
            present = sum(1 for item in self.ledger.tracked.values() if item.offered)
            problems = len(self._status.problems)
        scan = seen.scan
        return Looked(
            len(scan.devices), present, problems, changed=changed, complete=scan.complete, unsettled=not scan.settled
        )

    def _conclude(self, seen: Seen) -> bool:
        """Decide what follows from all that was seen, and keep it."""
        scan = seen.scan
        self._learn_names(scan)
        there = cards(scan.devices, self.ledger.tracked)
        devices = {there[device.address]: device for device in scan.devices}
        change = reconcile(
            self.ledger.tracked,
            offered(
                scan.devices,
                self._whitelist,
                self._memory.names,
                seen.use.reasons,
                known=there,
                evidence=evidence_of(scan.devices),
            ),
            there=devices,
            untold=untold(scan.devices, scan.unreadable),
            new_uuid=lambda: str(uuid4()),
        )
        items = apply(self.ledger.tracked, change)
        state, facts = self._state(seen, {item.device.address for item in items.values() if item.present})
        items = self._compared(items, seen.reading)
        items = apply(items, expired(items.values(), self.ledger.now()))
        kept = self.ledger.change(items.values(), state=state, facts=facts)
        if kept:
            _tell(change)
        return kept

    def _state(self, seen: Seen, tracked: set[PciAddress]) -> tuple[HostState, HostFacts]:
        boot_id = self.ledger.now().boot_id
        facts = replace(self.ledger.facts, boot_id=boot_id)
        if seen.reading is not None:
            facts = replace(facts, libvirt_boot_id=boot_id)
        waits = self._senses.reading is not None and facts.libvirt_boot_id != boot_id
        by_address = {device.address: device for device in seen.scan.devices}
        elsewhere = tuple(
            Hold(by_address[address], instance, Status.ALLOCATED)
            for address, instance in (domains_of(seen.reading).running.items() if seen.reading else ())
            if address in by_address and address not in tracked
        )
        state = HostState(self.ledger.state.disabled, _LIBVIRT if waits else None, elsewhere)
        return state, facts

    def _compared(self, items: Mapping[str, TrackedDevice], reading: Reading | None) -> dict[str, TrackedDevice]:
        """Let libvirt's word go before belief; where it is silent nothing changes."""
        if reading is None:
            return dict(items)
        changed = compare(items.values(), domains_of(reading), self.habits, self._memory.leaked)
        after = {item.uuid: item for item in [*items.values(), *changed]}
        for request_id in voided(items.values(), after):
            LOG.warning(
                "the claim of request %s is void: a domain of another instance runs with its device", request_id
            )
            self._bury(request_id)
        return apply(items, changed)

    def _bury(self, request_id: str) -> None:
        attempts = [
            item.owner.attempt
            for item in self.ledger.tracked.values()
            if item.owner is not None and item.owner.request_id == request_id
        ]
        self.ledger.bury(request_id, max(attempts, default=0))

    def _leaked(self) -> frozenset[str]:
        now = self.ledger.clock.boottime()
        return frozenset(name for name, since in self._memory.absent.items() if now - since >= self._leak_grace_s)

    def _count_absences(self, seen: Seen) -> bool:
        """Keep since when instances have no domain; what became leaked by that is concluded at once."""
        if seen.reading is None or not seen.reading.fresh:
            return False
        self._memory.absent = absences(
            self.ledger.tracked.values(),
            domains_of(seen.reading),
            self._memory.absent,
            at=self.ledger.clock.boottime(),
        )
        before, self._memory.leaked = self._memory.leaked, self._leaked()
        return self._conclude(seen) if self._memory.leaked != before else False

    def _expire(self) -> bool:
        """End the claims whose time is over; their later allocate finds nothing, and their late repeats a tombstone."""
        over = expired(self.ledger.tracked.owned(), self.ledger.now())
        self._lift_what_is_over()
        for item in over:
            before = self.ledger.tracked[item.identity].owner
            if before is not None and before.request_id is not None and item.owner is None:
                self.ledger.bury(before.request_id, before.attempt)
        return self.ledger.change(over) if over else False

    def _lift_what_is_over(self) -> None:
        """Take back the operators' words whose time is over."""
        wall = self.ledger.clock.wall()
        state, facts = self.ledger.state, self.ledger.facts
        if is_over(facts.disabled, wall):
            state, facts = replace(state, disabled=None), replace(facts, disabled=None)
        over = lifted(self.ledger.tracked.disabled(), wall)
        if over or facts is not self.ledger.facts:
            self.ledger.change(over, state=state, facts=facts)

    def next_expiry(self) -> float | None:
        """Tell in how many seconds the next claim ends; 0 where one is over, None where none ends."""
        with self.ledger.lock:
            ends = next_expiry(self.ledger.tracked.owned())
            return None if ends is None else max(0.0, ends - self.ledger.clock.boottime())

    def expire(self) -> None:
        """End the claims whose time is over."""
        with self.ledger.lock:
            self._expire()

    def _learn_names(self, scan: Scan) -> None:
        remembered = remember(scan.devices, self._remembered)
        if remembered != self._remembered:
            self._store.remember(remembered)
            self._remembered = remembered
        self._memory.names = names_of(scan.devices, remembered)

    def _say_how_it_fares(self, seen: Seen) -> None:
        waits = self.ledger.state.waiting
        own = [] if waits is None else [f"nothing is offered: waiting for {waits}"]
        if self._store.trouble is not None:
            own.append(self._store.trouble)
        self._set_status(
            problems=(*seen.problems, *(ProblemRecord(cause=cause) for cause in own)),
            unresolved_devnames=self._whitelist.unresolved_devnames(self._memory.names),
        )

    def _set_status(self, **news: tuple[object, ...]) -> None:
        if any(getattr(self._status, name) != value for name, value in news.items()):
            for name, value in news.items():
                for each in value:
                    if each not in getattr(self._status, name):
                        LOG.warning("%s: %s", name, each)
            self._status = self._status.model_copy(update={**news, "counter": self._status.counter + 1})
            self._changed()

    def refresh(self) -> None:
        """Have libvirt asked anew; it may take its time, so that nobody holds the lock meanwhile."""
        if not self._senses.refresh():
            LOG.warning("libvirt doesn't answer: what it said last has to do")

    def check(self, given: Sequence[TrackedDevice], guest: str) -> str | None:
        """
        Read once more what a claim is about to give to a guest: presence, driver and use, and who has it or a
        relative of it by libvirt's newest word (see *refresh*).

        Returns:
            Why one of them can't be given after all; None where all are as they were.
        """
        seen = self._memory.seen
        if seen is not None and self._senses.glance([item.device for item in given], seen):
            return None
        self.look()
        held = Held(holds(self.ledger.tracked.values(), self.ledger.state.elsewhere))
        for item in given:
            now = self.ledger.tracked[item.identity]
            obstacle = own_obstacle(now) or held.obstacle(now.device, guest=guest)
            if now.device != item.device or obstacle is not None:
                return f"{item.device.address} has changed just now"
        return None

    @property
    def view(self) -> View | None:
        """What the agent goes by now; None before the first complete look. Nothing in it changes."""
        with self.ledger.lock:
            seen = self._memory.newest
            if seen is None:
                return None
            tracked = self.ledger.tracked
            return View(self._whitelist, seen.scan, seen.use, seen.reading, tracked, self._remembered)

    # Configuration

    def use(self, whitelist: Whitelist) -> None:
        """Match against another whitelist from the next look on."""
        with self.ledger.lock:
            self._whitelist = whitelist
            self._memory.seen = None
            self._set_status(config_errors=())

    def refuse_configuration(self, errors: tuple[str, ...]) -> None:
        """Say that the newest configuration can't be used; the one in force stays."""
        with self.ledger.lock:
            self._set_status(config_errors=errors)

    # Telling

    @property
    def status(self) -> AgentStatus:
        """How the agent fares, as the tracker is told."""
        with self.ledger.lock:
            return self._status

    @property
    def agreed(self) -> bool:
        """True where the tracker is known to hold the newest state and status."""
        return self.ledger.agreed(self.status)

    def next_message(self) -> Report | Heartbeat:
        """Give what to tell the tracker now."""
        return self.ledger.next_message(self.status)

    def answered(self, answer: Answer) -> str | None:
        """Take in the tracker's answer; gives what to tell people, None where all is well."""
        with self.ledger.lock:
            session = self.ledger.token.session
            trouble = self.ledger.answered(answer)
            if self.ledger.token.session != session and self._memory.newest is not None:
                self._conclude(self._memory.newest)  # what was taken over gives way to libvirt's word
            return trouble

    def records(self) -> tuple[DeviceRecord, ...]:
        """Give the devices as the tracker is told of them, in order of address."""
        return self.ledger.records()


def _tell(change: Change) -> None:
    LOG.info("%d devices came, %d changed, %d went", len(change.added), len(change.updated), len(change.removed))
    for item in change.moved:
        LOG.info("the device %s is at %s now", item.uuid, item.device.address)
