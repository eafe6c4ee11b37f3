"""
``pci-agent plan``: what another whitelist would change on this host, before it is in force.

It changes nothing. What somebody holds of the devices that would be lost is named: such a device isn't taken
away, it goes when it is freed.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from pci_agent.inspect.host import Holder, Host
from pci_agent.model.device import Device
from pci_agent.model.vocabulary import Tags
from pci_agent.model.whitelist import Whitelist

FINE, STRANDS = 0, 1
"""Exit codes: STRANDS where a device that somebody holds would be lost."""


@dataclass(frozen=True, slots=True)
class Changed:
    """
    One device whose offer changes.

    Attributes:
        device: the function
        before: its tags now; None where it isn't offered
        after: its tags then; None where it isn't offered
        host_use: what the host uses it for, where that keeps it from being given then
        freed_from_use: what the host uses it for, where that kept it back and will not then
        holders: who holds it
    """

    device: Device
    before: Tags | None
    after: Tags | None
    host_use: tuple[str, ...]
    freed_from_use: tuple[str, ...]
    holders: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What changes, in order of address, and how many stay as they are.

    Attributes:
        gained: offered then and not now
        lost: offered now and not then
        retagged: offered with other tags
        released: with the same tags, but kept from being given by the host's own use in one of the two alone
        kept: how many stay as they are
        unknown: what couldn't be told
    """

    gained: tuple[Changed, ...]
    lost: tuple[Changed, ...]
    retagged: tuple[Changed, ...]
    released: tuple[Changed, ...]
    kept: int
    unknown: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """FINE or STRANDS."""
        return STRANDS if any(each.holders for each in self.lost) else FINE


def plan(now: Whitelist, then: Whitelist, host: Host) -> Plan:
    """Compare what two whitelists offer on a host."""
    changes = []
    kept = 0
    for device in host.scan.devices:
        before, after = _offer(now, device, host), _offer(then, device, host)
        if before == after:
            kept += before is not None
            continue
        changes.append(
            Changed(
                device,
                None if before is None else before[0],
                None if after is None else after[0],
                () if after is None else after[1],
                before[1] if before is not None and after is not None and not after[1] else (),
                host.holders.get(device.address, ()),
            )
        )
    both = [each for each in changes if each.before is not None and each.after is not None]
    return Plan(
        gained=tuple(each for each in changes if each.before is None),
        lost=tuple(each for each in changes if each.after is None),
        retagged=tuple(each for each in both if each.before != each.after),
        released=tuple(each for each in both if each.before == each.after),
        kept=kept,
        unknown=host.unknown,
    )


def _offer(whitelist: Whitelist, device: Device, host: Host) -> tuple[Tags, tuple[str, ...]] | None:
    """Tell a device's tags, and the host's use that keeps it back; None where it isn't offered."""
    entry = whitelist.match(device, host.names)
    if entry is None or entry.exclude:
        return None
    return entry.tags, () if entry.allow_host_use else host.blocked.get(device.address, ())


def as_json(told: Plan) -> str:
    """Write a plan as one indented JSON document."""
    return json.dumps(
        {
            "gained": _documents(told.gained),
            "lost": _documents(told.lost),
            "retagged": _documents(told.retagged),
            "released": _documents(told.released),
            "kept": told.kept,
            "unknown": list(told.unknown),
        },
        indent=2,
    )


def _documents(changes: Iterable[Changed]) -> list[dict[str, object]]:
    return [
        {
            "address": str(each.device.address),
            "vendor_id": each.device.vendor_id,
            "product_id": each.device.product_id,
            "dev_type": str(each.device.dev_type),
            "tags_now": None if each.before is None else dict(each.before),
            "tags_then": None if each.after is None else dict(each.after),
            "host_use": list(each.host_use),
            "freed_from_use": list(each.freed_from_use),
            "holders": [{"instance_uuid": held.instance_uuid, "said_by": held.said_by} for held in each.holders],
        }
        for each in changes
    ]


def as_text(told: Plan) -> str:
    """Write a plan for people: + gained, - lost, ~ retagged, ! with another answer to the host's own use."""
    lines = []
    for each in told.gained:
        lines += [f"+ {_named(each.device)}  {_written(each.after)}", *_used(each)]
    for each in told.lost:
        lines.append(f"- {_named(each.device)}  {_written(each.before)}")
        lines += [
            f"    held by {holder}: it stays with its holder, and goes when it is freed" for holder in each.holders
        ]
    for each in told.retagged:
        lines.append(f"~ {_named(each.device)}  {_written(each.before)} -> {_written(each.after)}")
        lines += [*_used(each), *(f"    held by {holder}" for holder in each.holders)]
    for each in told.released:
        lines += [f"! {_named(each.device)}  {_written(each.after)}", *_used(each)]
    lines += [f"not known: {each}" for each in told.unknown]
    counts = f"{len(told.gained)} gained, {len(told.lost)} lost, {len(told.retagged)} retagged, {told.kept} as they are"
    if told.released:
        counts = f"{counts}, {len(told.released)} with another answer to the host's own use"
    return "\n".join([*lines, counts])


def _used(each: Changed) -> list[str]:
    if each.host_use:
        return [f"    unavailable, the host uses it: {'; '.join(each.host_use)}"]
    if each.freed_from_use:
        return [f"    AVAILABLE TO GUESTS though the host uses it: {'; '.join(each.freed_from_use)}"]
    return []


def _named(device: Device) -> str:
    return f"{device.address}  {device.vendor_id}:{device.product_id}  {device.dev_type}"


def _written(tags: Tags | None) -> str:
    if not tags:
        return "(no tags)"
    return " ".join(f"{name}={'null' if value is None else value}" for name, value in tags.items())
