"""Asks REST. What goes wrong becomes one line that says the cure."""

import json
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
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
        try:
            with self._opener.open(f"{url}?{urlencode(asked)}" if asked else url, timeout=_TIMEOUT_S) as response:
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
