"""
Opens the tracker's database, brings its schema up to date, and runs its transactions.

* SQLite serves one machine: write-ahead log, one writer at a time, who waits for the other instead of failing.
* PostgreSQL and MariaDB run at READ COMMITTED, so that what follows a compare-and-set reads what it wrote over.
* Where two transactions stand in each other's way, the database ends one of them. Nothing of it was kept or
  answered, so it is run again as a whole, a few times.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    InvalidRequestError,
    OperationalError,
)
from sqlalchemy.exc import (
    TimeoutError as Busy,
)

from pci_agent.errors import ConfigurationRefused, Refusal, StoreFailed, StoreRefused
from pci_agent.tracker import ids

_LOCK_PATIENCE_S = 30
_POOL = 10  # and as many more in a rush: PostgreSQL allows 100 unless it is told otherwise

_UPGRADE_PATIENCE_S = 600

_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.02
_MARIADB_LOST = ((1205,), (1213,))  # waited too long for a lock; deadlock
_POSTGRESQL_LOST = ("40001", "40P01")  # can't be serialised; deadlock
_SQLITE_LOST = (5, 6)  # busy; locked

_T = TypeVar("_T")

AWAY = (OperationalError, InterfaceError, Busy)
"""What is raised where the database is away, or too busy to be asked; it passes."""


def connect(url: str) -> Engine:
    """
    Make the engine for a database URL such as ``sqlite:////var/lib/pci-tracker/tracker.sqlite``.

    Raises:
        ConfigurationRefused: the URL can't be read, its driver isn't installed, or its folder isn't there.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return _served(parsed)
        folder = os.path.dirname(os.path.abspath(parsed.database or ""))
        if parsed.database and not os.path.isdir(folder):
            raise ConfigurationRefused([_refusal(f"{folder} is no directory", "make it, or name another file")])
        engine = create_engine(parsed, connect_args={"timeout": _LOCK_PATIENCE_S})
    except (ArgumentError, ImportError) as error:
        cure = (
            "write postgresql+psycopg://user:password@host/name and pip install 'pci-agent[postgresql]',"
            " or mariadb+pymysql://user:password@host/name and pip install 'pci-agent[mysql]'"
        )
        raise ConfigurationRefused([_refusal(str(error).splitlines()[0], cure)]) from error
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _served(url: URL) -> Engine:
    """Make the engine for a server. Whatever its settings are, ours hold in our connections."""
    if url.get_backend_name() == "mysql":
        url = url.set(drivername=url.drivername.replace("mysql", "mariadb", 1))
    engine = create_engine(
        url, isolation_level="READ COMMITTED", pool_pre_ping=True, pool_size=_POOL, max_overflow=_POOL
    )
    if url.get_backend_name() == "mariadb":
        event.listen(engine, "connect", _prepare_mariadb)
    return engine


def _prepare_mariadb(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'")
        cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {_LOCK_PATIENCE_S // 3}")


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


def run(engine: Engine, work: Callable[[Connection], _T]) -> _T:
    """
    Run *work* in a transaction and commit it; where another transaction was in its way, all of it once more.

    What *work* does outside of the database must bear being done again.
    """
    patient_until = time.monotonic() + _LOCK_PATIENCE_S
    for attempt in range(_ATTEMPTS):
        try:
            with engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            if attempt + 1 == _ATTEMPTS or time.monotonic() > patient_until or not lost_to_another(error):
                raise
        time.sleep(random.uniform(1, 2) * _FIRST_PAUSE_S * 2**attempt)  # noqa: S311 - no secret
    raise AssertionError("the last attempt returns or raises")


def lost_to_another(error: DBAPIError) -> bool:
    """Tell whether a transaction failed only because of another one, so that it may succeed when run again."""
    told = error.orig
    if getattr(told, "sqlstate", None) in _POSTGRESQL_LOST:
        return True
    if getattr(told, "sqlite_errorcode", -1) & 0xFF in _SQLITE_LOST:
        return True
    return type(told).__module__.startswith("pymysql") and told is not None and told.args[:1] in _MARIADB_LOST


def upgrade(engine: Engine) -> None:
    """
    Bring the schema to this version's; does nothing where it is there already.

    Raises:
        StoreRefused: it is a later version's.
        StoreFailed: the database can't be reached.
    """
    with _reached(), engine.begin() as connection, _alone(connection):
        _known(MigrationContext.configure(connection).get_current_revision())
        config = _alembic()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        ids.begin(connection)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Let one upgrade run at a time, whichever machine began it; on SQLite the transaction does that."""
    name = connection.dialect.name
    if name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('pci-tracker upgrade'))"))
    if name == "mariadb":
        connection.execute(text(f"SELECT get_lock('pci-tracker upgrade', {_UPGRADE_PATIENCE_S})"))
    try:
        yield
    finally:
        if name == "mariadb" and not connection.invalidated:
            connection.execute(text("SELECT release_lock('pci-tracker upgrade')"))


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
    _known(found)
    if found != wanted:
        raise StoreRefused(
            f"the database's schema is {found or 'empty'}, this version needs {wanted}: run pci-tracker-manage upgrade"
        )
    return wanted


def _known(found: str | None) -> None:
    known = [script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()]
    if found is not None and found not in known:
        raise StoreRefused(
            f"the database's schema is {found}, of a later version than this, which needs {known[0]}: update this"
            " installation, or name another database"
        )


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        said = str(error.orig).strip().splitlines()[0]
        raise StoreFailed(f"[database] connection: {said}; is it the right one, and is the server running?") from error
    except InvalidRequestError as error:  # a MySQL server behind a URL of MariaDB's
        raise StoreRefused(f"[database] connection: {error}; use MariaDB, PostgreSQL or SQLite") from error


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", "pci_agent.tracker:migrations")
    return config
