"""
Which devices are offered, and under which tags: an ordered list of entries, the first that matches wins.

Matching sees values only and reads nothing. An entry whose address is fully given, or which names a netdev,
takes the VFs of that PF along; its other conditions are then tested on the VF itself. An address with a
wildcard never does. A netdev's name counts for whoever bears it, or bore it last (names.py). What an entry may
look like in a file is device_spec.py's part.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device

Tags = Mapping[str, str | None]
Names = Mapping[PciAddress, Collection[str]]
"""Which netdev names count for which address; an address without any may be missing."""


@dataclass(frozen=True, slots=True)
class AddressGlob:
    """An address in lspci's ``-s`` form; None in a field is a wildcard."""

    domain: int | None
    bus: int | None
    slot: int | None
    function: int | None

    @property
    def exact(self) -> PciAddress | None:
        """The one address that this names, or None where a wildcard is left."""
        if self.domain is None or self.bus is None or self.slot is None or self.function is None:
            return None
        return PciAddress(self.domain, self.bus, self.slot, self.function)

    def matches(self, address: PciAddress) -> bool:
        """True where every given field is the address's own."""
        return (
            self.domain in (None, address.domain)
            and self.bus in (None, address.bus)
            and self.slot in (None, address.slot)
            and self.function in (None, address.function)
        )

    def __str__(self) -> str:
        fields = ((self.domain, 4), (self.bus, 2), (self.slot, 2), (self.function, 1))
        domain, bus, slot, function = ("*" if n is None else f"{n:0{width}x}" for n, width in fields)
        return f"{domain}:{bus}:{slot}.{function}"


@dataclass(frozen=True, slots=True)
class AddressRegex:
    """An address as four regular expressions; each must match its whole field, in padded lower-case hex."""

    domain: re.Pattern[str]
    bus: re.Pattern[str]
    slot: re.Pattern[str]
    function: re.Pattern[str]

    @property
    def exact(self) -> PciAddress | None:
        """Nothing but wildcards here."""
        return None

    def matches(self, address: PciAddress) -> bool:
        """True where all four expressions match."""
        return (
            self.domain.fullmatch(f"{address.domain:04x}") is not None
            and self.bus.fullmatch(f"{address.bus:02x}") is not None
            and self.slot.fullmatch(f"{address.slot:02x}") is not None
            and self.function.fullmatch(f"{address.function:x}") is not None
        )

    def __str__(self) -> str:
        names = ("domain", "bus", "slot", "function")
        return " ".join(f"{name}=/{getattr(self, name).pattern}/" for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    One whitelist entry. Every condition that is given must hold.

    Attributes:
        number: its place in the configuration, from 1
        vendor_id: four hex digits, or None for any
        product_id: four hex digits, or None for any
        address: None for any
        devname: the netdev that the device, or its PF, bears; None for any
        exclude: what this entry matches is not offered
        tags: physical_network and the operator's own; only physical_network may be None
    """

    number: int
    vendor_id: str | None = None
    product_id: str | None = None
    address: AddressGlob | AddressRegex | None = None
    devname: str | None = None
    exclude: bool = False
    tags: Tags = field(default_factory=dict)

    def failed_condition(self, device: Device, names: Names) -> str | None:
        """
        Name the first condition that the device doesn't meet.

        Args:
            device: the function to test
            names: which names count for it and for its PF

        Returns:
            The key of the condition (``vendor_id``, ``product_id``, ``address``, ``devname``), or None
            where the entry matches.
        """
        if self.vendor_id not in (None, device.vendor_id):
            return "vendor_id"
        if self.product_id not in (None, device.product_id):
            return "product_id"
        if self.address is not None and not self._covers(self.address, device):
            return "address"
        if self.devname is not None and not self._is_named(device, names):
            return "devname"
        return None

    def _is_named(self, device: Device, names: Names) -> bool:
        if self.devname in names.get(device.address, ()):
            return True
        return device.parent_addr is not None and self.devname in names.get(device.parent_addr, ())

    @staticmethod
    def _covers(address: AddressGlob | AddressRegex, device: Device) -> bool:
        if address.matches(device.address):
            return True
        return device.parent_addr is not None and address.exact == device.parent_addr


@dataclass(frozen=True, slots=True)
class Whitelist:
    """The entries in the order of the configuration. An empty whitelist offers nothing."""

    entries: tuple[Entry, ...] = ()

    def match(self, device: Device, names: Names) -> Entry | None:
        """
        Find the entry that decides about a device.

        Returns:
            The first entry whose conditions the device meets, an excluding one too; None where none does.
        """
        for entry in self.entries:
            if entry.failed_condition(device, names) is None:
                return entry
        return None

    def unresolved_devnames(self, names: Names) -> tuple[str, ...]:
        """Name the netdevs that entries ask for and that count for no device, in the entries' order."""
        borne = {name for each in names.values() for name in each}
        wanted = dict.fromkeys(entry.devname for entry in self.entries if entry.devname is not None)
        return tuple(name for name in wanted if name not in borne)
