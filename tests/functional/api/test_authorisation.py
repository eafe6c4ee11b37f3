"""Who may do what: every route, tried by everybody, against a real keystone through a real HTTP server."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from falcon import inspect
from guarded import Served, serving
from keystones import Keystone
from oslo_policy.policy import DocumentedRuleDefault
from sqlalchemy import Engine

from buses import parts
from centres import centre
from pci_agent.api import access, policies
from pci_agent.api.access import Caller
from pci_agent.api.routes import routes
from pci_agent.api.versions import VERSIONS
from pci_agent.tracker import database
from pci_agent.tracker.store import Store

HOST, ADDRESS = "compute-1", "0000:04:10.0"
INSTANCE, ANOTHER = str(uuid4()), str(uuid4())
NIC = {"request_id": "r1", "specs": [{"product_id": "1520"}]}


@dataclass(frozen=True)
class Row:
    """What each gets who tries a route: a member of another project, the owner, a service that places, an admin."""

    member: int
    owner: int
    controller: int
    admin: int
    body: Any = None
    instance: str = INSTANCE


ADMINS = Row(403, 403, 403, 200)
PLACING = Row(403, 403, 200, 200)
KNOWN = Row(200, 200, 200, 200)
BESIDE = ("/metrics",)
ROWS = {
    ("GET", "/os-pci"): ADMINS,
    ("GET", "/os-pci/detail"): ADMINS,
    ("GET", "/os-pci/{pci_device_id}"): ADMINS,
    ("GET", "/os-pci/{pci_device_id}/history"): ADMINS,
    ("GET", "/os-pci/{pci_device_id}/explain"): ADMINS,
    ("POST", "/os-pci/{pci_device_id}/disable"): Row(403, 403, 403, 200, {"reason": "it is tried"}),
    ("POST", "/os-pci/{pci_device_id}/enable"): ADMINS,
    ("POST", "/os-pci/candidates"): Row(403, 403, 200, 200, {"requests": [NIC]}),
    ("GET", "/os-pci/allocations/{instance_uuid}"): PLACING,
    ("PUT", "/os-pci/allocations/{instance_uuid}"): Row(403, 403, 200, 200, {"requests": [NIC]}),
    ("POST", "/os-pci/allocations/{instance_uuid}/confirm"): PLACING,
    ("DELETE", "/os-pci/allocations/{instance_uuid}"): Row(403, 403, 404, 404, instance=ANOTHER),
    ("GET", "/os-pci-whitelist/{hypervisor_hostname}"): ADMINS,
    ("POST", "/os-pci-whitelist/{hypervisor_hostname}/plan"): Row(403, 403, 403, 200, {"device_spec": []}),
    ("GET", "/os-hypervisors"): ADMINS,
    ("GET", "/os-hypervisors/detail"): ADMINS,
    ("GET", "/os-hypervisors/{hypervisor_hostname}"): ADMINS,
    ("GET", "/servers/detail"): KNOWN,
    ("GET", "/servers/{server_id}"): Row(404, 200, 404, 200),
    ("GET", "/metrics"): ADMINS,
}
"""Routes that nobody may use without a token."""

OPEN = {
    ("GET", "/"): 200,
    ("GET", "/v2"): 200,
    ("GET", "/v3"): 200,
    ("GET", "/openapi.json"): 200,
    ("GET", "/healthcheck"): 200,
    ("GET", "/ui"): 308,
    ("GET", "/ui/session"): 200,
    ("POST", "/ui/session"): 400,
    ("DELETE", "/ui/session"): 204,
}
"""Public ones, and what they answer to an empty request."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, keystone: Keystone) -> Iterator[Served]:
    """An API whose fleet has one host, and an instance of the owner's with a VF of it."""
    folder = tmp_path_factory.mktemp("authorisation")
    engine = database.connect(f"sqlite:///{folder}/tracker.sqlite")
    database.upgrade(engine)
    store = Store(engine, host_down_s=75)
    with centre(folder, store, {HOST: 3}) as fleet:
        of = parts(store, agents=fleet.agents)
        with serving(folder, of, keystone.configuration()) as served:
            claim = {"requests": [NIC], "project_id": keystone.project_of(keystone.owner), "user_id": "whoever"}
            token = keystone.token(keystone.admin)
            assert served.ask("PUT", f"/v3/os-pci/allocations/{INSTANCE}", token, claim).code == 200
            fleet.report()
            yield served
    engine.dispose()


@dataclass(frozen=True)
class People:
    """Tokens."""

    member: str
    owner: str
    controller: str
    admin: str
    strangers: tuple[str, ...]


@pytest.fixture(scope="module")
def people(keystone: Keystone) -> People:
    over, revoked = keystone.brief_token(keystone.admin, lifetime_s=1), keystone.token(keystone.admin)
    keystone.revoke(revoked)
    genuine = keystone.token(keystone.admin)
    time.sleep(1.1)  # until the brief one is over
    return People(
        member=keystone.token(keystone.member),
        owner=keystone.token(keystone.owner),
        controller=keystone.token(keystone.controller),
        admin=keystone.token(keystone.admin),
        strangers=("guessed", "", over, revoked, genuine[:-4] + "AAAA"),
    )


def served_routes(app: Any) -> set[tuple[str, str]]:
    """List all that an application serves, but for the files of the page."""
    found = {
        (method.method, route.path)
        for route in inspect.inspect_routes(app)
        for method in route.methods
        if not method.internal
    }
    return {(method, path) for method, path in found if (method, path[:4]) != ("GET", "/ui/") or path == "/ui/session"}


def without_version(path: str) -> str:
    for version in VERSIONS:
        if path.startswith(f"{version.prefix}/"):
            return path.removeprefix(version.prefix)
    return path


def filled(path: str, row: Row) -> str:
    return path.format(
        tenant_id="openstack",
        pci_device_id=ADDRESS,
        instance_uuid=row.instance,
        server_id=row.instance,
        hypervisor_hostname=HOST,
    )


def test_every_route_has_a_row(api: Served) -> None:
    missing = {(method, without_version(path)) for method, path in served_routes(api.app)} - ROWS.keys() - OPEN.keys()
    assert missing == set()


def test_every_route_has_a_rule_of_its_name_and_place(sqlite: Engine) -> None:
    documented = {
        rule.name: [(each["method"], each["path"]) for each in rule.operations]
        for rule in policies.rules()
        if isinstance(rule, DocumentedRuleDefault)
    }
    for route in routes(parts(Store(sqlite, host_down_s=75))):
        places = [(route.method, f"{prefix}{route.path}") for prefix in ("/v3", "/v2/{tenant_id}")]
        assert documented.pop(route.name) == places
    assert set(documented) == {access.ALL_SERVERS, access.FOR_OTHERS, access.METRICS}


@pytest.mark.parametrize("prefix", ["/v3", "/v2/{tenant_id}"])
@pytest.mark.parametrize("route", ROWS, ids=" ".join)
def test_a_route_serves_whom_its_rule_lets(
    api: Served, people: People, keystone: Keystone, route: tuple[str, str], prefix: str
) -> None:
    row, (method, place) = ROWS[route], route
    path = filled(place if place in BESIDE else f"{prefix}{place}", row)
    nobody = api.ask(method, path, body=row.body)
    assert (nobody.code, nobody.fault) == (401, "unauthorized")
    assert nobody.headers["www-authenticate"] == f'Keystone uri="{keystone.url}"'
    for stranger in people.strangers:
        assert api.ask(method, path, stranger, row.body).code == 401
    assert method != "GET" or api.ask("HEAD", path).code == 401
    for token, code in (
        (people.member, row.member),
        (people.owner, row.owner),
        (people.controller, row.controller),
        (people.admin, row.admin),
    ):
        answer = api.ask(method, path, token, row.body)
        assert answer.code == code, answer.text
        assert method != "GET" or api.ask("HEAD", path, token).code == code
        assert answer.code != 403 or answer.fault == "forbidden"


@pytest.mark.parametrize("route", OPEN, ids=" ".join)
def test_what_is_public_is_served_to_whoever_asks(
    api: Served, people: People, keystone: Keystone, route: tuple[str, str]
) -> None:
    own = [keystone.token(each) for each in (keystone.member, keystone.admin)]  # one of the routes ends them
    for token in (None, people.strangers[0], *own):
        answer = api.ask(*route, token)
        assert answer.code == OPEN[route], answer.text
        assert route[0] != "GET" or api.ask("HEAD", route[1], token).code == OPEN[route]


def test_where_nothing_is_a_stranger_is_told_no_more_than_elsewhere(api: Served, people: People) -> None:
    for path in (
        "/v1/os-pci",
        "/v3/nothing",
        "/ui2",
        "/v3/../ui/session",
        "/%2fui/session",
        "/v3/ui/",
        "/healthcheck/x",
    ):
        assert api.ask("GET", path).code == 401
        assert api.ask("GET", path, people.admin).code == 404
    assert api.ask("DELETE", "/v3/os-pci").code == 401
    assert api.ask("DELETE", "/v3/os-pci", people.admin).code == 405


def test_an_owner_sees_the_own_servers_alone(api: Served, people: People, keystone: Keystone) -> None:
    other = str(uuid4())
    wanted = {"requests": [{**NIC, "request_id": "r2"}], "project_id": keystone.project_of(keystone.member)}
    path = f"/v3/os-pci/allocations/{other}"
    assert api.ask("PUT", path, people.controller, wanted).code == 200

    def seen(token: str) -> set[str]:
        return {each["id"] for each in api.ask("GET", "/v3/servers/detail", token).json["servers"]}

    assert (seen(people.owner), seen(people.member)) == ({INSTANCE}, {other})
    assert seen(people.admin) == {INSTANCE, other}
    for token, instance in ((people.owner, other), (people.member, INSTANCE)):
        answer = api.ask("GET", f"/v2/openstack/servers/{instance}", token)
        assert answer.fault == "itemNotFound", "whether there is one is nobody else's business"
    assert api.ask("DELETE", path, people.controller).code == 200


def test_who_acts_in_no_project_owns_nothing(api: Served, keystone: Keystone) -> None:
    token = keystone.unscoped_token(keystone.owner)
    for path in ("/v3/servers/detail", "/v3/os-pci"):
        assert api.ask("GET", path, token).fault == "forbidden"
    assert api.ask("GET", f"/v3/servers/{INSTANCE}", token).fault == "itemNotFound"
    nobodys = Caller(allowed=lambda rule, target: (rule, target) == ("servers:show", {}))
    assert nobodys.may("servers:show", project_id=None), "a device of no project is asked for without one"


def test_what_one_is_told_is_kept_by_no_cache(api: Served, people: People) -> None:
    for path, token in (("/v3/os-pci", people.admin), ("/v3/os-pci", people.member), ("/v3/os-pci", None)):
        assert api.ask("GET", path, token).headers["cache-control"] == "no-store"
    assert api.ask("GET", "/ui/session", people.admin).headers["cache-control"] == "no-store"


def test_headers_that_keystone_would_set_make_nobody_an_admin(api: Served, people: People) -> None:
    forged = {"X_Identity_Status": "Confirmed", "X_Roles": "admin", "X_Project_Id": "p", "X_User_Id": "u"}
    assert api.ask("GET", "/v3/os-pci", None, **forged).code == 401
    assert api.ask("GET", "/v3/os-pci", people.member, **forged).code == 403
    shown = api.ask("GET", "/ui/session", None, **forged)
    assert shown.json == {"auth": "keystone", "user": None}


def test_who_may_not_is_told_by_which_rule(api: Served, people: People) -> None:
    told = api.ask("GET", "/v3/os-pci", people.member).json["forbidden"]["message"]
    assert told.startswith("Rule os-pci:index doesn't allow this to mary in project harbour (roles: ")
