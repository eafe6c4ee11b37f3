"""
Real servers for tests, each on loopback, on ports and in a folder of its own; what starts one stops it.

Where a server isn't installed the test that needs it skips by name; tools/test installs them all and sets
PCI_TESTS_NEED_SERVICES, so that there a missing one is an error.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

_PATIENCE_S = 60


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str, patience_s: float = _PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience_s} s for {what}"
        time.sleep(0.05)


def missing(what: str) -> None:
    if os.environ.get("PCI_TESTS_NEED_SERVICES"):
        pytest.fail(f"{what} is not installed; tools/test should have done that")
    pytest.skip(f"{what} is not installed; tools/test installs it")


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def as_nobody() -> dict[str, str]:
    """Give our environment without whom its owner signs in to OpenStack as."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OS_")}


class RabbitMQ:
    """A broker that can be stopped and started again with what it kept on disk."""

    PROGRAMS = Path("/usr/lib/rabbitmq/bin")

    def __init__(self) -> None:
        if not (self.PROGRAMS / "rabbitmq-server").exists():
            missing("RabbitMQ")
        self._folder = Path(tempfile.mkdtemp(prefix="pci-rabbitmq-"))
        self._port, distribution, self._epmd_port = free_port(), free_port(), free_port()
        (self._folder / "enabled_plugins").write_text("[].\n")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "RABBITMQ_NODENAME": f"pci-{os.getpid()}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"rabbit://guest:guest@127.0.0.1:{self._port}/"

    @property
    def pid(self) -> int:
        """Of the shell that started it; the broker is among its children."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with (self._folder / "stdout").open("ab") as out:
            self._process = subprocess.Popen(
                [self.PROGRAMS / "rabbitmq-server"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        wait_for(lambda: answers(self._port), "RabbitMQ")
        self._control("await_startup")

    def stop(self) -> None:
        if self._process is not None:
            self._control("stop")
            self._process.wait(_PATIENCE_S)
            self._process = None

    def close(self) -> None:
        self.stop()
        epmd = ["epmd", "-port", str(self._epmd_port), "-kill"]
        subprocess.run(epmd, env=self._environment, check=False, capture_output=True, timeout=_PATIENCE_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _control(self, command: str) -> None:
        control = [str(self.PROGRAMS / "rabbitmqctl"), "-q", command]
        subprocess.run(control, env=self._environment, check=True, capture_output=True, timeout=_PATIENCE_S)


class MariaDB:
    """A database server without accounts, and with the defaults of an old one: latin1, REPEATABLE READ."""

    PROGRAM = Path("/usr/sbin/mariadbd")

    def __init__(self) -> None:
        if not self.PROGRAM.exists():
            missing("MariaDB")
        self._folder = Path(tempfile.mkdtemp(prefix="pci-mariadb-"))
        self._folder.chmod(0o755)
        (self._folder / "data").mkdir()
        self._as_user: list[str] = []
        if os.getuid() == 0:
            for folder in (self._folder, self._folder / "data"):
                shutil.chown(folder, "nobody", "nogroup")
            self._as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def start(self) -> None:
        settings = {
            "datadir": self._folder / "data",
            "tmpdir": self._folder,
            "socket": self._folder / "socket",
            "pid-file": self._folder / "pid",
            "bind-address": "127.0.0.1",
            "port": self._port,
            "character-set-server": "latin1",
            "innodb-flush-log-at-trx-commit": 0,
            "innodb-doublewrite": 0,
            "innodb-buffer-pool-size": "32M",
        }
        run = [str(self.PROGRAM), "--no-defaults", "--skip-grant-tables"]
        run += [f"--{name}={value}" for name, value in settings.items()]
        with (self._folder / "log").open("wb") as out:
            self._process = subprocess.Popen([*self._as_user, *run], stdout=out, stderr=out, cwd="/")
        wait_for(lambda: answers(self._port), "MariaDB")

    def database(self) -> str:
        """Make an empty database and give its URL."""
        self._databases += 1
        server = f"mariadb+pymysql://pci@127.0.0.1:{self._port}/"
        engine = create_engine(server)
        with engine.begin() as connection:
            connection.execute(text(f"CREATE DATABASE pci{self._databases}"))
        engine.dispose()
        return f"{server}pci{self._databases}"

    def close(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_PATIENCE_S)
        shutil.rmtree(self._folder, ignore_errors=True)


class PostgreSQL:
    """
    A database server that can be stopped and started again; it refuses to run as root, so root lends it the packaged
    user.

    Args:
        durable: whether a commit waits for the disk; tests needn't
        steppable: whether its clock can be set apart from the machine's, which takes libfaketime
    """

    def __init__(self, *, durable: bool = False, steppable: bool = False) -> None:
        self._fsync = "on" if durable else "off"
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not programs:
            missing("PostgreSQL")
        self._programs = str(programs[-1].parent)
        self._folder = Path(tempfile.mkdtemp(prefix="pci-postgresql-"))
        self._folder.chmod(0o755)
        self._as_user: list[str] = []
        if os.getuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._clock = self._folder / "clock"
        self._by_its_clock = _stepped_by(self._clock) if steppable else []
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def start(self) -> None:
        data = f"{self._folder}/data"
        if not self._clock.exists():
            self.step(0)
            make = [f"{self._programs}/initdb", "-D", data, "-U", "pci", "-A", "trust", "-E", "UTF8", "--no-sync"]
            subprocess.run([*self._as_user, *make], check=True, capture_output=True, cwd="/", timeout=_PATIENCE_S)
        postgres = [*self._by_its_clock, f"{self._programs}/postgres"]
        run = [*postgres, "-D", data, "-p", str(self._port), "-k", str(self._folder)]
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", f"fsync={self._fsync}"]
        with (self._folder / "log").open("ab") as out:
            self._process = subprocess.Popen([*self._as_user, *run, *settings], stdout=out, stderr=out, cwd="/")
        ready = [f"{self._programs}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL")

    def database(self) -> str:
        """Make an empty database and give its URL."""
        self._databases += 1
        name = f"pci{self._databases}"
        make = [f"{self._programs}/createdb", "-h", "127.0.0.1", "-p", str(self._port), "-U", "pci", name]
        subprocess.run(make, check=True, capture_output=True, timeout=_PATIENCE_S)
        return f"postgresql+psycopg://pci@127.0.0.1:{self._port}/{name}"

    @property
    def pid(self) -> int:
        """The server's own; those that it started are its children."""
        assert self._process is not None
        return self._process.pid

    def step(self, seconds: float) -> None:
        """Let its clock be so far from the machine's."""
        beside = self._clock.with_suffix(".new")
        beside.write_text(f"{seconds:+.0f}\n")
        beside.rename(self._clock)

    def stop(self, *, at_once: bool = False) -> None:
        """Stop it; *at_once* leaves its next start to recover what it had in hand."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
            self._process.wait(_PATIENCE_S)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _stepped_by(file: Path) -> list[str]:
    """Begin the command of a program whose wall clock is to be as far from the machine's as that file says."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        missing("libfaketime")
    by_file = [f"LD_PRELOAD={found[0]}", f"FAKETIME_TIMESTAMP_FILE={file}", "FAKETIME_NO_CACHE=1"]
    return ["env", *by_file, "FAKETIME_DONT_FAKE_MONOTONIC=1"]
