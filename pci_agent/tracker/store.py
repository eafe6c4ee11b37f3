"""
What the tracker keeps, and the only module that speaks SQL.

* A report is one transaction that begins with a compare-and-set: the row's whole token must be the one that
  the report replaces. No row hit, or a key conflict: nothing changes, and the answer tells what is held.
* Check and write are one statement; what is read afterwards only words the answer.
* Another session takes a host over at once where its lineage names the row's session, else only after the
  holder has been silent. A superseded host is soft-deleted with its devices.
* Only the row's own session is a sign of life. Time is the database's.
* An agent that finds a state here which it can't have written was restored from a copy, and gets what is here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from pci_agent.tracker.database import run
from pci_agent.tracker.tables import compute_nodes, pci_devices, utcnow
from pci_agent.wire.messages import (
    Answer,
    DeviceRecord,
    Heartbeat,
    KnownRecord,
    Report,
    Token,
    Verdict,
    digest,
    digest_after,
)

_NODE, _DEVICE = compute_nodes.c, pci_devices.c
_CHUNK = 500  # names in one IN list: SQLite's oldest limit is 999
_MOST_ID = 2**31 - 1

_NAMES = (_DEVICE.uuid, _DEVICE.dev_id, _DEVICE.address)

RowMap = Mapping[Any, Any]
"""One row, by column name."""


class _NotApplied(Exception):
    """The report's transaction is rolled back; nothing changed."""


class Store:
    """
    The fleet, in a database.

    Args:
        engine: from database.connect
        host_down_s: how long a host must be silent until another agent may speak for it, and until it is "down"
    """

    def __init__(self, engine: Engine, *, host_down_s: float) -> None:
        self._engine = engine
        self._host_down = timedelta(seconds=host_down_s)

    # What agents say

    def accept(self, report: Report) -> Answer:
        """Apply a report, or tell why it doesn't apply. Committed when this returns."""
        if report.full and digest(record.hash for record in report.devices) != report.token.digest:
            return Answer(verdict=Verdict.BAD_DIGEST, reason="the devices' hashes don't sum up to the token's digest")
        try:
            run(self._engine, lambda connection: self._replace(connection, report))
        except (_NotApplied, IntegrityError):
            return run(self._engine, lambda connection: self._verdict(connection, report))
        return Answer(verdict=Verdict.OK, token=report.token)

    def hear(self, heartbeat: Heartbeat) -> Answer:
        """Take a sign of life, and tell whether agent and tracker agree."""
        return run(self._engine, lambda connection: self._heard(connection, heartbeat))

    def _heard(self, connection: Connection, heartbeat: Heartbeat) -> Answer:
        if heartbeat.token is not None:
            alive = (
                update(compute_nodes)
                .where(_speaks(heartbeat), _holds(heartbeat.token), _NODE.session == heartbeat.session)
                .values(last_seen=utcnow())
            )
            if connection.execute(alive).rowcount:
                _keep_status(connection, heartbeat)
                return Answer(verdict=Verdict.OK, token=heartbeat.token)
        return self._verdict(connection, heartbeat)

    def _replace(self, connection: Connection, report: Report) -> None:
        silent_since = _now(connection) - self._host_down
        _supersede(connection, report, silent_since)
        _compare_and_set(connection, report, silent_since)
        node_id = connection.execute(select(_NODE.id).where(_speaks(report))).scalar_one()
        _write_devices(connection, node_id, report)
        _keep_status(connection, report)

    def _verdict(self, connection: Connection, message: Report | Heartbeat) -> Answer:
        silent_since = _now(connection) - self._host_down
        other = connection.execute(
            select(compute_nodes).where(
                _NODE.hypervisor_hostname == message.host,
                _NODE.agent_uuid != message.agent_uuid,
                _NODE.deleted == 0,
                _NODE.last_seen >= silent_since,
            )
        ).first()
        if other is not None:
            return Answer(verdict=Verdict.TAKEN, reason=f"agent {other.agent_uuid}, last seen {other.last_seen} UTC")
        row = connection.execute(select(compute_nodes).where(_speaks(message))).first()
        if row is None:
            return Answer(verdict=Verdict.HOLDS)
        if row.session == message.session:
            alive = update(compute_nodes).where(_speaks(message), _NODE.session == message.session)
            connection.execute(alive.values(last_seen=utcnow()))
        elif row.last_seen >= silent_since and not _follows(message, row.session):
            return Answer(
                verdict=Verdict.TAKEN, reason=f"session {row.session} of this agent, last seen {row.last_seen} UTC"
            )
        held = Token(session=row.session, generation=row.generation, digest=row.digest)
        same = isinstance(message, Report) and held == message.token
        if same:
            _keep_status(connection, message)
            return Answer(verdict=Verdict.OK, token=held)
        # Read after the token: devices of a later state do no harm, for nothing replaces the token then.
        known = () if wrote(message, held) else _known(connection, row.id)
        return Answer(verdict=Verdict.HOLDS, token=held, known=known)

    # What people ask

    def devices(
        self, *, name: str | None = None, instance_uuid: str | None = None, hypervisor: str | None = None
    ) -> list[RowMap]:
        """
        List living devices, each with its host's name as hypervisor_hostname, host by host.

        Args:
            name: only the device with this id, uuid, device name or address; on several hosts there may be several
            instance_uuid: only those that this instance holds
            hypervisor: only those of the host with this id or name
        """
        query = (
            select(pci_devices, _NODE.hypervisor_hostname)
            .join(compute_nodes, _DEVICE.compute_node_id == _NODE.id)
            .where(_DEVICE.deleted == 0, _NODE.deleted == 0)
            .order_by(_DEVICE.compute_node_id, _DEVICE.id)
        )
        if name is not None:
            query = query.where(or_(*_named(_DEVICE.id, name), *(column == name for column in _NAMES)))
        if instance_uuid is not None:
            query = query.where(_DEVICE.instance_uuid == instance_uuid)
        if hypervisor is not None:
            query = query.where(or_(*_named(_NODE.id, hypervisor), _NODE.hypervisor_hostname == hypervisor))
        with self._reading() as connection:
            return list(connection.execute(query).mappings())

    def hypervisors(self, name: str | None = None) -> list[RowMap]:
        """
        List living hosts by name, each with ``up``: whether it was heard of in the last host_down_s seconds.

        Args:
            name: only the host with this name, or else this id
        """
        query = (
            select(compute_nodes, utcnow().label("now")).where(_NODE.deleted == 0).order_by(_NODE.hypervisor_hostname)
        )
        if name is not None:
            query = query.where(or_(*_named(_NODE.id, name), _NODE.hypervisor_hostname == name))
        with self._reading() as connection:
            rows = connection.execute(query).mappings().all()
        named = [row for row in rows if row["hypervisor_hostname"] == name]
        return [self._with_life(row) for row in named or rows]

    def _with_life(self, row: RowMap) -> RowMap:
        return {**row, "up": row["last_seen"] >= row["now"] - self._host_down}

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reading=True)


def _now(connection: Connection) -> datetime:
    now: datetime = connection.execute(select(utcnow())).scalar_one()
    return now


def _speaks(message: Report | Heartbeat) -> ColumnElement[bool]:
    return and_(_NODE.agent_uuid == message.agent_uuid, _NODE.deleted == 0)


def _holds(token: Token) -> ColumnElement[bool]:
    return and_(_NODE.session == token.session, _NODE.generation == token.generation, _NODE.digest == token.digest)


def _follows(message: Report | Heartbeat, session: str) -> bool:
    return any(token.session == session for token in message.lineage)


def wrote(message: Report | Heartbeat, held: Token) -> bool:
    """
    Tell whether the sender of a message can have made a state by itself.

    It can where an earlier session of its lineage went that far, and in its own session up to what it says now. A
    heartbeat says less than the agent may have told since; then this is False, which the agent knows better.
    """
    now = message.token
    sessions = message.lineage if now is None or now.session != message.session else (*message.lineage, now)
    return any(
        held.session == last.session and (held.generation < last.generation or held == last) for last in sessions
    )


def _known(connection: Connection, node_id: int) -> tuple[KnownRecord, ...]:
    columns = [pci_devices.c[name] for name in KnownRecord.model_fields]
    living = (_DEVICE.compute_node_id == node_id, _DEVICE.deleted == 0)
    rows = connection.execute(select(*columns).where(*living).order_by(_DEVICE.id)).mappings()
    return tuple(KnownRecord(**row) for row in rows)


def _named(column: ColumnElement[int], name: str) -> Iterator[ColumnElement[bool]]:
    """Compare a name with an integer column, where it is one that the column can hold."""
    is_number = name.isascii() and name.isdigit() and not name.startswith("0")
    if is_number and len(name) <= len(str(_MOST_ID)) and int(name) <= _MOST_ID:
        yield column == int(name)


def _supersede(connection: Connection, report: Report, silent_since: datetime) -> None:
    """Soft-delete another agent's row of this host name, where that agent has been silent for long enough."""
    others = (_NODE.hypervisor_hostname == report.host, _NODE.agent_uuid != report.agent_uuid, _NODE.deleted == 0)
    silent = connection.execute(select(_NODE.id).where(*others, _NODE.last_seen < silent_since)).scalars().all()
    for node_id in silent:
        gone = update(compute_nodes).where(_NODE.id == node_id, *others, _NODE.last_seen < silent_since)
        if connection.execute(gone.values(deleted=_NODE.id, deleted_at=utcnow())).rowcount:
            of_it = update(pci_devices).where(_DEVICE.compute_node_id == node_id, _DEVICE.deleted == 0)
            connection.execute(of_it.values(deleted=_DEVICE.id, deleted_at=utcnow()))


def _compare_and_set(connection: Connection, report: Report, silent_since: datetime) -> None:
    """Put the report's token where the one that it replaces stands."""
    held = {
        "hypervisor_hostname": report.host,
        "session": report.token.session,
        "generation": report.token.generation,
        "digest": report.token.digest,
        "pci_stats": [pool.model_dump(mode="json") for pool in report.pools],
        "last_seen": utcnow(),
    }
    over = report.over
    if over is None:
        first = {"agent_uuid": report.agent_uuid, "status_counter": -1, "created_at": utcnow()}
        connection.execute(insert(compute_nodes).values(**held, **first))
        return
    change = update(compute_nodes).where(_speaks(report), _holds(over))
    if over.session == report.session:
        if report.token.generation <= over.generation:
            raise _NotApplied
    else:
        held["status_counter"] = -1
        if not _follows(report, over.session):
            change = change.where(_NODE.last_seen < silent_since)
    if not connection.execute(change.values(**held, updated_at=utcnow())).rowcount:
        raise _NotApplied


def _keep_status(connection: Connection, message: Report | Heartbeat) -> None:
    status = message.status
    if status is not None:
        connection.execute(
            update(compute_nodes)
            .where(_speaks(message), _NODE.session == message.session, _NODE.status_counter < status.counter)
            .values(agent_status=status.model_dump(mode="json"), status_counter=status.counter)
        )


def _write_devices(connection: Connection, node_id: int, report: Report) -> None:
    """Make the host's rows those of the report; rows that are the same already are left alone."""
    come = {record.uuid: record for record in report.devices}
    held = _held_devices(connection, node_id, None if report.full else [*come, *report.removed])
    living = {uuid: row for uuid, row in held.items() if row.deleted == 0}
    if report.full:
        gone = [row.id for uuid, row in living.items() if uuid not in come]
    else:
        gone = [living[uuid].id for uuid in report.removed if uuid in living]
        before = report.over.digest if report.over is not None else digest(())
        after = digest_after(before, (row.hash for row in living.values()), (record.hash for record in come.values()))
        if after != report.token.digest:
            raise _NotApplied
    new = [_columns(record, node_id) for uuid, record in come.items() if uuid not in held]
    changed = [
        {**_columns(record, node_id), "row_id": held[uuid].id}
        for uuid, record in come.items()
        if uuid in held and (uuid not in living or living[uuid].hash != record.hash)
    ]
    at = _DEVICE.id == bindparam("row_id")
    if gone:
        gone_now = update(pci_devices).where(at).values(deleted=_DEVICE.id, deleted_at=utcnow())
        connection.execute(gone_now, [{"row_id": row_id} for row_id in gone])
    if changed:
        back = update(pci_devices).where(at).values(updated_at=utcnow(), deleted=0, deleted_at=None)
        connection.execute(back, changed)
    if new:
        connection.execute(insert(pci_devices).values(created_at=utcnow()), new)


def _held_devices(connection: Connection, node_id: int, uuids: Sequence[str] | None) -> dict[str, Row[Any]]:
    """Read id, hash and deleted of a host's devices, soft-deleted ones too; *uuids* None: of all of them."""
    query = select(_DEVICE.uuid, _DEVICE.id, _DEVICE.hash, _DEVICE.deleted).where(_DEVICE.compute_node_id == node_id)
    queries: Iterable[Any] = [query]
    if uuids is not None:
        parts = (uuids[start : start + _CHUNK] for start in range(0, len(uuids), _CHUNK))
        queries = (query.where(_DEVICE.uuid.in_(part)) for part in parts)
    return {row.uuid: row for each in queries for row in connection.execute(each)}


def _columns(record: DeviceRecord, node_id: int) -> dict[str, Any]:
    return {**record.model_dump(mode="json"), "compute_node_id": node_id}
