"""What those who watch over the centre ask it: /metrics, /healthcheck, and which versions are served."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from falcon.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from buses import get, parts
from centres import Centre, centre, one
from pci_agent.api.app import application, monitoring
from pci_agent.api.routes import routes
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.tracker.store import Store
from pci_agent.wire.messages import pack

A, B = "compute-1", "compute-2"


@pytest.fixture
def fleet(tmp_path: Path, sqlite: Engine) -> Iterator[Centre]:
    with centre(tmp_path, Store(sqlite, host_down_s=75), {A: 1, B: 2}) as made:
        yield made


def measured(client: TestClient) -> dict[str, float]:
    """Every sample, by its name and its labels' values, in order of the labels' names."""
    answer = client.simulate_get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        " ".join([sample.name, *(sample.labels[label] for label in sorted(sample.labels))]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_fleet_is_measured(fleet: Centre, sqlite: Engine) -> None:
    client = TestClient(application(parts(fleet.store)))
    fleet.allocations.claim("an-instance", [one("r1")])
    with sqlite.begin() as connection:
        silent = "UPDATE compute_nodes SET last_seen = '2026-01-01 00:00:00.000000'"
        connection.execute(text(f"{silent} WHERE hypervisor_hostname = 'compute-2'"))
        connection.execute(text("UPDATE pci_devices SET status = 'odd' WHERE address = '0000:04:10.1'"))
    found = measured(client)
    assert (found["pci_hosts up"], found["pci_hosts down"], found["pci_database_up"]) == (1, 1, 1)
    assert {name: value for name, value in found.items() if name.startswith("pci_devices")} == {
        "pci_devices type-VF available": 1,
        "pci_devices type-VF claimed": 1,
        "pci_devices type-VF other": 1,
    }
    assert found["pci_pending_frees"] == 0


def test_what_this_process_did_is_measured(fleet: Centre) -> None:
    served = parts(fleet.store, agents=fleet.agents)
    endpoint = Endpoint(fleet.store)
    endpoint.heartbeat(None, pack(fleet.hosts[A].agent.next_message()))
    endpoint.report(None, "nonsense")
    client = TestClient(application(replace(served, messages=endpoint.answered)))
    served.allocations.claim("an-instance", [one("r1")])
    fleet.agents.lost.add((B, "claim"))
    served.allocations.claim("another", [one("r2", count=2)])
    served.allocations.free("another")
    get(client, "/v3/os-pci/detail")
    get(client, "/v3/os-pci/nothing", 404)
    get(client, "/v4", 404)
    found = measured(client)
    assert found["pci_reports_total refused"] == 1
    assert found["pci_heartbeats_total ok"] == 1
    assert (found["pci_allocations_total claim ok"], found["pci_allocations_total claim silent"]) == (1, 1)
    assert found["pci_allocations_total free ok"] == 1
    assert (found["pci_rpc_calls_total claim"], found["pci_rpc_failures_total claim"]) == (2, 1)
    assert found["pci_api_request_seconds_count 200 os-pci:detail"] == 1
    assert found["pci_api_request_seconds_count 404 os-pci:show"] == 1
    assert found["pci_api_request_seconds_count 404 other"] == 1


def test_a_database_that_cannot_be_asked_is_measured_and_is_not_healthy(sqlite: Engine) -> None:
    client = TestClient(monitoring(parts(Store(sqlite, host_down_s=75))))
    assert get(client, "/healthcheck") == {"status": "ok"}
    sqlite.dispose()
    Path(sqlite.url.database or "").unlink()
    Path(sqlite.url.database or "").mkdir()
    assert "serviceUnavailable" in get(client, "/healthcheck", 503)
    found = measured(client)
    assert found["pci_database_up"] == 0
    assert "pci_hosts up" not in found


def test_who_watches_a_tracker_is_served_nothing_else(sqlite: Engine) -> None:
    client = TestClient(monitoring(parts(Store(sqlite, host_down_s=75))))
    assert "itemNotFound" in get(client, "/v3/os-pci", 404)


def test_every_version_describes_itself(sqlite: Engine) -> None:
    client = TestClient(application(parts(Store(sqlite, host_down_s=75))))
    listed = get(client, "/")["versions"]
    assert [(each["id"], each["status"]) for each in listed] == [("v2", "SUPPORTED"), ("v3", "CURRENT")]
    for each in listed:
        assert each["links"] == [{"rel": "self", "href": f"http://falconframework.org/{each['id']}/"}]
        assert get(client, f"/{each['id']}/") == get(client, f"/{each['id']}") == {"version": each}


def test_every_route_has_a_name_of_its_own(sqlite: Engine) -> None:
    table = routes(parts(Store(sqlite, host_down_s=75)))
    assert len({route.name for route in table}) == len(table)
    assert len({(route.method, route.path) for route in table}) == len(table)
    changing = {route.name.split(":")[1] for route in table if route.method != "GET"}
    assert changing == {"claim", "confirm", "free", "disable", "enable", "candidates", "plan"}
    assert changing.isdisjoint(route.name.split(":")[1] for route in table if route.method == "GET")
