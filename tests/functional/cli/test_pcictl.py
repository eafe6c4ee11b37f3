"""The real command, as a process of its own, against a real server in this one."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sqlalchemy import Engine
from test_reports import silence

from buses import parts
from hosts import Host, tell
from pci_agent.api.app import application
from pci_agent.api.serving import http_server
from pci_agent.tracker.store import Store
from services import as_nobody

PCICTL = Path(sys.executable).parent / "pcictl"
NAME = "pci_0000_04_10_0"


@pytest.fixture
def endpoint(sqlite: Engine, host: Host) -> Iterator[str]:
    store = Store(sqlite, host_down_s=75)
    host._specs = ('{"address": "0000:04:00.0", "physical_network": "physnet1"}',)
    host.start()
    host.report(store)
    server = http_server(application(parts(store, most=2)), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield f"http://127.0.0.1:{server.bind_addr[1]}"
    server.stop()
    thread.join()


def pcictl(endpoint: str, *arguments: str, code: int = 0) -> str:
    ran = subprocess.run(
        [PCICTL, "--os-endpoint", endpoint, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=as_nobody(),
    )
    assert ran.returncode == code, ran.stderr
    return ran.stdout if code == 0 else ran.stderr


def test_devices_are_listed_as_a_table(endpoint: str) -> None:
    header = pcictl(endpoint, "device", "list").splitlines()[1]
    assert [title.strip() for title in header.strip("|").split("|")] == [
        "ID", "UUID", "Name", "PCI ID", "Type", "Status", "Host",
    ]  # fmt: skip


def test_devices_are_listed_as_json_with_values_as_rest_gave_them(endpoint: str) -> None:
    devices = json.loads(pcictl(endpoint, "device", "list", "--long", "-f", "json"))
    assert [(each["Name"], each["PCI ID"], each["Type"]) for each in devices] == [
        ("pci_0000_04_00_0", "8086:1521", "type-PF"),
        (NAME, "8086:1520", "type-VF"),
        ("pci_0000_04_10_4", "8086:1520", "type-VF"),
    ]
    assert devices[1]["Tags"] == {"physical_network": "physnet1"}
    assert devices[1]["Request"] is None


@pytest.mark.parametrize("form", ["csv", "yaml", "value"])
def test_other_forms_and_chosen_columns_work(endpoint: str, form: str) -> None:
    assert NAME in pcictl(endpoint, "device", "list", "-f", form, "-c", "Name")


def test_a_device_is_shown_by_id_uuid_and_name(endpoint: str) -> None:
    shown = json.loads(pcictl(endpoint, "device", "show", NAME, "-f", "json"))
    assert shown["pci_id"] == "8086:1520"
    for name in (str(shown["id"]), shown["uuid"]):
        assert json.loads(pcictl(endpoint, "device", "show", name, "-f", "json")) == shown
    assert json.loads(pcictl(endpoint, "device", "show", NAME, "--host", "compute-1", "-f", "json")) == shown


def test_hosts_are_listed_and_shown(endpoint: str) -> None:
    (listed,) = json.loads(pcictl(endpoint, "hypervisor", "list", "-f", "json"))
    number = listed.pop("ID")
    assert listed == {"Host": "compute-1", "State": "up", "Free": 3, "Used": 0, "Blocked": 0, "Total": 3, "Remarks": []}
    shown = json.loads(pcictl(endpoint, "hypervisor", "show", "compute-1", "-f", "json"))
    assert shown["os-pci:pci_stats"][0]["physical_network"] == "physnet1"
    assert "physical_network=physnet1" in pcictl(endpoint, "hypervisor", "show", str(number))


def test_what_is_out_of_the_ordinary_with_a_host_stands_beside_it(endpoint: str, host: Host, sqlite: Engine) -> None:
    store = Store(sqlite, host_down_s=75)
    status = host.agent.status.model_copy(update={"counter": 9, "agent_version": "0.0.1", "observing": True})
    tell(store, host.agent.next_message().model_copy(update={"status": status}))
    tell(store, host.agent.next_message().model_copy(update={"agent_uuid": "twin", "session": "its session"}))
    (listed,) = json.loads(pcictl(endpoint, "hypervisor", "list", "-f", "json"))
    assert listed["Remarks"] == [
        "it only observes",
        "its agent is older: 0.0.1",
        "another agent was refused: twin",
    ]
    assert "another agent was refused: twin" in pcictl(endpoint, "hypervisor", "list")
    silence(sqlite, "compute-1")
    (listed,) = json.loads(pcictl(endpoint, "hypervisor", "list", "-f", "json"))
    assert (listed["State"], len(listed["Remarks"])) == ("down", 3)
    shown = json.loads(pcictl(endpoint, "hypervisor", "show", "compute-1", "-f", "json"))
    told = [shown[name] for name in ("state", "observing", "agent_version", "agent_is_older")]
    assert told == ["down", True, "0.0.1", True]


def test_a_status_and_a_type_are_typed_in_any_case(endpoint: str) -> None:
    filters = ("--status", "AVAILABLE", "--type", "type-vf")
    assert NAME in pcictl(endpoint, "device", "list", *filters, "-f", "value", "-c", "Name").split()


def test_no_command_is_help_and_no_shell() -> None:
    ran = subprocess.run([PCICTL], capture_output=True, text=True, check=False, timeout=60, input="", env=as_nobody())
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "device list" in ran.stdout


def test_what_is_not_there_is_one_line_on_stderr(endpoint: str) -> None:
    assert pcictl(endpoint, "device", "show", "999", code=1) == "PCI device 999 could not be found. (HTTP 404)\n"


def test_a_name_that_needs_quoting_is_quoted(endpoint: str) -> None:
    assert "PCI device b?c #d could not be found." in pcictl(endpoint, "device", "show", "b?c #d", code=1)


def test_nobody_is_asked_where_an_answer_points_to(tmp_path: Path) -> None:
    asked = []

    class Pointing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["X-Auth-Token"]))
            self.send_response(302)
            self.send_header("Location", f"http://{self.headers['Host']}/elsewhere\x1b")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Pointing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        ran = subprocess.run(
            [PCICTL, "--os-endpoint", f"http://127.0.0.1:{server.server_address[1]}", "device", "list"],
            capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
            env={**as_nobody(), "OS_TOKEN": "secret"},
        )  # fmt: skip
        server.shutdown()
        thread.join()
    assert asked == [("/v3/os-pci", "secret")]
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert r"/elsewhere\u{1b} (HTTP 302)" in ran.stderr
    assert "--os-endpoint" in ran.stderr


def test_an_api_without_tls_is_told_from_none(endpoint: str) -> None:
    told = pcictl(endpoint.replace("http:", "https:"), "device", "list", code=1)
    assert "speaks http, not https" in told
    assert told.count("\n") == 1


def test_an_api_that_does_not_answer_is_one_line_with_the_cure() -> None:
    told = pcictl("http://127.0.0.1:1", "device", "list", code=1)
    assert told.count("\n") == 1
    assert "start pci-api, or name another with --os-endpoint" in told


@pytest.mark.parametrize("command", ["device list", "--help", "device list --help"])
def test_a_command_that_does_not_sign_in_imports_nothing_heavy(endpoint: str, command: str) -> None:
    heavy = [
        "keystoneauth1",
        "openstack",
        "requests",
        "pydantic",
        "sqlalchemy",
        "falcon",
        "oslo_messaging",
        "oslo_config",
    ]
    program = f"""
import sys
from pci_agent.cmd.entry import pcictl
try:
    code = pcictl()
except SystemExit as ended:
    code = ended.code
loaded = [name for name in {heavy} if name in sys.modules]
print("loaded:", loaded, file=sys.stderr)
sys.exit(code)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, "--os-endpoint", endpoint, *command.split()],
        capture_output=True, text=True, check=False, timeout=60, env=as_nobody(),
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "loaded: []\n")


def test_openstack_speaks_to_an_endpoint_as_nobody(endpoint: str) -> None:
    openstack = [str(PCICTL.with_name("openstack")), "--os-auth-type", "none", "--os-endpoint", endpoint]
    ran = subprocess.run(
        [*openstack, "pci", "device", "list", "-f", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=as_nobody(),
    )
    assert ran.returncode == 0, ran.stderr
    assert [each["Name"] for each in json.loads(ran.stdout)] == ["pci_0000_04_00_0", NAME, "pci_0000_04_10_4"]
