"""
What libvirt says of domains, made into facts: libvirt is reality, belief gives way to it.

* A device that a running domain has and nobody owns is allocated to that domain. One that its own instance
  claimed becomes allocated, and with it all of its request; another's claim of it is void. One that is allocated to
  another is stolen: both are shown, and people decide.
* A defined domain keeps an allocation that is there. In observe mode, beside nova, it makes one too.
* No domain of an instance, running or defined, for a while: its allocation is leaked. It is shown, and freed only
  where the operator asked for that.
* What couldn't be read is no absence: a domain that can't be told in full takes nothing from anybody.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace

from pci_agent.model.address import PciAddress
from pci_agent.model.claims import ended
from pci_agent.model.inventory import TrackedDevice, moved
from pci_agent.model.state import Event, Owner


@dataclass(frozen=True, slots=True)
class Domains:
    """
    Who has what, as far as libvirt can tell.

    Attributes:
        running: the running domain that has each function
        defined: the domains whose definition names each function
        known: the UUIDs of all domains
        complete: False where some domain couldn't be read in full, so that nothing is concluded from an absence
    """

    running: Mapping[PciAddress, str]
    defined: Mapping[PciAddress, frozenset[str]]
    known: frozenset[str]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Habits:
    """
    How far reality's word goes.

    Attributes:
        observe: beside nova: a definition makes an allocation too
        free_leaked: whether a leaked one is freed
    """

    observe: bool = False
    free_leaked: bool = False


def compare(
    items: Iterable[TrackedDevice], domains: Domains, habits: Habits, leaked: Container[str]
) -> tuple[TrackedDevice, ...]:
    """
    Tell which devices change by what libvirt says.

    Args:
        items: the inventory
        domains: what libvirt says
        habits: how far that goes
        leaked: the instances of which no domain has been there for long; see *absences*

    Returns:
        The devices as they are afterwards. A claim that lost a device is void as a whole.
    """
    before = {item.uuid: item for item in items}
    now = {uuid: _compared(item, domains, habits, leaked) for uuid, item in before.items()}
    void = voided(before.values(), now)
    for uuid, item in now.items():
        if item.owner is not None and item.owner.request_id in void:
            now[uuid] = ended(item)
    confirmed = {
        item.owner.request_id
        for uuid, item in now.items()
        if item.owner is not None and item.owner.allocated and _was_claimed(before[uuid], item.owner)
    }
    for uuid, item in now.items():
        owner = item.owner
        if owner is not None and owner.request_id in confirmed and not owner.allocated:
            now[uuid] = moved(item, Event.ADOPT, replace(owner, allocated=True, deadline=None))
    return tuple(item for uuid, item in now.items() if item != before[uuid])


def _was_claimed(before: TrackedDevice, owner: Owner) -> bool:
    """True where a device's own request was only claimed so far."""
    return owner.request_id is not None and before.owner is not None and not before.owner.allocated


def voided(before: Iterable[TrackedDevice], now: Mapping[str, TrackedDevice]) -> frozenset[str]:
    """Name the requests that were claimed and that lost a device to a domain."""
    return frozenset(
        item.owner.request_id
        for item in before
        if item.owner is not None
        and item.owner.request_id is not None
        and not item.owner.allocated
        and (owner := now[item.uuid].owner) is not None
        and owner.instance_uuid != item.owner.instance_uuid
    )


def absences(
    items: Iterable[TrackedDevice], domains: Domains, before: Mapping[str, float], *, at: float
) -> dict[str, float]:
    """
    Keep since when no domain is there of each instance that has something allocated.

    Args:
        items: the inventory
        domains: what libvirt says; where that isn't complete nobody is absent anew
        before: what this gave the last time
        at: now, on any clock that doesn't go back
    """
    owners = {item.owner.instance_uuid for item in items if item.owner is not None and item.owner.allocated}
    absent = owners - domains.known
    return {instance: before.get(instance, at) for instance in absent if domains.complete or instance in before}


def _compared(item: TrackedDevice, domains: Domains, habits: Habits, leaked: Container[str]) -> TrackedDevice:
    address = item.device.address
    has = domains.running.get(address) if item.present else None
    if has is None and not domains.complete:
        has = item.domain
    item = replace(item, domain=has)
    if has is not None:
        item = _taken(item, has)
    elif item.owner is None and habits.observe and item.present and domains.defined.get(address):
        item = _adopted(item, min(domains.defined[address]))
    owner = item.owner
    if owner is None:
        return item
    if _let_go(item, owner, domains) or (owner.releasing and item.domain != owner.instance_uuid):
        return moved(item, Event.FREE, None)
    is_leaked = owner.allocated and owner.instance_uuid in leaked
    if is_leaked and habits.free_leaked:
        return ended(item)
    return replace(item, leaked=is_leaked)


def _taken(item: TrackedDevice, domain: str) -> TrackedDevice:
    """Tell what a running domain's having it means for a device."""
    owner = item.owner
    if owner is None:
        return _adopted(item, domain)
    if owner.instance_uuid != domain:
        return item if owner.allocated else _adopted(item, domain)
    if owner.allocated:
        return item
    return moved(item, Event.ADOPT, replace(owner, allocated=True, deadline=None))


def _adopted(item: TrackedDevice, domain: str) -> TrackedDevice:
    return moved(item, Event.ADOPT, Owner(instance_uuid=domain, allocated=True))


def _let_go(item: TrackedDevice, owner: Owner, domains: Domains) -> bool:
    """True where only a domain's having it made the allocation, and neither that nor its definition has it now."""
    if owner.request_id is not None or not domains.complete or item.domain == owner.instance_uuid:
        return False
    return owner.instance_uuid not in domains.defined.get(item.device.address, ())
