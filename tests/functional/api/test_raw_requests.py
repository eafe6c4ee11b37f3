"""Requests as no proper client writes them, to a real HTTP server: none is taken for another, or costs the others."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from sqlalchemy import Engine

from buses import parts
from centres import Centre, centre
from pci_agent.api.app import application
from pci_agent.api.call import MOST_BYTES
from pci_agent.api.serving import PATIENCE_S, THREADS, http_server
from pci_agent.tracker.store import Store

AT = "/v3/os-pci/allocations/6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11"


class Raw:
    """
    An API at a port.

    Attributes:
        port: on 127.0.0.1
        fleet: what it tells of
    """

    def __init__(self, port: int, fleet: Centre) -> None:
        self.port = port
        self.fleet = fleet

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def codes(self, *parts: bytes) -> list[int]:
        """Send bytes, and give the code of every answer until the connection is closed or nothing more comes."""
        return [int(code) for code in re.findall(rb"HTTP/1.1 (\d+) ", self.told(*parts))]

    def told(self, *parts: bytes) -> bytes:
        with self.connected() as sent:
            heard = b""
            try:
                for part in parts:
                    sent.sendall(part)
                sent.settimeout(1)
                while more := sent.recv(65_536):
                    heard += more
            except OSError:
                pass
            return heard

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> bytes:
        """Send a proper request, and give all of the answer."""
        text = b"" if body is None else json.dumps(body).encode()
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        host = "" if "Host" in headers else "Host: 127.0.0.1\r\n"
        head = f"{method} {path} HTTP/1.1\r\n{host}{more}Connection: close\r\nContent-Length: {len(text)}\r\n\r\n"
        return self.told(head.encode("latin-1") + text)

    def states(self) -> list[tuple[str, bool]]:
        """List the instance's requests, and whether each is confirmed."""
        shown = json.loads(self.ask("GET", AT).partition(b"\r\n\r\n")[2])["allocation"]["requests"]
        return [(each["state"], each["confirmed"]) for each in shown]


@pytest.fixture
def raw(tmp_path: Path, sqlite: Engine) -> Iterator[Raw]:
    with centre(tmp_path, Store(sqlite, host_down_s=75), {"compute-1": 2}) as fleet:
        server = http_server(application(parts(fleet.store, agents=fleet.agents)), "127.0.0.1", 0)
        thread = threading.Thread(target=server.serve)
        thread.start()
        yield Raw(server.bind_addr[1], fleet)
        server.stop()
        thread.join()


def claimed(raw: Raw) -> None:
    requests = [{"request_id": name, "specs": [{"product_id": "1520"}]} for name in ("r1", "r2")]
    assert b" 200 OK" in raw.ask("PUT", AT, {"requests": requests})


def chunked(method: str, path: str, body: bytes, version: str = "1.1") -> bytes:
    head = f"{method} {path} HTTP/{version}\r\nHost: 127.0.0.1\r\nConnection: Keep-Alive\r\n"
    return f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


def test_a_body_whose_length_is_not_told_is_refused_and_never_taken_for_none(raw: Raw) -> None:
    claimed(raw)
    told = raw.told(chunked("POST", f"{AT}/confirm", b'{"request_ids": ["r1"]}'))
    assert told.startswith(b"HTTP/1.1 411 ")
    assert b"lengthRequired" in told
    assert [confirmed for _, confirmed in raw.states()] == [False, False]


@pytest.mark.parametrize("route", ["GET /v3", "POST /v3/os-pci/candidates", f"DELETE {AT}", "DELETE /ui/session"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_nor_is_it_ever_read_as_the_next_request(raw: Raw, route: str, version: str) -> None:
    hidden = b"X: y\r\n\r\nGET /v3 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    method, path = route.split()
    assert raw.codes(chunked(method, path, hidden, version)) == [411]


def test_a_body_where_none_is_read_is_refused_by_its_field(raw: Raw) -> None:
    claimed(raw)
    before = raw.states()
    told = raw.ask("DELETE", AT, {"request_id": "r1"})
    assert b" 400 " in told.splitlines()[0]
    assert b"request_id" in told
    assert raw.states() == before
    assert b" 200 " in raw.ask("DELETE", AT, {}).splitlines()[0]


def test_no_more_of_a_request_is_kept_than_can_be_of_use(raw: Raw) -> None:
    piece = b"a" * 65_536
    assert raw.codes(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", piece, b"\r\n\r\n") == [413]
    assert raw.codes(b"GET /", piece, b" HTTP/1.1\r\n\r\n") == [414]
    long = b"POST /v3/os-pci/candidates HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"
    assert raw.codes(long % (2 * MOST_BYTES + 1)) == [413]


@pytest.mark.parametrize(
    "half", [b"GET / HTTP/1.1\r\nHo", b"POST /ui/session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n"]
)
def test_requests_that_are_never_finished_hold_the_others_up_for_moments(raw: Raw, half: bytes) -> None:
    idle = [raw.connected() for _ in range(THREADS)]
    for each in idle:
        each.sendall(half)
    sleep(0.5)
    since = monotonic()
    with raw.connected() as other:
        other.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert other.recv(12) == b"HTTP/1.1 200"
    assert monotonic() - since < PATIENCE_S + 3
    for each in idle:
        each.close()
