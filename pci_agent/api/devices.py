"""``os-pci``: the devices of the fleet."""

from collections.abc import Sequence

import falcon

from pci_agent.api.query import Nothing, OnHypervisor, name, read
from pci_agent.api.view import View
from pci_agent.errors import Ambiguous, NotFound
from pci_agent.tracker.store import RowMap, Store


class Devices:
    """All devices: a plain list, and with the suffix *detail* all that is known of each."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def on_get(self, request: falcon.Request, response: falcon.Response, **_path: str) -> None:
        """List all devices."""
        read(Nothing, request)
        response.media = {"pci_devices": [self._view.device(row) for row in self._store.devices()]}

    def on_get_detail(self, request: falcon.Request, response: falcon.Response, **_path: str) -> None:
        """List all devices with all that is known of them."""
        read(Nothing, request)
        response.media = {"pci_devices": [self._view.device_detail(row) for row in self._store.devices()]}


class Device:
    """One device, by id, uuid or device name."""

    def __init__(self, store: Store, view: View) -> None:
        self._store = store
        self._view = view

    def on_get(self, request: falcon.Request, response: falcon.Response, pci_device_id: str, **_path: str) -> None:
        """Show one device."""
        query = read(OnHypervisor, request)
        rows = self._store.devices(name=name(pci_device_id), hypervisor=query.hypervisor)
        response.media = {"pci_device": self._view.device_detail(_only(pci_device_id, rows))}


def _only(asked: str, rows: Sequence[RowMap]) -> RowMap:
    if not rows:
        raise NotFound(f"PCI device {asked} could not be found.")
    if len(rows) > 1:
        hosts = ", ".join(row["hypervisor_hostname"] for row in rows)
        raise Ambiguous(f"PCI device {asked} is on several hosts: {hosts}. Choose one with ?hypervisor=NAME.")
    return rows[0]
