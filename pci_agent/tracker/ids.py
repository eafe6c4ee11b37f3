"""
Where ids begin: at the seconds since 2026, in a database that holds nothing yet.

A database that was lost is made anew and fills with the agents' next reports, in another order than before. Had it
begun at 1 again, an id that somebody wrote down would name another device. So it names none, unless more devices
were listed in the lost database than seconds have passed since that was made. Ids fit into 31 bits until 2090.
"""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select, text

from pci_agent.tracker.tables import compute_nodes, pci_devices, utcnow

_SINCE = datetime(2026, 1, 1)  # noqa: DTZ001 - the database's times are UTC without saying so

MOST_ID = 2**31 - 1

_SET = {
    "sqlite": (
        "DELETE FROM sqlite_sequence WHERE name = '{table}'",
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', {first} - 1)",
    ),
    "postgresql": ("SELECT setval(pg_get_serial_sequence('{table}', 'id'), {first}, false)",),
    "mariadb": ("ALTER TABLE {table} AUTO_INCREMENT = {first}",),
}
_NEXT = {
    "sqlite": "SELECT seq + 1 FROM sqlite_sequence WHERE name = '{table}'",
    "postgresql": "SELECT nextval(pg_get_serial_sequence('{table}', 'id'))",
    "mariadb": "SELECT auto_increment FROM information_schema.tables"
    " WHERE table_schema = database() AND table_name = '{table}'",
}


def begin(connection: Connection) -> None:
    """Let the ids of hosts and devices begin where they do; a table that holds rows, or has gone beyond, goes on."""
    now: datetime = connection.execute(select(utcnow())).scalar_one()
    first = max(int((now - _SINCE).total_seconds()), 1)
    dialect = connection.dialect.name
    for table in (compute_nodes, pci_devices):
        if connection.execute(select(func.count()).select_from(table)).scalar_one():
            continue
        following = connection.execute(text(_NEXT[dialect].format(table=table.name))).scalar() or 1
        for statement in _SET[dialect]:
            connection.execute(text(statement.format(table=table.name, first=max(first, following))))


def numbered(column: ColumnElement[int], name: str) -> Iterator[ColumnElement[bool]]:
    """Compare a name with an integer column, where it is one that the column can hold."""
    is_number = name.isascii() and name.isdigit() and not name.startswith("0")
    if is_number and len(name) <= len(str(MOST_ID)) and int(name) <= MOST_ID:
        yield column == int(name)
