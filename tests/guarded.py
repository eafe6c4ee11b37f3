"""REST over a real HTTP server, with a real keystone asked who is calling."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from pci_agent.api.app import application
from pci_agent.api.routes import Parts
from pci_agent.api.serving import http_server
from pci_agent.cmd import access, tracker


@dataclass(frozen=True, slots=True)
class Answered:
    """
    What the server answered.

    Attributes:
        code: HTTP's
        headers: by lower-case name
        text: as it came
    """

    code: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def fault(self) -> str:
        """Its name."""
        (name,) = self.json
        assert self.json[name]["code"] == self.code
        return str(name)


class Served:
    """
    An API at a port.

    Attributes:
        port: on 127.0.0.1
        app: what is served
    """

    def __init__(self, port: int, app: Any) -> None:
        self.port = port
        self.app = app

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, token: str | None = None, body: object = None, **headers: str | None
    ) -> Answered:
        """Send a request; headers are named as Python names things."""
        sent = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        if token is not None:
            sent["X-Auth-Token"] = token
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(answer.status, told, answer.read().decode())
        finally:
            connection.close()


@contextmanager
def serving(folder: Path, parts: Parts, configuration: str) -> Iterator[Served]:
    """Serve REST as pci-api would with this text in its pci-tracker.conf."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "pci-tracker.conf"
    file.write_text(configuration)
    conf = tracker.configuration(["--config-file", str(file)], "")
    app = application(parts, access.keystone(conf))
    server = http_server(app, "127.0.0.1", 0, everywhere=True)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield Served(server.bind_addr[1], app)
    finally:
        server.stop()
        thread.join()
