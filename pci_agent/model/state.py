"""
The statuses of a device, in nova's words and order.

The owner's part comes first: available, claimed, allocated; then what became of the device itself. Only
``available`` is ever overridden, by what relatives, the host or an operator hold against it.
"""

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
