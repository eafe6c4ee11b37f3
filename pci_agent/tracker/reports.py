"""
What a report changes, in one transaction.

* It begins with a compare-and-set: the row's whole token must be the one that the report replaces. No row hit, or a
  key conflict: nothing changes. Check and write are one statement, and the row stays locked until the commit, so that
  a host has one writer at a time and what follows needs no checks of its own.
* Another session takes a host over at once where its lineage names the row's session, else only after the
  holder has been silent. A superseded host is soft-deleted with its devices, and its pools go.
* Devices, pools and history change together with the token, or not at all.
"""

import logging
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from pci_agent import __version__
from pci_agent.model.versions import is_older
from pci_agent.tracker import devices, history, pools
from pci_agent.tracker.tables import compute_nodes, utcnow
from pci_agent.wire.messages import Heartbeat, Report, Token

LOG = logging.getLogger(__name__)

_NODE = compute_nodes.c


class NotApplied(Exception):
    """The report's transaction is to be rolled back; nothing changes."""


def replace(connection: Connection, report: Report, host_down: timedelta) -> None:
    """
    Make the host's rows those of the report.

    Raises:
        NotApplied: the row's token isn't the one that the report replaces.
        IntegrityError: the host's name or the agent has a row already that the report doesn't know of.
    """
    now = clock(connection)
    silent_since = now - host_down
    _supersede(connection, report, silent_since, now)
    _compare_and_set(connection, report, silent_since)
    node_id = connection.execute(select(_NODE.id).where(speaks(report))).scalar_one()
    changes = devices.write(connection, node_id, report, now)
    if changes is None:
        raise NotApplied
    history.keep(connection, node_id, now, changes)
    pools.write(connection, node_id, report.pools)
    keep_status(connection, report)


def clock(connection: Connection) -> datetime:
    """Read the database's clock: now, in UTC."""
    now: datetime = connection.execute(select(utcnow())).scalar_one()
    return now


def speaks(message: Report | Heartbeat) -> ColumnElement[bool]:
    """Select the row of the agent that a message is from."""
    return and_(_NODE.agent_uuid == message.agent_uuid, _NODE.deleted == 0)


def holds(token: Token) -> ColumnElement[bool]:
    """Select rows that hold exactly this state."""
    return and_(_NODE.session == token.session, _NODE.generation == token.generation, _NODE.digest == token.digest)


def follows(message: Report | Heartbeat, session: str) -> bool:
    """Tell whether a message's session comes after that one."""
    return any(token.session == session for token in message.lineage)


def keep_status(connection: Connection, message: Report | Heartbeat) -> None:
    """Keep how the agent fares, unless a later word of it is here already."""
    status = message.status
    if status is None:
        return
    before = connection.execute(select(_NODE.agent_status).where(speaks(message))).scalar()
    kept = connection.execute(
        update(compute_nodes)
        .where(speaks(message), _NODE.session == message.session, _NODE.status_counter < status.counter)
        .values(
            agent_status=status.model_dump(mode="json"),
            observing=status.observing,
            status_counter=status.counter,
        )
    )
    if kept.rowcount and (before or {}).get("agent_version") != status.agent_version:
        _tell_version(message.host, status.agent_version)


def _tell_version(host: str, version: str) -> None:
    older = f", older than this tracker's {__version__}: update it" if is_older(version, __version__) else ""
    LOG.info("%s: its agent is of version %s now%s", host, version, older)


def delete_host(connection: Connection, node_id: int, now: datetime, *still: ColumnElement[bool]) -> bool:
    """Soft-delete a host with its devices, where *still* holds; its pools go. False where it doesn't."""
    gone = update(compute_nodes).where(_NODE.id == node_id, _NODE.deleted == 0, *still)
    if not connection.execute(gone.values(deleted=_NODE.id, deleted_at=now)).rowcount:
        return False
    history.keep(connection, node_id, now, devices.delete_all(connection, node_id, now))
    pools.write(connection, node_id, ())
    return True


def _supersede(connection: Connection, report: Report, silent_since: datetime, now: datetime) -> None:
    """Soft-delete another agent's row of this host name, where that agent has been silent for long enough."""
    others = (_NODE.hypervisor_hostname == report.host, _NODE.agent_uuid != report.agent_uuid, _NODE.deleted == 0)
    silent = connection.execute(select(_NODE.id).where(*others, _NODE.last_seen < silent_since)).scalars().all()
    for node_id in silent:
        delete_host(connection, node_id, now, *others, _NODE.last_seen < silent_since)


def _compare_and_set(connection: Connection, report: Report, silent_since: datetime) -> None:
    """Put the report's token where the one that it replaces stands."""
    held: dict[str, object] = {
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
    change = update(compute_nodes).where(speaks(report), holds(over))
    if over.session == report.session:
        if report.token.generation <= over.generation:
            raise NotApplied
    else:
        held |= {"status_counter": -1, "refused_agent": None, "refused_session": None, "refused_at": None}
        if not follows(report, over.session):
            change = change.where(_NODE.last_seen < silent_since)
    if not connection.execute(change.values(**held, updated_at=utcnow())).rowcount:
        raise NotApplied
