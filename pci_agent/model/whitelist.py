"""
Which devices are offered, and under which tags: an ordered list of entries, the first that matches wins.

Matching sees values only, reads nothing, and costs a few look-ups however many entries there are. An entry whose
address is fully given, or which names a netdev, takes the VFs of that PF along; its other conditions are then
tested on the VF itself. An address with a wildcard never does. A netdev's name counts for whoever bears it, or
bore it last (names.py). What an entry may look like in a file is device_spec.py's part.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device
from pci_agent.model.vocabulary import Tags

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
        allow_host_use: what this entry offers is offered even where the host itself uses it
        tags: physical_network, nova's known ones and the operator's own
    """

    number: int
    vendor_id: str | None = None
    product_id: str | None = None
    address: AddressGlob | AddressRegex | None = None
    devname: str | None = None
    exclude: bool = False
    allow_host_use: bool = False
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
    _index: "_Index" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", _Index(self.entries))

    def match(self, device: Device, names: Names) -> Entry | None:
        """
        Find the entry that decides about a device.

        Returns:
            The first entry whose conditions the device meets, an excluding one too; None where none does.
        """
        return self._index.first(device, names)

    def unresolved_devnames(self, names: Names) -> tuple[str, ...]:
        """Name the netdevs that entries ask for and that count for no device, in the entries' order."""
        borne = {name for each in names.values() for name in each}
        wanted = dict.fromkeys(entry.devname for entry in self.entries if entry.devname is not None)
        return tuple(name for name in wanted if name not in borne)


_Placed = tuple[int, Entry]
_Found = tuple[int, Entry | None]


class _Index:
    """
    Entries by what they are found by, each with its place in the order, so that a match doesn't try them all.

    An entry is found by the one address that it names, or by its devname, or else stands with the rest, of
    which those that a vendor and product can meet are picked out once.
    """

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._by_address: dict[PciAddress, list[_Placed]] = {}
        self._by_devname: dict[str, list[_Placed]] = {}
        self._rest: list[_Placed] = []
        self._rest_of_ids: dict[tuple[str, str], list[_Placed]] = {}
        for placed in enumerate(entries):
            entry = placed[1]
            exact = None if entry.address is None else entry.address.exact
            if exact is not None:
                self._by_address.setdefault(exact, []).append(placed)
            elif entry.devname is not None:
                self._by_devname.setdefault(entry.devname, []).append(placed)
            else:
                self._rest.append(placed)
        self._end: _Found = (len(entries), None)

    def first(self, device: Device, names: Names) -> Entry | None:
        """Find the first entry whose conditions the device meets; None where there is none."""
        found = self._found_by(device.address, device, names, self._end)
        if device.parent_addr is not None:
            found = self._found_by(device.parent_addr, device, names, found)
        for placed in self._rest_that_meet(device):
            if placed[0] > found[0]:
                break
            address = placed[1].address
            if address is None or address.matches(device.address):
                return placed[1]
        return found[1]

    def _found_by(self, bearer: PciAddress, device: Device, names: Names, before: _Found) -> _Found:
        """Give the first entry that the bearer's address or one of its names leads to, if it stands before *before*."""
        listed = self._by_address.get(bearer)
        if listed is not None:
            before = _earliest(listed, device, before)
        if self._by_devname:
            for name in names.get(bearer, ()):
                before = _earliest(self._by_devname.get(name, ()), device, before)
        return before

    def _rest_that_meet(self, device: Device) -> list[_Placed]:
        ids = (device.vendor_id, device.product_id)
        known = self._rest_of_ids.get(ids)
        if known is None:
            known = self._rest_of_ids[ids] = [each for each in self._rest if _meets_ids(each[1], device)]
        return known


def _earliest(listed: Iterable[_Placed], device: Device, before: _Found) -> _Found:
    for placed in listed:
        if placed[0] > before[0]:
            break
        if _meets_ids(placed[1], device):
            return placed
    return before


def _meets_ids(entry: Entry, device: Device) -> bool:
    return entry.vendor_id in (None, device.vendor_id) and entry.product_id in (None, device.product_id)
