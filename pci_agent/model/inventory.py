"""
What a host tracks, and how a look at the host changes it.

A device is known by its uuid, made once, and found again by its identity (device.py, names.py), whatever its address.
A device that leaves is kept as not present, so that it gets its uuid back when it returns. What can't be
told in this look is left as it was: a bad read is neither a removal nor another device.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from pci_agent.errors import IllegalMove
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device
from pci_agent.model.evidence import NOTHING, Evidence
from pci_agent.model.names import identities
from pci_agent.model.state import Disabled, Event, Owner, Status, after
from pci_agent.model.vocabulary import Tags
from pci_agent.model.whitelist import Names, Whitelist


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedDevice:
    """
    A device that the whitelist offers, or once did: the facts, and the status that follows from them.

    Attributes:
        uuid: made once, kept for ever
        identity: what the function is; see device.identity
        device: the function as last seen
        evidence: what its card is known by
        tags: of the whitelist entry that offers it, or did last
        present: False once it vanished
        listed: False once no entry offers it
        host_use: what the host itself uses it for, where that keeps it from being given
        owner: who holds it; None while nobody does
        domain: the running libvirt domain that has it, as libvirt says; None where none has
        leaked: True where no domain of its owner's has been there for long
        disabled: an operator's word against it
        status: what an operator reads; standing.settle derives it
        status_reason: why the status is not the one expected, else None
    """

    uuid: str
    identity: str
    device: Device
    evidence: Evidence = NOTHING
    tags: Tags = field(default_factory=dict)
    present: bool = True
    listed: bool = True
    host_use: tuple[str, ...] = ()
    owner: Owner | None = None
    domain: str | None = None
    leaked: bool = False
    disabled: Disabled | None = None
    status: Status = Status.AVAILABLE
    status_reason: str | None = None

    @property
    def offered(self) -> bool:
        """True where it is there and an entry offers it."""
        return self.present and self.listed

    @property
    def shown(self) -> bool:
        """True where it is reported: offered, or held though it left (retiring)."""
        return self.offered or self.owner is not None


class Offered(NamedTuple):
    """
    A function that was seen and that the whitelist offers: identity, the entry's tags, the host's use, the card.

    A named tuple, for one is made of every device at every look.
    """

    identity: str
    device: Device
    tags: Tags
    host_use: tuple[str, ...] = ()
    evidence: Evidence = NOTHING


def moved(item: TrackedDevice, event: Event, owner: Owner | None) -> TrackedDevice:
    """
    Give a device another owner, or none, by an event of the one table (state.py).

    Raises:
        IllegalMove: the table has no such move, or it leads elsewhere than to that owner.
    """
    before = Status.AVAILABLE if item.owner is None else item.owner.status
    leads_to = Status.AVAILABLE if owner is None else owner.status
    if after(before, event) is not leads_to:
        raise IllegalMove(f"{event} doesn't make a device {leads_to} that is {before}")
    return replace(item, owner=owner, leaked=False)


Inventory = Mapping[str, TrackedDevice]
"""Tracked devices by identity."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    What changed: each device as it is afterwards.

    Attributes:
        added: new ones, and those that returned
        updated: with other facts, tags or status than before
        removed: not offered any more; one that somebody holds stays until it is freed
        moved: of the others, those that are at another address than before
    """

    added: tuple[TrackedDevice, ...] = ()
    updated: tuple[TrackedDevice, ...] = ()
    removed: tuple[TrackedDevice, ...] = ()
    moved: tuple[TrackedDevice, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.updated or self.removed)

    def __iter__(self) -> Iterator[TrackedDevice]:
        return iter((*self.added, *self.updated, *self.removed))


def untold(devices: Iterable[Device], unreadable: frozenset[PciAddress]) -> frozenset[PciAddress]:
    """Name what is there and can't be told in this look: what is unreadable, and the VFs of an unreadable PF."""
    return unreadable | {device.address for device in devices if device.parent_addr in unreadable}


def blocked_by_host(
    devices: Iterable[Device], reasons: Mapping[PciAddress, tuple[str, ...]]
) -> dict[PciAddress, tuple[str, ...]]:
    """
    Tell which functions can't be given because of what the host itself uses, and why.

    A PF's own use blocks the PF alone, since it must be up for its VFs. A VF's blocks the VF and its PF.

    Args:
        devices: every function of the host, unlisted ones too
        reasons: what the host uses each function for
    """
    blocked = dict(reasons)
    used: dict[PciAddress, list[PciAddress]] = {}
    for device in devices:
        if device.parent_addr is not None and device.address in reasons:
            used.setdefault(device.parent_addr, []).append(device.address)
    for pf, vfs in used.items():
        first = min(vfs)
        others = f", and {len(vfs) - 1} more of its VFs" if len(vfs) > 1 else ""
        blocked[pf] = (*reasons.get(pf, ()), f"its VF {first}: {reasons[first][0]}{others}")
    return blocked


def offered(
    devices: Iterable[Device],
    whitelist: Whitelist,
    names: Names,
    host_use: Mapping[PciAddress, tuple[str, ...]] = MappingProxyType({}),
    *,
    known: Mapping[PciAddress, str] | None = None,
    evidence: Mapping[PciAddress, Evidence] = MappingProxyType({}),
) -> list[Offered]:
    """
    Keep the functions that the whitelist offers, each with its identity.

    Args:
        devices: every function of the host, unlisted ones too, for a VF's PF may be one of them
        whitelist: what decides
        names: which netdev names count for which address
        host_use: what the host uses each function for
        known: what each function is; None: told from the devices alone (names.identities)
        evidence: what its card is known by, of those functions of which anything is
    """
    known = identities(devices) if known is None else known
    blocked = blocked_by_host(devices, host_use) if host_use else {}
    found = []
    for device in devices:
        entry = whitelist.match(device, names)
        if entry is not None and not entry.exclude:
            use = () if entry.allow_host_use else blocked.get(device.address, ())
            found.append(Offered(known[device.address], device, entry.tags, use, evidence.get(device.address, NOTHING)))
    return found


def reconcile(
    tracked: Inventory,
    seen: Iterable[Offered],
    *,
    there: Mapping[str, Device] = MappingProxyType({}),
    untold: Container[PciAddress],
    new_uuid: Callable[[], str],
) -> Change:
    """
    Decide what a look changes.

    Args:
        tracked: what was known, offered or not
        seen: what the whitelist offers of what is there now
        there: every function of the host by identity, unlisted ones too
        untold: addresses that are there but can't be told in this look
        new_uuid: makes the uuid of a device never seen before
    """
    added, updated, moved, listed = [], [], [], set()
    for item in seen:
        if item.device.address in untold:
            continue
        listed.add(item.identity)
        known = tracked.get(item.identity)
        if known is None:
            added.append(_new(item, new_uuid()))
            continue
        if not known.offered:
            added.append(_seen_again(known, item))
        elif _differs(known, item):
            updated.append(_seen_again(known, item))
        else:
            continue
        if known.device.address != item.device.address:
            moved.append(_seen_again(known, item))
    removed = []
    for identity, known in tracked.items():
        if identity in listed or known.device.address in untold:
            continue
        device = there.get(identity)
        left = replace(known, device=device or known.device, present=device is not None, listed=False)
        if left != known and (known.offered or known.owner is not None or known.present):
            removed.append(left)
    return Change(tuple(added), tuple(updated), tuple(removed), tuple(moved))


def _new(item: Offered, uuid: str) -> TrackedDevice:
    return TrackedDevice(
        uuid=uuid,
        identity=item.identity,
        device=item.device,
        evidence=item.evidence,
        tags=item.tags,
        host_use=item.host_use,
    )


def _differs(known: TrackedDevice, item: Offered) -> bool:
    return (
        (known.device is not item.device and known.device != item.device)
        or known.tags != item.tags
        or known.host_use != item.host_use
        or (known.evidence != item.evidence and known.evidence.with_newer(item.evidence) != known.evidence)
    )


def _seen_again(known: TrackedDevice, item: Offered) -> TrackedDevice:
    return replace(
        known,
        device=item.device,
        evidence=known.evidence.with_newer(item.evidence),
        tags=item.tags,
        host_use=item.host_use,
        present=True,
        listed=True,
    )


def apply(tracked: Inventory, changed: Iterable[TrackedDevice]) -> dict[str, TrackedDevice]:
    """Give the inventory after a change; the one before stays as it was."""
    return {**tracked, **{item.identity: item for item in changed}}
