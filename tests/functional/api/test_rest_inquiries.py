"""What REST asks of a host's agent: why a device is offered, the whitelist, what another would do; and disabling."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from falcon.testing import TestClient
from sqlalchemy import Engine

from buses import get, rest
from centres import Centre, centre
from pci_agent.tracker.store import Store

A, B = "compute-1", "compute-2"
PF, VF = "0000:04:00.0", "0000:04:10.0"
DEVICE = "/v3/os-pci/pci_0000_04_10_0"
ON_A = f"?hypervisor={A}"


@pytest.fixture
def fleet(tmp_path: Path, sqlite: Engine) -> Iterator[Centre]:
    with centre(tmp_path, Store(sqlite, host_down_s=75), {A: 1, B: 2}) as made:
        yield made


@pytest.fixture
def client(fleet: Centre) -> TestClient:
    return rest(fleet.store, agents=fleet.agents)


def post(client: TestClient, path: str, body: object = None, code: int = 200) -> Any:
    answer = client.simulate_post(path, body=None if body is None else json.dumps(body))
    assert answer.status_code == code, answer.text
    return orjson.loads(answer.content)


def test_a_device_is_explained_by_its_host(client: TestClient, fleet: Centre) -> None:
    told = get(client, f"{DEVICE}/explain{ON_A}")
    (why,) = told["explanations"]
    assert (told["hypervisor_hostname"], why["address"], why["offered"], why["decided_by"]) == (A, VF, True, 1)
    row = get(client, f"/v3/os-pci{ON_A}&address={VF}")["pci_devices"][0]
    assert get(client, f"/v3/os-pci/{row['uuid']}/explain") == told
    assert A in get(client, f"{DEVICE}/explain", 409)["conflictingRequest"]["message"]
    assert fleet.agents.called == [(A, "explain")] * 2


def test_a_function_that_is_not_offered_is_explained_where_its_host_is_named(client: TestClient) -> None:
    (why,) = get(client, f"/v3/os-pci/{PF}/explain{ON_A}")["explanations"]
    assert (why["address"], why["offered"]) == (PF, False)
    assert why["entries"][0]["failed"] == "its product_id is 1521, not 1520"
    assert "?hypervisor=" in get(client, f"/v3/os-pci/{PF}/explain", 404)["itemNotFound"]["message"]
    assert "nowhere" in get(client, f"/v3/os-pci/{PF}/explain?hypervisor=nowhere", 404)["itemNotFound"]["message"]
    fault = get(client, f"/v3/os-pci/0000:99:00.0/explain{ON_A}", 404)["itemNotFound"]
    assert "0000:99:00.0 is no PCI function of this host" in fault["message"]
    for name in ("x" * 300, ""):
        get(client, f"/v3/os-pci/{name}/explain{ON_A}", 404)


def test_the_whitelist_in_force_is_shown_with_what_each_entry_matches(client: TestClient, fleet: Centre) -> None:
    fleet.hosts[B].reconfigure(
        '{"address": "0000:04:10.0", "exclude": true}',
        '{"product_id": "1520", "physical_network": "physnet1"}',
        '{"product_id": "1520"}',
        '{"devname": "enp9s0"}',
    )
    told = get(client, f"/v3/os-pci-whitelist/{B}")["whitelist"]
    assert [(each["number"], each["devices"], each["exclude"]) for each in told["entries"]] == [
        (1, [VF], True),
        (2, ["0000:04:10.1"], False),
        (3, [], False),
        (4, [], False),
    ]
    assert told["entries"][1]["tags"] == {"physical_network": "physnet1"}
    assert json.loads(told["entries"][3]["entry"]) == {"devname": "enp9s0"}
    assert (told["unresolved_devnames"], told["functions"], told["offered"]) == (["enp9s0"], 3, 1)
    assert told["hypervisor_hostname"] == B
    number = get(client, f"/v3/os-hypervisors/{B}")["hypervisor"]["id"]
    assert get(client, f"/v2/openstack/os-pci-whitelist/{number}")["whitelist"] == told
    assert "nowhere" in get(client, "/v3/os-pci-whitelist/nowhere", 404)["itemNotFound"]["message"]


def test_another_whitelist_is_tried_and_changes_nothing(client: TestClient, fleet: Centre) -> None:
    path = f"/v3/os-pci-whitelist/{B}/plan"
    plan = post(client, path, {"device_spec": [{"address": PF}]})["plan"]
    assert ([each["address"] for each in plan["gained"]], plan["lost"], plan["kept"]) == ([PF], [], 2)
    assert post(client, path, {"device_spec": [json.dumps({"address": PF})]})["plan"] == plan
    assert [each["address"] for each in post(client, path, {"device_spec": []})["plan"]["lost"]] == [VF, "0000:04:10.1"]
    assert len(fleet.hosts[B].agent.records()) == 2


def test_a_whitelist_that_cannot_be_used_is_refused_with_all_that_is_wrong(client: TestClient) -> None:
    bad = {"device_spec": [{"adress": "1"}, {"vendor_id": "x"}]}
    fault = post(client, f"/v3/os-pci-whitelist/{B}/plan", bad, 400)["badRequest"]
    assert [(each["entry"], each["key"]) for each in fault["refusals"]] == [(1, "adress"), (2, "vendor_id")]
    assert "did you mean address?" in fault["message"]
    for body, told in (
        ({}, "'device_spec': it is missing"),
        ({"device_spec": "x"}, "'device_spec'"),
        ({"device_spec": ["x" * 65_537]}, "'device_spec.0'"),
        ({"device_spec": [], "x": 1}, "'x'"),
        ({"device_spec": [10**30]}, "device_spec entry 1"),
    ):
        assert told in post(client, f"/v3/os-pci-whitelist/{B}/plan", body, 400)["badRequest"]["message"]


def test_a_device_is_disabled_for_a_reason_and_enabled_again(client: TestClient, fleet: Centre) -> None:
    shown = post(client, f"{DEVICE}/disable{ON_A}", {"reason": "its fan is broken"})["pci_device"]
    assert shown["status"] == "unavailable"
    assert "its fan is broken" in shown["status_reason"]
    assert get(client, "/v3/os-pci?status=unavailable")["pci_devices"][0]["uuid"] == shown["uuid"]
    wanted = {"requests": [{"specs": [{"product_id": "1520"}]}]}
    assert [each["hypervisor_hostname"] for each in post(client, "/v3/os-pci/candidates", wanted)["candidates"]] == [B]
    shown = post(client, f"{DEVICE}/enable{ON_A}")["pci_device"]
    assert (shown["status"], shown["status_reason"]) == ("available", None)
    assert fleet.agents.called == [(A, "disable"), (A, "enable")]


def test_a_device_is_disabled_until_a_time(client: TestClient, fleet: Centre) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    post(client, f"{DEVICE}/disable{ON_A}", {"reason": "a test", "until": until.isoformat()})
    (item,) = fleet.hosts[A].agent.ledger.tracked.values()
    assert item.disabled is not None
    assert item.disabled.until is not None
    assert abs(item.disabled.until - until.timestamp()) < 1
    assert time.time() < item.disabled.until


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (None, "'reason': it is missing"),
        ({"reason": ""}, "'reason'"),
        ({"reason": "x", "until": "2020-01-01T00:00:00Z"}, "'until': it is over already"),
        ({"reason": "x", "until": "2099-01-01T00:00:00"}, "'until'"),
        ({"reason": "x", "until": "tomorrow"}, "'until'"),
        ({"reason": "x", "for": 1}, "'for'"),
    ],
)
def test_disabling_that_cannot_be_read_names_the_field(sqlite: Engine, body: object, told: str) -> None:
    client = rest(Store(sqlite, host_down_s=75))
    assert told in post(client, f"{DEVICE}/disable", body, 400)["badRequest"]["message"]


def test_a_host_that_does_not_answer_is_a_504_that_says_what_that_means(client: TestClient, fleet: Centre) -> None:
    fleet.agents.lost |= {(A, verb) for verb in ("explain", "whitelist", "plan", "disable", "enable")}
    for fault in (
        get(client, f"{DEVICE}/explain{ON_A}", 504),
        get(client, f"/v3/os-pci-whitelist/{A}", 504),
        post(client, f"/v3/os-pci-whitelist/{A}/plan", {"device_spec": []}, 504),
    ):
        assert "compute-1 doesn't answer (lost). Nothing was changed." in fault["gatewayTimeout"]["message"]
    for verb, body in (("disable", {"reason": "x"}), ("enable", None)):
        fault = post(client, f"{DEVICE}/{verb}{ON_A}", body, 504)
        assert f"Whether it will {verb} the device isn't known: ask again." in fault["gatewayTimeout"]["message"]


def test_an_agent_that_is_not_the_one_that_was_listed_is_not_served(client: TestClient, fleet: Centre) -> None:
    fleet.hosts[A].agent.ledger._conversation.accepted = False
    fault = post(client, f"{DEVICE}/enable{ON_A}", None, 503)["serviceUnavailable"]
    assert fault["verdict"] == "stranger"


def test_nothing_is_changed_by_get(sqlite: Engine) -> None:
    client = rest(Store(sqlite, host_down_s=75))
    for path in ("os-pci/1/disable", "os-pci/1/enable", "os-pci/candidates", "os-pci-whitelist/compute-1/plan"):
        assert "badMethod" in get(client, f"/v3/{path}", 405)
