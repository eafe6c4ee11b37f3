"""
Status and reason of every device, from facts: derived at each commit, so that they can't disagree with them.

The owner's part comes first; only what is nobody's is overridden, by the first of: the host's own use, a relative
that is held, a member of its IOMMU group that another guest holds, an operator's word, and what holds the whole
host back. A device that somebody holds keeps its status though it left, with the reason.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pci_agent.model.address import PciAddress
from pci_agent.model.families import Families
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.relatives import Held, Hold, holds
from pci_agent.model.state import Disabled, Status

RELEASING = "releasing"
"""Begins the reason of what was freed while its running domain still has it."""


@dataclass(frozen=True, slots=True)
class HostState:
    """
    What concerns all devices of a host alike.

    Attributes:
        disabled: an operator's word against the whole host
        waiting: for what nothing is offered yet in this boot; None where all is known
        elsewhere: devices that aren't tracked and that domains have
    """

    disabled: Disabled | None = None
    waiting: str | None = None
    elsewhere: tuple[Hold, ...] = ()

    @property
    def obstacle(self) -> str | None:
        """Why nothing of this host is given; None where it is."""
        if self.waiting is not None:
            return f"waiting for {self.waiting}"
        return None if self.disabled is None else _said(self.disabled, "the host is ")


def settle(
    tracked: Families | Iterable[TrackedDevice], host: HostState, keys: Iterable[PciAddress] | None = None
) -> list[TrackedDevice]:
    """
    Derive status and reason of each device.

    Args:
        tracked: the inventory
        host: what concerns all of it
        keys: the families of which a fact has changed, and those that share an IOMMU group with one; None for all

    Returns:
        The devices whose status or reason changes by it.
    """
    inventory = Families.of(tracked)
    changed = []
    for key in inventory.families if keys is None else keys:
        near = [inventory.families[key], *inventory.beside(key)]
        held = Held(holds((item for family in near for item in family.items), host.elsewhere))
        for item in near[0].items:
            status, reason = _standing(item, held, host)
            if status is not item.status or reason != item.status_reason:
                changed.append(replace(item, status=status, status_reason=reason))
    return changed


def _standing(item: TrackedDevice, held: Held, host: HostState) -> tuple[Status, str | None]:
    if item.owner is not None:
        return item.owner.status, _told_of_holder(item)
    if not item.offered:
        return Status.REMOVED, None
    own = own_obstacle(item)
    if own is not None:
        return Status.UNAVAILABLE, own
    relative = held.obstacle(item.device) if held else None
    if relative is not None:
        return relative
    if host.obstacle is not None:
        return Status.UNAVAILABLE, host.obstacle
    return Status.AVAILABLE, None


def own_obstacle(item: TrackedDevice) -> str | None:
    """Tell what keeps a device from being given, its relatives aside; None where nothing does."""
    if not item.present:
        return "it is gone"
    if not item.listed:
        return "the whitelist doesn't offer it"
    if item.owner is not None:
        return f"{item.owner.instance_uuid} holds it"
    if item.domain is not None:
        return f"the domain {item.domain} has it"
    if item.host_use:
        return f"the host uses it: {'; '.join(item.host_use)}"
    return None if item.disabled is None else _said(item.disabled, "")


def lifted(items: Iterable[TrackedDevice], wall: float) -> tuple[TrackedDevice, ...]:
    """Take back the operators' words whose time is over; *wall* is now, in seconds since the epoch."""
    return tuple(replace(item, disabled=None) for item in items if is_over(item.disabled, wall))


def is_over(word: Disabled | None, wall: float) -> bool:
    """True where an operator's word has ended by itself."""
    return word is not None and word.until is not None and word.until <= wall


def _told_of_holder(item: TrackedDevice) -> str | None:
    owner = item.owner
    if owner is None:
        return None
    reasons = []
    if not item.present:
        reasons.append("retiring: it is gone from the host")
    elif not item.listed:
        reasons.append("retiring: the whitelist doesn't offer it any more")
    if item.domain is not None and item.domain != owner.instance_uuid:
        reasons.append(f"stolen: the domain {item.domain} runs with it")
    elif owner.releasing:
        reasons.append(f"{RELEASING}: it was freed, and the domain {item.domain} still runs with it")
    if item.leaked:
        reasons.append("leaked: no domain of its instance is there")
    return "; ".join(reasons) or None


def _said(disabled: Disabled, what: str) -> str:
    return f"{what}disabled by {disabled.actor}: {disabled.reason}"
