"""``hypervisor``: the hosts and how many devices each has to offer."""

import argparse
from typing import Any

from cliff.lister import Lister
from cliff.show import ShowOne

from pci_agent.cli import pages
from pci_agent.cli.client import api
from pci_agent.cli.rows import Fields, Table, fields, table

_COLUMNS = {
    "ID": "id",
    "Host": "hypervisor_hostname",
    "State": "state",
    "Free": "free",
    "Used": "used",
    "Blocked": "blocked",
    "Total": "total",
    "Remarks": "remarks",
}
_LONG = {
    **_COLUMNS,
    "Last Seen": "last_seen",
    "Agent Version": "agent_version",
    "Free By Network": "physical_networks",
    "Problems": "problems",
}


class ListHypervisors(Lister):
    """List the hosts that an agent speaks for: how many devices are free, used, neither (blocked), and there."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take a filter, which part of the list, and --long."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--long", action="store_true", help="show more columns")
        parser.add_argument("--state", metavar="<state>", type=str.lower, help="only hosts that are up, or down")
        pages.add_options(parser, "host", "hypervisor_hostname, id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask REST for the list."""
        query = {"state": parsed_args.state, **pages.sorting(parsed_args)}
        hypervisors = api(self).all("hypervisors", "os-hypervisors", "detail", query=query, **pages.of(parsed_args))
        return table(_LONG if parsed_args.long else _COLUMNS, map(_counted, hypervisors))


class ShowHypervisor(ShowOne):
    """Show one host, its PCI stats and how its agent fares."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the host."""
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="<host>", help="name or id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Fields:
        """Ask REST for the host."""
        return fields(api(self).get("os-hypervisors", parsed_args.host)["hypervisor"])


def _counted(hypervisor: dict[str, Any]) -> dict[str, Any]:
    stats = hypervisor["os-pci:pci_stats"]
    counts = {name: sum(pool[name] for pool in stats) for name in ("free", "used", "total")}
    counts["blocked"] = blocked(counts)
    return {**hypervisor, **counts, "remarks": _remarks(hypervisor)}


def blocked(counts: dict[str, int]) -> int:
    """Count the devices that are neither free nor held by anybody."""
    return max(0, counts["total"] - counts["free"] - counts["used"])


def _remarks(hypervisor: dict[str, Any]) -> list[str]:
    """Say what is out of the ordinary with a host."""
    refused = hypervisor.get("refused_agent")
    remarks = {
        "it only observes": hypervisor.get("observing"),
        f"its agent is older: {hypervisor.get('agent_version')}": hypervisor.get("agent_is_older"),
        f"another agent was refused: {(refused or {}).get('agent_uuid')}": refused,
    }
    return [remark for remark, holds in remarks.items() if holds] + _counted_problems(hypervisor.get("problems") or [])


def _counted_problems(problems: list[Any]) -> list[str]:
    """Say how many there are, as the page does; --long tells them."""
    return [f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"] if problems else []
