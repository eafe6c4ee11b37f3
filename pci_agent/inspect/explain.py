"""
``pci-agent explain``: why a function is offered or not, entry by entry, and what to do about it.

Every entry is judged in order, with the first condition that failed and what would have met it; what decides is
the whitelist's own match. The last lines say the cure in words that need no reading of code.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pci_agent.inspect.host import Holder, Host
from pci_agent.model import device_spec
from pci_agent.model.device import Device
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.standing import HostState, settle
from pci_agent.model.stats import pools
from pci_agent.model.vocabulary import Tags
from pci_agent.model.whitelist import AddressGlob, Entry, Names, Whitelist


@dataclass(frozen=True, slots=True)
class Judged:
    """One entry: its text, and the first condition that failed; None where all hold."""

    number: int
    entry: str
    failed: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """
    Why a function is offered or not.

    Attributes:
        device: the function
        entries: every entry of the whitelist, in order
        decided_by: number of the entry that decides; None where none matches
        offered: whether it is offered
        tags: of the entry that offers it
        pool: what it counts in, as PCI stats have it; None where it isn't offered
        host_use: what the host uses it for, also where the entry allows that; None where it can't be told
        status: what an operator reads once this configuration is in force; None where it isn't offered or can't be told
        status_reason: why the status is not the one expected
        status_now: what the agent's store says at the moment, with its reason; None where it says nothing
        holders: who holds it
        cures: what to do to change the outcome
        unknown: what couldn't be told
    """

    device: Device
    entries: tuple[Judged, ...]
    decided_by: int | None
    offered: bool
    tags: Tags
    pool: dict[str, str] | None
    host_use: tuple[str, ...] | None
    status: str | None
    status_reason: str | None
    status_now: str | None
    holders: tuple[Holder, ...]
    cures: tuple[str, ...]
    unknown: tuple[str, ...]


def explain(device: Device, whitelist: Whitelist, host: Host) -> Explanation:
    """Explain one function of the host."""
    entry = whitelist.match(device, host.names)
    offering = None if entry is None or entry.exclude else entry
    use = host.blocked.get(device.address, ())
    kept = host.tracked.get(device.address)
    status, reason = None, None
    if offering is not None and (host.use_known or (kept is not None and kept.owner is not None)):
        owner = None if kept is None else kept.owner
        blocking = () if offering.allow_host_use else use
        seen = TrackedDevice(uuid="", identity="", device=device, tags=offering.tags, host_use=blocking, owner=owner)
        then = next(iter(settle([seen], HostState())), seen)
        status, reason = str(then.status), then.status_reason
    return Explanation(
        device=device,
        entries=tuple(
            Judged(each.number, device_spec.written(each), why_not(each, device, host.names))
            for each in whitelist.entries
        ),
        decided_by=None if entry is None else entry.number,
        offered=offering is not None,
        tags={} if offering is None else offering.tags,
        pool=None if offering is None else _pool(device, offering.tags),
        host_use=use if host.use_known else None,
        status=status,
        status_reason=reason,
        status_now=_now(kept),
        holders=host.holders.get(device.address, ()),
        cures=tuple(_cures(device, entry, use, host)),
        unknown=host.unknown,
    )


def _now(kept: TrackedDevice | None) -> str | None:
    if kept is None or not kept.shown:
        return None
    return f"{kept.status}, {kept.status_reason}" if kept.status_reason else str(kept.status)


def why_not(entry: Entry, device: Device, names: Names) -> str | None:
    """Tell the first condition of an entry that a device doesn't meet, with what it is instead; None where all hold."""
    failed = entry.failed_condition(device, names)
    if failed is None:
        return None
    if failed == "address":
        return _wrong_address(entry, device)
    if failed == "devname":
        return _wrong_name(entry, device, names)
    return f"its {failed} is {getattr(device, failed)}, not {getattr(entry, failed)}"


def _wrong_address(entry: Entry, device: Device) -> str:
    address = entry.address
    told = f"its address {device.address} isn't {address}"
    if address is None or device.parent_addr is None:
        return told
    if address.exact is not None:
        return f"{told}, nor is its PF's, {device.parent_addr}"
    if address.matches(device.parent_addr):
        return f"{told}; its PF's is, but an address with wildcards takes no VFs along"
    return told


def _wrong_name(entry: Entry, device: Device, names: Names) -> str:
    bearers = [str(address) for address, each in names.items() if entry.devname in each]
    if not bearers:
        return f"no PCI function bears the netdev name {entry.devname} itself, nor did one in this boot"
    own = f"it is neither its own nor its PF's, {device.parent_addr}" if device.parent_addr else "it isn't its own"
    return f"the netdev name {entry.devname} is that of {', '.join(bearers)}: {own}"


def _pool(device: Device, tags: Tags) -> dict[str, str]:
    (pool,) = pools([TrackedDevice(uuid="", identity="", device=device, tags=tags)])
    facts = {
        "vendor_id": pool.vendor_id,
        "product_id": pool.product_id,
        "numa_node": pool.numa_node,
        "dev_type": pool.dev_type,
        "parent_addr": pool.parent_addr,
        **dict(pool.tags),
    }
    return {name: str(fact) for name, fact in facts.items() if fact is not None}


def _cures(device: Device, entry: Entry | None, use: tuple[str, ...], host: Host) -> list[str]:
    offer = json.dumps({"address": str(device.address)})
    if entry is None:
        cures = [f"to offer it, add an entry such as {offer}, or mend the entry that should match"]
        if use:
            cures.append("but the host uses it, so that it would be listed as unavailable")
        parent = next((each for each in host.scan.devices if each.address == device.parent_addr), None)
        if parent is not None:
            whole = json.dumps({"address": str(parent.address), "product_id": device.product_id})
            cures.append(f"to offer all VFs of its PF, add {whole}")
        return cures
    if entry.exclude:
        return [f"to offer it, narrow entry {entry.number}, or put {offer} with its tags above it"]
    cures = []
    if use and not entry.allow_host_use:
        cures.append(
            "to have it given to guests, take it out of the host's own use; or, if that is meant,"
            f' add "allow_host_use": true to entry {entry.number}'
        )
    for holder in host.holders.get(device.address, ()):
        cures.append(f"to have it given to another, free it from {holder}")
    return cures


def as_json(told: Iterable[Explanation]) -> str:
    """Write explanations as one indented JSON list."""
    return json.dumps([_document(each) for each in told], indent=2)


def _document(told: Explanation) -> dict[str, object]:
    device = told.device
    return {
        "address": str(device.address),
        "vendor_id": device.vendor_id,
        "product_id": device.product_id,
        "dev_type": str(device.dev_type),
        "parent_addr": None if device.parent_addr is None else str(device.parent_addr),
        "entries": [
            {"number": each.number, "entry": each.entry, "matches": each.failed is None, "failed": each.failed}
            for each in told.entries
        ],
        "decided_by": told.decided_by,
        "offered": told.offered,
        "tags": dict(told.tags),
        "pool": told.pool,
        "host_use": None if told.host_use is None else list(told.host_use),
        "status": told.status,
        "status_reason": told.status_reason,
        "status_now": told.status_now,
        "holders": [{"instance_uuid": each.instance_uuid, "said_by": each.said_by} for each in told.holders],
        "cures": list(told.cures),
        "unknown": list(told.unknown),
    }


def as_text(told: Sequence[Explanation]) -> str:
    """Write explanations for people; what isn't known stands once, at the end."""
    lines = [line for each in told for line in [*_lines(each), ""]]
    lines += [f"not known: {each}" for each in (told[0].unknown if told else ())]
    return "\n".join(lines).rstrip("\n")


def _lines(told: Explanation) -> list[str]:
    lines = [_headline(told.device), ""]
    lines += [_judgement(each, told.decided_by) for each in told.entries] or ["the whitelist has no entry"]
    lines += ["", _outcome(told)]
    if told.pool is not None:
        lines.append(f"pool: {' '.join(f'{name}={value}' for name, value in told.pool.items())}")
    lines.append(f"host use: {'not known' if told.host_use is None else '; '.join(told.host_use) or 'none seen'}")
    if told.offered:
        reason = f", {told.status_reason}" if told.status_reason else ""
        lines.append(f"status: {told.status or 'not known'}{reason}")
        then = f"{told.status}{reason}"
        if told.status_now is not None and told.status is not None and told.status_now != then:
            lines.append(f"status now: {told.status_now} (the agent's store; the other one is this configuration's)")
    lines += [f"held by: {holder}" for holder in told.holders]
    lines += [f"cure: {cure}" for cure in told.cures]
    return lines


def _headline(device: Device) -> str:
    parts = [f"{device.address}  {device.vendor_id}:{device.product_id}  {device.dev_type}"]
    if device.parent_addr is not None:
        index = "" if device.vf_index is None else f"VF {device.vf_index} "
        parts.append(f"{index}of {device.parent_addr}")
    parts.append("no NUMA node" if device.numa_node is None else f"NUMA node {device.numa_node}")
    parts.append("no IOMMU group" if device.iommu_group is None else f"IOMMU group {device.iommu_group}")
    parts.append(f"driver {device.driver or 'none'}")
    if device.netdevs:
        parts.append(f"netdev {' '.join(netdev.name for netdev in device.netdevs)}")
    return ", ".join(parts)


def _judgement(each: Judged, decided_by: int | None) -> str:
    if each.failed is not None:
        verdict = f"no: {each.failed}"
    elif each.number == decided_by:
        verdict = "matches, and decides"
    else:
        verdict = f"would match, but entry {decided_by} comes first"
    return f"entry {each.number}  {each.entry}\n    {verdict}"


def _outcome(told: Explanation) -> str:
    if told.decided_by is None:
        return "outcome: not offered, for no entry matches it"
    if not told.offered:
        return f"outcome: not offered, for entry {told.decided_by} excludes it"
    tags = " ".join(f"{name}={'null' if value is None else value}" for name, value in told.tags.items())
    return f"outcome: offered by entry {told.decided_by}, {f'with tags {tags}' if tags else 'without tags'}"


def wildcard(entry: Entry) -> bool:
    """True where the entry's address has a wildcard, so that it takes no VFs along."""
    return entry.address is not None and (not isinstance(entry.address, AddressGlob) or entry.address.exact is None)
