"""
The fleet, page by page: what lists of REST are made of.

A page begins after its marker, the last item of the page before, and in its order: sort key, then host by host. So it
costs the same wherever it is, and what comes or goes meanwhile moves no other item from one page to another. A marker
may be gone by now: its row is still there until it is purged. One row more than a page holds tells whether another page
follows. Tags are in no index: a filter by one goes through the devices that the other filters leave.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    String,
    and_,
    case,
    cast,
    func,
    or_,
    select,
    tuple_,
    type_coerce,
)

from pci_agent.errors import BadRequest
from pci_agent.tracker import document, reports
from pci_agent.tracker.devices import chunks
from pci_agent.tracker.ids import numbered
from pci_agent.tracker.search import name_of
from pci_agent.tracker.tables import compute_nodes, pci_device_events, pci_devices, pci_kinds, pending_frees

_NODE, _DEVICE, _EVENT = compute_nodes.c, pci_devices.c, pci_device_events.c
_STAMP = (
    type_coerce(_DEVICE.id, String)  # databases write what they join: told to, they take twice as long
    + " "
    + type_coerce(_DEVICE.compute_node_id, String)
    + " "
    + _DEVICE.hash
    + func.coalesce(cast(func.coalesce(_DEVICE.updated_at, _DEVICE.created_at), String(32)), "")
)
_DIGITS = 32  # of a hash

SORT_KEYS = ("compute_node_id", "id", "uuid", "address", "status", "vendor_id", "product_id", "dev_type")
"""What devices may be sorted by; the first is the default."""

_INDEXES = {
    "compute_node_id": "ix_pci_devices_by_host",
    "address": "ix_pci_devices_by_address",
    "status": "ix_pci_devices_by_status",
}

HOST_SORT_KEYS = ("hypervisor_hostname", "id")
"""What hosts may be sorted by; the first is the default."""

_MOST_DIGITS = 18
_TIMES = ("created_at", "updated_at", "deleted_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """
    Which part of a list.

    Attributes:
        limit: at most so many items
        marker: the last item of the page before; None: from the beginning
        sort_key: one of SORT_KEYS; None for the default
        descending: the other way round
    """

    limit: int
    marker: str | None = None
    sort_key: str | None = None
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """
    Which devices. Every condition that is given must hold.

    Attributes:
        equal: values by column
        tags: the device's own, compared without case
        name: an id, uuid, device name or address; on several hosts several devices may have it
        hypervisor: a host's name, or else its id
    """

    equal: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    hypervisor: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """
    One page.

    Attributes:
        rows: in order
        hosts: of devices: their hosts' names by compute_node_id
        more: whether another page follows
    """

    rows: Sequence[Any]
    hosts: Mapping[int, str]
    more: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """
    How much there is.

    Attributes:
        hosts: living ones, ``up`` and ``down``
        devices: living ones, by status and dev_type
        pending_frees: that agents haven't answered yet
    """

    hosts: Mapping[str, int]
    devices: Mapping[tuple[str, str], int]
    pending_frees: int


class Lists:
    """Reads lists; part of the tracker's store. Every method may be called by any thread."""

    def __init__(self, engine: Engine, host_down: timedelta) -> None:
        self._engine = engine
        self._host_down = host_down

    def devices(self, columns: Iterable[str], filters: Filters, page: Page) -> Listed:
        """
        List living devices, host by host unless the page says otherwise.

        Args:
            columns: of pci_devices, in this order; id and compute_node_id among them, and hash beside document. Times
                are as the driver gives them, text or not
            filters: which
            page: of these

        Raises:
            BadRequest: the marker is no device's.
        """
        names = tuple(columns)
        with self._reading() as connection:
            query = select(*map(_column, names)).where(_DEVICE.deleted == 0, *_conditions(connection, filters))
            query = _paged(connection, query, page)
            if filters == Filters():
                query = _told_its_index(query, page)
            found = connection.execute(query).all()
            rows = found[: page.limit]
            node = names.index("compute_node_id")
            hosts = _hosts(connection, {row[node] for row in rows})
            if "document" in names:
                rows = _made_anew(connection, names, rows)
            return Listed(rows, hosts, len(found) > page.limit)

    def stamps(self, filters: Filters, page: Page) -> Listed:
        """
        List living devices as *devices* does, but of each only its stamp: a text that no other row ever has, nor the
        same row once it was written anew. It is the id, the host's id and more, with blanks between them.

        They come as one text where the database can join them: a row for each would cost several times as much.
        """
        with self._reading() as connection:
            query = select(_STAMP.label("stamp")).where(_DEVICE.deleted == 0, *_conditions(connection, filters))
            query = _paged(connection, query, page)
            if filters == Filters():
                query = _told_its_index(query, page)
            if connection.dialect.name == "mariadb":  # which cuts long texts off
                text = ",".join(connection.execute(query).scalars())
            else:
                text = connection.execute(select(func.aggregate_strings(query.subquery().c.stamp, ","))).scalar() or ""
            stamps, hosts, more = _parted(text, page.limit)
            return Listed(stamps, _hosts(connection, hosts), more)

    def rows(self, columns: Iterable[str], ids: Sequence[int]) -> Sequence[Any]:
        """
        Read columns of these devices, living or not, in any order; see *devices*.

        One that was purged is missing.
        """
        names = tuple(columns)
        query = select(*map(_column, names))
        with self._reading() as connection:
            parts = (query.where(_DEVICE.id.in_(part)) for part in chunks(ids))
            return _made_anew(connection, names, [row for part in parts for row in connection.execute(part)])

    def servers(self, page: Page, *, project_id: str | None = None) -> Listed:
        """List the uuids of instances that hold devices, in their order, or of a project's; a marker is one of them."""
        instance = _DEVICE.instance_uuid
        query = select(instance).where(instance.is_not(None), _DEVICE.deleted == 0).distinct()
        if project_id is not None:
            query = query.where(_DEVICE.project_id == project_id)
        if page.marker is not None:
            query = query.where(instance < page.marker if page.descending else instance > page.marker)
        query = query.order_by(instance.desc() if page.descending else instance).limit(page.limit + 1)
        with self._reading() as connection:
            found = connection.execute(query).scalars().all()
        return Listed(found[: page.limit], {}, len(found) > page.limit)

    def held(self, instances: Sequence[str]) -> list[Mapping[Any, Any]]:
        """List the living devices that these instances hold, each with its host's name as hypervisor_hostname."""
        query = (
            select(pci_devices, _NODE.hypervisor_hostname)
            .join(compute_nodes, _DEVICE.compute_node_id == _NODE.id)
            .where(_DEVICE.deleted == 0)
            .order_by(_DEVICE.compute_node_id, _DEVICE.id)
        )
        with self._reading() as connection:
            parts = (query.where(_DEVICE.instance_uuid.in_(part)) for part in chunks(instances))
            return [row for part in parts for row in connection.execute(part).mappings()]

    def hypervisors(self, page: Page, *, up: bool | None = None) -> Listed:
        """
        List living hosts by name, each with ``up``; a marker is a host's name, or else its id.

        Args:
            page: which part
            up: only those that were heard of in the last host_down_s seconds, or only those that weren't

        Raises:
            BadRequest: the marker is no host's.
        """
        with self._reading() as connection:
            silent_since = reports.clock(connection) - self._host_down
            key = _NODE.id if page.sort_key == "id" else name_of(connection)
            query = select(compute_nodes, (_NODE.last_seen >= silent_since).label("up")).where(_NODE.deleted == 0)
            if up is not None:
                query = query.where(_NODE.last_seen >= silent_since if up else _NODE.last_seen < silent_since)
            if page.marker is not None:
                last = _host_named(connection, page.marker, key)
                query = query.where(key < last if page.descending else key > last)
            query = query.order_by(key.desc() if page.descending else key).limit(page.limit + 1)
            found = connection.execute(query).mappings().all()
        return Listed(found[: page.limit], {}, len(found) > page.limit)

    def history(self, device_uuid: str, page: Page) -> Listed:
        """List what became of a device, newest first; a marker is an event's id."""
        query = select(pci_device_events).where(_EVENT.device_uuid == device_uuid).order_by(_EVENT.id.desc())
        if page.marker is not None:
            if not (page.marker.isascii() and page.marker.isdigit() and len(page.marker) <= _MOST_DIGITS):
                raise _unknown_marker(page.marker, "event")
            query = query.where(_EVENT.id < int(page.marker))
        with self._reading() as connection:
            found = connection.execute(query.limit(page.limit + 1)).mappings().all()
        return Listed(found[: page.limit], {}, len(found) > page.limit)

    def counts(self) -> Counts:
        """Count the fleet."""
        with self._reading() as connection:
            silent_since = reports.clock(connection) - self._host_down
            up = func.sum(case((_NODE.last_seen >= silent_since, 1), else_=0))
            living, total = connection.execute(select(up, func.count()).where(_NODE.deleted == 0)).one()
            kinds = select(_DEVICE.status, _DEVICE.dev_type, func.count()).where(_DEVICE.deleted == 0)
            devices = connection.execute(kinds.group_by(_DEVICE.status, _DEVICE.dev_type)).all()
            owed = connection.execute(select(func.count()).select_from(pending_frees)).scalar_one()
        hosts = {"up": int(living or 0), "down": total - int(living or 0)}
        return Counts(hosts, {(status, dev_type): count for status, dev_type, count in devices}, owed)

    def ping(self) -> None:
        """Ask the database for nothing; it raises as every other question does where there is none."""
        with self._reading() as connection:
            connection.execute(select(1))

    def tag_names(self) -> set[str]:
        """Name the tags that any kind of device in the fleet has."""
        with self._reading() as connection:
            return {name for tags in connection.execute(select(pci_kinds.c.tags)).scalars() for name in tags}

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reading=True)


def _column(name: str) -> ColumnElement[Any]:
    column: ColumnElement[Any] = pci_devices.c[name]
    # As the driver gives it: reading thousands of times is dear where they come as text.
    return type_coerce(column, String).label(name) if name in _TIMES else column


def _conditions(connection: Connection, filters: Filters) -> list[ColumnElement[bool]]:
    found = [pci_devices.c[name] == value for name, value in filters.equal.items()]
    found += [func.lower(_DEVICE.tags[name].as_string()) == value.lower() for name, value in filters.tags.items()]
    if filters.name is not None:
        same = (column == filters.name for column in (_DEVICE.uuid, _DEVICE.dev_id, _DEVICE.address))
        found.append(or_(*numbered(_DEVICE.id, filters.name), *same))
    if filters.hypervisor is not None:
        found.append(_DEVICE.compute_node_id == _host_id(connection, filters.hypervisor))
    return found


def _host_id(connection: Connection, name: str) -> int | None:
    """Find a living host by its name, or else its id."""
    by_name = (_NODE.hypervisor_hostname == name,)
    for which in (by_name, tuple(numbered(_NODE.id, name))):
        if which:
            found: int | None = connection.execute(select(_NODE.id).where(_NODE.deleted == 0, *which)).scalar()
            if found is not None:
                return found
    return None


def _host_named(connection: Connection, name: str, key: ColumnElement[Any]) -> Any:
    """Read the sort key of a marker, which may be a host that is gone by now."""
    named = or_(_NODE.hypervisor_hostname == name, *numbered(_NODE.id, name))
    query = select(key).where(named).order_by(_NODE.hypervisor_hostname != name, _NODE.deleted)
    last = connection.execute(query).first()
    if last is None:
        raise _unknown_marker(name, "host")
    return last[0]


def _paged(connection: Connection, query: Select[Any], page: Page) -> Select[Any]:
    """Order by the sort key and then host by host, and begin after the marker."""
    key = pci_devices.c[page.sort_key or SORT_KEYS[0]]
    order = {column.name: column for column in (key, _DEVICE.compute_node_id, _DEVICE.id)}.values()
    if page.marker is not None:
        named = or_(_DEVICE.uuid == page.marker, *numbered(_DEVICE.id, page.marker))
        last = connection.execute(select(*order).where(named).order_by(_DEVICE.deleted, _DEVICE.id)).first()
        if last is None:
            raise _unknown_marker(page.marker, "device")
        query = query.where(_after(connection, [*zip(order, last, strict=True)], page))
    ordered = (each.desc() if page.descending else each for each in order)
    return query.order_by(*ordered).limit(page.limit + 1)


def _told_its_index(query: Select[Any], page: Page) -> Select[Any]:
    """Name the index that has the order: MariaDB would go through it from its beginning instead of from the marker."""
    index = _INDEXES.get(page.sort_key or SORT_KEYS[0])
    return query if index is None else query.with_hint(pci_devices, f"FORCE INDEX ({index})", "mariadb")


def _after(connection: Connection, place: Sequence[tuple[ColumnElement[Any], Any]], page: Page) -> ColumnElement[bool]:
    """Select what comes after a place in the order, in the words that find it in an index."""
    if connection.dialect.name != "mariadb":
        columns, values = (tuple_(*each) for each in zip(*place, strict=True))
        return columns < values if page.descending else columns > values
    (column, value), *rest = place
    beyond: ColumnElement[bool] = column < value if page.descending else column > value
    return or_(beyond, and_(column == value, _after(connection, rest, page))) if rest else beyond


@lru_cache(maxsize=32)
def _parted(text: str, limit: int) -> tuple[tuple[str, ...], frozenset[int], bool]:
    """Part so many stamps; tell their hosts' ids, and whether there are more. A text that comes again is known."""
    found = text.split(",") if text else []
    stamps = tuple(found[:limit])
    return stamps, frozenset(int(stamp.split(" ", 2)[1]) for stamp in stamps), len(found) > limit


def hash_of(stamp: str) -> str:
    """Give the hash of the record that a stamp is of."""
    return stamp.split(" ", 2)[2][:_DIGITS]


def _hosts(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    query = select(_NODE.id, _NODE.hypervisor_hostname)
    return {
        row.id: row.hypervisor_hostname
        for part in chunks(sorted(ids))
        for row in connection.execute(query.where(_NODE.id.in_(part)))
    }


def _made_anew(connection: Connection, names: Sequence[str], rows: Sequence[Any]) -> Sequence[Any]:
    """Make the documents of rows that somebody wrote who doesn't know of documents; nearly always there are none."""
    row_id, sealed, made_of = (names.index(name) for name in ("id", "hash", "document"))
    # Of each row by its place: by name it would take as long as reading them.
    stale = [row[row_id] for row in rows if not (row[made_of] or "").startswith(row[sealed])]
    if not stale:
        return rows
    query = select(pci_devices)
    read = (each for part in chunks(stale) for each in connection.execute(query.where(_DEVICE.id.in_(part))).mappings())
    made = {each["id"]: document.written(each) for each in read}
    return [(*row[:made_of], made.get(row[row_id], row[made_of]), *row[made_of + 1 :]) for row in rows]


def _unknown_marker(marker: str, what: str) -> BadRequest:
    return BadRequest(f"Query parameter 'marker': no {what} is called {marker}; take it from the page before.")
