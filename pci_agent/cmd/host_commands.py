"""
The commands of ``pci-agent``: what an operator asks on the host.

They need no configuration, no bus and no root, and load none of what the daemon does.
"""

import argparse
from collections.abc import Callable, Sequence

from pci_agent.discovery import sysfs
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
    print(write(seen))  # noqa: T201 - the command's answer
    return 0 if seen.complete else 1


def capture(arguments: Sequence[str]) -> int:
    """Record this host's PCI functions."""
    parser = argparse.ArgumentParser(
        prog="pci-agent capture",
        description="Record what discover reads of this host into one tar; discover --sysfs-root FILE replays it.",
    )
    parser.add_argument("file", metavar="FILE", help="where to; compressed where it ends in .gz")
    parser.add_argument("--keep-identifiers", action="store_true", help="record MAC addresses too")
    _sysfs_root(parser, "default: %(default)s")
    asked = parser.parse_args(arguments)
    entries = captures.capture(asked.file, root=asked.sysfs_root, keep_identifiers=asked.keep_identifiers)
    left_out = "" if asked.keep_identifiers else ", MAC addresses left out"
    print(f"{entries} PCI functions recorded in {asked.file}{left_out}")  # noqa: T201 - the command's answer
    return 0


def _sysfs_root(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--sysfs-root", metavar="DIR", default="/sys", help=text)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"discover": discover, "capture": capture}
