"""What is served here: the versions of the API, as OpenStack's clients look for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import falcon

from pci_agent import __version__
from pci_agent.api import answers_v2, answers_v3, v2, v3
from pci_agent.api.access import NOT_KEPT
from pci_agent.api.answers import Answered
from pci_agent.api.view import View


@dataclass(frozen=True, slots=True)
class Version:
    """
    One version.

    Attributes:
        name: in paths and lists
        prefix: what all its paths begin with
        status: CURRENT is what new programs should use
        view: how it shows things
        answers: what that looks like, by a route's name
    """

    name: str
    prefix: str
    status: str
    view: View
    answers: Mapping[str, type[Answered]]

    def document(self, root: str) -> dict[str, Any]:
        """Describe the version; *root* is the API's address."""
        links = [{"rel": "self", "href": f"{root}/{self.name}/"}]
        return {"id": self.name, "status": self.status, "min_version": "", "version": "", "links": links}


VERSIONS = (
    Version("v2", "/v2/{tenant_id}", "SUPPORTED", v2.VIEW, answers_v2.ANSWERS),
    Version("v3", "/v3", "CURRENT", v3.VIEW, answers_v3.ANSWERS),
)


class Versions:
    """All versions."""

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """List them; a browser, which asks for a page, is sent to the one that there is."""
        response.cache_control = NOT_KEPT  # its links lead by the proxy that this caller came by
        response.append_header("Vary", "Accept")
        if "text/html" in (request.get_header("Accept") or ""):
            raise falcon.HTTPFound(f"{request.root_path}/ui/")
        listed = [version.document(request.forwarded_prefix) for version in VERSIONS]
        response.media = {"name": "pci-agent", "version": __version__, "versions": listed}


class OneVersion:
    """One version by its name."""

    def __init__(self, version: Version) -> None:
        self._version = version

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Describe it."""
        response.cache_control = NOT_KEPT
        response.media = {"version": self._version.document(request.forwarded_prefix)}
