"""
Writes many rows of one table at once.

PostgreSQL takes them as one JSON text. Its driver would send them row by row, which costs several times the work, and
so many system calls that a tracker's other threads come to a stand. Other databases' drivers send them in bulk.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import JSON, Connection, Table, Text, bindparam, cast, column, func, insert, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

Rows = Sequence[Mapping[str, Any]]
"""Rows by column name; all name the same columns."""

_INSERTS: Mapping[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert, "mariadb": mysql.insert}


def add(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert new rows."""
    if rows:
        _send(connection, insert(table), rows)


def put(connection: Connection, table: Table, rows: Rows, kept: Sequence[str]) -> None:
    """
    Write rows that are there already; one that is there no more is inserted, with its id.

    They are inserts that meet their own id: drivers send such in bulk, updates one by one.

    Args:
        connection: in a transaction
        table: has an id
        rows: each with its id
        kept: the columns that a row keeps where it is there
    """
    if rows:
        written = [name for name in rows[0] if name != "id" and name not in kept]
        _send(connection, _over(_INSERTS[connection.dialect.name](table), written), rows)


def _over(into: Any, written: Sequence[str]) -> Any:
    if isinstance(into, mysql.Insert):
        return into.on_duplicate_key_update({name: into.inserted[name] for name in written})
    return into.on_conflict_do_update(index_elements=["id"], set_={name: into.excluded[name] for name in written})


def _send(connection: Connection, into: Any, rows: Rows) -> None:
    if connection.dialect.name != "postgresql":
        connection.execute(into, list(rows))
        return
    names = list(rows[0])
    text = bindparam("told", orjson.dumps(list(rows)).decode(), type_=Text)
    columns = (column(name, into.table.c[name].type) for name in names)
    told = func.json_to_recordset(cast(text, JSON)).table_valued(*columns).render_derived("told", with_types=True)
    connection.execute(into.from_select(names, select(*(told.c[name] for name in names))))
