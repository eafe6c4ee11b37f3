"""``allocation``: gives devices to an instance, and takes them back."""

import argparse
import logging
from typing import Any
from uuid import uuid4

from cliff.command import Command
from cliff.lister import Lister

from pci_agent.cli import wanted
from pci_agent.cli.client import api
from pci_agent.cli.rows import Table, table
from pci_agent.cli.visible import visible

LOG = logging.getLogger(__name__)

_COLUMNS = {
    "Request": "request_id",
    "State": "state",
    "Confirmed": "confirmed",
    "Host": "hypervisor_hostname",
    "Devices": "addresses",
    "Reason": "reason",
}
_LONG = {**_COLUMNS, "UUIDs": "uuids", "Attempt": "attempt", "Verdict": "verdict"}
_RELEASING = "releasing"


class CreateAllocation(Lister):
    """Claim devices for an instance: for all requests on one host, or none. What it has already stays as it is."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the instance and what is wanted."""
        self._parser = super().get_parser(prog_name)
        _add_instance(self._parser)
        wanted.add_options(self._parser)
        self._parser.add_argument("--project", metavar="<project-id>", help="the instance's project")
        self._parser.add_argument("--user", metavar="<user-id>", help="the instance's user")
        self._parser.add_argument(
            "--lifetime",
            metavar="<seconds>",
            type=float,
            help="how long the claim lasts unless it is confirmed (default: the agent's claim_lifetime_s)",
        )
        return self._parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Have it claimed, by REST; a request without an id gets a new one."""
        asked = wanted.body(self._parser, parsed_args)
        requests = [{"request_id": str(uuid4()), **each} for each in asked["requests"]]
        owner = {
            "project_id": parsed_args.project,
            "user_id": parsed_args.user,
            "lifetime_s": parsed_args.lifetime,
        }
        body = {**asked, "requests": requests, **{name: each for name, each in owner.items() if each is not None}}
        return _told(self, parsed_args, "PUT", body=body)


class ShowAllocation(Lister):
    """Show how the requests of an instance stand."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the instance."""
        parser = super().get_parser(prog_name)
        _add_instance(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask REST for them."""
        return _told(self, parsed_args, "GET")


class ConfirmAllocation(Lister):
    """Allocate what an instance has claimed, as the start of its domain does by itself."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the instance, and which requests."""
        parser = super().get_parser(prog_name)
        _add_instance(parser)
        parser.add_argument(
            "--request",
            metavar="<request>",
            action="append",
            help="this request of it (repeat for more; default: all)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Have it allocated, by REST."""
        body = {"request_ids": parsed_args.request} if parsed_args.request else {}
        return _told(self, parsed_args, "POST", "confirm", body=body)


class DeleteAllocation(Command):
    """Take back what an instance has: all of it, one request, or what it has on one host."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the instance, and which part."""
        parser = super().get_parser(prog_name)
        parser.add_argument("instance", metavar="<instance>", help="its uuid")
        parser.add_argument("--request", metavar="<request>", help="this request of it alone")
        parser.add_argument("--host", metavar="<host>", help="on this host alone; needed while it has devices on two")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Have it freed, by REST; what waits for a domain to let go is told on stderr."""
        query = {"request_id": parsed_args.request, "hypervisor": parsed_args.host}
        answer = api(self).send("DELETE", "os-pci", "allocations", parsed_args.instance, query=query)
        told = answer["allocation"]
        if told["verdict"] == _RELEASING:
            reason = told["reason"] or "a running domain still has it: it is freed when the domain lets go"
            LOG.warning("%s", visible(reason))


def _add_instance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("instance", metavar="<instance>", help="its uuid")
    parser.add_argument("--long", action="store_true", help="show more columns")


def _told(command: Lister, given: argparse.Namespace, method: str, *below: str, body: object = None) -> Table:
    answer = api(command).send(method, "os-pci", "allocations", given.instance, *below, body=body)
    return table(_LONG if given.long else _COLUMNS, map(_summed, answer["allocation"]["requests"]))


def _summed(request: dict[str, Any]) -> dict[str, Any]:
    devices = request["devices"]
    return {
        **request,
        "addresses": [each["address"] for each in devices],
        "uuids": [each["uuid"] for each in devices],
    }
