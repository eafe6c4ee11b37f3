"""
Which attempt of each request is where, and which attempts are still to be freed. Each method is one transaction.

* One row a request. A step names the (attempt, state) that it replaces, for all requests of a set or for none: check
  and write are one statement. Who finds the row otherwise has lost, and gives up what it did.
* An attempt that is given up is written down as a pending free in the transaction that gives it up. It is struck off
  once its agent has answered the free and the agent's row has come to that answer's state without showing the attempt.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, select, union, update
from sqlalchemy.exc import IntegrityError

from pci_agent.tracker.database import run
from pci_agent.tracker.devices import chunks
from pci_agent.tracker.reports import clock
from pci_agent.tracker.standings import Attempt, Due, Free, Node, Shown, Standing, State, Step, frees_of
from pci_agent.tracker.tables import allocations, compute_nodes, pci_devices, pending_frees
from pci_agent.wire.messages import DeviceRecord, Token

_ROW, _FREE, _NODE, _DEVICE = allocations.c, pending_frees.c, compute_nodes.c, pci_devices.c

_FIRST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 60.0


class _Lost(Exception):
    """The transaction is to be rolled back: a row isn't as it was found."""


class Attempts:
    """The rows of requests and of pending frees; part of the tracker's store."""

    def __init__(self, engine: Engine, host_down: timedelta) -> None:
        self._engine = engine
        self._host_down = host_down

    def standings(self, request_ids: Sequence[str]) -> dict[str, Standing]:
        """Tell how these requests stand, in their order."""
        with self._reading() as connection:
            return self._standings(connection, request_ids)

    def of_instance(self, instance_uuid: str) -> dict[str, Standing]:
        """Tell how all requests of an instance stand, those that only hosts know of too."""
        known = select(_ROW.request_id).where(_ROW.instance_uuid == instance_uuid)
        shown = select(_DEVICE.request_id).where(
            _DEVICE.instance_uuid == instance_uuid, _DEVICE.request_id.is_not(None), _DEVICE.deleted == 0
        )
        with self._reading() as connection:
            names = connection.execute(union(known, shown)).scalars().all()
            return self._standings(connection, sorted(names))

    def node(self, agent_uuid: str) -> Node | None:
        """Find the living row of an agent."""
        with self._reading() as connection:
            return self._nodes(connection, [agent_uuid]).get(agent_uuid)

    def devices(self, agent_uuid: str, uuids: Sequence[str]) -> list[DeviceRecord]:
        """Read devices of a host as its rows have them."""
        with self._reading() as connection:
            return _devices(connection, agent_uuid, uuids)

    def advance(self, steps: Iterable[Step], frees: Iterable[Free] = ()) -> bool:
        """
        Take all these steps and owe these frees.

        Returns:
            False where a row wasn't as *before* has it any more; then nothing has changed.
        """
        ordered = sorted(steps, key=lambda step: step.after.request_id)  # two sets lock their rows in one order
        try:
            run(self._engine, lambda connection: _advance(connection, ordered, frees))
        except (_Lost, IntegrityError):
            return False
        return True

    def confirm(self, row: Attempt, token: Token) -> bool:
        """Note that a done attempt was allocated, in this state of its agent; False where it isn't the newest now."""

        def work(connection: Connection) -> bool:
            now = clock(connection)
            seen = {"session": token.session, "generation": token.generation}
            own = update(allocations).where(_is(row)).values(**seen, confirmed_at=now, updated_at=now)
            return bool(connection.execute(own).rowcount)

        return run(self._engine, work)

    def give_up(self, mine: Sequence[Attempt]) -> None:
        """Owe a free for each of these attempts, and let those that still are the newest have failed."""

        def work(connection: Connection) -> None:
            now = clock(connection)
            for each in sorted(mine, key=lambda each: each.request_id):
                own = update(allocations).where(_is(each))
                connection.execute(own.values(state=State.FAILED, updated_at=now))
            _owe(connection, frees_of(mine), now)

        run(self._engine, work)

    def due(self, limit: int) -> list[Due]:
        """Take up to so many pending frees whose time has come and whose host is up; each is due again later."""
        return run(self._engine, lambda connection: self._due(connection, limit))

    def _due(self, connection: Connection, limit: int) -> list[Due]:
        now = clock(connection)
        query = (
            select(pending_frees, _NODE.hypervisor_hostname)
            .join(compute_nodes, _NODE.agent_uuid == _FREE.agent_uuid)
            .where(_FREE.not_before <= now, _NODE.deleted == 0, _NODE.last_seen >= now - self._host_down)
            .order_by(_FREE.not_before, _FREE.id)
            .limit(limit)
        )
        taken = []
        for row in connection.execute(query).all():
            again = update(pending_frees).where(_FREE.id == row.id, _FREE.tries == row.tries)
            later = now + timedelta(seconds=_pause_s(row.tries))
            if connection.execute(again.values(tries=row.tries + 1, not_before=later)).rowcount:
                free = Free(row.request_id, row.attempt, row.agent_uuid)
                taken.append(Due(free, row.hypervisor_hostname, row.tries))
        return taken

    def postpone(self, agent_uuid: str, tries: int) -> None:
        """Let all that an agent is owed wait, for longer the more often it was tried."""

        def work(connection: Connection) -> None:
            later = clock(connection) + timedelta(seconds=_pause_s(tries))
            waiting = update(pending_frees).where(_FREE.agent_uuid == agent_uuid, _FREE.not_before < later)
            connection.execute(waiting.values(not_before=later))

        run(self._engine, work)

    def answered(self, free: Free, token: Token, *, ended: bool) -> bool | None:
        """
        Take in that an agent has answered a free.

        Args:
            free: which
            token: the agent's state afterwards
            ended: False where the agent said that a running domain still has it

        Returns:
            Whether the agent's row shows the attempt still; False: the free is struck off. None where the row hasn't
            come to that state yet.
        """
        return run(self._engine, lambda connection: _answered(connection, free, token, ended=ended))

    def _standings(self, connection: Connection, names: Sequence[str]) -> dict[str, Standing]:
        """Read rows, then hosts, then devices: so what is read later is never older than what it is compared with."""
        rows: dict[str, Attempt] = {}
        for part in chunks(names):
            for found in connection.execute(select(allocations).where(_ROW.request_id.in_(part))).mappings():
                rows[found["request_id"]] = _attempt(found)
        nodes = self._nodes(connection, [row.agent_uuid for row in rows.values() if row.agent_uuid is not None])
        shown = self._shown(connection, names)
        standings = {}
        for name in names:
            row = rows.get(name)
            node = None if row is None or row.agent_uuid is None else nodes.get(row.agent_uuid)
            standing = Standing(name, row, node, tuple(shown.get(name, ())))
            if standing.held and standing.here is None and row is not None and node is not None:
                given = _devices(connection, node.agent_uuid, row.devices or ())
                standing = replace(standing, given=tuple(given))
            standings[name] = standing
        return standings

    def _nodes(self, connection: Connection, agents: Sequence[str]) -> dict[str, Node]:
        silent_since = clock(connection) - self._host_down
        found = {}
        for part in chunks(sorted(set(agents))):
            living = select(compute_nodes).where(_NODE.agent_uuid.in_(part), _NODE.deleted == 0)
            for row in connection.execute(living):
                found[row.agent_uuid] = _node(row, silent_since)
        return found

    def _shown(self, connection: Connection, names: Sequence[str]) -> dict[str, list[Shown]]:
        silent_since = clock(connection) - self._host_down
        about = (_NODE.agent_uuid, _NODE.hypervisor_hostname, _NODE.session, _NODE.generation, _NODE.last_seen)
        found: dict[tuple[str, str], list[Any]] = {}
        for part in chunks(names):
            query = (
                select(pci_devices, *about)
                .join(compute_nodes, _DEVICE.compute_node_id == _NODE.id)
                .where(_DEVICE.request_id.in_(part), _DEVICE.deleted == 0, _NODE.deleted == 0)
                .order_by(_DEVICE.compute_node_id, _DEVICE.id)
            )
            for row in connection.execute(query):
                found.setdefault((row.request_id, row.agent_uuid), []).append(row)
        shown: dict[str, list[Shown]] = {}
        for (name, _), rows in found.items():
            node = _node(rows[0], silent_since)
            devices = tuple(_record(row._mapping) for row in rows)  # noqa: SLF001 - SQLAlchemy's public name for it
            highest = max(row.attempt for row in rows)
            shown.setdefault(name, []).append(Shown(node, highest, rows[0].instance_uuid, devices))
        return shown

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reading=True)


def _devices(connection: Connection, agent_uuid: str, uuids: Sequence[str]) -> list[DeviceRecord]:
    query = (
        select(pci_devices)
        .join(compute_nodes, _DEVICE.compute_node_id == _NODE.id)
        .where(_NODE.agent_uuid == agent_uuid, _NODE.deleted == 0, _DEVICE.deleted == 0, _DEVICE.uuid.in_(uuids))
        .order_by(_DEVICE.id)
    )
    return [_record(row) for row in connection.execute(query).mappings()]


def _advance(connection: Connection, steps: Iterable[Step], frees: Iterable[Free]) -> None:
    now = clock(connection)
    for step in steps:
        values = {**_columns(step.after), "updated_at": now}
        if step.before is None:
            connection.execute(insert(allocations).values(**values, created_at=now))
        elif not connection.execute(update(allocations).where(_is(step.before)).values(values)).rowcount:
            raise _Lost
    _owe(connection, frees, now)


def _is(row: Attempt) -> ColumnElement[bool]:
    attempt, state = row.step
    return (_ROW.request_id == row.request_id) & (_ROW.attempt == attempt) & (_ROW.state == state)


def _owe(connection: Connection, frees: Iterable[Free], now: datetime) -> None:
    """Write down what is to be freed, unless as much of it is written down already."""
    for free in frees:
        same = (_FREE.request_id == free.request_id, _FREE.agent_uuid == free.agent_uuid)
        query = select(func.count()).select_from(pending_frees).where(*same, _FREE.attempt >= free.attempt)
        if not connection.execute(query).scalar_one():
            owed = {"request_id": free.request_id, "attempt": free.attempt, "agent_uuid": free.agent_uuid}
            connection.execute(insert(pending_frees).values(**owed, tries=0, not_before=now, created_at=now))


def _answered(connection: Connection, free: Free, token: Token, *, ended: bool) -> bool | None:
    living = select(_NODE.id, _NODE.session, _NODE.generation).where(
        _NODE.agent_uuid == free.agent_uuid, _NODE.deleted == 0
    )
    node = connection.execute(living).first()
    shows = None
    if node is not None and node.session == token.session and node.generation >= token.generation:
        # A state of this agent that doesn't show the attempt is followed by none that does: its agent refuses it now.
        of_request = (_DEVICE.request_id == free.request_id, _DEVICE.attempt <= free.attempt)
        query = select(func.count()).where(_DEVICE.compute_node_id == node.id, _DEVICE.deleted == 0, *of_request)
        shows = bool(connection.execute(query).scalar_one())
    if shows is False:
        of_free = (_FREE.request_id == free.request_id, _FREE.agent_uuid == free.agent_uuid)
        connection.execute(delete(pending_frees).where(*of_free, _FREE.attempt <= free.attempt))
    if shows is False or (shows is None and ended):
        freeing = (_ROW.request_id == free.request_id, _ROW.agent_uuid == free.agent_uuid, _ROW.state == State.FREEING)
        over = update(allocations).where(*freeing, _ROW.attempt <= free.attempt)
        connection.execute(over.values(state=State.FREED, updated_at=clock(connection)))
    return shows


def _pause_s(tries: int) -> float:
    return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(tries, 16))


def _node(row: Any, silent_since: datetime) -> Node:
    return Node(row.agent_uuid, row.hypervisor_hostname, row.session, row.generation, row.last_seen >= silent_since)


def _record(row: Any) -> DeviceRecord:
    return DeviceRecord(**{name: row[name] for name in DeviceRecord.model_fields})


_SAME = (
    "request_id",
    "attempt",
    "agent_uuid",
    "session",
    "generation",
    "instance_uuid",
    "project_id",
    "user_id",
    "asked",
    "confirmed_at",
)


def _columns(row: Attempt) -> dict[str, Any]:
    devices = None if row.devices is None else list(row.devices)
    named = {name: getattr(row, name) for name in _SAME}
    return {**named, "state": str(row.state), "hypervisor_hostname": row.host, "devices": devices}


def _attempt(row: Any) -> Attempt:
    devices = None if row["devices"] is None else tuple(row["devices"])
    named = {name: row[name] for name in _SAME}
    return Attempt(**named, state=State(row["state"]), host=row["hypervisor_hostname"], devices=devices)
