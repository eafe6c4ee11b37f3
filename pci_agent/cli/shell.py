"""``pcictl``: global options, and where its commands are found (setup.cfg lists them)."""

import os
from argparse import ArgumentParser
from typing import Any

from cliff.app import App
from cliff.commandmanager import CommandManager

from pci_agent import __version__
from pci_agent.cli.client import DEFAULT_ENDPOINT


class Shell(App):
    """One invocation of pcictl."""

    def __init__(self) -> None:
        super().__init__(
            description="Show the PCI devices of a fleet of hypervisors",
            version=__version__,
            command_manager=CommandManager("pcictl.commands"),
            deferred_help=True,
        )

    def build_option_parser(
        self, description: str | None, version: str | None, *args: Any, **more: Any
    ) -> ArgumentParser:
        """Add pcictl's own options to cliff's."""
        parser: ArgumentParser = super().build_option_parser(description, version, *args, **more)
        parser.add_argument(
            "--os-endpoint",
            metavar="URL",
            default=os.environ.get("OS_ENDPOINT", DEFAULT_ENDPOINT),
            help=f"where pci-api is (Env: OS_ENDPOINT; default {DEFAULT_ENDPOINT})",
        )
        return parser
