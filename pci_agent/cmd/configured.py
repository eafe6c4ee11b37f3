"""What the commands on a host take from configuration files: the whitelist, and where the host is to be looked at."""

import argparse
from dataclasses import dataclass, replace
from typing import Any

from pci_agent.cmd import process
from pci_agent.conf import agent, alias, host, pci
from pci_agent.errors import ConfigurationRefused, Refusal
from pci_agent.model import device_spec
from pci_agent.model.request import parse_aliases
from pci_agent.model.whitelist import Whitelist

_GROUPS = (host, agent, pci, alias)


@dataclass(frozen=True, slots=True)
class Configured:
    """
    A configuration, as far as the commands use it.

    Attributes:
        files: which files were read
        whitelist: empty where there are errors
        errors: why the agent would not start with it
        alias_errors: what a tracker would refuse in the same files
        sysfs_root: where sysfs is
        proc_root: where proc is
        state_dir: where the agent's store is
        libvirt_uri: where libvirt is asked; empty where it isn't
    """

    files: tuple[str, ...]
    whitelist: Whitelist
    errors: tuple[Refusal, ...]
    alias_errors: tuple[Refusal, ...]
    sysfs_root: str
    proc_root: str
    state_dir: str
    libvirt_uri: str


def read(asked: argparse.Namespace, *, tolerant: bool = False) -> Configured:
    """
    Read what the daemon would use, or what the command was given instead.

    Raises:
        ConfigurationRefused: it can't be used, unless *tolerant*; then the errors are in the answer.
    """
    errors: list[Refusal] = []
    aliases: list[Refusal] = []
    whitelist, conf = Whitelist(), None
    try:
        conf = process.configuration("pci-agent", _GROUPS, _arguments(asked), description="")
        whitelist = device_spec.parse(process.device_specs(conf))
    except ConfigurationRefused as refused:
        errors += refused.refusals
    if errors and not tolerant:
        raise ConfigurationRefused(errors)
    if conf is not None:
        try:
            parse_aliases(conf.pci.alias)
        except ConfigurationRefused as refused:
            aliases += refused.refusals
    return Configured(
        files=(*(() if conf is None else conf.config_file or ()), *asked.nova_config),
        whitelist=whitelist,
        errors=tuple(errors),
        alias_errors=tuple(aliases),
        sysfs_root=asked.sysfs_root or _agents(conf, "sysfs_root"),
        proc_root=asked.proc_root or _agents(conf, "proc_root"),
        state_dir=asked.state_dir or _agents(conf, "state_dir"),
        libvirt_uri=_agents(conf, "libvirt_uri") if asked.libvirt_uri is None else asked.libvirt_uri,
    )


def _arguments(asked: argparse.Namespace) -> list[str]:
    words = [word for file in asked.config_file for word in ("--config-file", file)]
    return words + [word for file in asked.nova_config for word in ("--nova-config", file)]


def _agents(conf: Any, option: str) -> str:
    """Give an option of [agent], or its default where the configuration can't be read."""
    if conf is not None:
        return str(conf.agent[option])
    return str(next(each.default for each in agent.OPTIONS if each.dest == option))


def whitelist_of(file: str) -> Whitelist:
    """Read the whitelist of one file, pci-agent's own or nova's, and nothing else of it."""
    try:
        return device_spec.parse(process.pci_group([file], pci).pci.device_spec)
    except ConfigurationRefused as refused:
        named = [replace(each, option=f"{file}: {each.option}") for each in refused.refusals]
        raise ConfigurationRefused(named) from None
