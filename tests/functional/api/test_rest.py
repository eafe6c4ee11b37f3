"""REST beyond the page's examples: names, faults, and what is refused."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from falcon.testing import Result, TestClient
from sqlalchemy import Engine, text
from test_reports import silence

from buses import get, parts, rest
from hosts import Host, tell
from pci_agent.api.app import application
from pci_agent.api.routes import routes
from pci_agent.api.serving import for_this_machine, http_server
from pci_agent.errors import ConfigurationRefused
from pci_agent.model.reality import Habits
from pci_agent.tracker.store import Store
from sysfs import FakeSysfs

NAME = "pci_0000_04_10_0"


@pytest.fixture
def two_hosts(sqlite: Engine, host: Host, tmp_path: Path) -> Iterator[TestClient]:
    store = Store(sqlite, host_down_s=75)
    other_sysfs = FakeSysfs(tmp_path / "other-sys")
    other_sysfs.add_pf("0000:04:00.0", vfs=["0000:04:10.0"])
    other = Host("compute-2", other_sysfs, tmp_path / "other-agent")
    for each in (host, other):
        each.start()
        each.report(store)
    yield rest(store)
    other.stop()


def fault(client: TestClient, path: str, code: int, name: str) -> str:
    answer = get(client, path, code)
    assert list(answer) == [name]
    assert answer[name]["code"] == code
    return str(answer[name]["message"])


@pytest.mark.parametrize("prefix", ["/v2/openstack", "/v3"])
class TestInBothVersions:
    def test_all_devices_of_all_hosts_are_listed(self, two_hosts: TestClient, prefix: str) -> None:
        assert len(get(two_hosts, f"{prefix}/os-pci")["pci_devices"]) == 5
        assert len(get(two_hosts, f"{prefix}/os-pci/detail")["pci_devices"]) == 5

    def test_a_device_name_on_several_hosts_asks_which_one(self, two_hosts: TestClient, prefix: str) -> None:
        message = fault(two_hosts, f"{prefix}/os-pci/{NAME}", 409, "conflictingRequest")
        assert "compute-1, compute-2" in message
        assert "?hypervisor=" in message
        second = get(two_hosts, f"{prefix}/os-hypervisors")["hypervisors"][1]["id"]
        for hypervisor in ("compute-2", str(second)):
            shown = get(two_hosts, f"{prefix}/os-pci/{NAME}?hypervisor={hypervisor}")["pci_device"]
            assert (shown["dev_id"], shown["compute_node_id"]) == (NAME, second)

    @pytest.mark.parametrize("what", ["os-pci/999", "os-hypervisors/nowhere", "servers/nobody", f"os-pci/{NAME}x"])
    def test_what_is_not_there_is_said_by_name(self, two_hosts: TestClient, prefix: str, what: str) -> None:
        assert what.split("/")[1] in fault(two_hosts, f"{prefix}/{what}", 404, "itemNotFound")

    def test_a_parameter_that_is_not_known_is_refused_by_name(self, two_hosts: TestClient, prefix: str) -> None:
        message = fault(two_hosts, f"{prefix}/os-pci?statsu=available", 400, "badRequest")
        assert "'statsu': it isn't known" in message
        message = fault(two_hosts, f"{prefix}/os-pci/1?host=compute-1", 400, "badRequest")
        assert "Known here: hypervisor" in message

    @pytest.mark.parametrize("path", ["os-pci/%00", "os-pci/1?hypervisor=%00", "os-hypervisors/%00", "servers/%00"])
    def test_a_name_that_no_database_takes_is_refused(self, two_hosts: TestClient, prefix: str, path: str) -> None:
        fault(two_hosts, f"{prefix}/{path}", 400, "badRequest")

    def test_hosts_are_listed_with_their_stats(self, two_hosts: TestClient, prefix: str) -> None:
        hypervisors = get(two_hosts, f"{prefix}/os-hypervisors")["hypervisors"]
        first = hypervisors[0]["id"]
        assert [(each["id"], each["hypervisor_hostname"]) for each in hypervisors] == [
            (first, "compute-1"),
            (first + 1, "compute-2"),
        ]
        stats = "pci_stats" if prefix.startswith("/v2") else "os-pci:pci_stats"
        assert [pool["count"] for pool in hypervisors[0][stats]] == [2, 1]

    def test_a_slash_at_the_end_does_no_harm(self, two_hosts: TestClient, prefix: str) -> None:
        assert get(two_hosts, f"{prefix}/os-pci/") == get(two_hosts, f"{prefix}/os-pci")


def test_a_device_of_a_host_that_nobody_knows_is_that_host_not_found(two_hosts: TestClient) -> None:
    for end in ("", "/history", "/explain"):
        told = fault(two_hosts, f"/v3/os-pci/{NAME}{end}?hypervisor=nosuch", 404, "itemNotFound")
        assert told == "Hypervisor nosuch could not be found."
    told = fault(two_hosts, "/v3/os-pci/999?hypervisor=compute-1", 404, "itemNotFound")
    assert told == "PCI device 999 could not be found."
    assert get(two_hosts, "/v3/os-pci?hypervisor=nosuch") == {"pci_devices": []}


def test_a_value_that_cannot_be_used_is_told_without_a_list_of_parameters(two_hosts: TestClient) -> None:
    told = fault(two_hosts, "/v3/os-pci?vendor_id=intel", 400, "badRequest")
    assert told == "Query parameter 'vendor_id': this is no PCI id; write 1 to 4 hex digits, as in 8086."
    assert "Known here" not in fault(two_hosts, "/v3/os-pci?status=free", 400, "badRequest")


def test_a_list_is_filtered_by_so_many_tags_and_no_more(two_hosts: TestClient) -> None:
    tags = [f"tag:t{number}=x" for number in range(65)]
    assert get(two_hosts, f"/v3/os-pci?{'&'.join(tags[1:])}") == {"pci_devices": []}
    assert "64 at most" in fault(two_hosts, f"/v3/os-pci?{'&'.join(tags)}", 400, "badRequest")


def test_what_is_served_is_listed_at_the_root(two_hosts: TestClient) -> None:
    assert [version["id"] for version in get(two_hosts, "/")["versions"]] == ["v2", "v3"]


def test_another_path_is_a_fault_of_the_same_form(two_hosts: TestClient) -> None:
    assert "/v1/os-pci" in fault(two_hosts, "/v1/os-pci", 404, "itemNotFound")


def test_another_method_is_a_fault_that_says_which_are_allowed(two_hosts: TestClient) -> None:
    answer = two_hosts.simulate_delete("/v3/os-pci/1")
    assert (answer.status_code, list(answer.json)) == (405, ["badMethod"])
    assert "GET" in answer.headers["allow"]


def test_a_page_of_another_site_cannot_change_anything(two_hosts: TestClient) -> None:
    path = f"/v3/os-pci/{NAME}/enable?hypervisor=compute-1"
    for origin in ("http://evil.example", "null", "http://falconframework.org.evil.example"):
        answer = two_hosts.simulate_post(path, headers={"Origin": origin})
        assert (answer.status_code, list(answer.json)) == (403, ["forbidden"])
    for origin in ("http://[", "http://a]b", "http://\u2460/"):
        assert two_hosts.simulate_post(path, headers={"Origin": origin}).status_code == 403
    assert two_hosts.simulate_post(path, headers={"Origin": "null", "Host": ""}).status_code == 403
    assert two_hosts.simulate_post(path, headers={"Origin": "http://falconframework.org"}).status_code == 504
    for hosts, code in (("pci.example, inner:80", 504), ("inner:80, pci.example", 403)):
        proxied = {"Origin": "https://pci.example", "X-Forwarded-Host": hosts}
        assert two_hosts.simulate_post(path, headers=proxied).status_code == code
    assert two_hosts.simulate_get("/v3/os-pci", headers={"Origin": "http://evil.example"}).status_code == 200


def test_a_database_that_cannot_be_asked_is_a_fault_without_its_secrets(sqlite: Engine, two_hosts: TestClient) -> None:
    with sqlite.begin() as connection:
        connection.execute(text("ALTER TABLE pci_devices RENAME TO elsewhere"))
    message = fault(two_hosts, "/v3/os-pci", 503, "serviceUnavailable")
    assert "elsewhere" not in message
    assert "pci_devices" not in message


def test_a_host_whose_agent_has_trouble_shows_it(sqlite: Engine, host: Host) -> None:
    store = Store(sqlite, host_down_s=75)
    host.sysfs.add("0000:05:00.0", numa_node="banana")
    host.start()
    host.report(store)
    shown = get(rest(store), "/v3/os-hypervisors/compute-1")["hypervisor"]
    assert shown["state"] == "up"
    assert [problem["address"] for problem in shown["problems"]] == ["0000:05:00.0"]


def test_a_host_whose_name_another_agent_wants_shows_who_and_v2_does_not(sqlite: Engine, host: Host) -> None:
    store = Store(sqlite, host_down_s=75)
    host.start()
    host.report(store)
    client = rest(store)
    (listed,) = get(client, "/v3/os-hypervisors")["hypervisors"]
    assert listed["refused_agent"] is None
    twin = host.agent.next_message().model_copy(update={"agent_uuid": "twin", "session": "its session"})
    tell(store, twin)
    for shown in (
        get(client, "/v3/os-hypervisors")["hypervisors"][0],
        get(client, "/v3/os-hypervisors/compute-1")["hypervisor"],
    ):
        at = shown["refused_agent"].pop("refused_at")
        assert shown["refused_agent"] == {"agent_uuid": "twin", "session": "its session"}
        assert at >= shown["last_seen"]
    assert list(get(client, "/v2/openstack/os-hypervisors/compute-1")["hypervisor"]) == ["pci_stats"]


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.1", "localhost", "::ffff:192.168.1.1", ""])
def test_without_authentication_any_address_but_loopback_is_refused_by_name(sqlite: Engine, address: str) -> None:
    cure = "write 127.0.0.1, or set .api. auth_strategy = keystone"
    with pytest.raises(ConfigurationRefused, match=rf"\[api\] bind_host = .*without authentication.*; {cure}"):
        http_server(application(parts(Store(sqlite, host_down_s=75))), address, 0)


def test_every_loopback_address_will_do(sqlite: Engine) -> None:
    http_server(application(parts(Store(sqlite, host_down_s=75))), "127.0.0.2", 0).stop()


def test_without_authentication_another_server_answers_this_machine_alone(two_hosts: TestClient) -> None:
    client = TestClient(for_this_machine(two_hosts.app))

    def asked(address: str, name: str) -> Result:
        return client.simulate_get("/v3/os-pci", extras={"REMOTE_ADDR": address}, headers={"Host": name})

    ours = (("127.0.0.1", "127.0.0.1:8799"), ("::1", "[::1]:80"), ("", "localhost"), ("127.0.0.9", "LocalHost"))
    for address, name in ours:
        assert asked(address, name).status_code == 200
    others = (
        ("192.168.1.1", "localhost"),
        ("127.0.0.1", "evil.example:8799"),
        ("", "127.0.0.1.evil.example"),
        ("", "@"),
        ("", "["),
        ("", ""),
    )
    for address, name in others:
        answer = asked(address, name)
        assert (answer.status_code, list(answer.json)) == (403, ["forbidden"])
        assert "auth_strategy = keystone" in answer.text


def test_without_authentication_a_proxy_here_is_answered_for_this_machine_alone(two_hosts: TestClient) -> None:
    client = TestClient(for_this_machine(two_hosts.app))

    def asked(name: str, value: str) -> int:
        return client.simulate_get("/v3/os-pci", headers={"Host": "localhost", name: value}).status_code

    for name, value in (
        ("X-Forwarded-For", "127.0.0.1, ::1"),
        ("X-Real-IP", "127.0.0.9"),
        ("Forwarded", 'for=127.0.0.1:4711;proto=http, For="[::1]:80"'),
        ("Forwarded", "proto=https;host=pci.example"),
    ):
        assert asked(name, value) == 200, value
    for name, value in (
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-For", "127.0.0.1, 203.0.113.9"),
        ("X-Forwarded-For", "203.0.113.9, 127.0.0.1"),
        ("X-Real-IP", "2001:db8::1"),
        ("Forwarded", "for=127.0.0.1, for=203.0.113.9"),
        ("Forwarded", 'proto=http;for="[2001:db8::1]:80"'),
        ("Forwarded", "for=unknown"),
        ("X-Forwarded-For", "["),
    ):
        assert asked(name, value) == 403, value


@pytest.mark.parametrize("path", ["/", "/v3", "/healthcheck", "/ui/", "/ui/app.js", "/metrics", "/v3/os-pci/detail"])
def test_head_is_answered_as_get_is_without_the_body(two_hosts: TestClient, path: str) -> None:
    whole, head = two_hosts.simulate_get(path), two_hosts.simulate_head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers.get("content-type") == whole.headers["content-type"]
    assert two_hosts.simulate_head(f"{path}/nowhere").status_code == 404


def test_links_are_kept_by_no_cache(two_hosts: TestClient) -> None:
    for path in ("/", "/v2", "/v3"):
        assert two_hosts.simulate_get(path).headers["cache-control"] == "no-store"


def test_nobody_writes_lines_into_the_log(
    sqlite: Engine, two_hosts: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite.begin() as connection:
        connection.execute(text("ALTER TABLE pci_devices RENAME TO elsewhere"))
    assert two_hosts.simulate_get("/v3/os-pci/a%0aforged%1b/history").status_code == 503
    (line, *_) = (record.getMessage() for record in caplog.records if "os-pci" in record.getMessage())
    assert line.startswith("GET '/v3/os-pci/a\\nforged\\x1b/history': ")


def test_links_lead_by_the_proxy_that_a_caller_came_by(two_hosts: TestClient) -> None:
    proxied = {"X-Forwarded-Proto": "https", "Host": "pci.example"}
    (link, *_) = two_hosts.simulate_get("/v3", headers=proxied).json["version"]["links"]
    assert link["href"] == "https://pci.example/v3/"
    (following,) = two_hosts.simulate_get("/v3/os-pci?limit=1", headers=proxied).json["pci_devices_links"]
    assert following["href"].startswith("https://pci.example/v3/os-pci?")


def test_every_answer_bears_a_name_that_is_logged(two_hosts: TestClient) -> None:
    names = {two_hosts.simulate_get(path).headers["X-Openstack-Request-Id"] for path in ("/", "/v3/os-pci", "/nowhere")}
    assert len(names) == 3
    assert all(name.startswith("req-") for name in names)


def test_a_port_that_is_taken_is_refused_by_name(sqlite: Engine) -> None:
    app = application(parts(Store(sqlite, host_down_s=75)))
    first = http_server(app, "127.0.0.1", 0)
    with pytest.raises(ConfigurationRefused, match=r"\[api\] bind_port"):
        http_server(app, "127.0.0.1", first.bind_addr[1])
    first.stop()


def test_a_host_is_there_from_its_first_report_on_and_never_unseen(sqlite: Engine, host: Host) -> None:
    store = Store(sqlite, host_down_s=75)
    client = rest(store)
    host.start()
    host.agent.answered(tell(store, host.agent.next_message()))
    assert get(client, "/v3/os-hypervisors") == {"hypervisors": []}
    get(client, "/v3/os-hypervisors/compute-1", 404)
    host.report(store)
    twin = host.agent.next_message().model_copy(update={"agent_uuid": "twin", "session": "its session"})
    tell(store, twin)
    (listed,) = get(client, "/v3/os-hypervisors")["hypervisors"]
    assert (listed["hypervisor_hostname"], listed["state"]) == ("compute-1", "up")
    silence(sqlite, "compute-1")
    (listed,) = get(client, "/v3/os-hypervisors")["hypervisors"]
    assert (listed["state"], listed["refused_agent"]["agent_uuid"]) == ("down", "twin")


def test_a_host_that_is_only_observed_says_so_alone_and_in_the_list(sqlite: Engine, host: Host) -> None:
    store = Store(sqlite, host_down_s=75)
    client = rest(store)
    for observe in (False, True):
        host.habits = Habits(observe=observe)
        host.start()
        host.report(store)
        (listed,) = get(client, "/v3/os-hypervisors")["hypervisors"]
        shown = get(client, "/v3/os-hypervisors/compute-1")["hypervisor"]
        assert (listed["observing"], shown["observing"]) == (observe, observe)
        host.stop()
    assert list(get(client, "/v2/openstack/os-hypervisors/compute-1")["hypervisor"]) == ["pci_stats"]


def test_every_route_stands_in_the_document(sqlite: Engine) -> None:
    document = (Path(__file__).resolve().parents[3] / "docs/rest.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)` \| `(/\S+)`", document, re.MULTILINE))
    names = {
        "pci_device_id": "device",
        "hypervisor_hostname": "host",
        "instance_uuid": "instance",
        "server_id": "instance",
    }
    table = routes(parts(Store(sqlite, host_down_s=75)))
    assert listed == {
        (route.method, re.sub(r"{(\w+)}", lambda found: f"{{{names[found[1]]}}}", route.path)) for route in table
    }
