"""
``servers``: which devices an instance holds. Only instances that hold one are known here.

Who may not see every project's sees those of the own project, and of another no more than that there is none.
"""

from pci_agent.api.access import ALL_SERVERS
from pci_agent.api.call import Call, Nothing
from pci_agent.api.pages import Paged, links, page
from pci_agent.api.view import Document
from pci_agent.errors import NotFound
from pci_agent.tracker.store import RowMap, Store

_LIST, _SHOW = "servers:detail", "servers:show"


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
        asked, everybodys = page(call.query(Paged), self._most), call.caller.may(ALL_SERVERS)
        own = None if everybodys else _own_project(call)
        listed = self._store.lists.servers(asked, project_id=own)
        held: dict[str, list[RowMap]] = {instance: [] for instance in listed.rows}
        for row in self._store.lists.held(listed.rows):
            if everybodys or row["project_id"] == own:
                held[row["instance_uuid"]].append(row)
        more = links(call, "servers", listed.rows[-1]) if listed.more else {}
        return {"servers": [call.view.server_in_list(each, rows) for each, rows in held.items() if rows], **more}

    def show(self, call: Call) -> Document:
        """Show the devices of one instance."""
        call.query(Nothing)
        server_id = call.name("server_id")
        rows = [row for row in self._store.devices(instance_uuid=server_id) if _may_see(call, row)]
        if not rows:
            raise NotFound(f"Server {server_id} holds no PCI device on any host.")
        return {"server": call.view.server(server_id, rows)}


def _own_project(call: Call) -> str:
    """
    Name the project whose instances the caller may list.

    Raises:
        falcon.HTTPForbidden: none.
    """
    own = call.caller.project_id
    if own is None or not call.caller.may(_LIST, project_id=own):
        raise call.caller.forbidden(_LIST)
    return own


def _may_see(call: Call, row: RowMap) -> bool:
    return call.caller.may(_SHOW, project_id=row["project_id"])
