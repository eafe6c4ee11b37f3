"""``/openapi.json`` says what is served: every route, what it reads and answers; tests of REST hold answers to it."""

from collections import defaultdict
from typing import Any

import pytest
import schemathesis
from falcon.testing import TestClient
from pages.rest import PAGE, reference
from pydantic import BaseModel
from sqlalchemy import Engine

from buses import get, parts, rest
from pci_agent.api.answers import FAULTS, HealthAnswer
from pci_agent.api.app import application
from pci_agent.api.call import Call
from pci_agent.api.openapi import document
from pci_agent.api.routes import routes
from pci_agent.api.versions import VERSIONS
from pci_agent.tracker.store import Store

V2, V3 = VERSIONS


@pytest.fixture
def store(sqlite: Engine) -> Store:
    return Store(sqlite, host_down_s=75)


@pytest.fixture
def client(store: Store) -> TestClient:
    return rest(store)


def operations(described: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": each for path, at_it in described["paths"].items() for method, each in at_it.items()
    }


def test_every_route_is_described_in_every_version(client: TestClient, store: Store) -> None:
    described = operations(get(client, "/openapi.json"))
    wanted = {f"{route.method} {version.prefix}{route.path}" for version in VERSIONS for route in routes(parts(store))}
    public = {f"GET /{path}" for path in ("", "v2", "v3", "healthcheck", "metrics", "openapi.json")}
    assert set(described) == wanted | public
    names = [each["operationId"] for each in described.values()]
    assert len(set(names)) == len(names)
    assert all(each["summary"] for each in described.values())


def test_it_is_openapi(client: TestClient) -> None:
    schemathesis.openapi.from_dict(get(client, "/openapi.json")).validate()


def test_handlers_read_what_the_table_says(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: dict[str, list[type[BaseModel]]] = defaultdict(list)
    query, body = Call.query, Call.body

    def noted(as_it_was: Any) -> Any:
        def reading(call: Call, kind: type[BaseModel], *rest: Any, **more: Any) -> BaseModel:
            read[call.request.context.route].append(kind)
            result: BaseModel = as_it_was(call, kind, *rest, **more)
            return result

        return reading

    monkeypatch.setattr(Call, "query", noted(query))
    monkeypatch.setattr(Call, "body", noted(body))
    client, table = TestClient(application(parts(store))), routes(parts(store))
    for route in table:
        required = {"requests": [{"request_id": "r", "specs": [{}]}], "reason": "a test", "device_spec": []}
        known = route.body.model_fields if route.body else ()
        client.simulate_request(
            route.method, f"/v3{route.path}", json={name: value for name, value in required.items() if name in known}
        )
    assert {name: set(kinds) for name, kinds in read.items()} == {
        route.name: {route.query, *([route.body] if route.body else [])} for route in table
    }


def test_what_a_model_tells_of_a_field_is_told_where_it_is_read(client: TestClient) -> None:
    described = get(client, "/openapi.json")
    listed = operations(described)["GET /v3/os-pci"]["parameters"]
    told = {each["name"]: each for each in listed}
    assert told["limit"] == {
        "name": "limit",
        "in": "query",
        "description": "so many items at most; never more than the API's own limit",
        "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    }
    assert told["status"]["schema"]["enum"][:2] == ["available", "claimed"]
    assert list(told["tags"]["schema"]["patternProperties"]) == [r"^tag:[ -!#-\[\]-~]{1,255}$"]
    fields = described["components"]["schemas"]["ClaimBody"]
    assert fields["required"] == ["requests"]
    assert fields["properties"]["cells"]["description"].startswith("the host's NUMA nodes")
    assert fields["additionalProperties"] is False


def test_every_fault_that_is_told_has_its_body(store: Store) -> None:
    described = document(routes(parts(store)))
    for each in operations(described).values():
        for code, answer in each["responses"].items():
            if "$ref" in answer:
                name = answer["$ref"].rpartition("/")[2]
                shown = described["components"]["responses"][name]
                assert shown["content"]["application/json"]["schema"]["$ref"].endswith(FAULTS[int(code)].__name__)


def test_an_answer_that_differs_from_its_model_fails_the_tests(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(client, "/v3/os-pci")
    monkeypatch.setitem(V3.answers, "os-pci:index", HealthAnswer)
    get(client, "/v3/os-pci", 500)
    get(client, "/v2/openstack/os-pci")


def test_the_reference_is_what_is_served(store: Store) -> None:
    assert reference(document(routes(parts(store)))) in PAGE.read_text(), "run tools/samples"
