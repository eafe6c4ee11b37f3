"""
``pci-agent check-config``: what is wrong with a whitelist, and what it does on this host that may not be meant.

Errors keep the daemon from starting and are told all at once. Warnings are about this host: the same file may be
right on another one.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pci_agent.errors import Refusal
from pci_agent.inspect.explain import wildcard
from pci_agent.inspect.host import Host
from pci_agent.model import device_spec
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device
from pci_agent.model.whitelist import AddressRegex, Entry, Whitelist

FINE, WARNED, REFUSED = 0, 1, 2
"""Exit codes."""

_MOST_SHOWN = 8
_BRIDGE_CLASS = "06"


class Kind(StrEnum):
    """What a warning is about."""

    EMPTY = "empty"
    MATCHES_NOTHING = "matches-nothing"
    SHADOWED = "shadowed"
    VFS_LEFT_BEHIND = "vfs-left-behind"
    ONLY_NOVA = "only-nova-takes"
    HOST_USE = "host-use"
    BRIDGE = "bridge"
    IOMMU = "iommu"
    ALIAS = "alias"


@dataclass(frozen=True, slots=True)
class Warned:
    """
    One thing that may not be meant.

    Attributes:
        kind: what it is about
        entry: the entry's number; None where the whole whitelist is meant
        what: what is so
        cure: what to do if it isn't meant
        devices: the functions that it is about
    """

    kind: Kind
    entry: int | None
    what: str
    cure: str
    devices: tuple[PciAddress, ...] = ()

    def __str__(self) -> str:
        where = "" if self.entry is None else f"entry {self.entry}: "
        return f"warning: {where}{self.what}; {self.cure}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found; *errors* leave no whitelist to warn about."""

    errors: tuple[Refusal, ...]
    warnings: tuple[Warned, ...]
    functions: int
    offered: int
    unknown: tuple[str, ...]
    files: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """FINE, WARNED or REFUSED."""
        return REFUSED if self.errors else WARNED if self.warnings else FINE


def refused(errors: Iterable[Refusal]) -> Checked:
    """Tell of a configuration that leaves no whitelist to look at."""
    return Checked(tuple(errors), (), 0, 0, ())


def check(whitelist: Whitelist, alias_errors: Iterable[Refusal], host: Host) -> Checked:
    """
    Check a whitelist on a host.

    Args:
        whitelist: without errors
        alias_errors: of the aliases in the same files, which agents don't read
        host: what the warnings are about
    """
    check = _Check(whitelist, host)
    warnings = [*check.warnings(), *map(_of_alias, alias_errors)]
    return Checked((), tuple(warnings), len(host.scan.devices), check.offered(), host.unknown, host.files)


def _of_alias(error: Refusal) -> Warned:
    where = f"{error.option} entry {error.entry}"
    return Warned(Kind.ALIAS, None, f"{where} is none that a tracker takes: {error.what}", error.cure)


class _Check:
    """A whitelist, and which of its entries decides about each function of the host."""

    def __init__(self, whitelist: Whitelist, host: Host) -> None:
        self._entries = whitelist.entries
        self._host = host
        self._deciding = {device.address: whitelist.match(device, host.names) for device in host.scan.devices}

    def offered(self) -> int:
        return sum(1 for entry in self._deciding.values() if entry is not None and not entry.exclude)

    def warnings(self) -> Iterator[Warned]:
        """Give what may not be meant, entry by entry."""
        if not self._entries:
            cure = 'write one, such as {"vendor_id": "8086", "product_id": "1520"}'
            yield Warned(Kind.EMPTY, None, "the whitelist has no entry: nothing is offered", cure)
        for entry in self._entries:
            matched = [each for each in self._host.scan.devices if self._meets(entry, each)]
            decided = [each for each in matched if self._deciding[each.address] is entry]
            if not matched:
                yield self._matches_nothing(entry)
            elif not decided:
                takers = {each.number for device in matched if (each := self._deciding[device.address]) is not None}
                yield _shadowed(entry, takers, matched)
            if not entry.exclude:
                yield from self._left_behind(entry, decided)
                yield from self._host_use(entry, decided)
                yield from self._not_for_guests(entry, decided)
            yield from self._only_nova(entry)

    def _meets(self, entry: Entry, device: Device) -> bool:
        return entry.failed_condition(device, self._host.names) is None

    def _matches_nothing(self, entry: Entry) -> Warned:
        covering = {each.number for each in self._entries if each.number < entry.number and _covers(each, entry)}
        if covering:
            return _shadowed(entry, covering, ())
        if entry.devname is not None and not any(entry.devname in names for names in self._host.names.values()):
            return Warned(
                Kind.MATCHES_NOTHING,
                entry.number,
                f"no device of this host bears the netdev name {entry.devname} now",
                "a netdev counts for the function right below which it stands, as pci-agent discover shows, not over"
                " virtio: mend the name, or write an address",
            )
        return Warned(
            Kind.MATCHES_NOTHING,
            entry.number,
            f"no device of this host matches {device_spec.written(entry)}",
            "see pci-agent discover for what is there, and pci-agent explain ADDRESS for why one doesn't match",
        )

    def _left_behind(self, entry: Entry, decided: list[Device]) -> Iterator[Warned]:
        for pf in decided if wildcard(entry) else ():
            left = [
                each
                for each in self._host.scan.devices
                if each.parent_addr == pf.address and self._deciding[each.address] is None
            ]
            if left:
                yield Warned(
                    Kind.VFS_LEFT_BEHIND,
                    entry.number,
                    f"it offers the PF {pf.address} and leaves {_counted(left, 'VF')} of it behind, for an address"
                    " with wildcards takes no VFs along",
                    f'write the PF\'s address in full, "{pf.address}", or an entry that matches the VFs',
                    tuple(each.address for each in left),
                )

    def _only_nova(self, entry: Entry) -> Iterator[Warned]:
        address = entry.address
        if not isinstance(address, AddressRegex):
            return
        ids = replace(entry, address=None)
        only = [
            each
            for each in self._host.scan.devices
            if not address.matches(each.address) and _nova_matches(address, each.address) and self._meets(ids, each)
        ]
        if only:
            yield Warned(
                Kind.ONLY_NOVA,
                entry.number,
                f"nova would take {_counted(only, 'device')} more, for it matches the beginning of each field alone",
                "end the expression with .* if they are meant",
                tuple(each.address for each in only),
            )

    def _host_use(self, entry: Entry, decided: list[Device]) -> Iterator[Warned]:
        for device in () if entry.allow_host_use else decided:
            reasons = self._host.blocked.get(device.address)
            if reasons:
                exclude = f'{{"address": "{device.address}", "exclude": true}}'
                yield Warned(
                    Kind.HOST_USE,
                    entry.number,
                    f"it offers {device.address}, which can't be given while the host uses it: {'; '.join(reasons)}",
                    f'put {exclude} above it, or add "allow_host_use": true to it',
                    (device.address,),
                )

    def _not_for_guests(self, entry: Entry, decided: list[Device]) -> Iterator[Warned]:
        bridges = [each for each in decided if each.class_code.startswith(_BRIDGE_CLASS)]
        if bridges:
            yield Warned(
                Kind.BRIDGE,
                entry.number,
                f"it offers {_counted(bridges, 'bridge')}, which no guest can be given",
                "narrow it, or exclude them above it",
                tuple(each.address for each in bridges),
            )
        alone = [each for each in decided if each.iommu_group is None]
        if alone:
            yield Warned(
                Kind.IOMMU,
                entry.number,
                f"it offers {_counted(alone, 'device')} without an IOMMU group, which vfio can't give",
                "switch the IOMMU on (intel_iommu=on, amd_iommu=on and the firmware's setting)",
                tuple(each.address for each in alone),
            )
        sharing = [each for each in decided if self._shares(each)]
        if sharing:
            yield Warned(
                Kind.IOMMU,
                entry.number,
                f"it offers {_counted(sharing, 'device')} that share an IOMMU group with what isn't offered",
                "a guest gets such a group whole or not at all: offer the rest of it too, or see that it has no driver",
                tuple(each.address for each in sharing),
            )

    def _shares(self, device: Device) -> bool:
        return device.iommu_group is not None and any(
            each.iommu_group == device.iommu_group
            and not each.class_code.startswith(_BRIDGE_CLASS)
            and ((entry := self._deciding[each.address]) is None or entry.exclude)
            for each in self._host.scan.devices
        )


def _shadowed(entry: Entry, takers: Iterable[int], matched: Iterable[Device]) -> Warned:
    numbers = [str(number) for number in sorted(takers)]
    before = f"entry {numbers[0]} takes" if len(numbers) == 1 else f"the entries {', '.join(numbers)} take"
    return Warned(
        Kind.SHADOWED,
        entry.number,
        f"it decides about nothing, for {before} all that it could match",
        "put it above, or take it out",
        tuple(device.address for device in matched),
    )


def _covers(earlier: Entry, later: Entry) -> bool:
    """True where whatever meets the later entry meets the earlier one."""
    return (
        earlier.vendor_id in (None, later.vendor_id)
        and earlier.product_id in (None, later.product_id)
        and earlier.devname in (None, later.devname)
        and (earlier.address is None or earlier.address == later.address)
    )


def _nova_matches(regex: AddressRegex, address: PciAddress) -> bool:
    """Match as nova does: the beginning of each field, with case (nova/pci/devspec.py, PciAddressRegexSpec)."""
    texts = (f"{address.domain:04x}", f"{address.bus:02x}", f"{address.slot:02x}", f"{address.function:x}")
    patterns = (regex.domain, regex.bus, regex.slot, regex.function)
    return all(pattern.match(text) for pattern, text in zip(patterns, texts, strict=True))


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _counted(devices: Sequence[Device], noun: str) -> str:
    shown = ", ".join(str(each.address) for each in devices[:_MOST_SHOWN])
    more = ", …" if len(devices) > _MOST_SHOWN else ""
    return f"{_number(len(devices), noun)} ({shown}{more})"


def as_json(told: Checked) -> str:
    """Write a check as one indented JSON document."""
    return json.dumps(
        {
            "errors": [
                {
                    "option": each.option,
                    "entry": each.entry,
                    "key": each.key,
                    "value": each.value,
                    "what": each.what,
                    "cure": each.cure,
                }
                for each in told.errors
            ],
            "warnings": [
                {
                    "kind": each.kind.value,
                    "entry": each.entry,
                    "what": each.what,
                    "cure": each.cure,
                    "devices": [str(address) for address in each.devices],
                }
                for each in told.warnings
            ],
            "functions": told.functions,
            "offered": None if told.errors else told.offered,
            "unknown": list(told.unknown),
            "files": list(told.files),
        },
        indent=2,
    )


def as_text(told: Checked) -> str:
    """Write a check for people."""
    lines = [f"error: {error}" for error in told.errors]
    lines += [str(each) for each in told.warnings]
    lines += [f"not known: {each}" for each in told.unknown]
    lines += [f"read: {file}" for file in told.files]
    if told.errors:
        lines.append(f"{_number(len(told.errors), 'error')}: the agent would not start with this")
    else:
        lines.append(
            f"{told.offered} of {told.functions} PCI functions offered, {_number(len(told.warnings), 'warning')}"
        )
    return "\n".join(lines)
