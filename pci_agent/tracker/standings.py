"""
How requests stand: what their rows say beside what hosts' rows show of them. No I/O.

What was done is believed as long as the agent's row shows it, or hasn't come to the state in which it was done.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from pci_agent.wire.messages import DeviceRecord


class State(StrEnum):
    """How far a request has come."""

    CLAIMING = "claiming"
    DONE = "done"
    FAILED = "failed"
    FREEING = "freeing"
    FREED = "freed"


_AT_IT = (State.CLAIMING, State.DONE, State.FREEING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    One request, as its row has it.

    Attributes:
        request_id: names it
        attempt: the newest; an earlier one counts for nothing. 0 where it was freed before it was ever claimed
        state: of that attempt
        instance_uuid: for whom
        agent_uuid: where that attempt is, or was; None where nowhere
        host: that agent's host at that time, by name
        session: of the agent: that the claim was planned against; of what is done, that it was done in
        generation: of what is done: the state of the agent in which it was; else None
        project_id, user_id: the instance's, as the claim said
        asked: the request, as RequestRecord without its attempt; None where it was found on a host
        devices: the uuids of what is done; else None
        confirmed_at: when it was allocated; None before
    """

    request_id: str
    attempt: int
    state: State
    instance_uuid: str
    agent_uuid: str | None = None
    host: str | None = None
    session: str | None = None
    generation: int | None = None
    project_id: str | None = None
    user_id: str | None = None
    asked: dict[str, Any] | None = None
    devices: tuple[str, ...] | None = None
    confirmed_at: datetime | None = None

    @property
    def step(self) -> tuple[int, State]:
        """What a step compares."""
        return self.attempt, self.state


@dataclass(frozen=True, slots=True)
class Free:
    """An attempt that an agent is to end, with all before it."""

    request_id: str
    attempt: int
    agent_uuid: str


@dataclass(frozen=True, slots=True)
class Due:
    """A pending free that is to be sent now: where to, and how often it was tried before."""

    free: Free
    host: str
    tries: int


@dataclass(frozen=True, slots=True)
class Node:
    """A living host's row: who speaks for it, its state, and whether it was heard of lately."""

    agent_uuid: str
    host: str
    session: str
    generation: int
    up: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """What a host's rows show of a request: its highest attempt there, and the devices."""

    node: Node
    attempt: int
    instance_uuid: str | None
    devices: tuple[DeviceRecord, ...]

    def row(self, request_id: str) -> Attempt:
        """Make the row that the request would have: its own was lost with a database, or purged."""
        return Attempt(
            request_id=request_id,
            attempt=self.attempt,
            state=State.DONE,
            instance_uuid=self.instance_uuid or "",
            agent_uuid=self.node.agent_uuid,
            host=self.node.host,
            session=self.node.session,
            generation=self.node.generation,
            project_id=self.devices[0].project_id,
            user_id=self.devices[0].user_id,
            devices=tuple(device.uuid for device in self.devices),
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """
    How a request stands.

    Attributes:
        request_id: which
        row: its own; None where it has none
        node: the living row of that row's agent; None where there is none
        shown: each host whose rows show the request
        given: what was done, where the row of its agent doesn't show that
    """

    request_id: str
    row: Attempt | None
    node: Node | None
    shown: tuple[Shown, ...]
    given: tuple[DeviceRecord, ...] = ()

    @property
    def here(self) -> Shown | None:
        """What is shown where the row says that the request is."""
        agent = None if self.row is None else self.row.agent_uuid
        return next((each for each in self.shown if each.node.agent_uuid == agent), None)

    @property
    def held(self) -> bool:
        """True where it is done, and the agent's row shows that or can't know it yet."""
        row, node = self.row, self.node
        if row is None or row.state is not State.DONE:
            return False
        if self.here is not None and self.here.attempt == row.attempt:
            return True
        return (
            node is not None
            and row.generation is not None
            and row.session == node.session
            and node.generation < row.generation
        )

    @property
    def instance_uuid(self) -> str | None:
        """Whose the request is: the row's word while that is at it, else what hosts show; None where nobody's yet."""
        row = self.row
        if row is not None and (row.state in _AT_IT or not self.shown):
            return row.instance_uuid
        return self.shown[0].instance_uuid if self.shown else None

    @property
    def devices(self) -> tuple[DeviceRecord, ...]:
        """The request's devices, as far as they are known."""
        if self.row is None:
            return self.shown[0].devices if self.shown else ()
        return self.given if self.here is None else self.here.devices

    def after(self, row: Attempt) -> "Standing":
        """Tell the same; and where nothing is known any more, since the database was lost, that *row* was last."""
        return self if self.row is not None or self.shown else replace(self, row=row)

    def elsewhere(self, agent_uuid: str | None) -> list[Free]:
        """Name what the rows of hosts other than this agent's show of the request."""
        return [
            Free(self.request_id, each.attempt, each.node.agent_uuid)
            for each in self.shown
            if each.node.agent_uuid != agent_uuid and each.attempt
        ]

    @property
    def highest(self) -> int:
        """The highest attempt that is known of anywhere; 0 where none is."""
        own = 0 if self.row is None else self.row.attempt
        return max(own, *(each.attempt for each in self.shown), 0)


@dataclass(frozen=True, slots=True)
class Step:
    """One request before and after; *before* is None where it has no row yet."""

    before: Attempt | None
    after: Attempt


def frees_of(attempts: Iterable[Attempt]) -> Iterator[Free]:
    """Name what is to be freed where these attempts are given up."""
    for each in attempts:
        if each.agent_uuid is not None and each.attempt:
            yield Free(each.request_id, each.attempt, each.agent_uuid)
