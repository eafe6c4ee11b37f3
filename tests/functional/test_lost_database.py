"""
A tracker's database that is lost under a running fleet: whole again within two heartbeats, but for what only it knew.

What only it knew: history, who was refused as a twin, what failed or was freed, and what is still to be freed.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select
from test_reports import lose

from buses import get, rest
from centres import Centre, centre, one, stop
from hosts import Host
from pci_agent.agent.reporter import Reporter
from pci_agent.tracker import database, ids
from pci_agent.tracker.allocations import Allocations
from pci_agent.tracker.control import ControlEndpoint
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.tracker.store import Store
from pci_agent.tracker.tables import metadata, pci_pools
from pci_agent.wire import rpc
from pci_agent.wire.asked import written
from pci_agent.wire.control import ClaimQuestion, ConfirmQuestion, FreeQuestion, ShowQuestion
from pci_agent.wire.messages import Answer, Heartbeat, PoolRecord, Report, Verdict
from services import wait_for

RUNNING, CLAIMED = str(uuid4()), str(uuid4())
"""An instance that confirmed its devices, and one that hasn't yet."""

_NEW = {"id", "compute_node_id", "created_at", "updated_at", "last_seen", "now"}
"""What is another in another database."""


class Fleet:
    """Hosts that report on threads of their own, to a tracker that can be started anew."""

    def __init__(self, made: Centre, running: ExitStack) -> None:
        self.made = made
        self.store: Store
        self.answers: dict[str, list[tuple[type, Verdict]]] = {name: [] for name in made.hosts}
        self._running = running
        self._tracker = ExitStack()
        self.controller = rpc.ControlClient(made.bus, timeout_s=30)
        running.callback(self._tracker.close)

    def start(self, engine: Engine) -> None:
        """Let a tracker serve this database."""
        self._tracker.close()
        self.store = Store(engine, host_down_s=75)
        scheduler = Scheduler(engine, host_down_s=75)
        control = ControlEndpoint(Allocations(self.store, scheduler, self.made.agents), scheduler, self.store)
        server = rpc.server(self.made.bus, rpc.TRACKER_TOPIC, "tracker-1", Endpoint(self.store), control)
        server.start()
        self._tracker.callback(stop, server)

    def report(self) -> None:
        """Let every agent report from now on."""
        for name, host in self.made.hosts.items():
            client = rpc.TrackerClient(self.made.bus, timeout_s=5)

            def tell(message: Report | Heartbeat, name: str = name, client: rpc.TrackerClient = client) -> Answer:
                answer = client.tell(message)
                self.answers[name].append((type(message), answer.verdict))
                return answer

            self._running.enter_context(_reporting(host, tell))

    def heartbeats(self, name: str) -> int:
        """Count the heartbeats of a host that were answered before its first report was taken."""
        told = self.answers[name]
        return told.index((Report, Verdict.OK)) if (Report, Verdict.OK) in told else len(told)


@contextmanager
def _reporting(host: Host, tell: Any) -> Iterator[None]:
    reporter = Reporter(host.agent, tell, heartbeat_s=0.5, first_retry_s=0.1, last_retry_s=0.5)
    host.agent._changed = host.agent.ledger._changed = reporter.wake
    reporter.start()
    try:
        yield
    finally:
        reporter.stop(patience_s=10)


@pytest.fixture
def fleet(tmp_path: Path, engine: Engine) -> Iterator[Fleet]:
    with (
        centre(tmp_path, Store(engine, host_down_s=75), {"compute-1": 2, "compute-2": 3, "compute-3": 1}) as made,
        ExitStack() as running,
    ):
        fleet = Fleet(made, running)
        fleet.start(engine)
        fleet.report()
        for instance, host, count in ((RUNNING, "compute-1", 1), (RUNNING, "compute-2", 2), (CLAIMED, "compute-2", 1)):
            asked = (written(one(count=count)),)
            question = ClaimQuestion(instance_uuid=instance, requests=asked, host=host, project_id="p1", user_id="u1")
            assert fleet.controller.claim(question).verdict == "ok"
        assert fleet.controller.confirm(ConfirmQuestion(instance_uuid=RUNNING)).verdict == "ok"
        wait_for(lambda: all(host.agent.agreed for host in made.hosts.values()), "agreement")
        for name in made.hosts:
            fleet.answers[name].clear()
        yield fleet


def old(row: Any) -> dict[str, Any]:
    """Give what a row keeps in another database."""
    return {key: value for key, value in row.items() if key not in _NEW}


def held(store: Store) -> tuple[Any, ...]:
    """What a tracker holds of hosts, devices and pools, whatever their numbers."""
    hosts, devices = store.hypervisors(), store.devices()
    names = {row["id"]: row["hypervisor_hostname"] for row in hosts}
    with store._engine.connect() as connection:
        rows = connection.execute(select(pci_pools)).mappings().all()
    pools = [
        (names.get(row["compute_node_id"], ""), *(str(row[each]) for each in PoolRecord.model_fields)) for row in rows
    ]
    by_uuid = {row["uuid"]: {**old(row), "host": names.get(row["compute_node_id"])} for row in devices}
    return [old(row) for row in hosts], by_uuid, sorted(pools)


def shown(store: Store) -> Any:
    """What REST shows of instances, less the numbers of devices."""
    servers = [get(rest(store), f"/v3/servers/{instance}")["server"] for instance in (RUNNING, CLAIMED)]
    for server in servers:
        server["os-pci:pci_devices"] = sorted(
            (old(each) for each in server["os-pci:pci_devices"]), key=lambda each: str(each["uuid"])
        )
    return servers


def numbers(store: Store) -> tuple[list[int], list[int]]:
    return [row["id"] for row in store.hypervisors()], [row["id"] for row in store.devices()]


def dropped(engine: Engine) -> None:
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")


@pytest.mark.parametrize("how", ["emptied", "dropped", "dropped, and the tracker started anew"])
def test_a_fleet_whose_database_is_lost_is_whole_again_within_two_heartbeats(
    fleet: Fleet, engine: Engine, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, instances, (old_hosts, old_devices) = held(fleet.store), shown(fleet.store), numbers(fleet.store)
    agents = fleet.made.holders()
    asked = fleet.controller.show_allocation(ShowQuestion(instance_uuid=RUNNING)).allocations
    monkeypatch.setattr(ids, "_SINCE", ids._SINCE.replace(year=2025))  # as if a year had passed since
    running = engine
    if how == "emptied":
        lose(engine)
    else:
        dropped(engine)
        get(rest(fleet.store), "/v3/os-pci", 503)
        if how != "dropped":
            running = database.connect(engine.url.render_as_string(hide_password=False))
        database.upgrade(running)
    if running is not engine:
        fleet.start(running)

    wait_for(lambda: held(fleet.store) == before, "the rows of before", patience_s=30)

    assert [name for name in fleet.answers if fleet.heartbeats(name) > 2] == []
    assert fleet.store.verify() == []
    assert shown(fleet.store) == instances
    assert fleet.made.holders() == agents
    hosts, devices = numbers(fleet.store)
    assert not {*old_hosts} & {*hosts}
    assert not {*old_devices} & {*devices}
    client = rest(fleet.store)
    for prefix in ("/v2/openstack", "/v3"):
        for number in old_hosts:
            get(client, f"{prefix}/os-hypervisors/{number}", 404)
        for number in old_devices:
            get(client, f"{prefix}/os-pci/{number}", 404)
        for number in devices:
            get(client, f"{prefix}/os-pci/{number}")
    again = fleet.controller.show_allocation(ShowQuestion(instance_uuid=RUNNING)).allocations
    assert [
        (each.request_id, each.hypervisor_hostname, each.state, each.confirmed, each.attempt) for each in again
    ] == [(each.request_id, each.hypervisor_hostname, each.state, each.confirmed, each.attempt) for each in asked]
    assert [{device.uuid for device in each.devices} for each in again] == [
        {device.uuid for device in each.devices} for each in asked
    ]
    if running is not engine:
        running.dispose()


def test_what_was_held_before_is_confirmed_and_freed_after_the_database_was_lost(fleet: Fleet, engine: Engine) -> None:
    before = held(fleet.store)
    lose(engine)
    wait_for(lambda: held(fleet.store) == before, "the rows of before")
    assert fleet.controller.confirm(ConfirmQuestion(instance_uuid=CLAIMED)).verdict == "ok"
    assert {row["status"] for row in fleet.store.devices(instance_uuid=CLAIMED)} == {"allocated"}
    for instance in (RUNNING, CLAIMED):
        assert fleet.controller.free(FreeQuestion(instance_uuid=instance)).verdict == "ok"
    assert fleet.made.holders() == {name: [] for name in fleet.made.hosts}
    wait_for(lambda: {row["status"] for row in fleet.store.devices()} == {"available"}, "all to be free")
