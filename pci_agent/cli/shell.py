"""``pcictl``: global options, and where its commands are found (setup.cfg lists them)."""

from argparse import ArgumentParser
from typing import Any

from cliff.app import App
from cliff.commandmanager import CommandManager

from pci_agent import __version__
from pci_agent.cli import connection


class Shell(App):
    """
    One invocation of pcictl.

    Attributes:
        client_manager: where commands find the API, as those of ``openstack`` do
    """

    def __init__(self) -> None:
        super().__init__(
            description="Show the PCI devices of a fleet of hypervisors, and give them out",
            version=__version__,
            command_manager=CommandManager("pcictl.commands"),
            deferred_help=True,
        )

    def build_option_parser(
        self, description: str | None, version: str | None, *args: Any, **more: Any
    ) -> ArgumentParser:
        """Add pcictl's own options to cliff's."""
        parser: ArgumentParser = super().build_option_parser(description, version, *args, **more)
        connection.add_options(parser)
        return parser

    def initialize_app(self, argv: list[str]) -> None:
        """Take up which API is meant; nobody is asked yet. Who names no command is shown which there are."""
        if not argv:
            self.options.deferred_help = True
        self.client_manager = connection.Connection(self.options)
