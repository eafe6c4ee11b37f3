"""``pcictl device``: the devices of the fleet."""

import argparse
from collections.abc import Iterable
from typing import Any

from cliff.lister import Lister
from cliff.show import ShowOne

from pci_agent.cli.client import Client
from pci_agent.cli.rows import shown

_COLUMNS = {
    "ID": "id",
    "UUID": "uuid",
    "Name": "dev_id",
    "PCI ID": "pci_id",
    "Type": "dev_type",
    "Status": "status",
    "Host": "hypervisor_hostname",
}
_LONG = {
    "Address": "address",
    "Parent": "parent_addr",
    "NUMA Node": "numa_node",
    "Tags": "tags",
    "Request": "request_id",
    "Reason": "status_reason",
}


class ListDevices(Lister):
    """List the PCI devices of all hosts."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take --long."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--long", action="store_true", help="show more columns")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Iterable[Any]]:
        """Ask REST for the list."""
        columns = {**_COLUMNS, **_LONG} if parsed_args.long else _COLUMNS
        devices = Client.of(self).all("pci_devices", "os-pci")
        return tuple(columns), [tuple(shown(_named(device)[key]) for key in columns.values()) for device in devices]


class ShowDevice(ShowOne):
    """Show all that is known of one PCI device."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the device, and the host where several have one of that name."""
        parser = super().get_parser(prog_name)
        parser.add_argument("device", metavar="<device>", help="id, uuid or name, as in pci_0000_04_10_0")
        parser.add_argument("--host", metavar="<host>", help="the host, where several have a device of that name")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """Ask REST for the device."""
        device = _named(Client.of(self).get("os-pci", parsed_args.device, hypervisor=parsed_args.host)["pci_device"])
        return tuple(device), tuple(shown(value) for value in device.values())


def _named(device: dict[str, Any]) -> dict[str, Any]:
    return {**device, "pci_id": f"{device['vendor_id']}:{device['product_id']}"}
