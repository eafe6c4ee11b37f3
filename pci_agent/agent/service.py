"""
The agent: gather, decide, keep, tell.

One writer: whatever changes the inventory holds the agent's lock, decides with pure functions and commits to
the store; only then does the reporter hear of it. A look at an unchanged host writes nothing and tells
nothing.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from pci_agent import __version__
from pci_agent.agent.conversation import Conversation, Snapshot, Speaker, State
from pci_agent.agent.records import pool_records, record_of
from pci_agent.agent.store import Store
from pci_agent.discovery import sysfs
from pci_agent.discovery.hostuse import HostUse
from pci_agent.discovery.sysfs import Scan
from pci_agent.model.device import Device
from pci_agent.model.inventory import Change, TrackedDevice, apply, offered, reconcile, untold
from pci_agent.model.names import Remembered, names_of, remember
from pci_agent.model.stats import pools
from pci_agent.model.whitelist import Names, Whitelist
from pci_agent.wire.messages import AgentStatus, Answer, DeviceRecord, Heartbeat, ProblemRecord, Report, Token, digest

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Looked:
    """
    What a look found.

    Attributes:
        functions: how many PCI functions the host has
        offered: how many of them the whitelist offers
        problems: how many things were wrong or odd
        changed: whether the inventory changed
        complete: False where the functions couldn't even be listed, so that nothing was concluded
    """

    functions: int
    offered: int
    problems: int
    changed: bool
    complete: bool


class Agent:
    """One hypervisor's devices, and what the tracker is told of them. Every method may be called by any thread."""

    def __init__(
        self,
        store: Store,
        *,
        host: str,
        whitelist: Whitelist,
        sysfs_root: str = "/sys",
        host_use: Callable[[Sequence[Device]], HostUse] = lambda _: HostUse({}, ()),
    ) -> None:
        self._store = store
        self._host = host
        self._whitelist = whitelist
        self._sysfs_root = sysfs_root
        self._host_use = host_use
        self._use = HostUse({}, ())
        self._lock = threading.RLock()
        self._scan: Scan | None = None
        self._names: Names = {}
        self._changed: Callable[[], None] = lambda: None
        self._status = AgentStatus(counter=0, agent_version=__version__)

    def start(self, changed: Callable[[], None] = lambda: None) -> None:
        """
        Take up what the store holds, in a session of its own. Call once, before anything else.

        Args:
            changed: called after each commit and each change of status, to wake whoever tells the tracker
        """
        with self._lock:
            self._changed = changed
            self._tracked: Mapping[str, TrackedDevice] = self._store.tracked()
            self._remembered: Remembered = self._store.remembered()
            self._records = {item.uuid: record_of(item) for item in self._tracked.values() if item.present}
            self._acknowledged = self._store.acknowledged()
            self._begin()

    def _begin(self, *inherited: Token) -> None:
        now = digest(record.hash for record in self._records.values())
        session = self._store.begin_session(now, inherited)
        self._token = Token(session=session.session, generation=session.generation, digest=now)
        speaker = Speaker(self._store.agent_uuid, self._host, session.session, session.lineage)
        self._conversation = Conversation(speaker, self._snapshot(), self._acknowledged)

    def _snapshot(self) -> Snapshot:
        return Snapshot(self._token, self._records, pool_records(pools(self._tracked.values())))

    # Looking

    def look(self) -> Looked:
        """Look at the host and keep what changed. Where sysfs can't be listed, nothing is concluded."""
        with self._lock:
            seen = sysfs.scan(self._sysfs_root, self._scan)
            use = self._host_use(seen.devices).after(self._use) if seen.complete else self._use
            change = Change()
            if seen.complete and not (self._scan is not None and _same(self._scan, seen) and use == self._use):
                self._learn_names(seen)
                change = self._decide(seen, use)
                if change:
                    self._commit(change)
                self._scan, self._use = seen, use
            self._say_how_it_fares(seen, use)
            present = len(self._records)
        problems = len(self._status.problems)
        return Looked(len(seen.devices), present, problems, changed=bool(change), complete=seen.complete)

    def _learn_names(self, seen: Scan) -> None:
        remembered = remember(seen.devices, self._remembered)
        if remembered != self._remembered:
            self._store.remember(remembered)
            self._remembered = remembered
        self._names = names_of(seen.devices, remembered)

    def _decide(self, seen: Scan, use: HostUse) -> Change:
        return reconcile(
            self._tracked,
            offered(seen.devices, self._whitelist, self._names, use.reasons),
            untold=untold(seen.devices, seen.unreadable),
            new_uuid=lambda: str(uuid4()),
        )

    def _commit(self, change: Change) -> None:
        tracked = apply(self._tracked, change)
        records = dict(self._records)
        for item in change:
            if item.present:
                records[item.uuid] = record_of(item)
            else:
                records.pop(item.uuid, None)
        token = Token(
            session=self._token.session,
            generation=self._token.generation + 1,
            digest=digest(record.hash for record in records.values()),
        )
        self._store.commit(change, token)
        self._tracked, self._records, self._token = tracked, records, token
        self._conversation.committed(self._snapshot())
        LOG.info(
            "%d devices came, %d changed, %d went; generation %d",
            len(change.added),
            len(change.updated),
            len(change.removed),
            token.generation,
        )
        self._changed()

    def _say_how_it_fares(self, seen: Scan, use: HostUse) -> None:
        self._set_status(
            problems=(
                *(ProblemRecord(address=problem.address, cause=problem.cause) for problem in seen.problems),
                *(ProblemRecord(cause=f"what the host uses: {cause}") for cause in use.problems),
            ),
            unresolved_devnames=self._whitelist.unresolved_devnames(self._names),
        )

    def _set_status(self, **news: tuple[object, ...]) -> None:
        if any(getattr(self._status, name) != value for name, value in news.items()):
            for name, value in news.items():
                for each in value:
                    if each not in getattr(self._status, name):
                        LOG.warning("%s: %s", name, each)
            self._status = self._status.model_copy(update={**news, "counter": self._status.counter + 1})
            self._changed()

    # Configuration

    def use(self, whitelist: Whitelist) -> None:
        """Match against another whitelist from the next look on."""
        with self._lock:
            self._whitelist = whitelist
            self._scan = None
            self._set_status(config_errors=())

    def refuse_configuration(self, errors: tuple[str, ...]) -> None:
        """Say that the newest configuration can't be used; the one in force stays."""
        with self._lock:
            self._set_status(config_errors=errors)

    # Telling

    @property
    def status(self) -> AgentStatus:
        """How the agent fares, as the tracker is told."""
        with self._lock:
            return self._status

    @property
    def agreed(self) -> bool:
        """True where the tracker is known to hold the newest state and status."""
        with self._lock:
            return self._conversation.agreed and self._conversation.knows(self._status)

    def next_message(self) -> Report | Heartbeat:
        """Give what to tell the tracker now."""
        with self._lock:
            return self._conversation.next(self._status)

    def answered(self, answer: Answer) -> str | None:
        """
        Take in the tracker's answer, and keep what it acknowledges.

        Returns:
            What to tell people, None where all is well.
        """
        with self._lock:
            heard = self._conversation.answered(answer)
            if heard.acknowledged is not None:
                self._acknowledge(heard.acknowledged)
            if heard.adopt is not None:
                self._begin(heard.adopt)
            return heard.trouble

    def _acknowledge(self, state: State) -> None:
        before = {} if self._acknowledged is None else self._acknowledged.hashes
        self._store.acknowledge(state, before)
        self._acknowledged = state

    def records(self) -> tuple[DeviceRecord, ...]:
        """Give the devices as the tracker is told of them, in order of address."""
        with self._lock:
            return tuple(sorted(self._records.values(), key=lambda record: record.address))


def _same(before: Scan, now: Scan) -> bool:
    """True where a scan handed back every function of the one before."""
    return (
        before.complete
        and before.unreadable == now.unreadable
        and len(before.devices) == len(now.devices)
        and all(old is new for old, new in zip(before.devices, now.devices, strict=True))
    )
