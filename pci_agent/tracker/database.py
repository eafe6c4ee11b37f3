"""
Opens the tracker's database, and brings its schema up to date.

SQLite serves one machine: write-ahead log, one writer at a time, who waits for the other instead of failing.
"""

import os
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from pci_agent.errors import StoreRefused

_LOCK_PATIENCE_S = 30


def connect(url: str) -> Engine:
    """
    Make the engine for a database URL such as ``sqlite:////var/lib/pci-tracker/tracker.sqlite``.

    Raises:
        StoreRefused: the URL can't be read, or its driver isn't installed.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, pool_pre_ping=True)
        if parsed.database and parsed.database != ":memory:":
            os.makedirs(os.path.dirname(os.path.abspath(parsed.database)), exist_ok=True)
        engine = create_engine(parsed, connect_args={"timeout": _LOCK_PATIENCE_S})
    except (ArgumentError, ImportError, OSError, SQLAlchemyError) as error:
        raise StoreRefused(f"[database] connection: {error}") from error
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


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
    try:
        with engine.begin() as connection:
            config = _alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        raise StoreRefused(f"[database] connection: {error}") from error


def check(engine: Engine) -> None:
    """
    Make sure that the schema is this version's.

    Raises:
        StoreRefused: it isn't, or the database can't be reached.
    """
    try:
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        raise StoreRefused(f"[database] connection: {error}") from error
    wanted = ScriptDirectory.from_config(_alembic()).get_current_head()
    if found != wanted:
        raise StoreRefused(
            f"the database's schema is {found or 'empty'}, this version needs {wanted}: run pci-tracker-manage upgrade"
        )


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", "pci_agent.tracker:migrations")
    return config
