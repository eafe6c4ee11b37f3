"""One device's way, whole: sysfs, agent, a real bus, a real database, REST."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from buses import Gate, GatedEndpoint, bus, get, reporting, rest, tracker
from hosts import Host
from pci_agent.discovery.sysfs import scan
from pci_agent.errors import TrackerSilent
from pci_agent.tracker import database
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.tracker.store import Store
from pci_agent.wire import rpc
from pci_agent.wire.messages import Answer, Heartbeat, Verdict, unpack
from services import PostgreSQL, RabbitMQ, wait_for

PF = "0000:04:00.0"
PHYSNET = '{"devname": "enp4s0f0", "product_id": "1520", "physical_network": "physnet1"}'


@pytest.fixture
def fleet(postgresql: PostgreSQL) -> Store:
    engine = database.connect(postgresql.database())
    database.upgrade(engine)
    return Store(engine, host_down_s=75)


def test_a_real_hosts_report_goes_through_rabbitmq_and_postgresql_into_rest(
    fleet: Store, rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    this_machine = Host("this-machine", "/sys", tmp_path / "state")  # type: ignore[arg-type]
    client = rest(fleet)
    with tracker(rabbitmq.url, Endpoint(fleet)), reporting(rabbitmq.url, this_machine.start()):
        wait_for(lambda: this_machine.agent.agreed, "agreement")
        listed = get(client, "/v3/os-pci/detail")["pci_devices"]
    assert [device["address"] for device in listed] == [str(device.address) for device in scan().devices]
    assert {device["hypervisor_hostname"] for device in listed} == {"this-machine"}
    assert {device["status"] for device in listed} == {"available"}
    this_machine.stop()


@pytest.mark.parametrize("url", ["rabbit", "fake"])
def test_vfs_come_and_go_in_rest_with_their_tags(
    url: str, sqlite: Engine, request: pytest.FixtureRequest, host: Host
) -> None:
    bus_url = request.getfixturevalue("rabbitmq").url if url == "rabbit" else "fake://"
    store = Store(sqlite, host_down_s=75)
    host._specs = (PHYSNET,)
    client = rest(store)

    def addresses() -> list[str]:
        return [device["address"] for device in get(client, "/v2/openstack/os-pci")["pci_devices"]]

    with tracker(bus_url, Endpoint(store)), reporting(bus_url, host.start()):
        wait_for(lambda: len(addresses()) == 2, "two VFs")
        (pool,) = get(client, "/v2/openstack/os-hypervisors/compute-1")["hypervisor"]["pci_stats"]
        assert pool == {
            "count": 2,
            "vendor_id": "8086",
            "product_id": "1520",
            "extra_info": {
                "phys_function": PF,
                "numa_node": "0",
                "dev_type": "type-VF",
                "physical_network": "physnet1",
            },
        }
        host.sysfs.set_numvfs(PF, ["0000:04:10.4"])
        host.agent.look()
        wait_for(lambda: addresses() == ["0000:04:10.4"], "the first VF to go")


def test_a_broker_stopped_during_a_report_loses_nothing(fleet: Store, rabbitmq: RabbitMQ, host: Host) -> None:
    client, endpoint = rest(fleet), GatedEndpoint(fleet)

    def listed() -> int:
        return len(get(client, "/v3/os-pci")["pci_devices"])

    with tracker(rabbitmq.url, endpoint), reporting(rabbitmq.url, host.start()) as reporter:
        wait_for(lambda: host.agent.agreed, "agreement")
        gate = endpoint.gate = Gate()
        host.sysfs.set_numvfs(PF, [])
        host.agent.look()
        assert gate.reached.wait(30), "the report is at the tracker, and not answered"
        rabbitmq.stop()
        gate.open.set()
        host.sysfs.set_numvfs(PF, ["0000:04:10.0"])
        host.agent.look()
        wait_for(lambda: reporter.trouble is not None, "the agent to notice")
        assert listed() == 1, "what happened meanwhile is known to the agent alone"
        rabbitmq.start()
        wait_for(lambda: host.agent.agreed and reporter.trouble is None, "agreement after the outage")
    assert listed() == 2
    assert {row["hash"] for row in fleet.devices()} == {record.hash for record in host.agent.records()}


@pytest.mark.parametrize("url", ["rabbit", "fake"])
def test_a_message_that_is_not_ours_is_refused_and_the_next_one_is_served(
    url: str, sqlite: Engine, request: pytest.FixtureRequest, host: Host
) -> None:
    bus_url = request.getfixturevalue("rabbitmq").url if url == "rabbit" else "fake://"
    endpoint = Endpoint(Store(sqlite, host_down_s=75))
    with tracker(bus_url, endpoint), bus(bus_url) as opened:
        client = rpc.TrackerClient(opened, timeout_s=5)
        for body in ("hello", 7, None, {"a": 1}):
            answer = unpack(Answer, client._calls._client.call({}, "report", body=body))
            assert answer.verdict is Verdict.REFUSED
            assert answer.reason is not None
            assert answer.reason.startswith("Report: not a message of pci-agent's")
        message = host.start().next_message()
        assert isinstance(message, Heartbeat)
        assert client.tell(message).verdict is Verdict.HOLDS
    assert endpoint.answered == {("report", Verdict.REFUSED): 4, ("heartbeat", Verdict.HOLDS): 1}


def test_a_tracker_whose_database_fails_gives_no_answer(sqlite: Engine, host: Host, tmp_path: Path) -> None:
    endpoint = Endpoint(Store(sqlite, host_down_s=75))
    with tracker("fake://", endpoint), bus("fake://") as opened:
        client = rpc.TrackerClient(opened, timeout_s=5)
        with sqlite.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE compute_nodes RENAME TO elsewhere")
        with pytest.raises(TrackerSilent, match="compute_nodes"):
            client.tell(host.start().next_message())
    assert tmp_path.exists()
