"""
Serves the application over HTTP: on loopback alone where nobody is asked who they are.

Any WSGI server may serve it instead. What nobody is asked for is then kept from other machines by who connects.
"""

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from cheroot.wsgi import Server

from pci_agent.errors import ConfigurationRefused, Refusal

ONLY_HOST = "127.0.0.1"
_THREADS = 16  # a claim may wait for silent hosts, and others are served meanwhile


def http_server(app: Any, host: str, port: int, *, option: str = "[api] bind_port", everywhere: bool = False) -> Server:
    """
    Bind a server to an address; call its ``serve``, and ``stop`` to end that. Port 0 takes any free one.

    Args:
        app: what is served
        host: the address
        port: the port
        option: what names the port in the configuration
        everywhere: whether others than this machine's own may connect, for who they are is asked

    Raises:
        ConfigurationRefused: the address is not this machine's own, or it can't be bound.
    """
    if not everywhere and not _is_loopback(host):
        what = "without authentication everybody who connects may do everything"
        cure = f"write {ONLY_HOST}, or set [api] auth_strategy = keystone"
        raise ConfigurationRefused([_refusal("[api] bind_host", host, what, cure)])
    server = Server((host, port), app, numthreads=_THREADS, server_name="pci-api", shutdown_timeout=1)
    try:
        server.prepare()
    except OSError as error:
        what, cure = f"{host}:{port} can't be bound ({error})", "stop what has it, or name another (tools/run --port)"
        raise ConfigurationRefused([_refusal(option, str(port), what, cure)]) from error
    return server


def for_this_machine(app: Any) -> Any:
    """Let an application answer this machine alone, whichever server serves it; who uses a Unix socket is on it too."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        address = environ.get("REMOTE_ADDR") or ONLY_HOST
        if _is_loopback(address):
            answered: Iterable[bytes] = app(environ, start_response)
            return answered
        message = (
            "Without authentication this machine alone is answered; set [api] auth_strategy = keystone in"
            " pci-tracker.conf to serve others."
        )
        start_response("403 Forbidden", [("Content-Type", "application/json")])
        return [orjson.dumps({"forbidden": {"code": 403, "message": message}})]

    return answer


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal(option: str, value: str, what: str, cure: str) -> Refusal:
    return Refusal(option=option, entry=None, key=None, value=value or "nothing", what=what, cure=cure)
