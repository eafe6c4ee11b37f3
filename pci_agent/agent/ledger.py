"""
The agent's facts, durable, and what the tracker is told of them: decide elsewhere, keep here, tell from here.

One writer: who changes facts holds the lock from reading them to *change*. Status and reason are derived at each
change, from all facts at once. A change is in the store before anybody hears of it; one that changes nothing is
neither written nor told.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from pci_agent.agent.conversation import Conversation, Snapshot, Speaker, State
from pci_agent.agent.records import known_of, pool_records, record_of
from pci_agent.agent.store import HostFacts, Store
from pci_agent.model.claims import Now
from pci_agent.model.families import Families
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.restored import restored
from pci_agent.model.standing import HostState, settle
from pci_agent.model.stats import pools
from pci_agent.wire.messages import AgentStatus, Answer, DeviceRecord, Heartbeat, Report, Token, digest, digest_after

LOG = logging.getLogger(__name__)

MOST_TOMBSTONES = 10_000


@dataclass(frozen=True, slots=True)
class Clock:
    """
    The clocks, as arguments.

    Attributes:
        boottime: CLOCK_BOOTTIME in seconds, which goes on while the host sleeps and doesn't step
        wall: seconds since the epoch
    """

    boottime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    wall: Callable[[], float] = time.time


class Ledger:
    """What one agent knows and has told. Every method may be called by any thread."""

    def __init__(self, store: Store, *, host: str, clock: Clock, lifetime_s: float) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.tombstones: dict[str, int] = {}
        self.state = HostState()
        self._store = store
        self._host = host
        self._lifetime_s = lifetime_s
        self._changed: Callable[[], None] = lambda: None

    def start(self, changed: Callable[[], None] = lambda: None) -> None:
        """
        Take up what the store holds, in a session of its own. Call once, before anything else.

        No domain outlives a boot, and no status is believed: it is derived anew.

        Args:
            changed: called after each change, to wake whoever tells the tracker
        """
        with self.lock:
            self._changed = changed
            self.facts = self._store.host_facts()
            self.state = replace(self.state, disabled=self.facts.disabled)
            self._tracked = Families.of(self._store.tracked().values())
            shown = (record_of(item) for item in self._tracked.values() if item.shown)
            self._records: Mapping[str, DeviceRecord] = {record.uuid: record for record in shown}
            self._acknowledged = self._store.acknowledged()
            self._begin()
            booted = self.facts.boot_id != self._store.boot_id
            facts = [replace(item, domain=None) for item in self._tracked.values()] if booted else []
            self.change([*facts, *settle(self._tracked.after(facts), self.state)])

    def _begin(self, *inherited: Token) -> None:
        now = digest(record.hash for record in self._records.values())
        session = self._store.begin_session(now, inherited)
        self.tombstones.clear()
        self.token = Token(session=session.session, generation=session.generation, digest=now)
        speaker = Speaker(self._store.agent_uuid, self._host, session.session, session.lineage)
        self._conversation = Conversation(speaker, self._snapshot(), self._acknowledged)

    def _snapshot(self) -> Snapshot:
        return Snapshot(self.token, self._records, pool_records(pools(self._tracked)))

    # Facts

    @property
    def agent_uuid(self) -> str:
        """The agent's own name."""
        return self._store.agent_uuid

    @property
    def tracked(self) -> Families:
        """Every device, shown or not, by identity and in families."""
        return self._tracked

    def now(self) -> Now:
        """Tell the moment for claims."""
        return Now(self.clock.boottime(), self._store.boot_id)

    def change(
        self, items: Iterable[TrackedDevice], *, state: HostState | None = None, facts: HostFacts | None = None
    ) -> bool:
        """
        Keep changed devices, what concerns the whole host, and every status that follows. Durable when it returns.

        Returns:
            False where nothing is other than before.
        """
        with self.lock:
            state = self.state if state is None else state
            facts = self.facts if facts is None else facts
            merged = self._tracked.after(items)
            merged = merged.after(settle(merged, state, merged.touched(self._tracked) if state == self.state else None))
            changed = list(merged.differing(self._tracked))
            if not changed and facts == self.facts:
                self.state = state
                return False
            self._keep(merged, changed, facts)
            self.state, self.facts = state, facts
            self._changed()
            return True

    def _keep(self, merged: Families, changed: list[TrackedDevice], facts: HostFacts) -> None:
        before = (self._tracked.get(item.identity) for item in changed)
        gone = {item.uuid for item in before if item is not None} & self._records.keys()
        come = [record_of(item) for item in changed if item.shown]
        records = {**self._records, **{record.uuid: record for record in come}}
        for uuid in gone.difference(record.uuid for record in come):
            del records[uuid]
        token = Token(
            session=self.token.session,
            generation=self.token.generation + 1,
            digest=digest_after(
                self.token.digest, (self._records[uuid].hash for uuid in gone), (record.hash for record in come)
            ),
        )
        self._store.commit(changed, token, None if facts == self.facts else facts)
        self._tracked, self._records, self.token = merged, records, token
        self._conversation.committed(self._snapshot())

    def bury(self, request_id: str, attempt: int) -> None:
        """Leave a tombstone: claims of this request up to this attempt are refused from now on."""
        with self.lock:
            self.tombstones[request_id] = max(attempt, self.tombstones.get(request_id, attempt))
            if len(self.tombstones) > MOST_TOMBSTONES:
                LOG.info("%d freed requests are remembered: a new session begins and forgets them", MOST_TOMBSTONES)
                self._begin()
                self._changed()

    # Telling

    @property
    def serving(self) -> bool:
        """True where the tracker has accepted this session, so that commands are carried out."""
        return self._conversation.accepted

    def told_since(self, before: Snapshot) -> Report:
        """Give the report of what changed since *before*, for the answer to the command that changed it."""
        return self._conversation.report_over(before)

    @property
    def snapshot(self) -> Snapshot:
        """The newest state."""
        return self._conversation.snapshot

    def agreed(self, status: AgentStatus) -> bool:
        """True where the tracker is known to hold the newest state and this status."""
        with self.lock:
            return self._conversation.agreed and self._conversation.knows(status)

    def next_message(self, status: AgentStatus) -> Report | Heartbeat:
        """Give what to tell the tracker now."""
        with self.lock:
            return self._conversation.next(status)

    def answered(self, answer: Answer) -> str | None:
        """
        Take in the tracker's answer, and keep what it acknowledges.

        Returns:
            What to tell people, None where all is well.
        """
        with self.lock:
            heard = self._conversation.answered(answer)
            if heard.acknowledged is not None:
                self._acknowledge(heard.acknowledged)
            if heard.adopt is not None:
                self._take_over(answer)
                self._begin(heard.adopt)
            return heard.trouble

    def _take_over(self, answer: Answer) -> None:
        """Believe the tracker rather than a store that was restored from an older copy, or lost."""
        known = [known_of(record, self._lifetime_s) for record in answer.known]
        LOG.warning("the tracker's state of this host is later than the store's: %d devices taken over", len(known))
        self.change(restored(self._tracked.values(), known))

    def _acknowledge(self, state: State) -> None:
        before = {} if self._acknowledged is None else self._acknowledged.hashes
        self._store.acknowledge(state, before)
        self._acknowledged = state

    def records(self) -> tuple[DeviceRecord, ...]:
        """Give the devices as the tracker is told of them, in order of address."""
        with self.lock:
            return tuple(sorted(self._records.values(), key=lambda record: record.address))
