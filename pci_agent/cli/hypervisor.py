"""``pcictl hypervisor``: the hosts and how many devices each has to offer."""

import argparse
from collections.abc import Iterable
from typing import Any

from cliff.lister import Lister
from cliff.show import ShowOne

from pci_agent.cli.client import Client
from pci_agent.cli.rows import shown


class ListHypervisors(Lister):
    """List the hosts that an agent speaks for."""

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Iterable[Any]]:  # noqa: ARG002
        """Ask REST for the list."""
        hypervisors = Client.of(self).all("hypervisors", "os-hypervisors")
        return ("ID", "Host", "State", "Free", "Total", "Remarks"), [_row(hypervisor) for hypervisor in hypervisors]


class ShowHypervisor(ShowOne):
    """Show one host, its PCI stats and how its agent fares."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the host."""
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="<host>", help="name or id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """Ask REST for the host."""
        hypervisor = Client.of(self).get("os-hypervisors", parsed_args.host)["hypervisor"]
        return tuple(hypervisor), tuple(shown(value) for value in hypervisor.values())


def _row(hypervisor: dict[str, Any]) -> tuple[Any, ...]:
    stats = hypervisor["os-pci:pci_stats"]
    return (
        hypervisor["id"],
        hypervisor["hypervisor_hostname"],
        hypervisor["state"],
        sum(pool["count"] for pool in stats),
        sum(pool["total"] for pool in stats),
        shown(_remarks(hypervisor)),
    )


def _remarks(hypervisor: dict[str, Any]) -> list[str]:
    """Say what is out of the ordinary with a host."""
    refused = hypervisor.get("refused_agent")
    remarks = {
        "it only observes": hypervisor.get("observing"),
        f"its agent is older: {hypervisor.get('agent_version')}": hypervisor.get("agent_is_older"),
        f"another agent was refused: {(refused or {}).get('agent_uuid')}": refused,
    }
    return [remark for remark, holds in remarks.items() if holds]
