"""pci-tracker, pci-api and pci-tracker-manage as processes of their own, with an agent, on a real broker."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from buses import bus
from pci_agent.tracker.migrations import versions
from pci_agent.wire import rpc
from pci_agent.wire.commands import AskedRecord, ExplainCommand, InquiryAnswer, SpecRecord
from pci_agent.wire.control import ClaimQuestion, DevicesQuestion
from services import RabbitMQ, free_port, wait_for
from test_agent_daemon import PROGRAMS, Systemd

PORT, METRICS_PORT = free_port(), free_port()
HEAD = max(file.name[:4] for file in Path(versions.__path__[0]).glob("0*.py"))


@pytest.fixture
def config(tmp_path: Path, rabbitmq: RabbitMQ) -> Path:
    file = tmp_path / "pci.conf"
    file.write_text(
        f"[DEFAULT]\nhost = this-machine\ntransport_url = {rabbitmq.url}\n"
        f"[database]\nconnection = sqlite:///{tmp_path}/tracker.sqlite\n"
        f"[tracker]\nsettle_interval_s = 0.5\nmetrics_port = {METRICS_PORT}\n"
        f"[api]\nbind_port = {PORT}\n"
        f"[agent]\nstate_dir = {tmp_path}/state\nlibvirt_uri =\n"
        '[pci]\ndevice_spec = {"address": "*:*:*.*"}\n'
    )
    return file


@pytest.fixture
def fleet(tmp_path: Path, config: Path) -> Iterator[list[Systemd]]:
    subprocess.run([PROGRAMS / "pci-tracker-manage", "upgrade", "--config-file", config], check=True, timeout=60)
    with ExitStack() as running:
        started = []
        for program in ("pci-tracker", "pci-api", "pci-agent"):
            folder = tmp_path / program
            folder.mkdir()
            process = Systemd(folder, str(PROGRAMS / program), "--config-file", str(config), watchdog_s=1)
            running.callback(process.close)
            started.append(process)
        yield started


def listed() -> list[dict[str, object]]:
    with urlopen(f"http://127.0.0.1:{PORT}/v3/os-pci", timeout=10) as answer:
        devices: list[dict[str, object]] = json.load(answer)["pci_devices"]
    return devices


def test_the_four_programs_together_show_this_machine(fleet: list[Systemd]) -> None:
    for process in fleet:
        process.wait_for("READY=1")
        process.wait_for("WATCHDOG=1")
    entries = sorted(entry.name for entry in Path("/sys/bus/pci/devices").iterdir())
    wait_for(lambda: len(listed()) == len(entries), "the report")
    assert [device["address"] for device in listed()] == entries
    assert [process.stop() for process in fleet] == [0, 0, 0]


def test_an_agent_answers_on_the_broker_why_a_function_is_offered(
    fleet: list[Systemd], rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    fleet[-1].wait_for("READY=1")
    with closing(sqlite3.connect(tmp_path / "state/agent.sqlite")) as database:
        ((agent_uuid,),) = database.execute("SELECT agent_uuid FROM agent").fetchall()
    entry = min(entry.name for entry in Path("/sys/bus/pci/devices").iterdir())
    with bus(rabbitmq.url) as opened:
        asked = ExplainCommand(agent_uuid=agent_uuid, address=entry)
        answer = rpc.AgentClient(opened, timeout_s=10).call("this-machine", "explain", asked, InquiryAnswer)
    (told,) = json.loads(answer.document or "[]")
    assert (told["address"], told["offered"], told["decided_by"]) == (entry, True, 1)


def test_sigterm_ends_an_agent_within_two_seconds_while_its_tracker_does_not_answer(
    fleet: list[Systemd], tmp_path: Path, config: Path
) -> None:
    tracker, _, agent = fleet
    for each in (tracker, agent):
        each.wait_for("READY=1")
    agent.stop()
    tracker.process.send_signal(signal.SIGSTOP)
    folder = tmp_path / "again"
    folder.mkdir()
    again = Systemd(folder, str(PROGRAMS / "pci-agent"), "--config-file", str(config))
    try:
        again.wait_for("READY=1")
        time.sleep(2)
        told = [line for line in again.heard() if line.startswith("STATUS=")]
        assert told[-1].endswith("tracker: no tracker has answered yet"), "the call is in flight"
        asked = time.monotonic()
        assert again.stop() == 0
        assert time.monotonic() - asked < 2.5
    finally:
        again.close()
        tracker.process.send_signal(signal.SIGCONT)


def test_a_tracker_answers_controllers_and_sends_frees_that_are_owed(
    fleet: list[Systemd], rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    for process in fleet:
        process.wait_for("READY=1")
    entries = sorted(entry.name for entry in Path("/sys/bus/pci/devices").iterdir())
    wait_for(lambda: len(listed()) == len(entries), "the report")
    nothing = AskedRecord(request_id=str(uuid4()), specs=(SpecRecord(vendor_id="ffff"),))
    with bus(rabbitmq.url) as opened:
        controller = rpc.ControlClient(opened, timeout_s=30)
        devices = controller.list_devices(DevicesQuestion(host="this-machine")).devices
        assert [device.address for device in devices] == entries
        answer = controller.claim(ClaimQuestion(instance_uuid=str(uuid4()), requests=(nothing,)))
        assert (answer.verdict, answer.reason) == ("no_fit", "no host that is up has devices for it")
    with closing(sqlite3.connect(tmp_path / "tracker.sqlite", timeout=30)) as database:
        owed = "SELECT 'r', 1, agent_uuid, created_at, created_at FROM compute_nodes"
        columns = "request_id, attempt, agent_uuid, not_before, created_at"
        database.execute(f"INSERT INTO pending_frees ({columns}) {owed}")
        database.commit()
        wait_for(lambda: database.execute("SELECT * FROM pending_frees").fetchall() == [], "the free to be sent")
    assert [process.stop() for process in fleet] == [0, 0, 0]


def test_a_tracker_tells_prometheus_what_it_answered_agents(fleet: list[Systemd]) -> None:
    fleet[0].wait_for("READY=1")

    def told(path: str) -> str:
        with urlopen(f"http://127.0.0.1:{METRICS_PORT}/{path}", timeout=10) as answer:
            return str(answer.read().decode())

    assert told("healthcheck") == '{"status":"ok"}'
    wait_for(lambda: 'pci_reports_total{outcome="ok"} 1.0' in told("metrics"), "the agent's report")
    assert 'pci_hosts{state="up"} 1.0' in told("metrics")
    assert fleet[0].stop() == 0


def test_pci_api_has_agents_give_devices_out(fleet: list[Systemd]) -> None:
    for process in fleet:
        process.wait_for("READY=1")
    wait_for(lambda: any(device["status"] == "available" for device in listed()), "a device that is free")
    one = next(device for device in listed() if device["status"] == "available")
    instance = uuid4()

    def asked(method: str, body: object = None) -> dict[str, Any]:
        text = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{PORT}/v3/os-pci/allocations/{instance}"
        with urlopen(Request(url, text, method=method), timeout=30) as answer:
            told: dict[str, Any] = json.load(answer)["allocation"]
        return told

    spec = {name: one[name] for name in ("vendor_id", "product_id", "dev_type")}
    claimed = asked("PUT", {"requests": [{"request_id": str(uuid4()), "specs": [spec]}]})
    assert claimed["requests"][0]["hypervisor_hostname"] == "this-machine"
    assert [device["status"] for device in listed() if device["status"] == "claimed"] == ["claimed"]
    assert asked("DELETE")["requests"][0]["state"] == "freed"
    assert [process.stop() for process in fleet] == [0, 0, 0]


@pytest.mark.parametrize("program", ["pci-tracker", "pci-api"])
def test_a_database_of_another_schema_is_refused_with_the_cure(program: str, config: Path) -> None:
    ran = subprocess.run(
        [PROGRAMS / program, "--config-file", config], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 78
    assert f"schema is empty, this version needs {HEAD}: run pci-tracker-manage upgrade" in ran.stderr


@pytest.mark.parametrize("program", ["pci-tracker", "pci-api"])
def test_without_a_broker_a_program_is_ready_and_heeds_signals(program: str, tmp_path: Path, config: Path) -> None:
    config.write_text(config.read_text().replace("transport_url = ", "transport_url = rabbit://127.0.0.1:1/\n# "))
    upgrade = [str(PROGRAMS / "pci-tracker-manage"), "upgrade", "--config-file", str(config)]
    told = subprocess.run(upgrade, check=True, timeout=60, capture_output=True, text=True).stdout
    assert told == f"the schema is {HEAD}, as this version needs it\n"
    process = Systemd(tmp_path, str(PROGRAMS / program), "--config-file", str(config))
    try:
        process.wait_for("READY=1")
        assert process.stop() == 0
    finally:
        process.close()


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("postgresql+psycopg://pci@127.0.0.1:1/pci", 1, "is the server running?"),
        ("mariadb+pymysql://pci@127.0.0.1:1/pci", 1, "is the server running?"),
        ("postgres://pci@127.0.0.1:1/pci", 78, "write postgresql+psycopg://"),
        ("sqlite:////nonexistent/folder/tracker.sqlite", 78, "/nonexistent/folder is no directory"),
    ],
)
@pytest.mark.parametrize("program", ["pci-tracker", "pci-api"])
def test_a_database_that_may_come_back_is_another_exit_than_one_that_will_not(
    program: str, config: Path, url: str, code: int, told: str
) -> None:
    config.write_text(config.read_text().replace("connection = ", f"connection = {url}\n# "))
    ran = subprocess.run(
        [PROGRAMS / program, "--config-file", config], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, "Traceback" in ran.stderr) == (code, False)
    assert told in ran.stderr


def test_any_wsgi_server_may_serve_the_application(tmp_path: Path, config: Path) -> None:
    subprocess.run([PROGRAMS / "pci-tracker-manage", "upgrade", "--config-file", config], check=True, timeout=60)
    home = tmp_path / ".pci-tracker"
    home.mkdir()
    (home / "pci-tracker.conf").write_text(config.read_text())
    code = (
        "from wsgiref.util import setup_testing_defaults\n"
        "from pci_agent.cmd.api import application\n"
        "environ = {'PATH_INFO': '/v3/os-pci'}\n"
        "setup_testing_defaults(environ)\n"
        "print(b''.join(application(environ, lambda status, headers: print(status))).decode())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout == '200 OK\n{"pci_devices":[]}\n'
