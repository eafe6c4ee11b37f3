"""pci-api as a process of its own that asks who is calling."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from guarded import Served
from keystones import Keystone

from services import free_port
from test_agent_daemon import NO_BROKER, PROGRAMS, Systemd

METRICS_PORT = free_port()
_ASKED = """
from wsgiref.util import setup_testing_defaults
from pci_agent.cmd.api import application
for token in {tokens}:
    environ = {{'PATH_INFO': '/v3/os-pci', 'REMOTE_ADDR': '192.168.1.1', **token}}
    setup_testing_defaults(environ)
    print(b''.join(application(environ, lambda status, headers: print(status))).decode()[:30])
"""


@pytest.fixture
def config(tmp_path: Path, keystone: Keystone) -> Path:
    file = tmp_path / "pci-tracker.conf"
    file.write_text(
        f"[DEFAULT]\nhost = this-machine\ndebug = true\ntransport_url = {NO_BROKER}\n"
        f"[database]\nconnection = sqlite:///{tmp_path}/tracker.sqlite\n{keystone.configuration()}"
    )
    upgrade = [str(PROGRAMS / "pci-tracker-manage"), "upgrade", "--config-file", str(file)]
    subprocess.run(upgrade, check=True, timeout=60, capture_output=True)
    return file


@pytest.fixture
def running(tmp_path: Path, config: Path) -> Iterator[tuple[Systemd, Served]]:
    port = free_port()
    options = f"[api]\nbind_port = {port}\nmetrics_port = {METRICS_PORT}"
    config.write_text(config.read_text().replace("[api]", options))
    process = Systemd(tmp_path, str(PROGRAMS / "pci-api"), "--config-file", str(config))
    try:
        process.wait_for("READY=1")
        yield process, Served(port, None)
    finally:
        process.close()


def test_it_serves_whom_it_knows_and_logs_no_secret(running: tuple[Systemd, Served], keystone: Keystone) -> None:
    process, api = running
    token = keystone.token(keystone.admin)
    answer = api.ask("GET", "/v3/os-pci", token)
    assert (answer.code, answer.json) == (200, {"pci_devices": []})
    assert api.ask("GET", "/v3/os-pci").code == 401
    refused = api.ask("GET", "/v3/os-pci", "guessed")
    assert refused.code == 401
    counted = Served(METRICS_PORT, None).ask("GET", "/metrics")
    assert 'pci_api_request_seconds_count{code="200",route="os-pci:index"} 1.0' in counted.text
    sent = {"username": "admin", "password": keystone.admin.password, "project": "admin"}
    given = api.ask("POST", "/ui/session", None, sent).headers["set-cookie"].split(";")[0].partition("=")[2]
    command = Path(f"/proc/{process.process.pid}/cmdline").read_text()
    assert process.stop() == 0
    log = process.log.read_text()
    assert refused.headers["x-openstack-request-id"] in log, "what is logged of a request bears its name"
    assert "Traceback" not in log
    for secret in (token, given, keystone.admin.password, keystone.service.password):
        assert secret not in log
        assert secret not in command


def test_another_server_may_serve_it(tmp_path: Path, config: Path, keystone: Keystone) -> None:
    home = tmp_path / ".pci-tracker"
    home.mkdir()
    (home / "pci-tracker.conf").write_text(config.read_text())
    tokens = [{"HTTP_X_AUTH_TOKEN": keystone.token(keystone.admin)}, {}]
    asked = [sys.executable, "-W", "ignore", "-c", _ASKED.format(tokens=tokens)]
    ran = subprocess.run(asked, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.splitlines() == [
        "200 OK",
        '{"pci_devices":[]}',
        "401 Unauthorized",
        '{"unauthorized":{"code":401,"m',
    ]


def test_what_it_needs_of_keystone_is_told_at_start(config: Path) -> None:
    config.write_text(config.read_text().replace("auth_url", "# auth_url"))
    start = [str(PROGRAMS / "pci-api"), "--config-file", str(config)]
    ran = subprocess.run(start, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 78
    assert "[keystone_authtoken] auth_url: auth_strategy = keystone needs it, and it is missing" in ran.stderr
    assert "Traceback" not in ran.stderr
