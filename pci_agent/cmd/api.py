"""
``pci-api``: serves REST.

Run as a command it serves by itself. Another WSGI server may be given ``pci_agent.cmd.api:application``
instead; it reads pci-tracker.conf in its usual places.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from oslo_config import cfg

from pci_agent.api.app import application as assemble
from pci_agent.api.routes import Parts
from pci_agent.api.serving import http_server
from pci_agent.cmd import process
from pci_agent.cmd.tracker import configuration, store

_DESCRIPTION = "Serves the fleet's PCI devices over REST."


def main() -> int:
    """Serve REST until a signal says to stop."""
    return process.run(lambda: _serve(sys.argv[1:]))


def _serve(arguments: Sequence[str]) -> None:
    conf = configuration(arguments, _DESCRIPTION)
    process.set_up_logging(conf, "pci-api")
    server = http_server(_application(conf), conf.api.bind_host, conf.api.bind_port)
    thread = threading.Thread(target=server.serve, name="http", daemon=True)
    thread.start()
    process.wait_until_stopped(process.notifier(), lambda: f"serving on {conf.api.bind_host}:{conf.api.bind_port}")
    server.stop()
    thread.join()


def _application(conf: cfg.ConfigOpts) -> Any:
    return assemble(Parts(store=store(conf), most=conf.api.max_limit))


class _Late:
    """Assembles the application at the first request, so that importing this module reads no configuration."""

    def __init__(self) -> None:
        self._app: Any = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            if self._app is None:
                self._app = _application(configuration([], _DESCRIPTION))
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer


application = _Late()
