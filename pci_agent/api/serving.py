"""
Serves the application over HTTP: on loopback alone where nobody is asked who they are.

Any WSGI server may serve it instead. Then too only callers on its own machine are answered where nobody is asked.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import orjson
from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.wsgi import Server

from pci_agent.api.call import MOST_BYTES
from pci_agent.errors import ConfigurationRefused, Refusal

ONLY_HOST = "127.0.0.1"
_NAMES = (ONLY_HOST, "localhost", "::1")
_NOT_FROM_HERE = (
    f"Without authentication this machine alone is answered, under its own name, such as {ONLY_HOST}; set [api]"
    " auth_strategy = keystone in pci-tracker.conf to serve others."
)
THREADS = 16  # a claim may wait for silent hosts, and others are served meanwhile
PATIENCE_S = 5  # for each piece of a request, which a thread waits for, and for the next one on a connection
_FOR = re.compile(r'(?:^|[;,\s])for\s*=\s*("[^"]*"|[^;,]*)', re.IGNORECASE)
_MOST_OF_HEADERS = 65_536


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
    served = app if everywhere else for_this_machine(app)
    server = Server(
        (host, port), served, numthreads=THREADS, server_name="pci-api", shutdown_timeout=1, timeout=PATIENCE_S
    )
    server.ConnectionClass = _Connection
    server.max_request_header_size = _MOST_OF_HEADERS
    server.max_request_body_size = 2 * MOST_BYTES  # what is a little too long is answered with a fault
    try:
        server.prepare()
    except OSError as error:
        what, cure = f"{host}:{port} can't be bound ({error})", "stop what has it, or name another (tools/run --port)"
        raise ConfigurationRefused([_refusal(option, str(port), what, cure)]) from error
    return server


class _Request(HTTPRequest):
    """One whose body nobody reads, for it comes with Transfer-Encoding, is the last of its connection."""

    def respond(self) -> None:
        if b"Transfer-Encoding" in self.inheaders:
            self.close_connection = True
        super().respond()


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request


def for_this_machine(app: Any) -> Any:
    """
    Let an application answer this machine alone, whichever server serves it; who uses a Unix socket is on it too.

    The name that was asked for must be this machine's own as well: a page of another site may have its name lead here,
    and would then be taken for one of ours. Of a proxy's callers each that it names must be on this machine too.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        names = [environ.get("REMOTE_ADDR") or ONLY_HOST, environ.get("HTTP_HOST", ONLY_HOST), *_forwarded_for(environ)]
        if all(map(_is_this_machine, names)):
            answered: Iterable[bytes] = app(environ, start_response)
            return answered
        start_response("403 Forbidden", [("Content-Type", "application/json")])
        return [orjson.dumps({"forbidden": {"code": 403, "message": _NOT_FROM_HERE}})]

    return answer


def _forwarded_for(environ: dict[str, Any]) -> list[str]:
    """List whom proxies say that they ask for, the empty ones left out."""
    told = ",".join(environ.get(name, "") for name in ("HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP")).split(",")
    told += _FOR.findall(environ.get("HTTP_FORWARDED", ""))
    return [name for each in told if (name := each.strip(' "'))]


def _is_this_machine(name: str) -> bool:
    """Tell it of a name or an address, which may have a port behind it."""
    try:
        without_port = urlsplit(f"//{name}").hostname or ""
    except ValueError:
        without_port = ""
    return _is_loopback(name) or without_port in _NAMES or _is_loopback(without_port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal(option: str, value: str, what: str, cure: str) -> Refusal:
    return Refusal(option=option, entry=None, key=None, value=value or "nothing", what=what, cure=cure)
