"""``device explain``: why a device is offered or not, by its host's own agent."""

import argparse
from typing import Any

from cliff.columns import FormattableColumn
from cliff.show import ShowOne

from pci_agent.cli.client import api
from pci_agent.cli.device import add_device
from pci_agent.cli.rows import Fields, fields, pci_id
from pci_agent.cli.visible import visible
from pci_agent.errors import CommandFailed


class Judged(FormattableColumn[list[dict[str, Any]]]):
    """The whitelist's entries, each with what it says of a device."""

    def human_readable(self) -> str:
        """Write each entry on a line, with its verdict below."""
        return "\n".join(
            visible(
                f"{each['number']}: {each['entry']}\n   {'matches' if each['matches'] else 'no: ' + each['failed']}"
            )
            for each in self._value
        )


class ExplainDevice(ShowOne):
    """Tell why a device is offered or not: every entry of the host's whitelist, and what to do about it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the device, and its host where it isn't listed."""
        parser = super().get_parser(prog_name)
        add_device(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Fields:
        """Ask the host's agent, by REST."""
        query = {"hypervisor": parsed_args.host}
        told = api(self).get("os-pci", parsed_args.device, "explain", query=query)
        if len(told["explanations"]) != 1:
            several = visible(", ".join(each["address"] for each in told["explanations"]))
            raise CommandFailed(f"{parsed_args.device} names several functions: name one of {several}")
        (why,) = told["explanations"]
        first = {"address": why["address"], "pci_id": pci_id(why), "offered": why["offered"], "entries": why["entries"]}
        rest = {name: value for name, value in why.items() if name not in ("vendor_id", "product_id", *first)}
        names, cells = fields({"hypervisor_hostname": told["hypervisor_hostname"], **first, **rest})
        judged = Judged(why["entries"])
        return names, tuple(judged if name == "entries" else cell for name, cell in zip(names, cells, strict=True))
