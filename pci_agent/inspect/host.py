"""
The host as the commands see it: what is there, what it is used for, who holds it, and what can't be known.

Nothing here concludes: what couldn't be read is said in *unknown*, in words, beside every answer that might
have been another with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pci_agent.discovery.domains import Reading
from pci_agent.discovery.hostuse import HostUse
from pci_agent.discovery.sysfs import Scan
from pci_agent.model.address import PciAddress
from pci_agent.model.cards import cards
from pci_agent.model.inventory import TrackedDevice, blocked_by_host
from pci_agent.model.names import Remembered, names_of, remember
from pci_agent.model.whitelist import Names


@dataclass(frozen=True, slots=True)
class Kept:
    """What the agent's store says: its devices by identity, and who bears which netdev name in this boot."""

    tracked: Mapping[str, TrackedDevice] = field(default_factory=dict)
    remembered: Remembered = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Holder:
    """
    Who holds a device.

    Attributes:
        instance_uuid: the instance, or domain
        said_by: where that is known from
    """

    instance_uuid: str
    said_by: str

    def __str__(self) -> str:
        return f"{self.instance_uuid} ({self.said_by})"


@dataclass(frozen=True, slots=True)
class Host:
    """
    One host.

    Attributes:
        scan: its functions
        names: which netdev names count for which function
        blocked: what the host itself uses each function for, where that keeps it from being given
        use_known: False where that couldn't be told at all
        tracked: the agent's own devices, by address
        holders: who holds which function
        unknown: what couldn't be told, and why
        files: the configuration files that were read
    """

    scan: Scan
    names: Names
    blocked: Mapping[PciAddress, tuple[str, ...]]
    use_known: bool
    tracked: Mapping[PciAddress, TrackedDevice]
    holders: Mapping[PciAddress, tuple[Holder, ...]]
    unknown: tuple[str, ...]
    files: tuple[str, ...] = ()


def host(
    scan: Scan,
    kept: Kept,
    use: HostUse | None,
    reading: Reading | None,
    *,
    unknown: Iterable[str],
    files: tuple[str, ...] = (),
) -> Host:
    """
    Put together what was read.

    Args:
        scan: of sysfs
        kept: of the agent's store
        use: of the host's own use; None where it can't be told
        reading: of libvirt; None where it wasn't asked
        unknown: what the reader couldn't read
        files: the configuration files
    """
    known = cards(scan.devices, kept.tracked)
    tracked = {address: kept.tracked[name] for address, name in known.items() if name in kept.tracked}
    holders: dict[PciAddress, list[Holder]] = {}
    for address, item in tracked.items():
        if item.owner is not None:
            holders.setdefault(address, []).append(Holder(item.owner.instance_uuid, "the agent's store"))
    problems = list(unknown)
    if use is not None:
        problems += [f"what the host uses: {problem}" for problem in use.problems]
    if reading is not None:
        problems += reading.problems
        for domain in reading.domains:
            for held in {*domain.live, *domain.defined}:
                how = "running" if domain.active else "defined"
                holders.setdefault(held.address, []).append(
                    Holder(domain.uuid, f"libvirt: {domain.name}, {how}, as {held.how}")
                )
    problems += [f"{each.address or 'the host'}: {each.cause}" for each in scan.problems]
    return Host(
        scan=scan,
        names=names_of(scan.devices, remember(scan.devices, kept.remembered)),
        blocked={} if use is None else blocked_by_host(scan.devices, use.reasons),
        use_known=use is not None,
        tracked=tracked,
        holders={address: tuple(sorted(set(each), key=str)) for address, each in holders.items()},
        unknown=tuple(problems),
        files=files,
    )
