"""The virtual SR-IOV machine as fixtures: agents in guests, a tracker on the host."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from callers import Caller
from falcon.testing import TestClient

from buses import bus, get, rest, tracker
from labs import recipe
from labs.guest import Lab
from labs.hardware import Hardware
from labs.recipe import LabError
from pci_agent.tracker import database
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.tracker.store import Store
from pci_agent.wire import rpc
from services import RabbitMQ, missing, wait_for


@dataclass
class Fleet:
    """A tracker on the host, with the broker that guests reach, and REST over it."""

    broker: RabbitMQ
    client: TestClient
    agents: list[tuple[Lab, str]] = field(default_factory=list)

    def devices(self, host: str) -> dict[str, dict[str, Any]]:
        """What REST shows of a host, by address."""
        listed = get(self.client, "/v3/os-pci/detail")["pci_devices"]
        return {device["address"]: device for device in listed if device["hypervisor_hostname"] == host}

    def problems(self, host: str) -> list[str]:
        """What a host's agent says of itself that is wrong."""
        shown = get(self.client, f"/v3/os-hypervisors/{host}")["hypervisor"]
        return [problem["cause"] for problem in shown["problems"]]

    @contextmanager
    def caller(self, host: str) -> Iterator[Caller]:
        """Whoever gives commands to the agent of a host that has reported."""
        shown = get(self.client, f"/v3/os-hypervisors/{host}")["hypervisor"]
        with bus(self.broker.url) as opened:
            yield Caller(rpc.AgentClient(opened, timeout_s=60), host, shown["agent_uuid"])

    def wait_until(self, host: str, condition: Callable[[dict[str, dict[str, Any]]], bool], what: str) -> float:
        """Wait until REST shows it, and give the seconds that this took."""
        since = time.monotonic()
        wait_for(lambda: condition(self.devices(host)), what)
        return time.monotonic() - since

    def start_agent(self, lab: Lab, *specs: str, host: str = "lab", look_interval_s: int = 1) -> None:
        """Run pci-agent in the guest, from the working tree, until *stop_agent*."""
        lines = [
            "[DEFAULT]",
            f"host = {host}",
            f"transport_url = {self.broker.url.replace('127.0.0.1', '10.0.2.2')}",
            "[agent]",
            f"look_interval_s = {look_interval_s}",
            f"state_dir = /var/lib/pci-agent/{host}",
            "[pci]",
            *(f"device_spec = {spec}" for spec in specs or ('{"vendor_id": "8086", "address": {"bus": "[24]."}}',)),
        ]
        text = "\n".join(lines)
        lab.run(f"cat > /etc/{host}.conf <<'END'\n{text}\nEND")
        lab.run(f"setsid pci-agent --config-file /etc/{host}.conf >/var/log/{host}.log 2>&1 & echo $! >/run/{host}.pid")
        self.agents.append((lab, host))

    def stop_agent(self, lab: Lab, host: str = "lab") -> None:
        """Stop it, and wait until it has ended."""
        lab.try_run(f"pid=$(cat /run/{host}.pid); kill $pid; while kill -0 $pid; do sleep 0.1; done")
        self.agents.remove((lab, host))


HARDWARE = Hardware(pf=2, vfs=4, nvme=True, nodes=2)


@contextmanager
def started(name: str, hardware: Hardware) -> Iterator[Lab]:
    """A lab of this test run's own."""
    if shutil.which("qemu-system-x86_64") is None:
        missing("QEMU")
    try:
        recipe.find()
    except LabError as error:
        missing(f"the lab ({error})")
    lab = Lab.create(recipe.CACHE / "run" / f"{name}-{os.getpid()}", hardware)
    try:
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Two igb cards with 4 VFs each on two nodes, and an NVMe drive; put it back as you found it."""
    with started("test", HARDWARE) as made:
        yield made


@pytest.fixture(scope="module")
def fleet(rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A tracker on the host; agents that a test started in guests are stopped at its end."""
    engine = database.connect(f"sqlite:///{tmp_path_factory.mktemp('fleet')}/tracker.sqlite")
    database.upgrade(engine)
    store = Store(engine, host_down_s=75)
    with ExitStack() as stack:
        stack.enter_context(tracker(rabbitmq.url, Endpoint(store)))
        made = Fleet(rabbitmq, rest(store))
        yield made
        for guest, host in list(made.agents):
            made.stop_agent(guest, host)
    engine.dispose()
