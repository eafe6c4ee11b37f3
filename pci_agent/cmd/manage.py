"""``pci-tracker-manage``: the tracker's database, by hand."""

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Engine

from pci_agent.cmd import process
from pci_agent.cmd.tracker import configuration, store
from pci_agent.errors import CommandFailed
from pci_agent.tracker.database import check, connect, upgrade
from pci_agent.tracker.store import Store

_DIFFERS = 1
_LONGEST_DAYS = 36500


def main() -> int:
    """Run the command that the arguments name."""
    return process.run(lambda: _main(sys.argv[1:]))


def _main(arguments: Sequence[str]) -> int:
    asked = _parser().parse_args(arguments)
    files = [part for path in asked.config_file for part in ("--config-file", path)]
    conf = configuration(files, "Looks after the tracker's database.")
    if asked.command in ("upgrade", "check"):
        return _schema(asked, connect(conf.database.connection))
    fleet = store(conf)
    if asked.command == "verify":
        return _verify(fleet)
    if asked.command == "purge":
        gone = fleet.purge(timedelta(days=asked.older_than))
        _say(f"deleted for good: {', '.join(f'{count} of {table}' for table, count in gone.items())}")
        return 0
    if not fleet.forget(asked.host):
        raise CommandFailed(f"no host {asked.host} is listed; pcictl hypervisor list names them")
    _say(f"{asked.host} is forgotten; if its agent still runs it comes back with the next heartbeat")
    return 0


def _verify(fleet: Store) -> int:
    found = fleet.verify()
    for each in found:
        _say(str(each))
    if not found:
        _say("all hosts agree")
        return 0
    many = len({each.host for each in found})
    agree = "of the hosts doesn't agree with itself" if many == 1 else "of the hosts don't agree with themselves"
    _say(f"{many} {agree}: pci-tracker-manage forget HOST lets its agent tell it anew")
    return _DIFFERS


def _schema(asked: argparse.Namespace, engine: Engine) -> int:
    if asked.command == "upgrade":
        upgrade(engine)
    _say(f"the schema is {check(engine)}, as this version needs it")
    return 0


def _say(answer: str) -> None:
    print(answer)  # noqa: T201 - the command's answer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pci-tracker-manage", description="Looks after the tracker's database.", allow_abbrev=False
    )
    _takes_files(parser, [])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, does: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, help=does, description=does, allow_abbrev=False)
        _takes_files(made, argparse.SUPPRESS)
        return made

    command("upgrade", "bring the schema to this version's")
    command("check", "tell whether the schema is this version's")
    command("verify", "tell the hosts whose rows don't agree with one another; exit code 1 where there are some")
    purge = command("purge", "delete old history, and old devices and hosts that are gone; trackers may run meanwhile")
    purge.add_argument("--older-than", type=_days, required=True, metavar="DAYS", help="what is younger stays")
    forget = command("forget", "take a host and its devices out; an agent that still runs there tells them anew")
    forget.add_argument("host", metavar="HOST", help="name or id")
    return parser


def _takes_files(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--config-file", metavar="PATH", action="append", default=default, help="instead of pci-tracker.conf"
    )


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _LONGEST_DAYS):
        raise argparse.ArgumentTypeError(f"{text} is no number of days from 1 to {_LONGEST_DAYS}")
    return int(text)
