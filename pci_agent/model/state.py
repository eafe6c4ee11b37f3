"""
The statuses of a device, in nova's words and order, and how they follow from facts.

Facts are kept; status and reason are derived from them and never kept by themselves. The owner's part comes
first: available, claimed, allocated; then what became of the device itself. Only ``available`` is ever
overridden, by what the host, relatives or an operator hold against it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What an operator reads in the status column."""

    AVAILABLE = "available"
    CLAIMED = "claimed"
    ALLOCATED = "allocated"
    UNCLAIMABLE = "unclaimable"
    UNAVAILABLE = "unavailable"
    REMOVED = "removed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """
    Who holds a device.

    Attributes:
        instance_uuid: the instance, which is its libvirt domain's UUID
        request_id: the PCI request that the device serves; None where it was found in a domain
        project_id: the instance's project, as the claim said
        user_id: the instance's user, as the claim said
        allocated: False while only claimed
    """

    instance_uuid: str
    request_id: str | None = None
    project_id: str | None = None
    user_id: str | None = None
    allocated: bool = False


def derived(owner: Owner | None, host_use: Sequence[str]) -> tuple[Status, str | None]:
    """
    Tell status and reason of a device that is present.

    Args:
        owner: who holds it, if anybody does
        host_use: what the host itself uses it for, as the operator reads it
    """
    if owner is not None:
        return (Status.ALLOCATED if owner.allocated else Status.CLAIMED), None
    if host_use:
        return Status.UNAVAILABLE, f"the host uses it: {'; '.join(host_use)}"
    return Status.AVAILABLE, None
