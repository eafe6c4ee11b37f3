"""
An inventory in families: a PF with its VFs, or a function by itself. What follows from a family is found out once.

Whatever is derived of a device depends on its family alone, but for the IOMMU groups that families share. So a change
of one device derives anew what one family has, and not what a whole host has. Nothing here changes: *after* gives
another inventory that shares every family that is the same.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, TypeVar

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device
from pci_agent.model.inventory import TrackedDevice

T = TypeVar("T")


class Family:
    """Devices of one family, in order of address."""

    __slots__ = ("_found_out", "items")

    def __init__(self, items: Iterable[TrackedDevice]) -> None:
        self.items = tuple(sorted(items, key=lambda item: item.device.address))
        self._found_out: dict[Callable[[Family], Any], Any] = {}

    def told(self, fact: Callable[["Family"], T]) -> T:
        """Give what a function says of this family; it is asked once."""
        if fact not in self._found_out:
            self._found_out[fact] = fact(self)
        answer: T = self._found_out[fact]
        return answer


class Families(Mapping[str, TrackedDevice]):
    """Every tracked device of a host, by identity, and in families by the address of the PF or the function itself."""

    __slots__ = ("_items", "_shared", "families")

    def __init__(
        self,
        items: Mapping[str, TrackedDevice],
        families: Mapping[PciAddress, Family],
        shared: Mapping[int, frozenset[PciAddress]],
    ) -> None:
        self.families = families
        self._items = items
        self._shared = shared

    @classmethod
    def of(cls, items: "Families | Iterable[TrackedDevice]") -> "Families":
        """Sort devices into families; those that are in families already are handed back."""
        return items if isinstance(items, Families) else cls({}, {}, {}).after(items)

    def __getitem__(self, identity: str) -> TrackedDevice:
        return self._items[identity]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def after(self, changed: Iterable[TrackedDevice]) -> Self:
        """Give the inventory with some devices as they are afterwards, or new; this one stays as it is."""
        news = {item.identity: item for item in changed if not _is_same(self._items.get(item.identity), item)}
        if not news:
            return self
        joining: dict[PciAddress, list[TrackedDevice]] = {}
        for identity, item in news.items():
            known = self._items.get(identity)
            if known is not None:
                joining.setdefault(_family_of(known.device), [])
            joining.setdefault(_family_of(item.device), []).append(item)
        families = dict(self.families)
        for key, joined in joining.items():
            stayed = [each for each in self._members(key) if each.identity not in news]
            families[key] = Family([*stayed, *joined])
            if not families[key].items:
                del families[key]
        if families.keys() != self.families.keys():
            families = dict(sorted(families.items()))
        return type(self)({**self._items, **news}, families, self._shared_after(families, joining))

    def _members(self, key: PciAddress) -> tuple[TrackedDevice, ...]:
        family = self.families.get(key)
        return () if family is None else family.items

    def _shared_after(
        self, families: Mapping[PciAddress, Family], touched: Iterable[PciAddress]
    ) -> Mapping[int, frozenset[PciAddress]]:
        """Tell which families have a part of each IOMMU group, where there are several."""
        if all(_groups_at(self.families, key) == _groups_at(families, key) for key in touched):
            return self._shared
        having: dict[int, set[PciAddress]] = {}
        for key, family in families.items():
            for group in family.told(groups):
                having.setdefault(group, set()).add(key)
        return {group: frozenset(keys) for group, keys in having.items() if len(keys) > 1}

    def differing(self, before: "Families") -> Iterator[TrackedDevice]:
        """Yield the devices that are other than in the inventory before, in order of address."""
        for key, family in self.families.items():
            if before.families.get(key) is not family:
                yield from (item for item in family.items if before.get(item.identity) is not item)

    def touched(self, before: "Families") -> set[PciAddress]:
        """Name the families that are other than before, and those that share an IOMMU group with one."""
        differing = self._differing_families(before)
        shared = {*self._shared.values(), *before._shared.values()}  # noqa: SLF001 - one of its own
        beside = {key for keys in shared if not keys.isdisjoint(differing) for key in keys}
        return (differing | beside) & self.families.keys()

    def _differing_families(self, before: "Families") -> set[PciAddress]:
        if before is self:
            return set()
        now, then = self.families, before.families
        return (then.keys() - now.keys()) | {key for key, family in now.items() if then.get(key) is not family}

    def beside(self, key: PciAddress) -> Iterator[Family]:
        """Yield the other families that have a part of an IOMMU group of this one's."""
        if self._shared:
            others = {each for keys in self._shared.values() if key in keys for each in keys} - {key}
            yield from (self.families[each] for each in sorted(others))

    def owned(self) -> Iterator[TrackedDevice]:
        """Yield the devices that somebody holds."""
        for family in self.families.values():
            yield from family.told(_owned)

    def disabled(self) -> Iterator[TrackedDevice]:
        """Yield the devices that an operator disabled."""
        for family in self.families.values():
            yield from family.told(_disabled)


def _is_same(known: TrackedDevice | None, item: TrackedDevice) -> bool:
    return known is item or known == item


def _family_of(device: Device) -> PciAddress:
    return device.parent_addr or device.address


def groups(family: Family) -> frozenset[int]:
    """Name the IOMMU groups that a family has a part of."""
    return frozenset(item.device.iommu_group for item in family.items if item.device.iommu_group is not None)


def _groups_at(families: Mapping[PciAddress, Family], key: PciAddress) -> frozenset[int]:
    return families[key].told(groups) if key in families else frozenset()


def _owned(family: Family) -> tuple[TrackedDevice, ...]:
    return tuple(item for item in family.items if item.owner is not None)


def _disabled(family: Family) -> tuple[TrackedDevice, ...]:
    return tuple(item for item in family.items if item.disabled is not None)
