"""
What a broker may carry that isn't ours, or isn't whole: as bytes on the wire, with the properties that go with them.

Every kind is here: bodies that are no JSON, JSON that is no call, calls of nothing there is, and calls whose one
message has one thing wrong with it, anywhere in it. *readable* tells whether that message can be read all the same.
"""

import base64
import copy
import json
import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import amqp  # type: ignore[import-untyped]

from pci_agent.errors import MessageRefused
from pci_agent.wire.messages import Model, unpack

JSON = {"content_type": "application/json", "content_encoding": "utf-8"}
GONE = "a field that isn't there"


@dataclass(frozen=True)
class Strange:
    """
    One message.

    Attributes:
        what: is wrong with it
        body: as it crosses the wire
        properties: of AMQP
        readable: True where it is odd and can be read
    """

    what: str
    body: bytes
    properties: Mapping[str, Any] = field(default_factory=lambda: JSON)
    readable: bool = False


def publish(url: str, queue: str, *messages: Strange) -> None:
    """Put messages on a queue, around all of our code, and wait until the broker has them."""
    has: list[int] = [0]
    with _connected(url) as opened:
        channel = opened.channel()
        channel.events["basic_ack"].add(lambda number, _all: has.append(number))
        channel.confirm_select()
        for each in messages:
            channel.basic_publish(amqp.Message(each.body, **each.properties), routing_key=queue)
        while max(has) < len(messages):
            opened.drain_events(timeout=30)


def waiting(url: str, queue: str) -> int:
    """Count the messages on a queue that nobody has."""
    with _connected(url) as opened:
        count: int = opened.channel().queue_declare(queue, passive=True).message_count
    return count


def _connected(url: str) -> Any:
    place = urlsplit(url)
    return amqp.Connection(f"{place.hostname}:{place.port}", userid=place.username, password=place.password)


def packed(document: object) -> str:
    """Write a document as the text that crosses the bus; anything that Python's json writes, NaN too."""
    return base64.b64encode(zlib.compress(json.dumps(document).encode())).decode()


def call(method: object, body: object, **more: object) -> bytes:
    """Write a call as oslo.messaging does; *more* goes beside its method and arguments."""
    return envelope(json.dumps({"method": method, "args": {"body": body}, "version": "1.0", **more}))


def envelope(message: object, version: object = "2.0") -> bytes:
    """Put a call into oslo.messaging's envelope."""
    return json.dumps({"oslo.version": version, "oslo.message": message}).encode()


def not_json() -> Iterator[Strange]:
    """Give bodies that can't even be taken out of their AMQP message."""
    good = call("heartbeat", packed({}))
    yield Strange("nothing at all", b"")
    yield Strange("no JSON", b"hello")
    yield Strange("no UTF-8", b"\xff\xfe{}")
    yield Strange("a broken envelope", good[:-7])
    yield Strange("deep", b"[" * 100_000)
    yield Strange("text", good, {"content_type": "text/plain", "content_encoding": "utf-8"})
    yield Strange("a pickle", b"\x80\x03N.", {"content_type": "application/x-python-serialize"})
    yield Strange("of an unknown type", good, {"content_type": "application/x-unknown", "content_encoding": "utf-8"})
    yield Strange("in an unknown encoding", good, {"content_type": "application/json", "content_encoding": "utf-99"})
    yield Strange("compressed", good, {**JSON, "application_headers": {"compression": "application/x-gzip"}})
    inflating = {**JSON, "application_headers": {"compression": "application/x-gzip"}}
    yield Strange("400 MB when it is inflated", zlib.compress(b" " * 400_000_000, 1), inflating)
    yield Strange("unknowably compressed", good, {**JSON, "application_headers": {"compression": "banana"}})


def not_calls() -> Iterator[Strange]:
    """Give JSON that is no call of a method."""
    for document in (None, True, 7, "hello", [], [1], [["method", "report"]], {}, {"oslo.version": "2.0"}, {"a": 1}):
        yield Strange(f"the JSON {document}", json.dumps(document).encode())
    odd: Any
    for odd in ("3.0", "2.9", "1.0", "", "banana", 7, None, [], {}):
        yield Strange(f"an envelope of version {odd}", envelope(json.dumps({}), odd))
    for odd in (None, 7, [], {}, "", "{", "7", "null", "[]", "{}", '"text"', "[" * 500 + "]" * 500, "NaN"):
        yield Strange(f"an envelope with {str(odd)[:20]}", envelope(odd))


def odd_calls() -> Iterator[Strange]:
    """Give calls of what there isn't, and calls with arguments of another shape."""
    odd: Any
    body = packed({})
    for odd in (
        None,
        7,
        [],
        {},
        "",
        "banana",
        "_answer",
        "__init__",
        "__class__",
        "answered",
        "report\0",
        "é" * 999,
    ):
        yield Strange(f"the method {str(odd)[:20]!r}", call(odd, body))
    for args in (None, 7, "text", [], [1], {}, {"body": 1, "more": 2}, {"other": 1}, {"_context": 1}, {"self": 1}):
        yield Strange(f"the arguments {args}", call("report", body, args=args))
    for odd in ("2.0", "1.9", "0.1", "", "banana", 7, None, [], {}):
        yield Strange(f"the version {odd!r} of the call", call("report", body, version=odd))
    more: dict[str, tuple[Any, ...]] = {
        "_reply_q": ("gone", "", 7, [], {}, "x" * 300),
        "_msg_id": ("m", 7, [], {}, "x" * 300),
        "_timeout": (1, 10**30, -1, "banana", [], {}, *range(10**6, 10**6 + 40)),
        "_unique_id": ("u", 7, [], {}),
        "_context_x": (nested(100), 7),
        "namespace": ("n", 7, [], {}),
    }
    for name, values in more.items():
        for value in values:
            yield Strange(f"{name} {str(value)[:20]}", call("report", body, **{name: value}))
            if name != "_unique_id":  # the second message of one id is a repeated one
                yield Strange(f"{name} {str(value)[:20]} of no method", call("banana", body, **{name: value}))
    for number in range(100):
        called = {"_msg_id": f"m{number}", "_reply_q": f"gone-{number}"}
        yield Strange("a call whose caller is gone", call("report", body, **called))


def breaking_the_connection() -> Strange:
    """Give a call that oslo.messaging fails to take after it was acknowledged: it connects anew then, by itself."""
    return Strange("a deep context", call("report", packed({}), _context_x=nested(500)))


def nested(depth: int) -> Any:
    document: Any = []
    for _ in range(depth):
        document = [document]
    return document


def odd_bodies() -> Iterator[object]:
    """Give what may stand where a packed message should."""
    whole = packed({"version": "1.0"})
    yield from (None, 7, True, [], {}, "", "hello", "é", "\0", whole[:9], whole[:-8], whole + "x", f" {whole}")
    yield base64.b64encode(b"hello").decode()
    for text in (b"", b"{", b"\xff", b"[" * 100_000, b'{"version": "1.0"', b'{"version": NaN}'):
        yield base64.b64encode(zlib.compress(text)).decode()
    yield base64.b64encode(zlib.compress(b" " * 40_000_000)).decode()
    document: Any
    for document in (None, 7, "text", [], {}, nested(400), {"version": 7}, {"version": None}, {"version": [{}]}):
        yield packed(document)


def other_versions(method: str, model: type[Model], good: Mapping[str, Any]) -> Iterator[Strange]:
    """Give calls of one method with a message of another major version, or of none that there could be."""
    for version in ("2.0", "0.9", "10.0", "", "-1", "1.0" * 9999):
        yield _altered(method, model, good, ("version",), version)


def odd_messages(method: str, model: type[Model], good: Mapping[str, Any]) -> Iterator[Strange]:
    """Give calls of one method with each kind of odd body, and a good message with one thing in it made odd."""
    for body in odd_bodies():
        yield Strange(f"{method}: the body {str(body)[:20]!r}", call(method, body))
    for path in _places(good):
        for value in _VALUES:
            yield _altered(method, model, good, path, value)


_VALUES: tuple[Any, ...] = (
    GONE, None, True, -1, 0, 2**31, 2**63, 10**40, 1.5, float("nan"), float("inf"), "", "text", "\0", "\ud800",
    "x" * 100_000, [], [7], {}, {"a": 1}, [{}] * 20_000, {str(number): number for number in range(20_000)},
)  # fmt: skip


def _places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Name every field and item in a document."""
    items = document.items() if isinstance(document, Mapping) else enumerate(document)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, Mapping | list):
            yield from _places(value, (*path, key))


def _altered(method: str, model: type[Model], good: Mapping[str, Any], path: tuple[Any, ...], value: object) -> Strange:
    document: Any = copy.deepcopy(good)
    place = document
    for key in path[:-1]:
        place = place[key]
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    body = packed(document)
    what = f"{method}: {'.'.join(map(str, path))} is {str(value)[:20]!r}"
    return Strange(what, call(method, body), readable=_is_readable(model, body))


def _is_readable(model: type[Model], body: str) -> bool:
    try:
        unpack(model, body)
    except MessageRefused:
        return False
    return True


def some(count: int, *sources: Callable[[], Iterator[Strange]] | list[Strange]) -> list[Strange]:
    """Take so many of all that the sources give: each of the first ones whole, of the last a share by chance."""
    *whole, drawn = [list(each() if callable(each) else each) for each in sources]
    taken = [each for source in whole for each in source]
    chance = random.Random(7)
    taken += chance.sample(drawn, min(len(drawn), count - len(taken)))
    chance.shuffle(taken)
    return taken
