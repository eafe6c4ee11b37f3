"""
How long the tracker takes to find hosts: ten thousand of them with 64 VFs each, as rows of a database.

The rows are made by the database itself from one host's, so that a fleet is there in a minute. Nothing is held, so that
all hosts are alike: that is the slowest case, for all of them have to be counted and put in order. Where each VF bears
a tag of its own, a request that doesn't name one has to count every VF of the fleet; no limit is set there.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from sqlalchemy import Connection, Engine, Table, insert, select, text

from pci_agent.model.device import DevType
from pci_agent.model.fit import ANYWHERE, GuestNuma
from pci_agent.model.request import NumaPolicy, PciRequest, Spec, from_port
from pci_agent.tracker import database
from pci_agent.tracker.pools import kind_id
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.tracker.tables import compute_nodes, pci_devices, pci_kinds, pci_pools

HOSTS = 10_000
VFS = 64
MOST_S = 0.030
"""How long finding ten hosts may take, in the median."""

_RUNS = 30
_EMPTIED = (pci_devices, pci_pools, pci_kinds, compute_nodes)


@dataclass(frozen=True)
class Shape:
    """How the VFs of a host are spread: over how many PFs, and whether each bears a tag of its own."""

    name: str
    pfs: int
    tagged: bool = False


SHAPES = (
    Shape("1 PF: 2 pools a host", 1),
    Shape("8 PFs: 10 pools a host", 8),
    Shape("1 PF, a tag a VF: 65 pools a host", 1, tagged=True),
)

A_VF = PciRequest(request_id="vf", specs=(Spec(vendor_id="8086", product_id="1520"),))
"""What is asked for most."""

_BY_IDS, _BY_NETWORK, _NEAR = "a VF by its ids", "a VF for a port of a network", "a VF on the guest's node"
_MANY, NO_HOST = "8 VFs by ids, and one for a port", "all PFs and a VF, which no host has"
_UNLIMITED = {SHAPES[-1]: (_BY_IDS, _BY_NETWORK, _NEAR, _MANY, NO_HOST)}


@dataclass(frozen=True)
class Question:
    """What is asked for; *fits* tells whether hosts are expected to."""

    name: str
    requests: tuple[PciRequest, ...]
    numa: GuestNuma = ANYWHERE
    fits: bool = True


def questions(shape: Shape) -> Iterator[Question]:
    """Make what is asked of a fleet of that shape."""
    a_pf = Spec(vendor_id="8086", product_id="1521", dev_type=DevType.PF)
    port = from_port("direct", "PhysNet1", request_id="port")
    if port is None:
        raise RuntimeError("a direct port takes a VF")
    yield Question(_BY_IDS, (A_VF,))
    yield Question(_BY_NETWORK, (port,))
    place = PciRequest(request_id="place", specs=(Spec(dev_type=DevType.VF, tags={"place": "7"}),))
    yield Question("a VF by a tag that one of a host's has", (place,), fits=shape.tagged)
    near = PciRequest(request_id="near", specs=A_VF.specs, numa_policy=NumaPolicy.REQUIRED)
    yield Question(_NEAR, (near,), GuestNuma(frozenset({0})))
    yield Question(_MANY, (PciRequest(request_id="vfs", count=8, specs=A_VF.specs), port))
    pf = PciRequest(request_id="pf", count=shape.pfs, specs=(a_pf,))
    yield Question("all PFs", (pf,))
    yield Question(NO_HOST, (pf, A_VF), fits=False)


@dataclass(frozen=True)
class Result:
    """Seconds of each run, by shape and question; the database's kind."""

    seconds: dict[Shape, dict[str, list[float]]]
    database: str

    def median(self, shape: Shape, question: str) -> float:
        """Give the median of a question's runs."""
        return median(self.seconds[shape][question])


def measured(url: str, hosts: int = HOSTS) -> Result:
    """
    Measure on a database of one's own: what was in it goes.

    Args:
        url: of the database
        hosts: how many there are
    """
    engine = database.connect(url)
    database.upgrade(engine)
    seconds = {}
    for shape in SHAPES:
        fill(engine, shape, hosts)
        scheduler = Scheduler(engine, host_down_s=3600)
        seconds[shape] = {question.name: timed(scheduler, question) for question in questions(shape)}
    return Result(seconds, engine.dialect.name)


def timed(scheduler: Scheduler, question: Question) -> list[float]:
    """Ask some times, and give the seconds of each."""
    spent = []
    for _ in range(_RUNS + 1):
        since = time.perf_counter()
        found = scheduler.candidates(question.requests, question.numa)
        spent.append(time.perf_counter() - since)
        if bool(found.hosts) is not question.fits:
            raise RuntimeError(f"{question.name}: {len(found.hosts)} hosts were found, {found.cut}")
    return spent[1:]  # the first one prepares its statements


def fill(engine: Engine, shape: Shape, hosts: int) -> None:
    """Make the fleet anew."""
    with engine.begin() as connection:
        for table in _EMPTIED:
            connection.execute(table.delete())
        connection.execute(insert(compute_nodes), [_host(shape, number) for number in range(1, hosts + 1)])
        pools = list(_pools(shape))
        kinds = {pool["kind_id"]: pool for pool in pools}
        columns = ("vendor_id", "product_id", "dev_type", "tags")
        connection.execute(
            insert(pci_kinds), [{"id": kind, **{name: pool[name] for name in columns}} for kind, pool in kinds.items()]
        )
        _give_all(connection, pci_pools, pools)
        _give_all(connection, pci_devices, list(_devices(shape)))
    _settle(engine)


def _give_all(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert the first host's rows, and let the database give every other host the same."""
    connection.execute(insert(table), [{**row, "compute_node_id": 1} for row in rows])
    copied = [column for column in table.c if column.name not in ("id", "compute_node_id")]
    every = compute_nodes.join(table, table.c.compute_node_id == 1)
    same = select(compute_nodes.c.id, *copied).select_from(every).where(compute_nodes.c.id > 1)
    order = same.order_by(compute_nodes.c.id, table.c.id)
    connection.execute(insert(table).from_select(["compute_node_id", *(column.name for column in copied)], order))


def _settle(engine: Engine) -> None:
    """Let the database learn what it holds, as it does by itself in time."""
    commands = {"postgresql": "VACUUM ANALYZE", "sqlite": "ANALYZE"}
    tables = ", ".join(table.name for table in _EMPTIED)
    command = commands.get(engine.dialect.name, f"ANALYZE TABLE {tables}")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(command))


def _host(shape: Shape, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "hypervisor_hostname": f"compute-{number:05}.example.org",
        "agent_uuid": f"00000000-0000-4000-8000-{number:012}",
        "session": f"00000000-0000-4000-8001-{number:012}",
        "generation": 1,
        "digest": "0" * 32,
        "last_seen": datetime.now(UTC).replace(tzinfo=None),
        "status_counter": 1,
        "agent_status": {"counter": 1, "agent_version": "bench", "problems": [], "config_errors": []},
        "pci_stats": [{name: pool[name] for name in pool if name != "kind_id"} for pool in _pools(shape)],
    }


def _devices(shape: Shape) -> Iterator[dict[str, Any]]:
    """Make a host's devices: PFs on two nodes in turn, a bus each."""
    for number in range(shape.pfs):
        yield _device(shape, number, -1)
        for index in range(VFS // shape.pfs):
            yield _device(shape, number, index)


def _device(shape: Shape, number: int, index: int) -> dict[str, Any]:
    """Make a PF (index -1) or one of its VFs."""
    is_pf = index < 0
    slot, function = divmod(index, 8) if index >= 0 else (0, 0)
    pf, address = f"0000:{4 + number:02x}:00.0", f"0000:{4 + number:02x}:{16 + slot:02x}.{function}"
    address = pf if is_pf else address
    product_id = "1521" if is_pf else "1520"
    return {
        "uuid": f"00000000-0000-4000-8002-{number * 1000 + index + 1:012}",
        "address": address,
        "vendor_id": "8086",
        "product_id": product_id,
        "dev_type": "type-PF" if is_pf else "type-VF",
        "dev_id": f"pci_{address.replace(':', '_').replace('.', '_')}",
        "label": f"label_8086_{product_id}",
        "status": "available",
        "parent_addr": None if is_pf else pf,
        "numa_node": number % 2,
        "tags": {"physical_network": "physnet1", **({"place": str(index)} if shape.tagged and not is_pf else {})},
        "extra_info": {
            "driver": "igb" if is_pf else "igbvf",
            "class": "020000",
            "revision": "01",
            "subsystem_vendor_id": "8086",
            "subsystem_product_id": "0001",
            "netdevs": f"ens{number}f0" + ("" if is_pf else f"v{index}"),
            **({"sriov_totalvfs": "64", "sriov_numvfs": "64"} if is_pf else {"vf_index": str(index)}),
        },
        "hash": "0" * 32,
    }


def _pools(shape: Shape) -> Iterator[dict[str, Any]]:
    """Count a host's devices, as its agent does."""
    counted: dict[tuple[object, ...], dict[str, Any]] = {}
    names = ("vendor_id", "product_id", "dev_type", "numa_node", "parent_addr", "tags")
    for device in _devices(shape):
        pool = {name: device[name] for name in names}
        key = (*(pool[name] for name in names[:-1]), *pool["tags"].items())
        counts = counted.setdefault(key, {**pool, "kind_id": kind_id(pool), "free": 0, "used": 0, "total": 0})
        counts["free"] += 1
        counts["total"] += 1
    yield from counted.values()


def missed(result: Result) -> list[str]:
    """Tell which limits are missed."""
    return [
        f"{shape.name}, {question}: {1000 * median(spent):.1f} ms, at most {1000 * MOST_S:.0f} were wanted"
        for shape, spents in result.seconds.items()
        for question, spent in spents.items()
        if median(spent) > MOST_S and question not in _UNLIMITED.get(shape, (NO_HOST,))
    ]


def lines(result: Result) -> list[str]:
    """Write the medians, in milliseconds, as a table."""
    asked = list(next(iter(result.seconds.values())))
    return [
        "| | " + " | ".join(shape.name for shape in result.seconds) + " |",
        "|---|" + "---:|" * len(result.seconds),
        *(
            f"| {name} | " + " | ".join(f"{1000 * result.median(shape, name):.1f}" for shape in result.seconds) + " |"
            for name in asked
        ),
    ]
