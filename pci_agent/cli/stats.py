"""``stats``: how many devices of each kind are free, used and there, host by host."""

import argparse
from typing import Any

from cliff.lister import Lister

from pci_agent.cli.client import api
from pci_agent.cli.hypervisor import blocked
from pci_agent.cli.rows import Table, table

_COLUMNS = {
    "Host": "host",
    "Vendor ID": "vendor_id",
    "Product ID": "product_id",
    "Type": "dev_type",
    "NUMA Node": "numa_node",
    "Parent": "parent_addr",
    "Physical Network": "physical_network",
    "Free": "free",
    "Used": "used",
    "Blocked": "blocked",
    "Total": "total",
    "Tags": "tags",
}
_NO_TAGS = {*_COLUMNS.values(), "count"}


class ShowStats(Lister):
    """List the pools of devices that are alike, of all hosts or of one."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the host."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--host", metavar="<host>", help="only this one's, by name or id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        """Ask REST for the hosts' stats."""
        if parsed_args.host is None:
            hypervisors = api(self).all("hypervisors", "os-hypervisors")
        else:
            hypervisors = [api(self).get("os-hypervisors", parsed_args.host)["hypervisor"]]
        return table(_COLUMNS, (_pool(host, pool) for host in hypervisors for pool in host["os-pci:pci_stats"]))


def _pool(host: dict[str, Any], pool: dict[str, Any]) -> dict[str, Any]:
    """Part a pool's tags from what every pool has."""
    tags = {name: value for name, value in pool.items() if name not in _NO_TAGS}
    return {**pool, "blocked": blocked(pool), "host": host["hypervisor_hostname"], "tags": tags}
