"""
Serves the application over HTTP, on 127.0.0.1 alone as long as anybody who can connect may read everything.

Any WSGI server may serve it instead; keeping others out is then that server's part.
"""

from typing import Any

from cheroot.wsgi import Server

from pci_agent.errors import ConfigurationRefused, Refusal

ONLY_HOST = "127.0.0.1"
_THREADS = 16  # a claim may wait for silent hosts, and others are served meanwhile


def http_server(app: Any, host: str, port: int, *, option: str = "[api] bind_port") -> Server:
    """
    Bind a server to an address; call its ``serve``, and ``stop`` to end that. Port 0 takes any free one.

    Args:
        app: what is served
        host: the address
        port: the port
        option: what names the port in the configuration

    Raises:
        ConfigurationRefused: the address is not 127.0.0.1, or it can't be bound.
    """
    if host != ONLY_HOST:
        raise ConfigurationRefused(
            [
                _refusal(
                    "[api] bind_host",
                    host,
                    "there is no authentication yet",
                    f"write {ONLY_HOST}, the only one allowed",
                )
            ]
        )
    server = Server((host, port), app, numthreads=_THREADS, server_name="pci-api", shutdown_timeout=1)
    try:
        server.prepare()
    except OSError as error:
        what, cure = f"{host}:{port} can't be bound ({error})", "stop what has it, or name another (tools/run --port)"
        raise ConfigurationRefused([_refusal(option, str(port), what, cure)]) from error
    return server


def _refusal(option: str, value: str, what: str, cure: str) -> Refusal:
    return Refusal(option=option, entry=None, key=None, value=value or "nothing", what=what, cure=cure)
