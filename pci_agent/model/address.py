"""
Where a PCI function sits: domain, bus, slot (device), function.

An address is where a device is, not what it is: buses are renumbered when a card is added. Text is the
kernel's own form, at least four hex digits of domain. Domains have up to 32 bits: Linux numbers those of
Intel VMD and of Hyper-V above 0xffff (``10000:00:00.0``).

A named tuple, where other values are dataclasses: every look-up by address hashes it, and a tuple's hash is the
interpreter's own (measured: matching and reconciling 4096 devices took a third less).
"""

import re
from typing import NamedTuple, Self

from pci_agent.errors import InvalidAddress

_TEXT = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE | re.ASCII)
_LAST_SLOT = 0x1F


class PciAddress(NamedTuple):
    """
    The address of one PCI function. Sorts as the bus is walked, so a PF comes before its VFs.

    >>> str(PciAddress.parse("0000:04:10.0"))
    '0000:04:10.0'
    >>> PciAddress.parse("10000:00:04.0").dev_id
    'pci_10000_00_04_0'

    Attributes:
        domain: 0 to 0xffffffff; the kernel says "segment" too
        bus: 0 to 0xff
        slot: 0 to 0x1f; "device" in the PCI specification
        function: 0 to 7
    """

    domain: int
    bus: int
    slot: int
    function: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read the kernel's form of an address, in either case.

        Raises:
            InvalidAddress: the text is anything else, a shortened form such as ``04:10.0`` included.
        """
        if found := _TEXT.fullmatch(text):
            domain, bus, slot, function = found.groups()
            if (place := int(slot, 16)) <= _LAST_SLOT:
                return cls(int(domain, 16), int(bus, 16), place, int(function))
        raise InvalidAddress(
            f"{text!r} is not a PCI address: write domain:bus:slot.function in hex, as in 0000:04:10.0"
        )

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.function:x}"

    @property
    def dev_id(self) -> str:
        """Libvirt's name of the node device: ``pci_0000_04_10_0``."""
        return f"pci_{self.domain:04x}_{self.bus:02x}_{self.slot:02x}_{self.function:x}"
