"""
What an agent says next, and what an answer means: the agent's half of the protocol, without bus or clock.

* A session starts with a heartbeat. A report names the state that it replaces, a full one too.
* ``ok`` makes the state that was sent the acknowledged one; nothing else does.
* ``holds`` tells what the tracker has. Is it a state that we remember, a delta over it follows; else a full
  report over it. Is it one that we never had, this store was restored from an older copy: the tracker's
  state has to become part of our history before we may replace it.
* ``taken``: another speaks for this host. Only heartbeats are sent until that ends.

One message is in flight at a time. A message that got no answer is forgotten: the newest state is sent next.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pci_agent.wire.messages import (
    AgentStatus,
    Answer,
    DeviceRecord,
    Heartbeat,
    PoolRecord,
    Report,
    Token,
    Verdict,
)

_REMEMBERED = 8


@dataclass(frozen=True, slots=True)
class State:
    """A state that the tracker may hold: its token, and the hash of each device by uuid."""

    token: Token
    hashes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The agent's whole state at one commit: what a report is made from."""

    token: Token
    records: Mapping[str, DeviceRecord]
    pools: tuple[PoolRecord, ...]

    @property
    def state(self) -> State:
        """The part of it that is remembered once it was sent."""
        return State(self.token, {uuid: record.hash for uuid, record in self.records.items()})


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks: the agent, for which host, in which session, and after which ones (see messages.Report)."""

    agent_uuid: str
    host: str
    session: str
    lineage: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """
    What an answer asks the agent to do.

    Attributes:
        acknowledged: keep this state as the one that the tracker has; None: as before
        adopt: begin a new session that has this token in its lineage; None: go on
        trouble: what to log and show; None where all is well
    """

    acknowledged: State | None = None
    adopt: Token | None = None
    trouble: str | None = None


class Conversation:
    """The agent's side of one session."""

    def __init__(self, speaker: Speaker, snapshot: Snapshot, acknowledged: State | None) -> None:
        self._speaker = speaker
        self._snapshot = snapshot
        self._acknowledged = acknowledged
        self._recent: deque[Snapshot] = deque([snapshot], maxlen=_REMEMBERED)
        self._greeted = False
        self.accepted = False
        """True once the tracker has accepted this session, until it says that another speaks for the host."""
        self._full_over: tuple[Token | None] | None = None
        self._status_told = -1
        self._sent: tuple[Report | Heartbeat, Snapshot] | None = None

    def committed(self, snapshot: Snapshot) -> None:
        """Take in the agent's newest state."""
        self._snapshot = snapshot
        self._recent.append(snapshot)

    @property
    def snapshot(self) -> Snapshot:
        """The agent's newest state."""
        return self._snapshot

    @property
    def agreed(self) -> bool:
        """True where the tracker is known to hold the newest state, so that only heartbeats are due."""
        return self._greeted and self._full_over is None and self._acknowledged_token == self._snapshot.token

    def knows(self, status: AgentStatus) -> bool:
        """True where the tracker has acknowledged this status or a later one."""
        return status.counter <= self._status_told

    @property
    def _acknowledged_token(self) -> Token | None:
        return None if self._acknowledged is None else self._acknowledged.token

    def next(self, status: AgentStatus) -> Report | Heartbeat:
        """Give the message to send now; *status* travels along until it is acknowledged."""
        untold = None if self.knows(status) else status
        message = self._heartbeat(untold) if self.agreed or not self._greeted else self._report(untold)
        self._sent = (message, self._snapshot)
        return message

    def _who(self, status: AgentStatus | None) -> dict[str, Any]:
        who = self._speaker
        return {
            "agent_uuid": who.agent_uuid,
            "host": who.host,
            "session": who.session,
            "lineage": who.lineage,
            "status": status,
        }

    def _heartbeat(self, status: AgentStatus | None) -> Heartbeat:
        return Heartbeat(**self._who(status), token=self._acknowledged_token)

    def report_over(self, before: Snapshot) -> Report:
        """Give what changed since a state of ours, as the answer to a command carries it; it acknowledges nothing."""
        now, then = self._snapshot.records, before.records
        return Report(
            **self._who(None),
            over=before.token,
            token=self._snapshot.token,
            full=False,
            devices=tuple(record for uuid, record in now.items() if then.get(uuid) is not record),
            removed=tuple(then.keys() - now.keys()),
            pools=self._snapshot.pools,
        )

    def _report(self, status: AgentStatus | None) -> Report:
        now = self._snapshot
        full = self._full_over is not None or self._acknowledged is None
        before: Mapping[str, str] = {} if full or self._acknowledged is None else self._acknowledged.hashes
        return Report(
            **self._who(status),
            over=self._full_over[0] if self._full_over is not None else self._acknowledged_token,
            token=now.token,
            full=full,
            devices=tuple(record for uuid, record in now.records.items() if before.get(uuid) != record.hash),
            removed=tuple(uuid for uuid in before if uuid not in now.records),
            pools=now.pools,
        )

    def answered(self, answer: Answer) -> Heard:
        """Take in the answer to the last message."""
        if self._sent is None:
            return Heard()
        (message, snapshot), self._sent = self._sent, None
        if answer.verdict is Verdict.OK:
            return self._agreed_on(message, snapshot, answer)
        if answer.verdict is Verdict.HOLDS:
            self._greeted = True
            self._status_told = -1
            return self._holds(message, answer.token)
        if answer.verdict is Verdict.TAKEN:
            self._greeted = self.accepted = False
            return Heard(trouble=f"another agent speaks for {self._speaker.host}: {answer.reason}")
        if isinstance(message, Report):
            self._full_over = (message.over,)
        return Heard(trouble=f"the tracker answered {answer.verdict}: {answer.reason}")

    def _agreed_on(self, message: Report | Heartbeat, snapshot: Snapshot, answer: Answer) -> Heard:
        self._greeted = self.accepted = True
        if message.status is not None:
            self._status_told = message.status.counter
        if isinstance(message, Report) and answer.token == message.token:
            self._full_over = None
            self._acknowledged = snapshot.state
            return Heard(acknowledged=self._acknowledged)
        return Heard()

    def _holds(self, message: Report | Heartbeat, token: Token | None) -> Heard:
        if token is None:
            self._full_over = (None,)
            return Heard()
        refused = isinstance(message, Report) and message.over == token
        known = None if refused else self._remembered(token)
        if known is not None:
            self._full_over = None
            self._acknowledged = known
            return Heard(acknowledged=known)
        self._full_over = (token,)
        if self._was_ours(token):
            return Heard()
        return Heard(
            adopt=token, trouble="the tracker knows a later state of this agent: the store was restored from a copy"
        )

    def _remembered(self, token: Token) -> State | None:
        recent = next((each.state for each in self._recent if each.token == token), None)
        acknowledged = self._acknowledged
        return acknowledged if recent is None and acknowledged and acknowledged.token == token else recent

    def _was_ours(self, token: Token) -> bool:
        if token.session == self._speaker.session:
            return token.generation < self._snapshot.token.generation
        return any(
            token.session == last.session and (token.generation < last.generation or token == last)
            for last in self._speaker.lineage
        )
