"""
What an operator types of what is wanted, and what REST takes for it.

``count=2,vendor_id=8086,physical_network=physnet1`` asks for devices, ``alias=nic,count=2`` by an alias, and
``vnic_type=direct,physical_network=physnet1`` for a port. What begins with ``{`` is a request as REST takes it.
"""

import json
from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace
from typing import Any

Request = dict[str, Any]

_OWN = {"id": "request_id", "request_id": "request_id", "alias": "alias", "numa_policy": "numa_policy"}
_SPEC = {"vendor_id": "vendor_id", "product_id": "product_id", "type": "dev_type", "dev_type": "dev_type"}
_TRUE_OR_FALSE = {"true": True, "false": False}
_KNOWN = "count, vendor_id, product_id, type, physical_network, tag:NAME, alias, vnic_type, trusted, numa_policy, id"
_GRAMMAR = (
    "what is wanted, as in count=2,vendor_id=8086,physical_network=physnet1 (repeat for more requests; all go to one"
    f" host). Words: {_KNOWN}. A JSON object is taken as REST takes it."
)


def add_options(parser: ArgumentParser) -> None:
    """Let a command line say what is wanted, and where the guest is to be."""
    parser.set_defaults(requests=[])
    parser.add_argument(
        "--request", dest="requests", metavar="WORD=VALUE,…", action="append", type=asked, help=_GRAMMAR
    )
    parser.add_argument(
        "--alias",
        dest="requests",
        metavar="NAME[:COUNT]",
        action="append",
        type=by_alias,
        help="so many devices of an alias, as in alias=NAME,count=COUNT",
    )
    parser.add_argument("--host", metavar="<host>", help="on this host, by name or id, and nowhere else")
    parser.add_argument(
        "--numa-node",
        dest="cells",
        metavar="NODE",
        action="append",
        type=_whole,
        help="a NUMA node of the host that the guest's cells lie on (repeat for more)",
    )
    parser.add_argument(
        "--numa-socket",
        dest="sockets",
        metavar="NODE=SOCKET",
        action=_Sockets,
        type=_pair,
        help="the socket of a NUMA node of the host, for numa_policy=socket (repeat for more)",
    )


def body(parser: ArgumentParser, given: Namespace) -> dict[str, Any]:
    """Give what REST takes; a command line that says nothing is wanted ends there."""
    if not given.requests:
        parser.error("say what is wanted, with --request or --alias")
    placed = {"hypervisor": given.host, "cells": given.cells, "sockets": given.sockets}
    return {"requests": given.requests, **{name: each for name, each in placed.items() if each is not None}}


def asked(text: str) -> Request:
    """Read one request."""
    if text.lstrip().startswith("{"):
        return _object(text)
    words = _words(text)
    request: Request = {_OWN[name]: words.pop(name) for name in list(words) if name in _OWN}
    if "count" in words:
        request["count"] = _whole(words.pop("count"))
    if "vnic_type" in words:
        request["port"] = _port(words)
    elif words or "alias" not in request:
        request["specs"] = [_spec(words)]
    if words:
        raise ArgumentTypeError(f"{', '.join(words)}: no such word, or not beside the others; there are {_KNOWN}")
    if len(request.keys() & {"alias", "port", "specs"}) > 1:
        raise ArgumentTypeError("an alias says already which devices: leave out what else says it")
    return request


def by_alias(text: str) -> Request:
    """Read ``NAME`` or ``NAME:COUNT``."""
    name, colon, count = text.rpartition(":")
    return {"alias": name, "count": _whole(count)} if colon else {"alias": text, "count": 1}


class _Sockets(Action):
    def __call__(
        self, _parser: ArgumentParser, namespace: Namespace, values: Any, _option_string: str | None = None
    ) -> None:
        node, socket = values
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), node: socket})


def _words(text: str) -> dict[str, str]:
    words: dict[str, str] = {}
    for each in text.split(","):
        name, equals, value = each.strip().partition("=")
        if not equals or not name or not value:
            raise ArgumentTypeError(f"{each!r}: write WORD=VALUE, with commas between; words are {_KNOWN}")
        if name in words:
            raise ArgumentTypeError(f"{name} stands there twice")
        words[name] = value
    return words


def _spec(words: dict[str, str]) -> dict[str, Any]:
    spec: dict[str, Any] = {_SPEC[name]: words.pop(name) for name in list(words) if name in _SPEC}
    tags = {name: words.pop(name) for name in list(words) if name == "physical_network" or name.startswith("tag:")}
    if tags:
        spec["tags"] = {name.removeprefix("tag:"): value for name, value in tags.items()}
    return spec


def _port(words: dict[str, str]) -> dict[str, Any]:
    port: dict[str, Any] = {name: words.pop(name) for name in ("vnic_type", "physical_network") if name in words}
    if "trusted" in words:
        trusted = words.pop("trusted")
        if trusted not in _TRUE_OR_FALSE:
            raise ArgumentTypeError(f"trusted={trusted}: write true or false")
        port["trusted"] = _TRUE_OR_FALSE[trusted]
    return port


def _object(text: str) -> Request:
    try:
        request: Request = json.loads(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no JSON object: {error}") from None
    return request


def _pair(text: str) -> tuple[str, int]:
    node, equals, socket = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"{text!r}: write NODE=SOCKET, both numbers")
    return str(_whole(node)), _whole(socket)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)
