"""What the commands on a host take from configuration files: the whitelist, and where the agent's store is."""

import argparse

from pci_agent.cmd import process
from pci_agent.conf import agent, alias, host, pci
from pci_agent.errors import ConfigurationRefused, Refusal
from pci_agent.model import device_spec
from pci_agent.model.request import parse_aliases
from pci_agent.model.whitelist import Whitelist

_GROUPS = (host, agent, pci, alias)


def _arguments(asked: argparse.Namespace) -> list[str]:
    words = [word for file in asked.config_file for word in ("--config-file", file)]
    return words + [word for file in asked.nova_config for word in ("--nova-config", file)]


def whitelist(asked: argparse.Namespace) -> Whitelist:
    """
    Read the whitelist that a command was given, or that the daemon would use.

    Raises:
        ConfigurationRefused: with every error.
    """
    conf = process.configuration("pci-agent", _GROUPS, _arguments(asked), description="")
    return device_spec.parse(process.device_specs(conf))


def whitelist_of(file: str) -> Whitelist:
    """Read the whitelist of one file, pci-agent's own or nova's, and nothing else of it."""
    return device_spec.parse(process.pci_group([file], pci).pci.device_spec)


def whitelist_or_errors(asked: argparse.Namespace, errors: list[Refusal]) -> Whitelist | None:
    """Read whitelist and aliases; every error of both is put to *errors*, and the whitelist is None then."""
    found = None
    try:
        conf = process.configuration("pci-agent", _GROUPS, _arguments(asked), description="")
    except ConfigurationRefused as refused:
        errors += refused.refusals
        return None
    try:
        found = device_spec.parse(process.device_specs(conf))
    except ConfigurationRefused as refused:
        errors += refused.refusals
    try:
        nova = process.pci_group(asked.nova_config, alias) if asked.nova_config else conf
        parse_aliases(nova.pci.alias)
    except ConfigurationRefused as refused:
        errors += refused.refusals
    return None if errors else found


def state_dir(asked: argparse.Namespace) -> str:
    """Tell where the agent's store is; its usual place where the configuration can't be read."""
    if asked.state_dir is not None:
        return str(asked.state_dir)
    try:
        conf = process.configuration("pci-agent", _GROUPS, _arguments(asked), description="")
    except ConfigurationRefused:
        return str(next(option.default for option in agent.OPTIONS if option.dest == "state_dir"))
    return str(conf.agent.state_dir)
