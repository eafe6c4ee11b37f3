"""
The tracker: its database on SQLite in memory, its clock in our hands, and a switch before each transaction.

One engine serves all runs of a process, for SQLAlchemy compiles each statement once an engine. Between two runs the
database is put back to its first state.
"""

import atexit
import os
import re
import shutil
import sqlite3
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import event

from adversary.tasks import begins
from pci_agent.tracker import database
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.tracker.store import Store
from pci_agent.wire.messages import Token

HOST_DOWN_S = 75
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where files are that needn't outlive a run."""


class Centre:
    """A tracker's database, and what answers on it. Make it by *centre*."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="pci-centre-", dir=MEMORY)
        path = f"{self.folder}/tracker.sqlite"
        self.engine = database.connect(f"sqlite:///{path}")
        event.remove(self.engine, "connect", database._prepare_sqlite)
        event.listen(self.engine, "connect", self._prepare)
        event.remove(self.engine, "begin", database._begin_sqlite)
        event.listen(self.engine, "begin", _begins)  # where no lock is held yet
        event.listen(self.engine, "begin", database._begin_sqlite)
        event.listen(self.engine, "commit", self._committed)
        self.now = 0.0
        self.written = False
        database.upgrade(self.engine)
        self._raw = sqlite3.connect(path, isolation_level=None)
        self._raw.row_factory = sqlite3.Row
        self._first = self.copy()
        self.store = Store(self.engine, host_down_s=HOST_DOWN_S)
        self.endpoint = Endpoint(self.store)
        self.scheduler = Scheduler(self.engine, host_down_s=HOST_DOWN_S)

    def _prepare(self, connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.create_function("strftime", -1, self._strftime)

    def _strftime(self, _format: str, of: str, *modifiers: str) -> str:
        self.now += 0.001
        at = _BEGIN + timedelta(seconds=self.now)
        if of != "now":
            at = datetime.fromisoformat(of)
        for each in modifiers:
            number = re.fullmatch(r"([+-]?[\d.]+) seconds?", each)
            assert number is not None, each
            at += timedelta(seconds=float(number[1]))
        return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}000"

    def _committed(self, _connection: object) -> None:
        self.written = True

    def reset(self) -> None:
        """Begin anew, as after the database was lost."""
        self.put_back(self._first)

    def copy(self) -> sqlite3.Connection:
        """Copy the whole database."""
        copy = sqlite3.connect(":memory:")
        self._raw.backup(copy)
        return copy

    def put_back(self, copy: sqlite3.Connection) -> None:
        """Replace the whole database by a copy."""
        copy.backup(self._raw)

    def tokens(self) -> dict[str, Token]:
        """Read which state each living row has, by agent."""
        rows = self.read("SELECT agent_uuid, session, generation, digest FROM compute_nodes WHERE deleted = 0")
        return {
            row["agent_uuid"]: Token(session=row["session"], generation=row["generation"], digest=row["digest"])
            for row in rows
        }

    def read(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Read rows."""
        with closing(self._raw.execute(query, values)) as cursor:
            return cursor.fetchall()

    def close(self) -> None:
        """Put everything away."""
        self.engine.dispose()
        self._raw.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _begins(connection: Any) -> None:
    begins(reading=connection.get_execution_options().get("reading", False))


@cache
def centre() -> Centre:
    """Give this process's tracker."""
    made = Centre()
    atexit.register(made.close)
    return made
