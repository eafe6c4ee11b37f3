"""
What a host tracks, and how a look at the host changes it.

A device is known by its uuid, made once, and found again by its identity (device.py, names.py), whatever its address.
A device that leaves is kept as not present, so that it gets its uuid back when it returns. What can't be
told in this look is left as it was: a bad read is neither a removal nor another device.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device
from pci_agent.model.names import identities
from pci_agent.model.state import Status
from pci_agent.model.whitelist import Names, Tags, Whitelist


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedDevice:
    """
    A device that the whitelist offers, or once did.

    Attributes:
        uuid: made once, kept for ever
        identity: what the function is; see device.identity
        device: the function as last seen
        tags: of the whitelist entry that offers it
        present: False once it vanished or left the whitelist; such a device is not reported
        status: what an operator reads
        status_reason: why the status is not the one expected, else None
    """

    uuid: str
    identity: str
    device: Device
    tags: Tags = field(default_factory=dict)
    present: bool = True
    status: Status = Status.AVAILABLE
    status_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Offered:
    """A function that was seen and that the whitelist offers, with its identity and the entry's tags."""

    identity: str
    device: Device
    tags: Tags


Inventory = Mapping[str, TrackedDevice]
"""Tracked devices by identity."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    What a look changed: each device as it is afterwards.

    Attributes:
        added: new ones, and those that returned
        updated: with other facts or tags than before
        removed: not present any more
    """

    added: tuple[TrackedDevice, ...] = ()
    updated: tuple[TrackedDevice, ...] = ()
    removed: tuple[TrackedDevice, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.updated or self.removed)

    def __iter__(self) -> Iterator[TrackedDevice]:
        return iter((*self.added, *self.updated, *self.removed))


def untold(devices: Iterable[Device], unreadable: frozenset[PciAddress]) -> frozenset[PciAddress]:
    """Name what is there and can't be told in this look: what is unreadable, and the VFs of an unreadable PF."""
    return unreadable | {device.address for device in devices if device.parent_addr in unreadable}


def offered(devices: Iterable[Device], whitelist: Whitelist, names: Names) -> list[Offered]:
    """
    Keep the functions that the whitelist offers, each with its identity.

    Args:
        devices: every function of the host, unlisted ones too, for a VF's PF may be one of them
        whitelist: what decides
        names: which netdev names count for which address
    """
    known = identities(devices)
    found = []
    for device in devices:
        entry = whitelist.match(device, names)
        if entry is not None and not entry.exclude:
            found.append(Offered(known[device.address], device, entry.tags))
    return found


def reconcile(
    tracked: Inventory,
    seen: Iterable[Offered],
    *,
    untold: Container[PciAddress],
    new_uuid: Callable[[], str],
) -> Change:
    """
    Decide what a look changes.

    Args:
        tracked: what was known, present or not
        seen: what the whitelist offers of what is there now
        untold: addresses that are there but can't be told in this look
        new_uuid: makes the uuid of a device never seen before
    """
    added, updated, there = [], [], set()
    for item in seen:
        if item.device.address in untold:
            continue
        there.add(item.identity)
        known = tracked.get(item.identity)
        if known is None:
            added.append(TrackedDevice(uuid=new_uuid(), identity=item.identity, device=item.device, tags=item.tags))
        elif not known.present:
            added.append(replace(known, device=item.device, tags=item.tags, present=True))
        elif (known.device is not item.device and known.device != item.device) or known.tags != item.tags:
            updated.append(replace(known, device=item.device, tags=item.tags))
    removed = [
        replace(known, present=False)
        for known in tracked.values()
        if known.present and known.identity not in there and known.device.address not in untold
    ]
    return Change(tuple(added), tuple(updated), tuple(removed))


def apply(tracked: Inventory, change: Change) -> dict[str, TrackedDevice]:
    """Give the inventory after a change; the one before stays as it was."""
    return {**tracked, **{item.identity: item for item in change}}
