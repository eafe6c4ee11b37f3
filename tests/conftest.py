"""Fixtures that every test may use. Each is the real thing made small."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from keystones import Keystone
from sqlalchemy import Engine

import shares
from hosts import Host
from pci_agent.tracker import database
from pci_agent.tracker.store import Store
from services import MariaDB, PostgreSQL, RabbitMQ
from sysfs import FakeSysfs

pytest_plugins = ["browsers", "fleets", "looked_at", "parallel"]

CAPTURES = Path(__file__).resolve().parents[2] / "shared/captures"
HOST_DOWN_S = 75


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know --long: property tests try all their examples, not the share that every run tries."""
    parser.addoption("--long", action="store_true", help="try all examples of property tests, not a share of them")


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGTERM end a run as Ctrl-C does, so that it stops the servers that it started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shares.run.long = config.getoption("--long")


@pytest.fixture
def sysfs(tmp_path: Path) -> FakeSysfs:
    """An empty PCI bus in a directory."""
    return FakeSysfs(tmp_path / "sys")


@pytest.fixture(scope="session")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight real machines' sysfs trees, by name; skips where they are not beside the project."""
    if not CAPTURES.is_dir():
        pytest.skip("the captured machines (shared/captures) are not beside the project")
    trees = tmp_path_factory.mktemp("captures") / "trees"
    subprocess.run([sys.executable, CAPTURES / "build.py", trees], check=True)
    return trees


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A real broker. A test that stops it starts it again."""
    broker = RabbitMQ()
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A real database server; ask it for a database of your own."""
    server = PostgreSQL()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """Another real database server; ask it for a database of your own."""
    server = MariaDB()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def keystone() -> Iterator[Keystone]:
    """A real keystone, with its users. A test that stops it starts it again."""
    server = Keystone()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def unmade(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database with nothing in it, once on each kind that we serve."""
    url = f"sqlite:///{tmp_path}/tracker.sqlite"
    if request.param != "sqlite":
        url = request.getfixturevalue(request.param).database()
    made = database.connect(url)
    yield made
    made.dispose()


@pytest.fixture
def engine(unmade: Engine) -> Engine:
    """An empty tracker's database, once on each kind that we serve."""
    database.upgrade(unmade)
    return unmade


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    """An empty tracker's database on SQLite, for tests that ask nothing of the database."""
    made = database.connect(f"sqlite:///{tmp_path}/tracker.sqlite")
    database.upgrade(made)
    yield made
    made.dispose()


@pytest.fixture
def store(engine: Engine) -> Store:
    """A tracker's store, once on each kind of database."""
    return Store(engine, host_down_s=HOST_DOWN_S)


@pytest.fixture
def host(tmp_path: Path, sysfs: FakeSysfs) -> Iterator[Host]:
    """A hypervisor with a PF and two VFs, its agent not started."""
    sysfs.add_pf("0000:04:00.0", vfs=["0000:04:10.0", "0000:04:10.4"], numa_node=0, netdev="enp4s0f0")
    made = Host("compute-1", sysfs, tmp_path / "agent")
    yield made
    made.stop()
