"""Signing in to a real keystone, and what is never told of it: passwords and tokens."""

import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie
from pathlib import Path
from uuid import uuid4

import pytest
from falcon.testing import TestClient
from guarded import Answered, Served, serving
from keystones import Keystone, User
from oslo_context.context import get_current
from sqlalchemy import Engine

from buses import parts, rest
from centres import Centre, centre
from pci_agent.api.serving import THREADS
from pci_agent.tracker import database
from pci_agent.tracker.store import Store
from services import free_port

HOST, DEVICE = "compute-1", "/v3/os-pci/0000:04:10.0"
NIC = {"request_id": "r1", "specs": [{"product_id": "1520"}]}
SESSION = "/ui/session"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    folder = tmp_path_factory.mktemp("fleet")
    engine = database.connect(f"sqlite:///{folder}/tracker.sqlite")
    database.upgrade(engine)
    with centre(folder, Store(engine, host_down_s=75), {HOST: 2}) as made:
        yield made
    engine.dispose()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, fleet: Centre, keystone: Keystone) -> Iterator[Served]:
    of = parts(fleet.store, agents=fleet.agents)
    with serving(tmp_path_factory.mktemp("api"), of, keystone.configuration()) as served:
        yield served


@pytest.fixture
def lonely(tmp_path: Path, fleet: Centre, keystone: Keystone) -> Iterator[Served]:
    """An API whose keystone is away."""
    text = keystone.configuration().replace(keystone.url, f"http://127.0.0.1:{free_port()}/v3")
    with serving(tmp_path, parts(fleet.store), text) as served:
        yield served


def sign_in(api: Served, user: User, **more: str | None) -> Answered:
    body = {"username": user.name, "password": user.password, "project": user.project}
    return api.ask("POST", SESSION, None, body, **more)


def cookie(answer: Answered) -> str:
    (name,) = (jar := SimpleCookie(answer.headers["set-cookie"]))
    return f"{name}={jar[name].value}"


def test_who_signs_in_is_known_by_a_cookie_that_no_script_reads(api: Served, keystone: Keystone) -> None:
    assert api.ask("GET", SESSION).json == {"auth": "keystone", "user": None}
    answer = sign_in(api, keystone.admin, Origin=api.origin)
    user = answer.json["user"]
    assert (answer.code, answer.json["auth"], user["name"], user["project"]) == (200, "keystone", "admin", "admin")
    assert "admin" in user["roles"]
    attributes = {each.strip().partition("=")[0].lower() for each in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite", "path", "max-age"} == attributes
    assert "SameSite=Strict" in answer.headers["set-cookie"]
    assert "Path=/" in answer.headers["set-cookie"]
    kept = cookie(answer)
    assert sorted(api.ask("GET", SESSION, Cookie=kept).json["user"]["roles"]) == sorted(user["roles"])
    assert api.ask("GET", "/v3/os-pci", Cookie=kept).code == 200


def test_over_https_the_cookie_goes_over_https_alone(api: Served, keystone: Keystone) -> None:
    assert "Secure" in sign_in(api, keystone.owner, X_Forwarded_Proto="https").headers["set-cookie"]


def test_with_the_cookie_changes_are_taken_from_our_own_pages_alone(api: Served, keystone: Keystone) -> None:
    kept = cookie(sign_in(api, keystone.admin))
    for origin in (None, "null", "http://evil.example", f"http://localhost:{api.port}"):
        answer = api.ask("POST", f"{DEVICE}/enable", Cookie=kept, Origin=origin)
        assert (answer.code, answer.fault) == (403, "forbidden")
        assert api.ask("DELETE", SESSION, Cookie=kept, Origin=origin).code == 403
    assert api.ask("POST", f"{DEVICE}/enable", Cookie=kept, Origin=api.origin).code == 200
    assert api.ask("POST", f"{DEVICE}/enable", keystone.token(keystone.admin)).code == 200, "no browser adds a header"
    assert sign_in(api, keystone.admin, Origin="http://evil.example").code == 403


def test_a_password_that_is_not_known_is_told_plainly(api: Served, keystone: Keystone) -> None:
    answer = sign_in(api, User("mary", "harbour", (), "guessed"))
    assert (answer.code, answer.fault) == (401, "unauthorized")
    assert "Keystone knows no user mary in domain Default" in answer.text
    assert "set-cookie" not in answer.headers
    elsewhere = sign_in(api, User("mary", "orchard", (), keystone.member.password))
    assert elsewhere.code == 401, "she has no role there"


@pytest.mark.parametrize(
    "body", [None, {"username": "mary"}, {"username": "mary", "password": 7, "project": "p"}, {"passwort": "x"}, []]
)
def test_what_is_no_sign_in_is_refused_by_the_field(api: Served, body: object) -> None:
    answer = api.ask("POST", SESSION, None, body)
    assert (answer.code, answer.fault) == (400, "badRequest")


def test_who_signs_out_is_known_no_more(api: Served, keystone: Keystone) -> None:
    kept = cookie(sign_in(api, keystone.admin))
    assert api.ask("GET", "/v3/os-pci", Cookie=kept).code == 200, "it is remembered from here on"
    answer = api.ask("DELETE", SESSION, Cookie=kept, Origin=api.origin)
    assert (answer.code, answer.text) == (204, "")
    assert cookie(answer) == "pci_session="
    assert api.ask("GET", SESSION, Cookie=kept).json["user"] is None, "its token is over too"
    for _ in range(2):
        assert api.ask("GET", "/v3/os-pci", Cookie=kept).code == 401
        assert api.ask("DELETE", SESSION, Cookie=kept, Origin=api.origin).code == 204
    assert api.ask("GET", "/v3/os-pci", kept.removeprefix("pci_session=")).code == 401
    assert sign_in(api, keystone.admin).code == 200


def test_who_signs_out_while_keystone_is_away_is_known_no_more_when_it_is_back(api: Served, keystone: Keystone) -> None:
    kept = cookie(sign_in(api, keystone.admin))
    other = cookie(sign_in(api, keystone.admin))
    assert api.ask("GET", "/v3/os-pci", Cookie=other).code == 200
    keystone.stop()
    for each in (kept, other):
        assert api.ask("DELETE", SESSION, Cookie=each, Origin=api.origin).code == 204
    keystone.start()
    for each in (kept, other):
        assert api.ask("GET", "/v3/os-pci", Cookie=each).code == 401


@pytest.mark.parametrize("garbage", ["a token", "\xe9", "\t", "x" * 20_000, '"a\\012b"', "\x7f"])
def test_what_can_be_no_token_is_nobodys(lonely: Served, garbage: str) -> None:
    """Keystone is away, and isn't asked."""
    assert lonely.ask("GET", SESSION, Cookie=f"pci_session={garbage}").code == 200
    assert lonely.ask("DELETE", SESSION, Cookie=f"pci_session={garbage}", Origin=lonely.origin).code == 204
    if not garbage.startswith('"'):
        assert lonely.ask("GET", "/v3/os-pci", garbage).code == 401


@pytest.mark.parametrize(
    "odd", [{"password": "a\0b"}, {"username": "a/../b"}, {"project": "x" * 255}, {"user_domain": "\u2603"}]
)
def test_an_odd_sign_in_is_nobodys(api: Served, odd: dict[str, str]) -> None:
    body = {"username": "mary", "password": "guessed", "project": "harbour", **odd}
    assert api.ask("POST", SESSION, None, body).code == 401


def test_a_cookie_that_is_over_is_nobodys(api: Served) -> None:
    kept = "pci_session=guessed"
    assert api.ask("GET", SESSION, Cookie=kept).json["user"] is None
    assert api.ask("DELETE", SESSION, Cookie=kept, Origin=api.origin).code == 204


def test_a_claim_is_the_callers_own_unless_it_says_whose(api: Served, fleet: Centre, keystone: Keystone) -> None:
    placer, instance = keystone.token(keystone.controller), str(uuid4())
    assert api.ask("PUT", f"/v3/os-pci/allocations/{instance}", placer, {"requests": [NIC]}).code == 200
    fleet.report()
    shown = api.ask("GET", f"/v3/servers/{instance}", keystone.token(keystone.admin)).json["server"]
    assert (shown["tenant_id"], shown["user_id"]) == (
        keystone.project_of(keystone.controller),
        keystone.id_of(keystone.controller),
    )
    api.ask("DELETE", f"/v3/os-pci/allocations/{instance}", placer)


def test_who_places_no_instances_of_others_claims_for_the_own_project_alone(
    fleet: Centre, keystone: Keystone, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text('"os-pci-allocations:claim": "role:member"\n')
    of, instance = parts(fleet.store, agents=fleet.agents), str(uuid4())
    path, token = f"/v3/os-pci/allocations/{instance}", keystone.token(keystone.owner)
    with serving(tmp_path, of, keystone.configuration()) as api:
        for others in ({"project_id": "another"}, {"user_id": "another"}):
            answer = api.ask("PUT", path, token, {"requests": [NIC], **others})
            assert (answer.code, answer.fault) == (403, "forbidden")
            assert "os-pci-allocations:claim:for_others" in answer.text
        wanted = {**NIC, "request_id": "r2"}
        named = {"project_id": keystone.project_of(keystone.owner), "user_id": keystone.id_of(keystone.owner)}
        assert api.ask("PUT", path, token, {"requests": [wanted], **named}).code == 200
        assert api.ask("PUT", path, token, {"requests": [wanted]}).code == 200
        assert api.ask("GET", path, token).code == 403, "the file widened one rule"
        assert api.ask("DELETE", path, keystone.token(keystone.admin)).code == 200


def test_who_disabled_a_device_is_told_by_name(api: Served, fleet: Centre, keystone: Keystone) -> None:
    token = keystone.token(keystone.admin)
    assert api.ask("POST", f"{DEVICE}/disable", token, {"reason": "a loose cable"}).code == 200
    fleet.report()
    reason = api.ask("GET", DEVICE, token).json["pci_device"]["status_reason"]
    assert "admin" in reason
    assert "REST" not in reason
    assert api.ask("POST", f"{DEVICE}/enable", token).code == 200


def test_what_is_logged_of_a_request_bears_its_caller(api: Served, keystone: Keystone) -> None:
    named = "req-6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11"
    headers = {"X-Auth-Token": keystone.token(keystone.admin), "X-Openstack-Request-Id": named}
    answer = TestClient(api.app).simulate_get("/v3/os-pci", headers=headers)
    noted = get_current()
    assert noted is not None
    assert (noted.user_id, noted.project_id) == (keystone.id_of(keystone.admin), keystone.project_of(keystone.admin))
    assert (noted.request_id, noted.global_request_id) == (answer.headers["X-Openstack-Request-Id"], named)
    assert noted.request_id != named
    TestClient(api.app).simulate_get("/", headers={"X-Openstack-Request-Id": "req-\nforged"})
    assert (noted := get_current()) is not None
    assert (noted.user_id, noted.global_request_id) == (None, None)


class TestWhileKeystoneIsAway:
    def test_whoever_calls_is_told_so(self, lonely: Served, caplog: pytest.LogCaptureFixture) -> None:
        for answer in (
            lonely.ask("GET", "/v3/os-pci", "token"),
            lonely.ask("GET", SESSION, Cookie="pci_session=token"),
            sign_in(lonely, User("mary", "harbour", ())),
        ):
            assert (answer.code, answer.fault) == (503, "serviceUnavailable")
            assert "Keystone" in answer.text
        assert "Traceback" not in caplog.text

    def test_one_that_never_answers_is_waited_for_no_longer_than_is_configured(
        self, tmp_path: Path, fleet: Centre, keystone: Keystone
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/v3"
            text = f"{keystone.configuration().replace(keystone.url, url)}http_connect_timeout = 1\n"
            with serving(tmp_path, parts(fleet.store), text) as served:
                since = time.monotonic()
                assert served.ask("GET", "/v3/os-pci", "token").code == 503
                assert sign_in(served, User("mary", "harbour", ())).code == 503
                assert time.monotonic() - since < 20

    def test_some_are_served_however_many_wait_for_one_that_never_answers(
        self, tmp_path: Path, fleet: Centre, keystone: Keystone
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/v3"
            text = f"{keystone.configuration().replace(keystone.url, url)}http_connect_timeout = 5\n"
            with serving(tmp_path, parts(fleet.store), text) as served, ThreadPoolExecutor(2 * THREADS) as callers:
                waiting = [callers.submit(served.ask, "GET", "/v3/os-pci", f"{each}") for each in range(2 * THREADS)]
                time.sleep(1)
                since = time.monotonic()
                assert served.ask("GET", "/healthcheck").code == 200
                for answer in (
                    served.ask("GET", "/v3/os-pci", "another"),
                    sign_in(served, User("mary", "harbour", ())),
                ):
                    assert (answer.code, answer.fault) == (503, "serviceUnavailable")
                    assert "enough callers wait" in answer.text
                assert served.ask("DELETE", SESSION, "another").code == 204
                assert time.monotonic() - since < 3
                assert not all(each.done() for each in waiting)
                silent.close()
                assert {each.result().code for each in waiting} == {503}

    def test_what_is_public_is_served(self, lonely: Served) -> None:
        assert lonely.ask("GET", "/healthcheck", "a token").code == 200
        assert lonely.ask("GET", "/v3/os-pci").code == 401
        assert lonely.ask("GET", SESSION).json["user"] is None
        assert lonely.ask("DELETE", SESSION, Cookie="pci_session=token", Origin=lonely.origin).code == 204


def test_keystone_comes_back_and_all_is_as_before(api: Served, keystone: Keystone) -> None:
    token = keystone.token(keystone.admin)
    keystone.stop()
    assert api.ask("GET", "/v3/os-pci", token).code == 503
    keystone.start()
    assert api.ask("GET", "/v3/os-pci", token).code == 200


def test_no_secret_is_logged_or_told(api: Served, keystone: Keystone, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = sign_in(api, keystone.admin)
    kept = cookie(answer).removeprefix("pci_session=")
    told = [answer.text]
    for name in ("keystoneauth", "keystonemiddleware", "urllib3", "oslo_policy"):
        caplog.set_level(logging.DEBUG, logger=name)
    token = keystone.token(keystone.admin)
    told += [
        api.ask(*asked).text
        for asked in (
            ("GET", "/v3/os-pci", token),
            ("GET", "/v3/os-pci/nothing", token),
            ("POST", f"{DEVICE}/disable", token, {"reason": ""}),
        )
    ]
    wrong = User("admin", "admin", (), "wrong-password-of-a-user")
    told += [sign_in(api, wrong).text, sign_in(api, User("admin", "nowhere", (), keystone.admin.password)).text]
    told.append(
        api.ask("POST", SESSION, None, {"username": "x", "password": ["secret-in-a-list"], "project": "p"}).text
    )
    told.append(api.ask("POST", SESSION, None, {"username": "x" * 300, "password": "secret-beside", "project": 1}).text)
    told.append(api.ask("DELETE", SESSION, Cookie=f"pci_session={kept}", Origin=api.origin).text)
    heard = "\n".join([caplog.text, *(str(vars(record)) for record in caplog.records), *told])
    assert len(caplog.records) > 20, "DEBUG was heard"
    for secret in (
        token,
        kept,
        keystone.admin.password,
        keystone.service.password,
        wrong.password,
        "secret-in-a-list",
        "secret-beside",
    ):
        assert secret not in heard


def test_without_keystone_there_is_nobody_to_be(sqlite: Engine) -> None:
    client = rest(Store(sqlite, host_down_s=75))
    assert client.simulate_get(SESSION).json == {"auth": "noauth", "user": None}
    assert client.simulate_post(SESSION, json={}).status_code == 400
    assert client.simulate_delete(SESSION).status_code == 204
