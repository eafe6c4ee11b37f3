"""
The agent's own durable state: one SQLite file in the state directory.

A change is here before anyone hears of it. One process has the store at a time (flock, until it exits). A store that
was copied from another machine keeps nothing of it but the file name. One that is damaged is moved aside, never
emptied, and that is said: what it knew comes back from the tracker and libvirt.
"""

import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Self
from urllib.parse import quote
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from pci_agent.agent import identity
from pci_agent.agent.conversation import State
from pci_agent.agent.identity import Identity, Machine
from pci_agent.errors import StoreFailed, StoreRefused
from pci_agent.model.device import Device
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.state import Disabled
from pci_agent.wire.messages import Token

LOG = logging.getLogger(__name__)

FILE = "agent.sqlite"

_CHANGES = (
    """
CREATE TABLE agent (agent_uuid TEXT NOT NULL, machine_id TEXT, product_uuid TEXT);
CREATE TABLE session (
    number INTEGER PRIMARY KEY, session TEXT NOT NULL UNIQUE, generation INTEGER NOT NULL, digest TEXT NOT NULL
);
CREATE TABLE device (identity TEXT PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, tracked TEXT NOT NULL);
CREATE TABLE acknowledged (session TEXT NOT NULL, generation INTEGER NOT NULL, digest TEXT NOT NULL);
CREATE TABLE acknowledged_device (uuid TEXT PRIMARY KEY, hash TEXT NOT NULL);
""",
    "CREATE TABLE netdev (name TEXT PRIMARY KEY, identity TEXT NOT NULL, boot_id TEXT NOT NULL);",
    "CREATE TABLE host (facts TEXT NOT NULL);",
)
"""How the schema came about, oldest first; never edit one that is out, add another."""

_LINEAGE = 16
_TRACKED = TypeAdapter(TrackedDevice)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """
    What is kept of the whole host.

    Attributes:
        disabled: an operator's word against it
        boot_id: the boot in which the facts were last seen to be true
        libvirt_boot_id: the boot in which libvirt last answered; None where it never did
    """

    disabled: Disabled | None = None
    boot_id: str = ""
    libvirt_boot_id: str | None = None


_HOST_FACTS = TypeAdapter(HostFacts)


@dataclass(frozen=True, slots=True)
class Session:
    """One start of the agent: its name, the generation to go on from, and the last state of each one before."""

    session: str
    generation: int
    lineage: tuple[Token, ...]


class Store:
    """The state directory of one agent. Made by *opened*, which closes it again."""

    def __init__(self, database: sqlite3.Connection, agent_uuid: str, boot_id: str, trouble: str | None = None) -> None:
        self._database = database
        self.boot_id = boot_id
        self.agent_uuid = agent_uuid
        self.trouble = trouble
        """Why what this agent knew before isn't here; None where it is, or where it never knew anything."""

    @classmethod
    @contextmanager
    def opened(cls, directory: str, machine: Machine) -> Iterator[Self]:
        """
        Lock and open the store in *directory*, which is made where it is missing.

        Raises:
            StoreRefused: another process has it, it can't be written, or it is of a later version.
        """
        try:
            os.makedirs(directory, mode=0o750, exist_ok=True)
            lock = os.open(os.path.join(directory, "agent.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise StoreRefused(f"{directory}: {error.strerror}; set [agent] state_dir to a place to write") from error
        try:
            _lock(lock, directory)
            database, agent_uuid, trouble = _open(directory, machine)
            if trouble is not None:
                LOG.error(trouble)
            try:
                yield cls(database, agent_uuid, machine.boot_id or "", trouble)
            finally:
                database.close()
        finally:
            os.close(lock)

    def begin_session(self, digest: str, inherited: Iterable[Token] = ()) -> Session:
        """
        Make a new session, durable at once.

        Args:
            digest: of the devices that the session begins with
            inherited: states that the tracker holds and that this store never had; they end the lineage
        """
        name = str(uuid4())
        with self._writing() as database:
            generation, *_ = database.execute("SELECT coalesce(max(generation), 0) FROM session").fetchone()
            for token in inherited:
                database.execute("DELETE FROM session WHERE session = ?", (token.session,))
                database.execute(
                    "INSERT INTO session (session, generation, digest) VALUES (?, ?, ?)",
                    (token.session, token.generation, token.digest),
                )
            rows = database.execute(
                "SELECT session, generation, digest FROM session ORDER BY number DESC LIMIT ?", (_LINEAGE,)
            ).fetchall()
            lineage = tuple(Token(session=row[0], generation=row[1], digest=row[2]) for row in reversed(rows))
            database.execute(
                "INSERT INTO session (session, generation, digest) VALUES (?, ?, ?)", (name, generation, digest)
            )
            database.execute(
                "DELETE FROM session WHERE number NOT IN (SELECT number FROM session ORDER BY number DESC LIMIT ?)",
                (_LINEAGE + 1,),
            )
        return Session(name, generation, lineage)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction. Where it fails nothing of it is kept, and it may be tried again."""
        try:
            with self._database as database:
                yield database
        except sqlite3.Error as error:
            raise StoreFailed(f"the agent's state can't be written ({error}); is the disk full?") from error

    def tracked(self) -> dict[str, TrackedDevice]:
        """Read the inventory, by identity, devices that left included."""
        try:
            rows = self._database.execute("SELECT tracked FROM device").fetchall()
            items = [_TRACKED.validate_json(row[0]) for row in rows]
        except (ValidationError, sqlite3.DatabaseError) as error:
            raise StoreRefused(
                f"the tracked devices can't be read back ({error}); the agent moves a damaged file aside when it starts"
            ) from error
        return {item.identity: item for item in items}

    def host_facts(self) -> HostFacts:
        """Read what is kept of the whole host."""
        try:
            row = self._database.execute("SELECT facts FROM host").fetchone()
            return HostFacts() if row is None else _HOST_FACTS.validate_json(row[0])
        except (ValidationError, sqlite3.DatabaseError) as error:
            raise StoreRefused(f"what was kept of the host can't be read back ({error})") from error

    def commit(self, changed: Iterable[TrackedDevice], token: Token, facts: HostFacts | None = None) -> None:
        """Keep changed devices, the state that they make, and the host's facts where given; durable on return."""
        with self._writing() as database:
            database.executemany(
                "INSERT INTO device (identity, uuid, tracked) VALUES (?, ?, ?)"
                " ON CONFLICT (identity) DO UPDATE SET uuid = excluded.uuid, tracked = excluded.tracked",
                [(item.identity, item.uuid, _text(item)) for item in changed],
            )
            database.execute(
                "UPDATE session SET generation = ?, digest = ? WHERE session = ?",
                (token.generation, token.digest, token.session),
            )
            if facts is not None:
                database.execute("DELETE FROM host")
                database.execute("INSERT INTO host (facts) VALUES (?)", (_HOST_FACTS.dump_json(facts).decode(),))

    def remembered(self) -> dict[str, str]:
        """Read who bore which netdev name last in this boot: identities by name."""
        rows = self._database.execute("SELECT name, identity FROM netdev WHERE boot_id = ?", (self.boot_id,))
        return dict(rows.fetchall())

    def remember(self, names: Mapping[str, str]) -> None:
        """Keep who bears which netdev name; what was kept in another boot goes."""
        with self._writing() as database:
            database.execute("DELETE FROM netdev")
            database.executemany(
                "INSERT INTO netdev (name, identity, boot_id) VALUES (?, ?, ?)",
                [(name, bearer, self.boot_id) for name, bearer in names.items()],
            )

    def acknowledged(self) -> State | None:
        """Read the last state that a tracker acknowledged; None before the first."""
        row = self._database.execute("SELECT session, generation, digest FROM acknowledged").fetchone()
        if row is None:
            return None
        hashes = self._database.execute("SELECT uuid, hash FROM acknowledged_device").fetchall()
        return State(Token(session=row[0], generation=row[1], digest=row[2]), dict(hashes))

    def acknowledge(self, state: State, before: Mapping[str, str]) -> None:
        """Keep the state that a tracker acknowledged; only the difference to *before* is written."""
        token = state.token
        with self._writing() as database:
            database.execute("DELETE FROM acknowledged")
            database.execute(
                "INSERT INTO acknowledged (session, generation, digest) VALUES (?, ?, ?)",
                (token.session, token.generation, token.digest),
            )
            database.executemany(
                "DELETE FROM acknowledged_device WHERE uuid = ?",
                [(uuid,) for uuid in before if uuid not in state.hashes],
            )
            database.executemany(
                "INSERT OR REPLACE INTO acknowledged_device (uuid, hash) VALUES (?, ?)",
                [(uuid, each) for uuid, each in state.hashes.items() if before.get(uuid) != each],
            )


def peek(directory: str, machine: Machine) -> tuple[dict[str, TrackedDevice], dict[str, str]]:
    """
    Read the devices and netdev names of a store that somebody else may have open; nothing of it is changed or locked.

    Raises:
        StoreFailed: there is none, or it can't be read by this user.
        StoreRefused: it is of another version, or damaged.
    """
    path = os.path.join(directory, FILE)
    try:
        os.stat(path)
        # Without a journal nobody has it open, and it can be read as the plain file that it is, by any user.
        how = "mode=ro" if os.path.exists(f"{path}-wal") else "immutable=1"
        with closing(sqlite3.connect(f"file:{quote(os.fsencode(path))}?{how}", uri=True)) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version != len(_CHANGES):
                raise StoreRefused(f"{path}: of another pci-agent (schema {version}, this one reads {len(_CHANGES)})")
            store = Store(database, "", machine.boot_id or "")
            return store.tracked(), store.remembered()
    except FileNotFoundError:
        raise StoreFailed(f"{path} isn't there: no agent has run with this state directory") from None
    except (OSError, sqlite3.OperationalError) as error:
        raise StoreFailed(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreRefused(f"{path}: {error}") from error


def _lock(lock: int, directory: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreRefused(
            f"{directory}: another pci-agent is running on it; stop that one, or name another place"
            " ([agent] state_dir, or tools/run --state-dir)"
        ) from None


def _open(directory: str, machine: Machine) -> tuple[sqlite3.Connection, str, str | None]:
    """Give the database, the agent's uuid, and what is wrong; a file that can't be read is moved aside."""
    path, trouble = os.path.join(directory, FILE), None
    try:
        try:
            database = _connect(path)
        except _Damaged as damage:
            aside = _move_aside(path)
            trouble = f"{path} is damaged ({damage}): it is {aside} now, and what it knew is asked of the tracker"
            database = _connect(path)
        return database, *_owned(directory, database, machine, trouble)
    except (OSError, sqlite3.Error) as error:
        raise StoreFailed(f"{path}: {error}") from error


class _Damaged(Exception):
    """What stands in the file isn't what was written to it; the text says what was found."""


def _move_aside(path: str) -> str:
    """Rename the file, and what SQLite keeps beside it, to the first name that is free."""
    number = next(number for number in count(1) if not os.path.exists(f"{path}.damaged-{number}"))
    for more in ("", "-wal", "-shm"):
        if os.path.exists(path + more):
            os.rename(path + more, f"{path}.damaged-{number}{more}")
    return f"{path}.damaged-{number}"


def _connect(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        with _damage_told():
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            (version,) = database.execute("PRAGMA user_version").fetchone()
        _refuse_a_later(version, path)
        with _damage_told():
            for number, change in enumerate(_CHANGES[version:], version + 1):
                database.executescript(f"BEGIN; {change} PRAGMA user_version = {number}; COMMIT;")
            _verify(database)
    except BaseException:
        database.close()
        raise
    return database


def _refuse_a_later(version: int, path: str) -> None:
    if version > len(_CHANGES):
        raise StoreRefused(f"{path}: written by a later pci-agent (schema {version}, this one reads {len(_CHANGES)})")


@contextmanager
def _damage_told() -> Iterator[None]:
    """Tell damage from a disk that is full, away or somebody else's: these pass by as they are."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:  # that one is SQL that doesn't fit the tables
            raise
        raise _Damaged(str(error)) from error
    except (sqlite3.DatabaseError, StoreRefused) as error:
        raise _Damaged(str(error)) from error


def _verify(database: sqlite3.Connection) -> None:
    """Read everything once."""
    (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(said)
    store = Store(database, "", "")
    store.tracked()
    store.host_facts()
    store.remembered()
    store.acknowledged()
    database.execute("SELECT agent_uuid, machine_id, product_uuid FROM agent").fetchall()
    database.execute("SELECT number, session, generation, digest FROM session").fetchall()


def _owned(
    directory: str, database: sqlite3.Connection, machine: Machine, trouble: str | None
) -> tuple[str, str | None]:
    """Give the agent's uuid on this machine; what another agent or machine left in the file is taken out."""
    beside = identity.kept(directory)
    row = database.execute("SELECT agent_uuid, machine_id, product_uuid FROM agent").fetchone()
    within = None if row is None else Identity(*row)
    ours = next((here for each in (beside, within) if each is not None and (here := each.on(machine))), None)
    who = ours or Identity.new(machine)
    with database:
        if (within is not None and within.on(machine) is None) or (within and within.agent_uuid != who.agent_uuid):
            for table in ("agent", "session", "device", "acknowledged", "acknowledged_device", "netdev", "host"):
                database.execute(f"DELETE FROM {table}")  # noqa: S608 - the names stand above
        database.execute("DELETE FROM agent")
        database.execute(
            "INSERT INTO agent (agent_uuid, machine_id, product_uuid) VALUES (?, ?, ?)",
            (who.agent_uuid, who.machine_id, who.product_uuid),
        )
    identity.keep(directory, who)
    if within is None and ours is not None and trouble is None:
        trouble = f"{directory}/{FILE} is gone: what it knew is asked of the tracker"
    return who.agent_uuid, trouble


def _text(item: TrackedDevice) -> str:
    """Write a device by its fields' names, not their order: a later version may have others."""
    told = _TRACKED.dump_python(item, mode="json")
    return json.dumps({**told, "device": dict(zip(Device._fields, told["device"], strict=True))})
