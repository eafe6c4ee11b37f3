"""Asks REST. What goes wrong becomes one line that says the cure. How a question gets there is a transport's matter."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from cliff.command import Command

from pci_agent.cli.visible import visible
from pci_agent.errors import CommandFailed

TIMEOUT_S = 120
"""A claim may wait for three silent hosts, ``[tracker] rpc_timeout_s`` each."""

_OK = range(200, 300)
_UNAUTHORIZED = 401
_VERSION = re.compile(r"/v[23](/[^/]*)?$")
_MOST = 100_000
_OPTIONS = {"?hypervisor=NAME": "--host NAME", "?request_id=ID": "--request ID"}
Query = Mapping[str, str | None]


class Transport(Protocol):
    """How questions get to an API."""

    @property
    def endpoint(self) -> str:
        """Where the API is, as the command line or the catalogue has it."""

    def send(self, method: str, url: str, body: bytes | None) -> tuple[int, bytes]:
        """
        Give the code and the body of an answer, whatever it is.

        Raises:
            CommandFailed: there is none.
        """

    @property
    def who(self) -> str:
        """What to do where the API wants to know who asks."""


class Client:
    """
    One API, at version 3.

    Args:
        transport: gets questions there
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, *path: str, query: Query | None = None) -> Any:
        """
        Get one document below ``/v3``.

        Args:
            path: its parts; each may hold any character
            query: parameters; those that are None are left out

        Raises:
            CommandFailed: no answer, or a fault; the text is the server's where it gave one.
        """
        return self.send("GET", *path, query=query)

    def all(
        self, key: str, *path: str, query: Query | None = None, limit: int | None = None, marker: str | None = None
    ) -> list[Any]:
        """
        Get a whole list, page by page, or the first *limit* items after *marker*.

        Args:
            key: what the list is called in its document
            path: as *get* takes it
            query: likewise
            limit: so many items at most; None: all
            marker: what the item before the first is named by; None: from the beginning

        Raises:
            CommandFailed: as *get* does.
        """
        items: list[Any] = []
        for page in self._pages(key, path, {**(query or {}), "marker": marker}, limit):
            items += page
            if limit is not None and len(items) >= limit:
                return items[:limit]
        return items

    def send(self, method: str, *path: str, query: Query | None = None, body: object = None) -> Any:
        """
        Do what a method does to one document below ``/v3``, and give the answer's.

        Args:
            method: HTTP's
            path: as *get* takes it
            query: likewise
            body: anything that JSON can say; None sends none

        Raises:
            CommandFailed: as *get* does.
        """
        if not all(path):
            raise CommandFailed("a name is empty: give an id, a uuid or a name")
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        root = _VERSION.sub("", self._transport.endpoint.rstrip("/"))
        url = "/".join([root, "v3", *(quote(part, safe="") for part in path)])
        code, answer = self._transport.send(
            method,
            f"{url}?{urlencode(asked)}" if asked else url,
            None if body is None else json.dumps(body).encode(),
        )
        if code not in _OK:
            raise CommandFailed(_fault(code, answer) + (f": {self._transport.who}" if code == _UNAUTHORIZED else ""))
        return self._read(answer)

    def _pages(self, key: str, path: tuple[str, ...], query: Query, limit: int | None) -> Iterator[list[Any]]:
        asked = {**query, "limit": None if limit is None else str(min(limit, _MOST))}
        while True:
            document = self.get(*path, query=asked)
            yield document[key]
            links = document.get(f"{key}_links")
            if not links:
                return
            # A proxy may have another name for the API than we do: only the question is taken from the link.
            asked = dict(parse_qsl(urlsplit(links[0]["href"]).query))

    def _read(self, answer: bytes) -> Any:
        try:
            return json.loads(answer) if answer else None
        except ValueError:
            raise CommandFailed(
                f"what answers at {self._transport.endpoint} isn't pci-api: name where it is with --os-endpoint"
            ) from None


def api(command: Command) -> Client:
    """Give the API that a command speaks to, in ``pcictl`` and in ``openstack`` alike."""
    return cast("Client", cast("Any", command.app).client_manager.pci)


def _fault(code: int, answer: bytes) -> str:
    """Give what a fault says, on one line and with our words for its cures."""
    try:
        (fault,) = json.loads(answer).values()
        message = " ".join(fault["message"].split())
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"the API answered HTTP {code}"
    for parameter, option in _OPTIONS.items():
        message = message.replace(parameter, option)
    return f"{visible(message)} (HTTP {code})"
