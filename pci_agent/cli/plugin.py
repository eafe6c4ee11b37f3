"""
Makes the commands part of ``openstack``: they are ``openstack pci …`` there, and go where its session goes.

The endpoint is the catalogue's of a service of type pci, unless ``--os-pci-endpoint``, OS_PCI_ENDPOINT or a cloud's
``pci_endpoint_override`` names another.
"""

import os
from argparse import ArgumentParser
from typing import Any

from pci_agent.cli.client import Client

DEFAULT_API_VERSION = "3"
API_VERSION_OPTION = "os_pci_api_version"
API_NAME = "pci"
API_VERSIONS = ("3",)


def make_client(instance: Any) -> Client:
    """Give the API that ``openstack`` is told of; *instance* is its client manager."""
    from pci_agent.cli.signed import Signed  # noqa: PLC0415 - whoever only completes a command needs none of it

    return Client(Signed(instance._cli_options, instance.session))  # noqa: SLF001 - there is no other way to it


def build_option_parser(parser: ArgumentParser) -> ArgumentParser:
    """Make the plugin's options known."""
    parser.add_argument(
        "--os-pci-api-version",
        metavar="<pci-api-version>",
        default=os.environ.get("OS_PCI_API_VERSION"),
        help=f"PCI API version, default={DEFAULT_API_VERSION} (Env: OS_PCI_API_VERSION)",
    )
    parser.add_argument(
        "--os-pci-endpoint",
        metavar="<pci-endpoint>",
        dest="os_pci_endpoint_override",
        default=os.environ.get("OS_PCI_ENDPOINT"),
        help="where pci-api is, instead of where the catalogue says (Env: OS_PCI_ENDPOINT)",
    )
    return parser
