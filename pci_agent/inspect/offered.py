"""
What the whitelist in force does on this host: its entries, and which functions each decides about.

The first entry that matches decides, so each function stands with one entry at most, and an entry may have none.
Nothing here judges; check-config does.
"""

import json
from dataclasses import dataclass

from pci_agent.inspect.host import Host
from pci_agent.model import device_spec
from pci_agent.model.address import PciAddress
from pci_agent.model.whitelist import Entry, Whitelist


@dataclass(frozen=True, slots=True)
class Decided:
    """
    One entry.

    Attributes:
        entry: the entry
        decides: the functions that it decides about, in order of address
    """

    entry: Entry
    decides: tuple[PciAddress, ...]


@dataclass(frozen=True, slots=True)
class Offered:
    """
    A whitelist on a host.

    Attributes:
        entries: in order
        unresolved_devnames: netdevs that entries name and no function bears
        functions: how many functions the host has
        offered: how many of them are offered
        unknown: what couldn't be told
    """

    entries: tuple[Decided, ...]
    unresolved_devnames: tuple[str, ...]
    functions: int
    offered: int
    unknown: tuple[str, ...]


def offered(whitelist: Whitelist, host: Host) -> Offered:
    """Tell which functions each entry decides about."""
    decides: dict[int, list[PciAddress]] = {entry.number: [] for entry in whitelist.entries}
    count = 0
    for device in host.scan.devices:
        entry = whitelist.match(device, host.names)
        if entry is not None:
            decides[entry.number].append(device.address)
            count += not entry.exclude
    return Offered(
        entries=tuple(Decided(each, tuple(sorted(decides[each.number]))) for each in whitelist.entries),
        unresolved_devnames=tuple(whitelist.unresolved_devnames(host.names)),
        functions=len(host.scan.devices),
        offered=count,
        unknown=host.unknown,
    )


def as_json(told: Offered) -> str:
    """Write it as one JSON document."""
    return json.dumps(
        {
            "entries": [
                {
                    "number": each.entry.number,
                    "entry": device_spec.written(each.entry),
                    "exclude": each.entry.exclude,
                    "tags": dict(each.entry.tags),
                    "devices": [str(address) for address in each.decides],
                }
                for each in told.entries
            ],
            "unresolved_devnames": list(told.unresolved_devnames),
            "functions": told.functions,
            "offered": told.offered,
            "unknown": list(told.unknown),
        }
    )
