"""``/healthcheck``: whether this process can serve, which is whether the database can be asked."""

import falcon

from pci_agent.tracker.store import Store


class Health:
    """
    Looks after itself.

    Args:
        store: what must be there
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        """Say that all is well; where the database can't be asked that is a fault like any other."""
        self._store.lists.ping()
        response.media = {"status": "ok"}
