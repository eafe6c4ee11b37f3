"""
The table of contents of the API.

Two versions serve the same resources with different views. Without authentication yet, so it may only be
bound to 127.0.0.1; see serving.py.
"""

from typing import Any

import falcon
import falcon.media
import orjson

from pci_agent import __version__
from pci_agent.api import faults, v2, v3
from pci_agent.api.devices import Device, Devices
from pci_agent.api.hypervisors import Hypervisor, Hypervisors
from pci_agent.api.servers import Server
from pci_agent.tracker.store import Store

PREFIXES = {"/v2/{tenant_id}": v2.VIEW, "/v3": v3.VIEW}


class Versions:
    """What is served here."""

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """List the versions of the API."""
        response.media = {
            "name": "pci-agent",
            "version": __version__,
            "versions": [
                {"id": prefix.split("/")[1], "links": [{"rel": "self", "href": f"{request.prefix}{prefix}/os-pci"}]}
                for prefix in PREFIXES
            ],
        }


def application(store: Store) -> falcon.App[Any, Any]:
    """Assemble the WSGI application."""
    app: falcon.App[Any, Any] = falcon.App()
    app.req_options.strip_url_path_trailing_slash = True
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = falcon.media.JSONHandler(dumps=orjson.dumps)
    faults.install(app)
    app.add_route("/", Versions())
    for prefix, view in PREFIXES.items():
        devices = Devices(store, view)
        app.add_route(f"{prefix}/os-pci", devices)
        app.add_route(f"{prefix}/os-pci/detail", devices, suffix="detail")
        app.add_route(f"{prefix}/os-pci/{{pci_device_id}}", Device(store, view))
        app.add_route(f"{prefix}/os-hypervisors", Hypervisors(store, view))
        app.add_route(f"{prefix}/os-hypervisors/{{hypervisor_hostname}}", Hypervisor(store, view))
        app.add_route(f"{prefix}/servers/{{server_id}}", Server(store, view))
    return app
