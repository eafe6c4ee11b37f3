"""``server``: the instances that hold devices."""

import argparse
from typing import Any

from cliff.lister import Lister
from cliff.show import ShowOne

from pci_agent.cli import pages
from pci_agent.cli.client import api
from pci_agent.cli.rows import Fields, Table, fields, table

_COLUMNS = {
    "ID": "id",
    "Project ID": "tenant_id",
    "Host": "hosts",
    "PCI Devices": "addresses",
}
_LONG = {**_COLUMNS, "User ID": "user_id", "UUIDs": "uuids"}


class ListServers(Lister):
    """List the instances that hold PCI devices, and which."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take which part of the list, and --long."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--long", action="store_true", help="show more columns")
        pages.add_options(parser, "uuid")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask REST for the list."""
        servers = api(self).all("servers", "servers", "detail", **pages.of(parsed_args))
        return table(_LONG if parsed_args.long else _COLUMNS, map(_summed, servers))


class ShowServer(ShowOne):
    """Show the PCI devices that one instance holds."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the instance."""
        parser = super().get_parser(prog_name)
        parser.add_argument("server", metavar="<server>", help="the instance's uuid")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Fields:
        """Ask REST for the instance."""
        return fields(api(self).get("servers", parsed_args.server)["server"])


def _summed(server: dict[str, Any]) -> dict[str, Any]:
    devices = server["os-pci:pci_devices"]
    return {
        **server,
        "hosts": sorted({each["hypervisor_hostname"] for each in devices}),
        "uuids": [each["uuid"] for each in devices],
        "addresses": [each["address"] for each in devices],
    }
