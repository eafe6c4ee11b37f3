"""``servers``: which devices an instance holds. Only instances that hold one are known here."""

from pci_agent.api.call import Call, Nothing
from pci_agent.api.pages import Paged, links, page
from pci_agent.api.view import Document
from pci_agent.errors import NotFound
from pci_agent.tracker.store import RowMap, Store


class Servers:
    """
    The instances that hold devices.

    Args:
        store: the fleet
        most: so many items a page
    """

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most

    def detail(self, call: Call) -> Document:
        """List instances with their devices, by uuid."""
        listed = self._store.lists.servers(page(call.query(Paged), self._most))
        held: dict[str, list[RowMap]] = {instance: [] for instance in listed.rows}
        for row in self._store.lists.held(listed.rows):
            held[row["instance_uuid"]].append(row)
        more = links(call, "servers", listed.rows[-1]) if listed.more else {}
        return {"servers": [call.view.server_in_list(each, rows) for each, rows in held.items() if rows], **more}

    def show(self, call: Call) -> Document:
        """Show the devices of one instance."""
        call.query(Nothing)
        server_id = call.name("server_id")
        rows = self._store.devices(instance_uuid=server_id)
        if not rows:
            raise NotFound(f"Server {server_id} holds no PCI device on any host.")
        return {"server": call.view.server(server_id, rows)}
