"""Asks REST. What goes wrong becomes one line that says the cure."""

import json
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from urllib.request import ProxyHandler, build_opener

from cliff.command import Command

from pci_agent.errors import CommandFailed

DEFAULT_ENDPOINT = "http://127.0.0.1:8799"
_TIMEOUT_S = 30


class Client:
    """
    One API, at version 3.

    Args:
        endpoint: where it is, without a version: ``http://127.0.0.1:8799``
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/").removesuffix("/v3")
        # A proxy stands between this machine and others, never before its own loopback.
        local = urlsplit(self._endpoint).hostname in ("127.0.0.1", "::1", "localhost")
        self._opener = build_opener(ProxyHandler({})) if local else build_opener()

    @classmethod
    def of(cls, command: Command) -> Self:
        """Give the API that the command line names."""
        return cls(command.app_args.os_endpoint if command.app_args is not None else DEFAULT_ENDPOINT)

    def get(self, *path: str, **query: str | None) -> Any:
        """
        Get one document below ``/v3``.

        Args:
            path: its parts; each may hold any character
            query: parameters; those that are None are left out

        Raises:
            CommandFailed: no answer, or a fault; the text is the server's where it gave one.
        """
        if not all(path):
            raise CommandFailed("a name is empty: give an id, a uuid or a name")
        if not self._endpoint.startswith(("http://", "https://")):
            raise CommandFailed(f"--os-endpoint {self._endpoint}: write it with http:// or https:// in front")
        asked = {name: value for name, value in query.items() if value is not None}
        url = "/".join([self._endpoint, "v3", *(quote(part, safe="") for part in path)])
        return self._got(f"{url}?{urlencode(asked)}" if asked else url)

    def all(self, key: str, *path: str, **query: str | None) -> list[Any]:
        """
        Get a whole list, page by page.

        Args:
            key: what the list is called in its document
            path: as *get* takes it
            query: likewise

        Raises:
            CommandFailed: as *get* does.
        """
        document = self.get(*path, **query)
        items: list[Any] = document[key]
        while links := document.get(f"{key}_links"):
            # A proxy may have another name for the API than we do: only the question is taken from the link.
            document = self.get(*path, **dict(parse_qsl(urlsplit(links[0]["href"]).query)))
            items += document[key]
        return items

    def _got(self, url: str) -> Any:
        try:
            with self._opener.open(url, timeout=_TIMEOUT_S) as response:
                return json.load(response)
        except HTTPError as error:
            raise CommandFailed(_fault(error)) from None
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise CommandFailed(
                f"no API answers at {self._endpoint} ({reason}): start pci-api, or name another with --os-endpoint"
            ) from None


def _fault(error: HTTPError) -> str:
    try:
        (fault,) = json.load(error).values()
        return f"{fault['message']} (HTTP {error.code})"
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"the API answered HTTP {error.code} {error.reason}"
