"""
The statuses of a device, in nova's words and order, and the one table of moves between them.

Facts are kept; status and reason are derived from them and never kept by themselves (standing.py). The owner's
part comes first: available, claimed, allocated; then what became of the device itself. Only ``available`` is
ever overridden, by what the host, relatives or an operator hold against it. A move that isn't in the table is
illegal: it raises, and nothing changes.
"""

from dataclasses import dataclass
from enum import StrEnum

from pci_agent.errors import IllegalMove


class Status(StrEnum):
    """What an operator reads in the status column."""

    AVAILABLE = "available"
    CLAIMED = "claimed"
    ALLOCATED = "allocated"
    UNCLAIMABLE = "unclaimable"
    UNAVAILABLE = "unavailable"
    REMOVED = "removed"
    DELETED = "deleted"


class Event(StrEnum):
    """What happens to a device's ownership."""

    CLAIM = "claim"
    ALLOCATE = "allocate"
    ADOPT = "adopt"
    FREE = "free"


MOVES: dict[Status, dict[Event, Status]] = {
    Status.AVAILABLE: {
        Event.CLAIM: Status.CLAIMED,
        Event.ADOPT: Status.ALLOCATED,
    },
    Status.CLAIMED: {
        Event.CLAIM: Status.CLAIMED,
        Event.ALLOCATE: Status.ALLOCATED,
        Event.ADOPT: Status.ALLOCATED,
        Event.FREE: Status.AVAILABLE,
    },
    Status.ALLOCATED: {
        Event.CLAIM: Status.ALLOCATED,
        Event.ALLOCATE: Status.ALLOCATED,
        Event.ADOPT: Status.ALLOCATED,
        Event.FREE: Status.AVAILABLE,
    },
}
"""
What each event makes of the owner's part. A claim of what is held already is a later attempt of its own request;
a domain that has a device adopts it, whoever claimed it.
"""


def after(status: Status, event: Event) -> Status:
    """
    Look a move up.

    Raises:
        IllegalMove: there is none.
    """
    try:
        return MOVES[status][event]
    except KeyError:
        raise IllegalMove(f"a device that is {status} can't {event}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """
    Who holds a device, and how.

    Attributes:
        instance_uuid: the instance, which is its libvirt domain's UUID
        request_id: the PCI request that the device serves; None where it was found in a domain
        attempt: which attempt of that request
        content: what was asked for, as one word; a repeated claim must ask for the same. Empty where that was lost
        project_id: the instance's project, as the claim said
        user_id: the instance's user, as the claim said
        allocated: False while only claimed
        lifetime_s: how long the claim lasts unless it is allocated; None where for ever
        deadline: when it ends, on CLOCK_BOOTTIME of *boot_id*
        boot_id: the boot that *deadline* is of
        releasing: True where it was freed while its running domain still has it
    """

    instance_uuid: str
    request_id: str | None = None
    attempt: int = 0
    content: str = ""
    project_id: str | None = None
    user_id: str | None = None
    allocated: bool = False
    lifetime_s: float | None = None
    deadline: float | None = None
    boot_id: str = ""
    releasing: bool = False

    @property
    def status(self) -> Status:
        """The owner's part of a device's status."""
        return Status.ALLOCATED if self.allocated else Status.CLAIMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Disabled:
    """
    An operator's word that something isn't to be given.

    Attributes:
        reason: why
        actor: who said so
        until: when it ends by itself, in seconds since the epoch; None where it doesn't
    """

    reason: str
    actor: str
    until: float | None = None
