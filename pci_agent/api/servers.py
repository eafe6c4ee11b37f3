"""``servers``: which devices an instance holds. Only instances that hold one are known here."""

import falcon

from pci_agent.api.query import Nothing, name, read
from pci_agent.api.view import View
from pci_agent.errors import NotFound
from pci_agent.tracker.store import Store


class Server:
    """One instance, by its uuid."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def on_get(self, request: falcon.Request, response: falcon.Response, server_id: str, **_path: str) -> None:
        """Show the devices of one instance."""
        read(Nothing, request)
        rows = self._store.devices(instance_uuid=name(server_id))
        if not rows:
            raise NotFound(f"Server {server_id} holds no PCI device on any host.")
        response.media = {"server": self._view.server(server_id, rows)}
