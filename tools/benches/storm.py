"""
How long the tracker takes to keep the full reports of a fleet that it knows nothing of, beside the bare rows.

* *bare*: the rows of the same devices, written to the same server as drivers write many rows: ``executemany`` of an
  upsert, a transaction a host, and nothing else. The fleet's other rows (hosts, pools, history) aren't among them.
* *handled*: each report as it comes off the bus, through the tracker's endpoint to its commit, some at once. The two
  take turns, a tenth of the fleet at a time, so that what else the machine does meets both.
* *by agents*: real agents, as in tools/fleet, tell all they have over a real broker to a ``pci-tracker`` that runs on
  its own. They run on the same machine, and begin with a heartbeat each.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from benches.reporting import Kind, Speaker
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.tracker.store import Store
from pci_agent.tracker.tables import compute_nodes, pci_devices, utcnow
from pci_agent.wire.messages import Report, Verdict, pack
from services import RabbitMQ
from simulation import load
from simulation.agents import Settings
from simulation.machines import generated
from simulation.world import Plan, running

AT_ONCE = 16
"""Reports that are handled at once; a tracker process has threads for 64."""

AGENTS_A_PROCESS = 100
_NEVER_S = 3600
_MACHINES = 8
_PARTS = 10
_SAME = ("compute_node_id", "uuid")


@dataclass(frozen=True)
class Storm:
    """The full report of each host, and the same as it crosses the bus."""

    reports: tuple[Report, ...]
    bodies: tuple[str, ...]

    @property
    def devices(self) -> int:
        """How many there are in all."""
        return sum(len(report.devices) for report in self.reports)

    def parts(self) -> "list[Storm]":
        """Cut it into some, in order."""
        size = -(-len(self.reports) // _PARTS)
        starts = range(0, len(self.reports), size)
        return [Storm(self.reports[start : start + size], self.bodies[start : start + size]) for start in starts]


def made(hosts: int, kind: Kind) -> Storm:
    """Make what so many hosts tell first."""
    reports = tuple(Speaker(number).report(kind) for number in range(hosts))
    return Storm(reports, tuple(pack(report) for report in reports))


def bare(engine: Engine, storm: Storm) -> float:
    """Write the devices' rows, and give the seconds that this took."""
    with engine.begin() as connection:
        hosts = [_host(report) for report in storm.reports]
        connection.execute(insert(compute_nodes), hosts)
        rows_of = connection.execute(select(compute_nodes.c.agent_uuid, compute_nodes.c.id))
        ids = {row.agent_uuid: row.id for row in rows_of}
    rows = [_rows(report, ids[report.agent_uuid]) for report in storm.reports]
    upsert = _upsert(engine, rows[0][0])
    since = time.perf_counter()
    for each in rows:
        with engine.begin() as connection:
            connection.execute(upsert, each)
    return time.perf_counter() - since


def handled(engine: Engine, storm: Storm) -> float:
    """Have a tracker's endpoint answer all of them, and give the seconds that this took."""
    endpoint = Endpoint(Store(engine, host_down_s=75))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        since = time.perf_counter()
        list(pool.map(lambda body: endpoint.report({}, body), storm.bodies))
        spent = time.perf_counter() - since
    if endpoint.answered != {("report", Verdict.OK): len(storm.bodies)}:
        raise RuntimeError(f"reports were answered {dict(endpoint.answered)}")
    return spent


def by_agents(folder: Path, database_url: str, broker: RabbitMQ, agents: int, devices: int) -> float:
    """Have so many agents tell so many devices each, and give the seconds until the rows are every agent's state."""
    plan = Plan(agents=agents, a_process=AGENTS_A_PROCESS)
    machines = [each.machine for each in generated(folder, min(agents, _MACHINES), devices)]
    settings = Settings(look_interval_s=_NEVER_S)
    with running(folder, plan, machines, settings, database_url=database_url, broker=broker) as world:
        return load.told_by_all(world, world.states())


def check(engine: Engine, storm: Storm) -> None:
    """Make sure that all devices are there, and no others."""
    with engine.connect() as connection:
        there = connection.execute(select(func.count()).select_from(pci_devices)).scalar_one()
    if there != storm.devices:
        raise RuntimeError(f"{there} devices are in the database, {storm.devices} were told")


def _host(report: Report) -> dict[str, Any]:
    return {
        "hypervisor_hostname": report.host,
        "agent_uuid": report.agent_uuid,
        "session": report.session,
        "generation": report.token.generation,
        "digest": report.token.digest,
        "last_seen": datetime.now(UTC).replace(tzinfo=None),
        "status_counter": 0,
        "pci_stats": [],
    }


def _rows(report: Report, node_id: int) -> list[dict[str, Any]]:
    more = {"compute_node_id": node_id, "created_at": datetime.now(UTC).replace(tzinfo=None)}
    return [{**device.model_dump(mode="json"), **more} for device in report.devices]


def _upsert(engine: Engine, row: dict[str, Any]) -> Any:
    into: Any = (sqlite if engine.dialect.name == "sqlite" else postgresql).insert(pci_devices)
    written = {name: into.excluded[name] for name in row if name not in (*_SAME, "created_at")}
    return into.on_conflict_do_update(index_elements=list(_SAME), set_={**written, "updated_at": utcnow()})
