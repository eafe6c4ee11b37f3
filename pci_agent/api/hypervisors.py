"""``os-hypervisors``: the hosts and their PCI stats."""

from collections.abc import Callable
from typing import Literal

from pci_agent.api.call import Call, Nothing
from pci_agent.api.pages import SortedHosts, links, page
from pci_agent.api.view import Document
from pci_agent.errors import NotFound
from pci_agent.tracker.store import RowMap, Store


class HostsQuery(SortedHosts):
    """
    Which hosts, which page of them, in which order.

    Attributes:
        state: whether they were heard of lately
    """

    state: Literal["up", "down"] | None = None


class Hypervisors:
    """
    The hosts that an agent speaks for.

    Args:
        store: the fleet
        most: so many items a page
    """

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most

    def index(self, call: Call) -> Document:
        """List hosts."""
        return self._listed(call, call.view.hypervisor)

    def detail(self, call: Call) -> Document:
        """List hosts with all that is known of them."""
        return self._listed(call, call.view.hypervisor_in_list)

    def show(self, call: Call) -> Document:
        """Show one host, by id or name."""
        call.query(Nothing)
        return {"hypervisor": call.view.hypervisor_alone(self.only(call.name("hypervisor_hostname")))}

    def only(self, name: str) -> RowMap:
        """
        Find a host's row; a name wins over the id that it looks like.

        Raises:
            NotFound: there is none.
        """
        rows = self._store.hypervisors(name)
        if not rows:
            raise NotFound(f"Hypervisor {name} could not be found.")
        return rows[0]

    def _listed(self, call: Call, shown: Callable[[RowMap], Document]) -> Document:
        asked = call.query(HostsQuery)
        up = None if asked.state is None else asked.state == "up"
        listed = self._store.lists.hypervisors(page(asked, self._most), up=up)
        more = links(call, "hypervisors", listed.rows[-1]["hypervisor_hostname"]) if listed.more else {}
        return {"hypervisors": [shown(row) for row in listed.rows], **more}
