"""
The commands of ``pci-agent``: what an operator asks on the host.

They need no bus, no daemon and no root, change nothing, and say what they can't know. discover and capture load
none of what the daemon does; the others read its configuration, and its store where they may.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from pci_agent.discovery import sysfs
from pci_agent.errors import CommandFailed, ConfigurationRefused, PciAgentError
from pci_agent.inspect import capture as captures
from pci_agent.inspect import discover as listing


def discover(arguments: Sequence[str]) -> int:
    """Show every PCI function of this host."""
    parser = argparse.ArgumentParser(
        prog="pci-agent discover", description="Show every PCI function of this host as the agent sees it."
    )
    _sysfs_root(parser, "or a capture's file; default: %(default)s")
    parser.add_argument("-f", "--format", choices=("table", "json"), default="table")
    asked = parser.parse_args(arguments)
    with captures.replayed(asked.sysfs_root) as root:
        seen = sysfs.scan(root)
    write = listing.as_json if asked.format == "json" else listing.as_table
    _answer(write(seen))
    return 0 if seen.complete else 1


def capture(arguments: Sequence[str]) -> int:
    """Record this host's PCI functions."""
    parser = argparse.ArgumentParser(
        prog="pci-agent capture",
        description="Record what discover reads of this host into one tar; discover --sysfs-root FILE replays it.",
    )
    parser.add_argument("file", metavar="FILE", help="where to; compressed where it ends in .gz")
    parser.add_argument("--keep-identifiers", action="store_true", help="record MAC addresses and serial numbers too")
    _sysfs_root(parser, "default: %(default)s")
    asked = parser.parse_args(arguments)
    entries = captures.capture(asked.file, root=asked.sysfs_root, keep_identifiers=asked.keep_identifiers)
    left_out = "" if asked.keep_identifiers else ", MAC addresses and serial numbers left out"
    _answer(f"{entries} PCI functions recorded in {asked.file}{left_out}")
    return 0


def check_config(arguments: Sequence[str]) -> int:
    """Check the whitelist, and what it does on this host."""
    from pci_agent.cmd import configured, looking  # noqa: PLC0415 - the daemon's configuration, not discover's
    from pci_agent.inspect import check_config as checking  # noqa: PLC0415

    parser = _parser(
        "check-config",
        "Tell every error of the configuration, and what it does on this host that may not be meant.",
        epilog="Exits with 0 where all is well, 1 where there are warnings, 2 where the agent would not start,"
        " 3 where the host can't be looked at, 64 for a wrong command line.",
    )
    asked = parser.parse_args(arguments)
    found = configured.read(asked, tolerant=True)
    if found.errors:
        told = checking.refused(found.errors)
    else:
        with looking.looked_at(asked, found) as host:
            told = checking.check(found.whitelist, found.alias_errors, host)
    _answer(checking.as_json(told) if asked.format == "json" else checking.as_text(told))
    return told.exit_code


def explain(arguments: Sequence[str]) -> int:
    """Explain why functions are offered or not."""
    from pci_agent.cmd import configured, looking  # noqa: PLC0415
    from pci_agent.inspect import explain as explaining  # noqa: PLC0415
    from pci_agent.inspect import naming  # noqa: PLC0415

    parser = _parser(
        "explain",
        "Tell why PCI functions are offered or not: every entry of the whitelist, and what to do about it.",
        epilog="Exits with 0 where all are offered (available or not), 1 where one isn't or isn't there, 2 where the"
        " configuration can't be used, 3 where the host can't be looked at, 64 for a wrong command line.",
    )
    parser.add_argument(
        "address", metavar="ADDRESS", nargs="+", help="as lspci or the whitelist writes it, or its netdev's name"
    )
    asked = parser.parse_args(arguments)
    found = configured.read(asked)
    with looking.looked_at(asked, found) as host:
        devices, missing = naming.found(asked.address, host)
        told = [explaining.explain(device, found.whitelist, host) for device in devices]
    _answer(explaining.as_json(told) if asked.format == "json" else explaining.as_text(told))
    for line in missing:
        print(line, file=sys.stderr)  # noqa: T201 - beside the answer about the others
    return 0 if told and not missing and all(each.offered for each in told) else 1


def plan(arguments: Sequence[str]) -> int:
    """Show what another configuration would change."""
    from pci_agent.cmd import configured, looking  # noqa: PLC0415
    from pci_agent.inspect import plan as planning  # noqa: PLC0415

    parser = _parser(
        "plan",
        "Tell what the whitelist of another configuration file would change on this host, and whom it would strand.",
        epilog="Exits with 0, or 1 where a device that an instance holds would be lost, 2 where a configuration can't"
        " be used, 3 where the host can't be looked at, 64 for a wrong command line.",
    )
    parser.add_argument("--new-config", metavar="FILE", required=True, help="pci-agent's own form, or nova's")
    asked = parser.parse_args(arguments)
    found, then = configured.read(asked), configured.whitelist_of(asked.new_config)
    with looking.looked_at(asked, found) as host:
        told = planning.plan(found.whitelist, then, host)
    _answer(planning.as_json(told) if asked.format == "json" else planning.as_text(told))
    return told.exit_code


def run(command: str, arguments: Sequence[str]) -> int:
    """Run a command; what can't be used is told on stderr, with exit code 2 for a configuration and 3 for the rest."""
    try:
        return COMMANDS[command](arguments)
    except ConfigurationRefused as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command's last word
        return _REFUSED
    except PciAgentError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command's last word
        return _FAILED


_REFUSED, _FAILED, _USAGE = 2, 3, 64


def _answer(text: str) -> None:
    try:
        print(text, flush=True)  # noqa: T201 - the command's answer
    except OSError as error:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - what is flushed at exit goes there
        raise CommandFailed(f"the answer can't be written: {error.strerror}") from error


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(_USAGE, f"{self.prog}: {message}\n")


def _parser(name: str, description: str, epilog: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"pci-agent {name}", description=description, epilog=epilog)
    parser.add_argument(
        "--config-file", metavar="FILE", action="append", default=[], help="default: pci-agent.conf in its usual places"
    )
    parser.add_argument(
        "--nova-config", metavar="FILE", action="append", default=[], help="take the whitelist from nova's file"
    )
    parser.add_argument(
        "--sysfs-root",
        metavar="DIR",
        help="or a capture's file, of which nothing but the PCI functions is known; default: as configured",
    )
    parser.add_argument("--proc-root", metavar="DIR", help="where proc is mounted; default: as configured")
    parser.add_argument("--state-dir", metavar="DIR", help="the agent's store; default: as configured")
    parser.add_argument(
        "--libvirt-uri",
        metavar="URI",
        help='where to ask who holds what; "" asks nobody; default: as configured',
    )
    parser.add_argument("-f", "--format", choices=("text", "json"), default="text")
    return parser


def _sysfs_root(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--sysfs-root", metavar="DIR", default="/sys", help=text)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "discover": discover,
    "capture": capture,
    "check-config": check_config,
    "explain": explain,
    "plan": plan,
}
