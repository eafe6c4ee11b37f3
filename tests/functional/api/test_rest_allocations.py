"""Devices are claimed, confirmed and freed over REST, with real agents on a bus that may lose calls."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from falcon.testing import TestClient
from sqlalchemy import Engine

from buses import get, rest
from centres import Centre, centre
from pci_agent.api.allocations import _DONE, _FAULTS
from pci_agent.model.request import parse_aliases
from pci_agent.tracker.store import Store
from pci_agent.wire import control

A, B = "compute-1", "compute-2"
INSTANCE = "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11"
AT = f"/v3/os-pci/allocations/{INSTANCE}"
VFS = [{"product_id": "1520"}]
ALIASES = parse_aliases(['{"name": "nic", "vendor_id": "8086", "product_id": "1520"}'])


@dataclass
class Asked:
    """A fleet of hosts with one VF and with two, and whoever asks REST for them."""

    fleet: Centre
    client: TestClient

    def send(self, method: str, path: str, body: object = None, code: int = 200) -> Any:
        text = body if isinstance(body, str) else None if body is None else json.dumps(body)
        answer = self.client.simulate_request(method, path, body=text)
        assert answer.status_code == code, answer.text
        return orjson.loads(answer.content)

    def claim(self, *requests: dict[str, Any], code: int = 200, **more: object) -> Any:
        return self.send("PUT", AT, {"requests": requests, **more}, code)


def nic(request_id: str | None = None, count: int = 1) -> dict[str, Any]:
    return {"request_id": request_id or str(uuid4()), "count": count, "specs": VFS}


@pytest.fixture
def asked(tmp_path: Path, sqlite: Engine) -> Iterator[Asked]:
    store = Store(sqlite, host_down_s=75)
    with centre(tmp_path, store, {A: 1, B: 2}) as fleet:
        yield Asked(fleet, rest(store, agents=fleet.agents, aliases=ALIASES))


@pytest.fixture
def alone(sqlite: Engine) -> Asked:
    """REST with no agent to be asked: for what is refused before one would be."""
    return Asked(None, rest(Store(sqlite, host_down_s=75)))  # type: ignore[arg-type]


def test_an_instance_claims_is_confirmed_and_freed(asked: Asked) -> None:
    wanted = nic("r1", count=2)
    claimed = asked.claim(wanted, project_id="p1", user_id="u1")["allocation"]
    assert (claimed["verdict"], claimed["reason"], claimed["instance_uuid"]) == ("ok", None, INSTANCE)
    (request,) = claimed["requests"]
    assert (request["state"], request["confirmed"], request["hypervisor_hostname"]) == ("done", False, B)
    assert [(each["address"], each["status"]) for each in request["devices"]] == [
        ("0000:04:10.0", "claimed"),
        ("0000:04:10.1", "claimed"),
    ]
    assert get(asked.client, f"/v3/servers/{INSTANCE}")["server"]["tenant_id"] == "p1"
    confirmed = asked.send("POST", f"{AT}/confirm")["allocation"]
    assert [each["confirmed"] for each in confirmed["requests"]] == [True]
    held = get(asked.client, f"/v3/os-pci?instance_uuid={INSTANCE}")["pci_devices"]
    assert [(each["status"], each["request_id"]) for each in held] == [("allocated", "r1")] * 2
    assert get(asked.client, AT)["allocation"]["requests"][0]["confirmed"]
    freed = asked.send("DELETE", AT)["allocation"]
    assert [(each["state"], each["devices"]) for each in freed["requests"]] == [("freed", [])]
    assert asked.fleet.holders() == {A: [], B: []}
    assert get(asked.client, "/v3/os-pci?status=available")["pci_devices"] != []


def test_the_same_claim_again_gets_the_same_devices_and_another_only_adds(asked: Asked) -> None:
    first = asked.claim(nic("r1"), hypervisor=B)
    assert asked.claim(nic("r1"), hypervisor=B) == first
    asked.claim(nic("r2"), hypervisor=B)
    assert asked.fleet.holders() == {A: [], B: ["r1", "r2"]}
    assert asked.fleet.agents.called == [(B, "claim")] * 2


def test_v2_gives_devices_alike(asked: Asked) -> None:
    path = f"/v2/openstack/os-pci/allocations/{INSTANCE}"
    assert asked.send("PUT", path, {"requests": [nic("r1")]}) == get(asked.client, AT)
    assert asked.send("DELETE", path)["allocation"]["requests"][0]["state"] == "freed"


def test_an_alias_and_a_port_are_asked_for_by_name(asked: Asked) -> None:
    asked.claim({"request_id": "r1", "alias": "nic", "count": 2})
    assert asked.fleet.holders() == {A: [], B: ["r1", "r1"]}
    message = asked.claim({"request_id": "r2", "alias": "gpu"}, code=400)["badRequest"]["message"]
    assert "'requests.0.alias': no alias is called gpu" in message
    assert "use one of: nic" in message
    port = {"request_id": "r3", "port": {"vnic_type": "direct"}}
    asked.claim(port)
    assert asked.fleet.holders() == {A: ["r3"], B: ["r1", "r1"]}


def test_what_no_host_has_is_a_conflict_that_says_so(asked: Asked) -> None:
    fault = asked.claim(nic(count=3), code=409)["conflictingRequest"]
    assert fault["message"] == "no host that is up has devices for it."
    assert (fault["code"], fault["verdict"], fault["allocation"]["requests"]) == (409, "no_fit", [])


def test_a_host_that_nobody_knows_is_not_found(asked: Asked) -> None:
    message = asked.claim(nic(), hypervisor="nosuch", code=404)["itemNotFound"]["message"]
    assert message == "Hypervisor nosuch could not be found."
    assert asked.claim(nic(count=2), hypervisor=A, code=409)["conflictingRequest"]["verdict"] == "no_fit"


def test_as_much_may_be_asked_for_as_a_body_holds(asked: Asked) -> None:
    many = [{"vendor_id": f"{number:04x}", "product_id": f"{number % 7:04x}"} for number in range(4096)]
    requests = [{"request_id": f"r{each}", "specs": many[each * 64 : each * 64 + 64]} for each in range(64)]
    assert asked.claim(*requests, code=409)["conflictingRequest"]["verdict"] == "no_fit"
    assert asked.send("POST", "/v3/os-pci/candidates", {"requests": requests})["candidates"] == []
    some = {"request_id": "one", "specs": [*many[:62], *VFS, {"vendor_id": "8086", "product_id": "1521"}]}
    assert asked.claim(some)["allocation"]["verdict"] == "ok"


def test_a_request_that_was_freed_serves_no_more(asked: Asked) -> None:
    asked.claim(nic("r1"))
    asked.send("DELETE", f"{AT}?request_id=r1")
    fault = asked.claim(nic("r1"), code=409)["conflictingRequest"]
    assert (fault["verdict"], "use another request_id" in fault["message"]) == ("freed", True)
    fault = asked.send("POST", f"{AT}/confirm", {"request_ids": ["r1"]}, 409)["conflictingRequest"]
    assert fault["verdict"] == "gone"


def test_a_host_that_does_not_answer_a_claim_is_said_with_what_became_of_the_claim(asked: Asked) -> None:
    asked.fleet.agents.deaf.add((B, "claim"))
    fault = asked.claim(nic("r1"), hypervisor=B, code=504)["gatewayTimeout"]
    assert (fault["code"], fault["verdict"]) == (504, "silent")
    assert "compute-2: its answer was lost" in fault["message"]
    assert "Nothing is claimed" in fault["message"]
    assert "may be made again" in fault["message"]
    assert fault["allocation"]["requests"][0]["state"] == "failed"
    asked.fleet.agents.deaf.clear()
    assert asked.claim(nic("r1"), hypervisor=B)["allocation"]["requests"][0]["attempt"] == 2
    assert asked.fleet.holders() == {A: [], B: ["r1"]}


def test_a_host_that_does_not_answer_a_confirm_leaves_the_claim(asked: Asked) -> None:
    asked.claim(nic("r1"), hypervisor=B)
    asked.fleet.agents.lost.add((B, "allocate"))
    fault = asked.send("POST", f"{AT}/confirm", None, 504)["gatewayTimeout"]
    assert "the claim stands" in fault["message"]
    asked.fleet.agents.lost.clear()
    asked.send("POST", f"{AT}/confirm")


def test_a_free_that_a_host_does_not_answer_is_written_down(asked: Asked) -> None:
    asked.claim(nic("r1"), hypervisor=B)
    asked.fleet.agents.lost.add((B, "free"))
    fault = asked.send("DELETE", AT, None, 504)["gatewayTimeout"]
    assert "written down" in fault["message"]
    assert fault["allocation"]["requests"][0]["state"] == "freeing"
    asked.fleet.agents.lost.clear()
    asked.fleet.report()
    asked.send("DELETE", AT)
    assert asked.fleet.holders() == {A: [], B: []}


def test_an_instance_on_two_hosts_is_freed_on_the_one_that_is_named(asked: Asked) -> None:
    asked.claim(nic("r1"), hypervisor=A)
    asked.claim(nic("r2"), hypervisor=B)
    message = asked.send("DELETE", AT, None, 409)["conflictingRequest"]["message"]
    assert "compute-1, compute-2" in message
    assert "?hypervisor=" in message
    assert asked.fleet.holders() == {A: ["r1"], B: ["r2"]}
    first = get(asked.client, f"/v3/os-hypervisors/{A}")["hypervisor"]["id"]
    asked.send("DELETE", f"{AT}?hypervisor={first}")
    assert asked.fleet.holders() == {A: [], B: ["r2"]}
    asked.send("DELETE", AT)
    assert asked.fleet.holders() == {A: [], B: []}


def test_one_request_is_freed_by_its_name_wherever_it_is(asked: Asked) -> None:
    asked.claim(nic("r1"), hypervisor=A)
    asked.claim(nic("r2"), hypervisor=B)
    asked.send("DELETE", f"{AT}?request_id=r2")
    assert asked.fleet.holders() == {A: ["r1"], B: []}
    other = f"/v3/os-pci/allocations/{uuid4()}"
    assert asked.send("DELETE", f"{other}?request_id=r1", None, 409)["conflictingRequest"]["verdict"] == "conflict"


def test_what_nobody_has_asked_for_is_not_found(alone: Asked) -> None:
    assert INSTANCE in alone.send("GET", AT, None, 404)["itemNotFound"]["message"]
    assert alone.send("POST", f"{AT}/confirm", None, 404)["itemNotFound"]["verdict"] == "unknown"
    for query in ("", "?hypervisor=compute-1"):
        assert INSTANCE in alone.send("DELETE", f"{AT}{query}", None, 404)["itemNotFound"]["message"]


def test_what_was_freed_may_be_freed_again(asked: Asked) -> None:
    asked.claim(nic("r1"))
    first = asked.send("DELETE", AT)
    assert asked.send("DELETE", AT) == first
    assert asked.send("DELETE", f"{AT}?hypervisor=compute-9")["allocation"]["requests"] == []


def test_a_request_is_freed_before_anybody_has_heard_of_it(asked: Asked) -> None:
    asked.send("DELETE", f"{AT}?request_id=r1")
    assert asked.claim(nic("r1"), code=409)["conflictingRequest"]["verdict"] == "freed"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (None, "'requests': it is missing"),
        ("{", "The body: Invalid JSON"),
        ("[]", "The body"),
        ('"\\ud800"', "The body"),
        ({"requests": []}, "'requests'"),
        ({"requests": [{"specs": VFS}]}, "'requests.0.request_id': it is missing"),
        ({"requests": [{"request_id": "r"}]}, "'requests.0': write one of alias, port and specs"),
        ({"requests": [{"request_id": "r", "specs": []}]}, "'requests.0.specs'"),
        ({"requests": [{**nic("r"), "count": 0}]}, "'requests.0.count'"),
        ({"requests": [{**nic("r"), "count": 65}]}, "'requests.0.count'"),
        ({"requests": [{**nic("r"), "count": True}]}, "'requests.0.count'"),
        ({"requests": [{**nic("r"), "count": "1"}]}, "'requests.0.count'"),
        ({"requests": [{**nic("r"), "count": 1.5}]}, "'requests.0.count'"),
        ({"requests": [nic("r")], "lifetime_s": "60"}, "'lifetime_s'"),
        ({"requests": [nic("r")], "sockets": {"0": 10**30}}, "'sockets.0'"),
        ({"requests": [nic("r")], "sockets": {"0": -2}}, "'sockets.0'"),
        ({"requests": [{**nic("r"), "colour": "red"}]}, "'requests.0.colour': it isn't known"),
        ({"requests": [{**nic("r"), "numa_policy": "near"}]}, "'requests.0.numa_policy'"),
        ({"requests": [nic("r" * 37)]}, "'requests.0.request_id'"),
        ({"requests": [nic("\0")]}, "'requests.0.request_id'"),
        ({"requests": [nic("r"), nic("r")]}, "'requests.1.request_id': r is another request's already"),
        ({"requests": [{"request_id": "r", "specs": [{"vendor_id": "intel"}]}]}, "'requests.0.specs.0.vendor_id'"),
        ({"requests": [{"request_id": "r", "specs": [{"dev_type": "VF"}]}]}, "'requests.0.specs.0.dev_type'"),
        ({"requests": [{"request_id": "r", "port": {"vnic_type": "normal"}}]}, "'requests.0.port.vnic_type'"),
        ({"requests": [{"request_id": "r", "count": 2, "port": {"vnic_type": "vdpa"}}]}, "a port takes one device"),
        ({"requests": [nic("r")], "lifetime_s": 0}, "'lifetime_s'"),
        ({"requests": [nic("r")], "cells": [-1]}, "'cells.0'"),
        ({"requests": [nic("r")], "cells": [10**30]}, "'cells.0'"),
        ({"requests": [nic("r")], "host": "compute-1"}, "'host': it isn't known"),
    ],
)
def test_a_claim_that_cannot_be_read_names_the_field(alone: Asked, body: object, told: str) -> None:
    assert told in alone.send("PUT", AT, body, 400)["badRequest"]["message"]


def test_a_name_that_is_no_instances_is_refused(alone: Asked) -> None:
    for path in ("/v3/os-pci/allocations/%00", f"/v3/os-pci/allocations/{'x' * 37}"):
        alone.send("PUT", path, {"requests": [nic()]}, 400)
    for name in ("notauuid", "hello%20world", INSTANCE.replace("-", ""), f"{INSTANCE[:-1]}g"):
        fault = alone.send("PUT", f"/v3/os-pci/allocations/{name}", {"requests": [nic()]}, 400)["badRequest"]
        assert "is no instance's uuid: write it as" in fault["message"]
        assert name.replace("%20", " ") in fault["message"]
    for query in ("host=x", "request_id=", "hypervisor=%00"):
        alone.send("DELETE", f"{AT}?{query}", None, 400)


def test_an_instance_is_the_same_in_capital_letters(asked: Asked) -> None:
    loud = AT.replace(INSTANCE, INSTANCE.upper())
    told = asked.send("PUT", loud, {"requests": [nic("r1")]})
    assert told["allocation"]["instance_uuid"] == INSTANCE
    assert get(asked.client, loud) == get(asked.client, AT) == told


def test_a_body_that_is_too_big_is_not_read(alone: Asked) -> None:
    fault = alone.send("PUT", AT, " " * 1024 * 1024 + "{}", 413)["overLimit"]
    assert "1048576 bytes" in fault["message"]


def test_every_verdict_of_controllers_has_its_status() -> None:
    conflicts = {"no_fit", "stale", "gone", "freed", "conflict"}
    assert {*control.Verdict} == {*_DONE, *_FAULTS, *conflicts}


def test_candidates_are_hosts_that_fit_the_fullest_first(asked: Asked) -> None:
    found = asked.send("POST", "/v3/os-pci/candidates", {"requests": [{"specs": VFS}]})
    assert [(each["hypervisor_hostname"], each["free"]) for each in found["candidates"]] == [(A, 1), (B, 2)]
    assert (found["cut"], found["explanation"]) == (None, None)
    only = {"requests": [{"alias": "nic", "count": 1.0}], "hypervisor": B, "limit": 1, "explain": True}
    found = asked.send("POST", "/v3/os-pci/candidates", only)
    assert [each["hypervisor_hostname"] for each in found["candidates"]] == [B]
    assert found["explanation"]["filters"][0] == {"filter": "all", "hosts_left": 2}
    assert asked.fleet.agents.called == []


def test_where_no_host_fits_it_is_told_why(asked: Asked) -> None:
    found = asked.send("POST", "/v3/os-pci/candidates", {"requests": [{"specs": VFS, "count": 3}]})
    assert found["candidates"] == []
    left = {each["filter"]: each["hosts_left"] for each in found["explanation"]["filters"]}
    assert (left["all"], left["numa"], left["free"], left["fit"]) == (2, 2, 0, 0)
    assert [each["hypervisor_hostname"] for each in found["explanation"]["near_misses"]] == [B, A]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"requests": [{"specs": VFS}], "limit": "10"}, "'limit'"),
        ({"requests": [{"specs": VFS}], "explain": "yes"}, "'explain'"),
        ({"requests": [{"specs": VFS}], "limit": 0}, "'limit'"),
        ({"requests": [{"specs": VFS}], "x": 1}, "'x'"),
    ],
)
def test_candidates_that_cannot_be_asked_for_name_the_field(alone: Asked, body: object, told: str) -> None:
    assert told in alone.send("POST", "/v3/os-pci/candidates", body, 400)["badRequest"]["message"]
    nowhere = {"requests": [{"specs": VFS}], "hypervisor": "nowhere"}
    assert "nowhere" in alone.send("POST", "/v3/os-pci/candidates", nowhere, 404)["itemNotFound"]["message"]
