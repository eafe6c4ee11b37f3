"""
Opens the tracker's database, and brings its schema up to date.

SQLite serves one machine: write-ahead log, one writer at a time, who waits for the other instead of failing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from pci_agent.errors import ConfigurationRefused, Refusal, StoreFailed, StoreRefused

_LOCK_PATIENCE_S = 30
_POOL = 10  # and as many more in a rush: PostgreSQL allows 100 unless it is told otherwise


def connect(url: str) -> Engine:
    """
    Make the engine for a database URL such as ``sqlite:////var/lib/pci-tracker/tracker.sqlite``.

    Raises:
        ConfigurationRefused: the URL can't be read, its driver isn't installed, or its folder isn't there.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, pool_pre_ping=True, pool_size=_POOL, max_overflow=_POOL)
        folder = os.path.dirname(os.path.abspath(parsed.database or ""))
        if parsed.database and not os.path.isdir(folder):
            raise ConfigurationRefused([_refusal(f"{folder} is no directory", "make it, or name another file")])
        engine = create_engine(parsed, connect_args={"timeout": _LOCK_PATIENCE_S})
    except (ArgumentError, ImportError) as error:
        cure = "write postgresql+psycopg://user:password@host/name, and pip install 'pci-agent[postgresql]'"
        raise ConfigurationRefused([_refusal(str(error).splitlines()[0], cure)]) from error
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _refusal(what: str, cure: str) -> Refusal:
    return Refusal(option="[database] connection", entry=None, key=None, value="", what=what, cure=cure)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late; see _begin_sqlite
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Any) -> None:
    """Take the write lock where a transaction will write, lest two readers both try to become the writer."""
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def upgrade(engine: Engine) -> None:
    """Bring the schema to this version's; does nothing where it is there already."""
    with _reached(), engine.begin() as connection:
        config = _alembic()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check(engine: Engine) -> str:
    """
    Make sure that the schema is this version's, and name it.

    Raises:
        StoreRefused: it is another one.
        StoreFailed: the database can't be reached.
    """
    wanted = ScriptDirectory.from_config(_alembic()).get_current_head()
    if wanted is None:
        raise StoreRefused("this installation has no migrations: install pci-agent again")
    with _reached(), engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != wanted:
        raise StoreRefused(
            f"the database's schema is {found or 'empty'}, this version needs {wanted}: run pci-tracker-manage upgrade"
        )
    return wanted


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        said = str(error.orig).strip().splitlines()[0]
        raise StoreFailed(f"[database] connection: {said}; is it the right one, and is the server running?") from error


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", "pci_agent.tracker:migrations")
    return config
