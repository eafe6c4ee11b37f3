"""A tracker on a real bus, and REST over it, each for the length of a with block."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import orjson
from falcon.testing import TestClient
from oslo_config import cfg

from pci_agent.agent.reporter import Reporter
from pci_agent.agent.service import Agent
from pci_agent.api.answers import FAULTS
from pci_agent.api.app import application
from pci_agent.api.routes import Parts
from pci_agent.api.versions import VERSIONS
from pci_agent.errors import AgentSilent
from pci_agent.model.request import Aliases
from pci_agent.tracker.allocations import Allocations
from pci_agent.tracker.counted import Counted
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.tracker.orders import Agents
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.tracker.store import Store
from pci_agent.wire import rpc
from pci_agent.wire.messages import Model

A = TypeVar("A", bound=Model)


@contextmanager
def bus(url: str) -> Iterator[Any]:
    conf = cfg.ConfigOpts()
    conf([], project="pci-tests", default_config_files=[])
    opened = rpc.transport(conf, url)
    try:
        yield opened
    finally:
        opened.cleanup()


@contextmanager
def fake_bus(topic: str, host: str, *endpoints: object) -> Iterator[Any]:
    """One bus in this process, with a server on it."""
    with bus("fake://") as opened:
        server = rpc.server(opened, topic, host, *endpoints)
        server.start()
        try:
            yield opened
        finally:
            server.stop()
            server.wait()


@contextmanager
def tracker(url: str, endpoint: Endpoint) -> Iterator[None]:
    with bus(url) as opened:
        server = rpc.server(opened, rpc.TRACKER_TOPIC, "tracker-1", endpoint)
        server.start()
        try:
            yield
        finally:
            server.stop()
            server.wait()


@contextmanager
def reporting(url: str, agent: Agent) -> Iterator[Reporter]:
    """Let an agent tell what it has, on a thread of its own."""
    with bus(url) as opened:
        client = rpc.TrackerClient(opened, timeout_s=3)
        reporter = Reporter(agent, client.tell, heartbeat_s=0.5, first_retry_s=0.2, last_retry_s=1)
        agent._changed = agent.ledger._changed = reporter.wake
        reporter.start()
        try:
            yield reporter
        finally:
            reporter.stop(patience_s=10)


class Nobody:
    """Agents that don't answer."""

    def call(self, host: str, verb: str, command: Model, answer: type[A]) -> A:
        raise AgentSilent(f"{host}: nobody is asked to {verb} with {command} for {answer}")


def parts(store: Store, *, agents: Agents | None = None, aliases: Aliases | None = None, most: int = 1000) -> Parts:
    """What REST is served from; no agent answers unless *agents* are given."""
    scheduler = Scheduler(store._engine, host_down_s=store._host_down.total_seconds())
    called = Counted(agents or Nobody())
    return Parts(
        store=store,
        scheduler=scheduler,
        allocations=Allocations(store, scheduler, called),
        agents=called,
        aliases=aliases or {},
        most=most,
    )


def rest(store: Store, *, agents: Agents | None = None, aliases: Aliases | None = None, most: int = 1000) -> TestClient:
    app = application(parts(store, agents=agents, aliases=aliases, most=most))
    app.add_middleware(Judge())
    return TestClient(app)


class Judge:
    """Holds every answer of REST against the model that describes it: what differs is a 500, with the reason logged."""

    def process_response(self, request: Any, response: Any, _resource: object, _served: bool) -> None:
        text = response.render_body() if response.stream is None else b"".join(response.stream)
        code = response.status_code
        kind = FAULTS[code] if code >= 400 else self._described(request)
        if kind is not None:
            kind.model_validate_json(text)

    @staticmethod
    def _described(request: Any) -> Any:
        of_path = (each for each in VERSIONS if request.path.startswith(f"/{each.name}/"))
        return next((each.answers[request.context.route] for each in of_path), None)


def get(client: TestClient, path: str, code: int = 200) -> Any:
    answer = client.simulate_get(path)
    assert answer.status_code == code, answer.text
    return orjson.loads(answer.content)


class Gate:
    """Holds a tracker's handler between its commit and its answer."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()


class GatedEndpoint(Endpoint):
    """A tracker that commits a report and then takes its time to answer, while *gate* is set."""

    gate: Gate | None = None

    def report(self, context: object, body: object) -> str:
        answer = super().report(context, body)
        gate, self.gate = self.gate, None
        if gate is not None:
            gate.reached.set()
            gate.open.wait(30)
        return answer
