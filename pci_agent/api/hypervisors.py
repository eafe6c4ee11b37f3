"""``os-hypervisors``: the hosts and their PCI stats."""

import falcon

from pci_agent.api.query import Nothing, name, read
from pci_agent.api.view import View
from pci_agent.errors import NotFound
from pci_agent.tracker.store import Store


class Hypervisors:
    """All hosts that an agent speaks for."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def on_get(self, request: falcon.Request, response: falcon.Response, **_path: str) -> None:
        """List all hosts."""
        read(Nothing, request)
        response.media = {"hypervisors": [self._view.hypervisor(row) for row in self._store.hypervisors()]}


class Hypervisor:
    """One host, by id or name; a name wins over the id that it looks like."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def on_get(
        self, request: falcon.Request, response: falcon.Response, hypervisor_hostname: str, **_path: str
    ) -> None:
        """Show one host."""
        read(Nothing, request)
        rows = self._store.hypervisors(name(hypervisor_hostname))
        if not rows:
            raise NotFound(f"Hypervisor {hypervisor_hostname} could not be found.")
        response.media = {"hypervisor": self._view.hypervisor_detail(rows[0])}
