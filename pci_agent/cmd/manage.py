"""``pci-tracker-manage``: the tracker's database, by hand."""

import argparse
import sys
from collections.abc import Sequence

from pci_agent.cmd import process
from pci_agent.cmd.tracker import configuration
from pci_agent.tracker.database import check, connect, upgrade


def main() -> int:
    """Run the command that the arguments name."""
    return process.run(lambda: _main(sys.argv[1:]))


def _main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="pci-tracker-manage", description="Looks after the tracker's database.", allow_abbrev=False
    )
    parser.add_argument(
        "command",
        choices=("upgrade", "check"),
        help="upgrade: bring the schema to this version's; check: only tell whether it is",
    )
    parser.add_argument(
        "--config-file", metavar="PATH", action="append", default=[], help="instead of pci-tracker.conf"
    )
    asked = parser.parse_args(arguments)
    files = [part for path in asked.config_file for part in ("--config-file", path)]
    conf = configuration(files, "Looks after the tracker's database.")
    engine = connect(conf.database.connection)
    if asked.command == "upgrade":
        upgrade(engine)
    print(f"the schema is {check(engine)}, as this version needs it")  # noqa: T201 - the command's answer
