"""
What the tracker keeps. Only this package speaks SQL; only this module and attempts.py write, in transactions of their
own.

* A report applies in one transaction or not at all (reports.py); what is read afterwards only words the answer.
* Only the row's own session is a sign of life. Time is the database's.
* An agent that finds a state here which it can't have written was restored from a copy, and gets what is here.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, or_, select, update
from sqlalchemy.exc import IntegrityError

from pci_agent.tracker import history, reports, upkeep
from pci_agent.tracker.attempts import Attempts
from pci_agent.tracker.database import run
from pci_agent.tracker.ids import numbered
from pci_agent.tracker.lists import Lists
from pci_agent.tracker.tables import compute_nodes, pci_devices, utcnow
from pci_agent.tracker.upkeep import Disagreement
from pci_agent.wire.messages import (
    Answer,
    Heartbeat,
    KnownRecord,
    Report,
    Token,
    Verdict,
    digest,
)

_NODE, _DEVICE = compute_nodes.c, pci_devices.c

_NAMES = (_DEVICE.uuid, _DEVICE.dev_id, _DEVICE.address)

RowMap = Mapping[Any, Any]
"""One row, by column name."""


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
        self.attempts = Attempts(engine, self._host_down)
        """The rows of requests, and of what is still to be freed."""
        self.lists = Lists(engine, self._host_down)
        """The fleet, page by page."""

    # What agents say

    def accept(self, report: Report) -> Answer:
        """Apply a report, or tell why it doesn't apply. Committed when this returns."""
        if not _sums_up(report):
            return Answer(verdict=Verdict.BAD_DIGEST, reason="the devices' hashes don't sum up to the token's digest")
        if self._applied(report):
            return Answer(verdict=Verdict.OK, token=report.token)
        return run(self._engine, lambda connection: self._verdict(connection, report))

    def apply(self, report: Report) -> bool:
        """Apply a report where it applies; False where it doesn't, for whoever needn't tell the agent why."""
        return _sums_up(report) and self._applied(report)

    def _applied(self, report: Report) -> bool:
        try:
            run(self._engine, lambda connection: reports.replace(connection, report, self._host_down))
        except (reports.NotApplied, IntegrityError):
            return False
        return True

    def hear(self, heartbeat: Heartbeat) -> Answer:
        """Take a sign of life, and tell whether agent and tracker agree."""
        return run(self._engine, lambda connection: self._heard(connection, heartbeat))

    def _heard(self, connection: Connection, heartbeat: Heartbeat) -> Answer:
        if heartbeat.token is not None:
            alive = (
                update(compute_nodes)
                .where(reports.speaks(heartbeat), reports.holds(heartbeat.token), _NODE.session == heartbeat.session)
                .values(last_seen=utcnow())
            )
            if connection.execute(alive).rowcount:
                reports.keep_status(connection, heartbeat)
                return Answer(verdict=Verdict.OK, token=heartbeat.token)
        return self._verdict(connection, heartbeat)

    def _verdict(self, connection: Connection, message: Report | Heartbeat) -> Answer:
        silent_since = reports.clock(connection) - self._host_down
        other = connection.execute(
            select(compute_nodes).where(
                _NODE.hypervisor_hostname == message.host,
                _NODE.agent_uuid != message.agent_uuid,
                _NODE.deleted == 0,
                _NODE.last_seen >= silent_since,
            )
        ).first()
        if other is not None:
            return _taken(connection, message, other, f"agent {other.agent_uuid}")
        row = connection.execute(select(compute_nodes).where(reports.speaks(message))).first()
        if row is None:
            return Answer(verdict=Verdict.HOLDS)
        if row.session == message.session:
            alive = update(compute_nodes).where(reports.speaks(message), _NODE.session == message.session)
            connection.execute(alive.values(last_seen=utcnow()))
        elif row.last_seen >= silent_since and not reports.follows(message, row.session):
            return _taken(connection, message, row, f"session {row.session} of this agent")
        held = Token(session=row.session, generation=row.generation, digest=row.digest)
        same = isinstance(message, Report) and held == message.token
        if same:
            reports.keep_status(connection, message)
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
            query = query.where(or_(*numbered(_DEVICE.id, name), *(column == name for column in _NAMES)))
        if instance_uuid is not None:
            query = query.where(_DEVICE.instance_uuid == instance_uuid)
        if hypervisor is not None:
            query = query.where(or_(*numbered(_NODE.id, hypervisor), _NODE.hypervisor_hostname == hypervisor))
        with self._reading() as connection:
            return list(connection.execute(query).mappings())

    def hypervisors(self, name: str | None = None) -> list[RowMap]:
        """
        List living hosts by name, each with ``up``: whether it was heard of in the last host_down_s seconds.

        One that never reported isn't here, nor anywhere: a row begins with a report, a heartbeat makes none, no
        configuration lists hosts, and a claim that names one finds it here or doesn't. Where another agent asked to
        speak for a host and was refused, refused_agent, refused_session and refused_at tell who and when, until the
        host's own agent starts anew.

        Args:
            name: only the host with this name, or else this id
        """
        query = (
            select(compute_nodes, utcnow().label("now")).where(_NODE.deleted == 0).order_by(_NODE.hypervisor_hostname)
        )
        if name is not None:
            query = query.where(or_(*numbered(_NODE.id, name), _NODE.hypervisor_hostname == name))
        with self._reading() as connection:
            rows = connection.execute(query).mappings().all()
        named = [row for row in rows if row["hypervisor_hostname"] == name]
        return [self._with_life(row) for row in named or rows]

    def history(self, device_uuid: str, *, limit: int = 100) -> list[RowMap]:
        """List what became of a device, newest first: event, at, before, after, instance_uuid, request_id."""
        with self._reading() as connection:
            return history.of_device(connection, device_uuid, limit)

    # What operators do by hand

    def verify(self) -> list[Disagreement]:
        """Compare every host's rows with one another; each host in one snapshot."""
        with self._snapshot() as connection:
            found = upkeep.orphans(connection)
            node_ids = upkeep.hosts(connection)
        for node_id in node_ids:
            with self._snapshot() as connection:
                found += upkeep.disagreements(connection, node_id)
        return found

    def purge(self, older_than: timedelta, *, batch: int = 1000) -> dict[str, int]:
        """
        Delete history, and devices and hosts that are gone, from before that time.

        Returns:
            How many rows went, by table.
        """
        with self._reading() as connection:
            before = reports.clock(connection) - older_than
        return upkeep.purge(lambda work: run(self._engine, work), before, batch)

    def forget(self, name: str) -> bool:
        """
        Soft-delete a host with its devices. An agent that still speaks for it tells all of it anew, with new ids.

        Args:
            name: the host's name, or else its id

        Returns:
            False where there is no such host.
        """
        found = self.hypervisors(name)

        def delete(connection: Connection) -> bool:
            return reports.delete_host(connection, found[0]["id"], reports.clock(connection))

        return bool(found) and run(self._engine, delete)

    def _with_life(self, row: RowMap) -> RowMap:
        return {**row, "up": row["last_seen"] >= row["now"] - self._host_down}

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reading=True)

    def _snapshot(self) -> Connection:
        """Read what was committed at one moment, whatever is written meanwhile; SQLite's readers always do."""
        reading = self._reading()
        if self._engine.dialect.name == "sqlite":
            return reading
        return reading.execution_options(isolation_level="REPEATABLE READ")


def _sums_up(report: Report) -> bool:
    """Tell whether all devices are those of the token; of a difference that shows once it is applied."""
    return not report.full or digest(record.hash for record in report.devices) == report.token.digest


def _taken(connection: Connection, message: Report | Heartbeat, holder: Any, who: str) -> Answer:
    """Refuse an agent, and remember on the holder's row that it asked."""
    refused = {"refused_agent": message.agent_uuid, "refused_session": message.session, "refused_at": utcnow()}
    connection.execute(update(compute_nodes).where(_NODE.id == holder.id, _NODE.deleted == 0).values(refused))
    return Answer(verdict=Verdict.TAKEN, reason=f"{who}, last seen {holder.last_seen} UTC")


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
