"""``whitelist``: what the whitelist of a host matches there, and what another would change."""

import argparse
import json
import logging
import sys
from collections.abc import Iterable
from typing import Any

from cliff.lister import Lister

from pci_agent.cli.client import api
from pci_agent.cli.rows import Table, pci_id, table
from pci_agent.cli.visible import visible
from pci_agent.errors import CommandFailed

LOG = logging.getLogger(__name__)

_ENTRIES = {
    "Number": "number",
    "Entry": "entry",
    "Exclude": "exclude",
    "Tags": "tags",
    "Devices": "devices",
}
_CHANGES = {
    "Change": "change",
    "Address": "address",
    "PCI ID": "pci_id",
    "Type": "dev_type",
    "Tags Now": "tags_now",
    "Tags Then": "tags_then",
    "Host Use": "host_use",
    "Holders": "holders",
}
_KINDS = ("gained", "lost", "retagged", "released")


class ShowWhitelist(Lister):
    """Show the entries of the whitelist in force on a host, and the devices that each decides about."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the host."""
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="<host>", help="name or id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask the host's agent, by REST; what belongs to no entry is told on stderr."""
        told = api(self).get("os-pci-whitelist", parsed_args.host)["whitelist"]
        LOG.info("%s of %s functions are offered", told["offered"], told["functions"])
        for name in told["unresolved_devnames"]:
            LOG.warning("no netdev is called %s there", visible(name))
        _tell_unknown(told["unknown"])
        return table(_ENTRIES, told["entries"])


class PlanWhitelist(Lister):
    """Tell what another whitelist would change on a host; nothing is changed by that."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the host and the whitelist."""
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="<host>", help="name or id")
        given = parser.add_mutually_exclusive_group(required=True)
        given.add_argument(
            "--device-spec",
            metavar="JSON",
            action="append",
            help="a value of [pci] device_spec, as the file would have it (repeat for more)",
        )
        given.add_argument("--file", metavar="<path>", help="a file with a JSON list of entries; - is stdin")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask the host's agent, by REST; what stays is told on stderr."""
        specs = parsed_args.device_spec or _entries(parsed_args.file)
        body = {"device_spec": specs}
        told = api(self).send("POST", "os-pci-whitelist", parsed_args.host, "plan", body=body)["plan"]
        LOG.info("%s devices stay as they are", told["kept"])
        _tell_unknown(told["unknown"])
        return table(_CHANGES, [_change(kind, each) for kind in _KINDS for each in told[kind]])


def _entries(path: str) -> list[Any]:
    try:
        if path == "-":
            text = sys.stdin.read()
        else:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        entries = json.loads(text)
    except (OSError, ValueError) as error:
        raise CommandFailed(f"--file {path} can't be read ({error}): it is to hold a JSON list of entries") from None
    return entries if isinstance(entries, list) else [entries]


def _change(kind: str, device: dict[str, Any]) -> dict[str, Any]:
    held = [f"{each['instance_uuid']} ({each['said_by']})" for each in device["holders"]]
    use = [*device["host_use"], *(f"no longer: {each}" for each in device["freed_from_use"])]
    return {**device, "change": kind, "pci_id": pci_id(device), "host_use": use, "holders": held}


def _tell_unknown(unknown: Iterable[str]) -> None:
    for each in unknown:
        LOG.warning("not known: %s", visible(each))
