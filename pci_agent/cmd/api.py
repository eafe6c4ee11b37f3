"""
``pci-api``: serves REST.

Run as a command it serves by itself. Another WSGI server may be given ``pci_agent.cmd.api:application``
instead; it reads pci-tracker.conf in its usual places. Either way it has agents give devices out as a tracker does, and
sends the frees that are owed.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from oslo_config import cfg

from pci_agent.api.access import Identity
from pci_agent.api.app import application as assemble
from pci_agent.api.app import monitoring
from pci_agent.api.metrics import Metrics
from pci_agent.api.routes import Parts
from pci_agent.api.serving import for_this_machine, http_server
from pci_agent.cmd import process
from pci_agent.cmd.centre import Centre, centre
from pci_agent.cmd.tracker import configuration, engine, watched
from pci_agent.model.request import parse_aliases
from pci_agent.wire import rpc

_DESCRIPTION = "Serves the fleet's PCI devices over REST."
_PATIENCE_S = 5


def main() -> NoReturn:
    """Serve REST until a signal says to stop."""
    process.serve(lambda: _serve(sys.argv[1:]))


def _serve(arguments: Sequence[str]) -> None:
    conf = configuration(arguments, _DESCRIPTION)
    process.set_up_logging(conf, "pci-api")
    bus = rpc.transport(conf)
    made = centre(conf, engine(conf), bus)
    parts = _parts(conf, made)
    metrics = Metrics(parts)
    app = assemble(parts, _identity(conf), metrics)
    server = http_server(app, conf.api.bind_host, conf.api.bind_port, everywhere=_callers_are_asked(conf))
    process.settle()
    with watched(conf.api.metrics_port, monitoring(parts, metrics), "[api] metrics_port"):
        made.settler.start()
        thread = threading.Thread(target=server.serve, name="http", daemon=True)
        thread.start()
        process.wait_until_stopped(process.notifier(), lambda: f"serving on {conf.api.bind_host}:{conf.api.bind_port}")
        server.stop()
        thread.join()
        made.settler.stop()
    rpc.close(bus, patience_s=_PATIENCE_S)


def _parts(conf: cfg.ConfigOpts, made: Centre) -> Parts:
    return made.parts(parse_aliases(conf.pci.alias), most=conf.api.max_limit)


def _callers_are_asked(conf: cfg.ConfigOpts) -> bool:
    return bool(conf.api.auth_strategy == "keystone")


def _identity(conf: cfg.ConfigOpts) -> Identity | None:
    """Give what knows callers, where they are asked who they are."""
    if not _callers_are_asked(conf):
        return None
    from pci_agent.cmd import access  # noqa: PLC0415 - its libraries take a while, and not everybody uses them

    return access.keystone(conf)


class _Late:
    """Assembles the application at the first request, so that importing this module reads no configuration."""

    def __init__(self) -> None:
        self._app: Any = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            if self._app is None:
                self._app = self._assembled()
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer

    @staticmethod
    def _assembled() -> Any:
        conf = configuration([], _DESCRIPTION)
        made = centre(conf, engine(conf), rpc.transport(conf))
        app = assemble(_parts(conf, made), _identity(conf))
        made.settler.start()
        process.settle()
        return app if _callers_are_asked(conf) else for_this_machine(app)


application = _Late()
