"""
The options of configuration files, one module a group.

Nothing here is global: register_opts takes the configuration that it adds to. Only cmd/ reads values. The
two lists below are what the samples in conf/ are generated from.
"""

from typing import Any

from oslo_config import cfg

from pci_agent.conf import agent, alias, api, authtoken, database, host, pci, tracker

_TRANSPORT = cfg.StrOpt(
    "transport_url",
    default="rabbit://",
    secret=True,
    sample_default="rabbit://pci:secret@broker.example:5672/pci",
    help="The broker, as oslo.messaging writes it. Agents and trackers need the same. All options of"
    " oslo.messaging's [oslo_messaging_rabbit] and of oslo.log's [DEFAULT] may be set in this file too.",
)


def agent_opts() -> list[tuple[str, list[Any]]]:
    """List what pci-agent.conf may hold, by group."""
    return [
        ("DEFAULT", [*host.OPTIONS, _TRANSPORT]),
        (agent.GROUP, agent.OPTIONS),
        (pci.GROUP, pci.OPTIONS),
    ]


def tracker_opts() -> list[tuple[str, list[Any]]]:
    """List what pci-tracker.conf may hold, by group; pci-api and pci-tracker-manage read the same file."""
    return [
        ("DEFAULT", [*host.OPTIONS, _TRANSPORT]),
        (tracker.GROUP, tracker.OPTIONS),
        (alias.GROUP, alias.OPTIONS),
        (database.GROUP, database.OPTIONS),
        (api.GROUP, api.OPTIONS),
        (authtoken.GROUP, authtoken.options()),
        (authtoken.POLICY_GROUP, authtoken.policy_options()),
    ]
