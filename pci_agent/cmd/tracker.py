"""``pci-tracker``: answers agents and controllers, keeps what agents report, and has them give devices out."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from oslo_config import cfg
from sqlalchemy import Engine

from pci_agent.api.app import monitoring
from pci_agent.api.serving import ONLY_HOST, http_server
from pci_agent.cmd import process
from pci_agent.cmd.centre import centre
from pci_agent.conf import alias, api, database, host, tracker
from pci_agent.model.request import parse_aliases
from pci_agent.tracker.control import ControlEndpoint
from pci_agent.tracker.database import check, connect
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.tracker.store import Store
from pci_agent.wire import rpc
from pci_agent.wire.refused import Refused

PROJECT = "pci-tracker"
GROUPS = (host, tracker, alias, database, api)

_PATIENCE_S = 5


def main() -> NoReturn:
    """Run a tracker; any number of them may serve one fleet."""
    process.serve(lambda: _serve(sys.argv[1:]))


def configuration(arguments: Sequence[str], description: str) -> cfg.ConfigOpts:
    """Read pci-tracker.conf, which the tracker, the API and pci-tracker-manage share."""
    return process.configuration(PROJECT, GROUPS, arguments, description=description)


def store(conf: cfg.ConfigOpts) -> Store:
    """Open the fleet's database, which must be of this version's schema."""
    return Store(engine(conf), host_down_s=conf.tracker.host_down_s)


def engine(conf: cfg.ConfigOpts) -> Engine:
    """Connect to the fleet's database, which must be of this version's schema."""
    made = connect(conf.database.connection)
    check(made)
    return made


def _serve(arguments: Sequence[str]) -> None:
    conf = configuration(arguments, "Answers agents and keeps the fleet's PCI devices.")
    process.set_up_logging(conf, PROJECT)
    parse_aliases(conf.pci.alias)  # a flavor that names one is refused later; a bad one is refused now
    checked = engine(conf)
    bus = rpc.transport(conf)
    made, refused = centre(conf, checked, bus), Refused()
    rpc.count_unreadable(refused)
    answering = Endpoint(made.store, refused)
    endpoints = (answering, ControlEndpoint(made.allocations, made.scheduler, made.store, refused))
    server = rpc.server(bus, rpc.TRACKER_TOPIC, conf.host, *endpoints, refused=refused, passing=made.away)
    parts = made.parts({}, messages=answering.answered)
    with watched(conf.tracker.metrics_port, monitoring(parts), "[tracker] metrics_port"):
        made.settler.start()
        # Where the broker is away this waits for it, which is no reason not to heed signals.
        threading.Thread(target=server.start, name="starting", daemon=True).start()
        process.wait_until_stopped(process.notifier(), lambda: f"answering agents; {refused}".rstrip("; "))
        made.settler.stop()
    rpc.close(bus, server, patience_s=_PATIENCE_S)


@contextmanager
def watched(port: int, app: Any, option: str) -> Iterator[None]:
    """Serve /metrics and /healthcheck to this machine, unless the port, which that option names, is 0."""
    if not port:
        yield
        return
    server = http_server(app, ONLY_HOST, port, option=option)
    thread = threading.Thread(target=server.serve, name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join()
