"""``device``: the devices of the fleet, one of them, and what became of it."""

import argparse
from collections.abc import Callable
from typing import Any

from cliff.lister import Lister
from cliff.show import ShowOne

from pci_agent.cli import pages
from pci_agent.cli.client import api
from pci_agent.cli.rows import Facts, Fields, Table, fields, pci_id, table

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
    **_COLUMNS,
    "Address": "address",
    "Vendor ID": "vendor_id",
    "Product ID": "product_id",
    "Parent": "parent_addr",
    "NUMA Node": "numa_node",
    "Tags": "tags",
    "Instance": "server_uuid",
    "Request": "request_id",
    "Reason": "status_reason",
    "Extra Info": "extra_info",
}
_HISTORY = {
    "Time": "at",
    "Event": "event",
    "Before": "before",
    "After": "after",
    "Instance": "instance_uuid",
    "Request": "request_id",
}
_FILTERS = {
    "status": ("status", "available, claimed, allocated, unclaimable, unavailable, removed or deleted"),
    "vendor-id": ("vendor_id", "4 hex digits"),
    "product-id": ("product_id", "4 hex digits"),
    "type": ("dev_type", "type-PCI, type-PF, type-VF or vdpa"),
    "address": ("address", "a PCI address, as in 0000:04:10.0"),
    "host": ("hypervisor", "name or id"),
    "compute-node-id": ("compute_node_id", "a host's id"),
    "instance": ("instance_uuid", "who holds it"),
    "request": ("request_id", "by which request"),
    "physical-network": ("physical_network", "a tag of the whitelist"),
}
_TYPES = {"type-pci": "type-PCI", "type-pf": "type-PF", "type-vf": "type-VF", "vdpa": "vdpa"}
_AS_REST: dict[str, Callable[[str], str]] = {
    "status": str.lower,
    "dev_type": lambda typed: _TYPES.get(typed.lower(), typed),
}
_SORT_KEYS = "compute_node_id, id, uuid, address, status, vendor_id, product_id, dev_type"


class ListDevices(Lister):
    """List the PCI devices of all hosts, or those that the options name."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take filters, which part of the list, and --long."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--long", action="store_true", help="show more columns")
        for name, (key, what) in _FILTERS.items():
            parser.add_argument(
                f"--{name}",
                dest=key,
                metavar=f"<{name}>",
                type=_AS_REST.get(key, str),
                help=f"only devices with this: {what}",
            )
        parser.add_argument(
            "--tag",
            metavar="<name>=<value>",
            action="append",
            default=[],
            type=_tag,
            help="only devices with this tag of the whitelist (repeat for more)",
        )
        pages.add_options(parser, "uuid", _SORT_KEYS)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask REST for the list."""
        asked = {key: getattr(parsed_args, key) for key, _ in _FILTERS.values()}
        asked.update({f"tag:{name}": value for name, value in parsed_args.tag})
        asked.update(pages.sorting(parsed_args))
        path = ("os-pci", "detail") if parsed_args.long else ("os-pci",)
        devices = api(self).all("pci_devices", *path, query=asked, **pages.of(parsed_args))
        return table(_LONG if parsed_args.long else _COLUMNS, map(_named, devices))


class ShowDevice(ShowOne):
    """Show all that is known of one PCI device."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the device, and the host where several have one of that name."""
        parser = super().get_parser(prog_name)
        add_device(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Fields:
        """Ask REST for the device."""
        query = {"hypervisor": parsed_args.host}
        return fields(_named(api(self).get("os-pci", parsed_args.device, query=query)["pci_device"]))


class ShowHistory(Lister):
    """Tell what became of one PCI device, the newest first; of one that is gone, by its uuid."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the device, and which part of the list."""
        parser = super().get_parser(prog_name)
        add_device(parser)
        pages.add_options(parser, "id")
        parser.add_argument("--long", action="store_true", help="show more columns")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask REST for the events."""
        query = {"hypervisor": parsed_args.host}
        events = api(self).all("events", "os-pci", parsed_args.device, "history", query=query, **pages.of(parsed_args))
        more = {"ID": "id", "Compute Node ID": "compute_node_id"} if parsed_args.long else {}
        return table({**_HISTORY, **more}, ({**each, **_changes(each)} for each in events))


def add_device(parser: argparse.ArgumentParser) -> None:
    """Let a command line name one device."""
    parser.add_argument("device", metavar="<device>", help="id, uuid, address or name, as in pci_0000_04_10_0")
    parser.add_argument("--host", metavar="<host>", help="the host, where several have a device of that name")


def _changes(event: dict[str, Any]) -> dict[str, Any]:
    """Give a line to each value that an event changed."""
    return {name: Facts(event[name]) for name in ("before", "after") if event[name] is not None}


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r}: write <name>=<value>")
    return name, value


def _named(device: dict[str, Any]) -> dict[str, Any]:
    return {**device, "pci_id": pci_id(device)}
