"""What tells one card from another of its kind, as far as it is known."""

from typing import NamedTuple


class Evidence(NamedTuple):
    """
    Facts that a card was made with; None where unknown.

    A named tuple, for one is compared for every device at every look.

    Attributes:
        serial_number: of the PCI Express capability
        permanent_mac: of the PF's first netdev
    """

    serial_number: str | None = None
    permanent_mac: str | None = None

    def contradicts(self, other: "Evidence") -> bool:
        """True where both are of cards that can't be the same; a serial number goes before a MAC."""
        if self.serial_number is not None and other.serial_number is not None:
            return self.serial_number != other.serial_number
        return None not in (self.permanent_mac, other.permanent_mac) and self.permanent_mac != other.permanent_mac

    def confirms(self, other: "Evidence") -> bool:
        """True where both know one fact, and it is the same."""
        return not self.contradicts(other) and any(
            ours is not None and ours == theirs for ours, theirs in zip(self, other, strict=True)
        )

    def with_newer(self, newer: "Evidence") -> "Evidence":
        """Give all that is known; what is unknown now may have been known before."""
        return Evidence(newer.serial_number or self.serial_number, newer.permanent_mac or self.permanent_mac)


NOTHING = Evidence()
