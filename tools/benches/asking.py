"""
How many requests a second a server answers: some connections that each ask the same again as soon as they are answered.

Plain sockets that read an answer's length and then so many bytes: whoever asks costs little, for it runs beside.
"""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

CONNECTIONS = 8
_MOST = 1 << 20
_PATIENCE_S = 60


def body(port: int, path: str, headers: dict[str, str]) -> bytes:
    """Ask once, and give the answer's body."""
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
        return _asked(connection, _request(path, headers), bytearray(_MOST))


def a_second(port: int, path: str, headers: dict[str, str], seconds: float) -> float:
    """Ask for so long, and give the requests a second that were answered; each answer must be as long as the first."""
    length = len(body(port, path, headers))
    ready = Barrier(CONNECTIONS)

    def ask(_number: int) -> tuple[int, float]:
        request, room = _request(path, headers), bytearray(_MOST)
        with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
            _asked(connection, request, room)
            ready.wait(_PATIENCE_S)
            count, since = 0, time.perf_counter()
            while time.perf_counter() - since < seconds:
                if len(_asked(connection, request, room)) != length:
                    raise RuntimeError(f"{path}: an answer differs from the first one")
                count += 1
            return count, time.perf_counter() - since

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        return sum(count / spent for count, spent in threads.map(ask, range(CONNECTIONS)))


def _request(path: str, headers: dict[str, str]) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def _asked(connection: socket.socket, request: bytes, room: bytearray) -> bytes:
    """Send a request; the answer's head must come before *room* is full."""
    connection.sendall(request)
    view, held, end = memoryview(room), 0, -1
    while end < 0:
        held += _more(connection, view[held:])
        end = room.find(b"\r\n\r\n", 0, held)
    head = bytes(view[:end]).decode("latin1").lower().split("\r\n")
    if " 200 " not in f"{head[0]} ":
        raise RuntimeError(f"{request.splitlines()[0].decode()}: {head[0]}")
    (length,) = (int(line.partition(":")[2]) for line in head if line.startswith("content-length:"))
    begin = end + 4
    if begin + length > len(room):
        raise RuntimeError("the answer is longer than there is room for")
    while held < begin + length:
        held += _more(connection, view[held:])
    return bytes(view[begin : begin + length])


def _more(connection: socket.socket, view: memoryview) -> int:
    count = connection.recv_into(view)
    if count == 0:
        raise RuntimeError("the server has closed the connection")
    return count
