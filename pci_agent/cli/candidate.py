"""``candidate list``: which hosts could serve requests now, and why others can't."""

import argparse
import logging
from collections.abc import Iterator
from typing import Any

from cliff.lister import Lister

from pci_agent.cli import wanted
from pci_agent.cli.client import api
from pci_agent.cli.rows import Table, table
from pci_agent.cli.visible import visible

LOG = logging.getLogger(__name__)

_COLUMNS = {"ID": "id", "Host": "hypervisor_hostname", "Free": "free"}


class ListCandidates(Lister):
    """
    List the hosts that could serve what is wanted, the fullest first; nothing is changed by that.

    Where none can, stderr tells how many hosts each filter left, and what was amiss on some.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take what is wanted."""
        self._parser = super().get_parser(prog_name)
        wanted.add_options(self._parser)
        self._parser.add_argument("--limit", metavar="<number>", type=int, help="so many hosts at most (default: 10)")
        self._parser.add_argument("--explain", action="store_true", help="tell on stderr what each filter left anyhow")
        return self._parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask REST for them."""
        body = {**wanted.body(self._parser, parsed_args), "explain": parsed_args.explain}
        if parsed_args.limit is not None:
            body["limit"] = parsed_args.limit
        told = api(self).send("POST", "os-pci", "candidates", body=body)
        for line in _lines(told):
            LOG.warning("%s", visible(line))
        return table(_COLUMNS, told["candidates"])


def _lines(told: dict[str, Any]) -> Iterator[str]:
    if told["cut"]:
        yield told["cut"]
    why = told["explanation"]
    if why is None:
        return
    yield "hosts that each filter left: " + ", ".join(
        f"{each['filter']} {each['hosts_left']}" for each in why["filters"]
    )
    for each in why["near_misses"]:
        yield f"{each['hypervisor_hostname']} failed {each['failed']}: {'; '.join(each['why'])}"
    if why["cut"]:
        yield why["cut"]
