"""
Claim, allocate, free and expiry of requests: what each changes, or why it changes nothing.

Decisions only, from facts to facts; whoever keeps them commits before anybody hears of it. A request is named
(request_id, attempt). The rules are PROTOCOL.md's 14 to 17: a repeated claim gets the same answer, a later attempt
the same devices, an earlier one learns the highest; a free ends all attempts up to its own, and leaves a tombstone
for those that are still on their way; an expiry too. A claim is all or nothing.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from pci_agent.model.families import Families
from pci_agent.model.fit import ANYWHERE, Assignment, GuestNuma, Shortage, Undecided, fit
from pci_agent.model.inventory import TrackedDevice, moved
from pci_agent.model.relatives import Hold
from pci_agent.model.request import PciRequest
from pci_agent.model.state import Event, Owner

Tombstones = Mapping[str, int]
"""By request_id, the highest attempt that was ended in this session."""


class Verdict(StrEnum):
    """What became of a command."""

    OK = "ok"
    STRANGER = "stranger"
    FREED = "freed"
    STALE = "stale"
    GONE = "gone"
    CONFLICT = "conflict"
    NO_FIT = "no_fit"
    UNDECIDED = "undecided"
    UNAVAILABLE = "unavailable"
    RELEASING = "releasing"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request of a claim, and which attempt of it this is."""

    request: PciRequest
    attempt: int

    @property
    def content(self) -> str:
        """What is asked for, as one word; the same for the same request."""
        request = self.request
        facts = [
            request.count,
            request.numa_policy,
            request.for_port,
            [[spec.vendor_id, spec.product_id, spec.dev_type, sorted(spec.tags.items())] for spec in request.specs],
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """
    Requests that one instance makes at once.

    Attributes:
        instance_uuid: for whom
        wanted: the requests; all are met or none
        numa: where the guest's memory is
        project_id: the instance's project
        user_id: the instance's user
        lifetime_s: how long the claim lasts unless it is allocated
    """

    instance_uuid: str
    wanted: tuple[Wanted, ...]
    numa: GuestNuma = ANYWHERE
    project_id: str | None = None
    user_id: str | None = None
    lifetime_s: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What a command changes and answers.

    Attributes:
        verdict: ok, or why not
        changed: the devices as they are afterwards; empty where nothing changes
        devices: of ok: the uuids of each request's devices
        highest: of freed and stale: the highest attempt that is known
        reason: in words, of everything but ok
        shortages: of no_fit: how each request fared
    """

    verdict: Verdict
    changed: tuple[TrackedDevice, ...] = ()
    devices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    highest: int | None = None
    reason: str | None = None
    shortages: tuple[Shortage, ...] = ()


@dataclass(frozen=True, slots=True)
class Now:
    """The moment of a command: CLOCK_BOOTTIME in seconds, and the boot that it counts from."""

    boottime: float
    boot_id: str


def claim(items: Families, asked: Claim, tombstones: Tombstones, now: Now, elsewhere: Iterable[Hold] = ()) -> Outcome:
    """
    Decide about a claim.

    Args:
        items: the inventory
        asked: the claim
        tombstones: what was freed in this session
        now: when it is
        elsewhere: what domains have of the devices that aren't tracked
    """
    repeated: dict[str, tuple[TrackedDevice, ...]] = {}
    fresh: list[Wanted] = []
    for wanted in asked.wanted:
        live = _live(items, wanted.request.request_id)
        refused = _refusal(wanted, asked, live, tombstones)
        if refused is not None:
            return refused
        if live:
            repeated[wanted.request.request_id] = live
        else:
            fresh.append(wanted)
    answer = fit(items, [each.request for each in fresh], asked.numa, guest=asked.instance_uuid, elsewhere=elsewhere)
    if isinstance(answer, Undecided):
        return Outcome(Verdict.UNDECIDED, reason=answer.reason)
    if not isinstance(answer, Assignment):
        told = "; ".join(str(each) for each in answer.shortages)
        return Outcome(Verdict.NO_FIT, reason=told, shortages=answer.shortages)
    changed = [
        _claimed(item, asked, wanted, now) for wanted in fresh for item in answer.devices[wanted.request.request_id]
    ]
    changed += [
        each for wanted in asked.wanted for each in _renewed(repeated.get(wanted.request.request_id, ()), wanted, now)
    ]
    given = {**repeated, **answer.devices}
    return Outcome(
        Verdict.OK,
        tuple(changed),
        {name: tuple(sorted(item.uuid for item in devices)) for name, devices in given.items()},
    )


def _refusal(wanted: Wanted, asked: Claim, live: Sequence[TrackedDevice], tombstones: Tombstones) -> Outcome | None:
    request_id = wanted.request.request_id
    freed = tombstones.get(request_id)
    if freed is not None and freed >= wanted.attempt:
        return Outcome(Verdict.FREED, highest=freed, reason=f"attempt {wanted.attempt} of {request_id} was freed")
    owner = live[0].owner if live else None
    if owner is None:
        return None
    if owner.attempt > wanted.attempt:
        reason = f"attempt {owner.attempt} of {request_id} is there already"
        return Outcome(Verdict.STALE, highest=owner.attempt, reason=reason)
    if owner.instance_uuid != asked.instance_uuid or owner.content not in ("", wanted.content):
        reason = f"the request {request_id} is there with another content, of {owner.instance_uuid}"
        return Outcome(Verdict.CONFLICT, reason=reason)
    return None


def _claimed(item: TrackedDevice, asked: Claim, wanted: Wanted, now: Now) -> TrackedDevice:
    owner = Owner(
        instance_uuid=asked.instance_uuid,
        request_id=wanted.request.request_id,
        attempt=wanted.attempt,
        content=wanted.content,
        project_id=asked.project_id,
        user_id=asked.user_id,
        lifetime_s=asked.lifetime_s,
        deadline=None if asked.lifetime_s is None else now.boottime + asked.lifetime_s,
        boot_id=now.boot_id,
    )
    return moved(item, Event.CLAIM, owner)


def _renewed(live: Iterable[TrackedDevice], wanted: Wanted, now: Now) -> list[TrackedDevice]:
    """Give the devices of a live request under a later attempt; none where it is the same one."""
    renewed = []
    for item in live:
        owner = item.owner
        if owner is not None and owner.attempt < wanted.attempt:
            lasts = owner.lifetime_s if not owner.allocated else None
            deadline = None if lasts is None else now.boottime + lasts
            later = replace(owner, attempt=wanted.attempt, deadline=deadline, boot_id=now.boot_id)
            renewed.append(moved(item, Event.CLAIM, later))
    return renewed


def allocate(items: Families, request_id: str, attempt: int) -> Outcome:
    """Decide about an allocation: of exactly that attempt; once more is no error."""
    live = _live(items, request_id)
    owner = live[0].owner if live else None
    if owner is None or owner.attempt < attempt:
        return Outcome(
            Verdict.GONE, reason=f"there is no attempt {attempt} of {request_id}: it was freed, or it expired"
        )
    if owner.attempt > attempt:
        reason = f"attempt {owner.attempt} of {request_id} has taken its place"
        return Outcome(Verdict.STALE, highest=owner.attempt, reason=reason)
    changed = tuple(
        moved(item, Event.ALLOCATE, replace(each, allocated=True, deadline=None))
        for item in live
        if (each := item.owner) is not None and not each.allocated
    )
    return Outcome(Verdict.OK, changed, {request_id: tuple(sorted(item.uuid for item in live))})


def free(items: Families, request_id: str, attempt: int) -> Outcome:
    """
    Decide about a free: of all attempts up to this one, whatever their status; of nothing is no error.

    What a running domain still has is *releasing*: it stays its owner's until the domain lets go.
    """
    live = [item for item in _live(items, request_id) if item.owner is not None and item.owner.attempt <= attempt]
    changed = tuple(ended(item) for item in live)
    verdict = Verdict.RELEASING if any(item.owner is not None for item in changed) else Verdict.OK
    reason = None if verdict is Verdict.OK else "a running domain still has it; it is freed when that lets go"
    return Outcome(verdict, changed, {request_id: tuple(sorted(item.uuid for item in live))}, reason=reason)


def ended(item: TrackedDevice) -> TrackedDevice:
    """Take a device from its owner, or mark that this happens when the owner's running domain lets go of it."""
    owner = item.owner
    if owner is None:
        return item
    if item.domain is not None and item.domain == owner.instance_uuid:
        return replace(item, owner=replace(owner, releasing=True))
    return moved(item, Event.FREE, None)


def expired(items: Iterable[TrackedDevice], now: Now) -> tuple[TrackedDevice, ...]:
    """End the claims whose lifetime is over; those of another boot begin theirs anew."""
    changed = []
    for item in items:
        owner = item.owner
        if owner is None or owner.allocated or owner.lifetime_s is None:
            continue
        if owner.boot_id != now.boot_id or owner.deadline is None:
            anew = replace(owner, boot_id=now.boot_id, deadline=now.boottime + owner.lifetime_s)
            changed.append(replace(item, owner=anew))
        elif owner.deadline <= now.boottime:
            changed.append(ended(item))
    return tuple(changed)


def next_expiry(items: Iterable[TrackedDevice]) -> float | None:
    """Tell when the next claim ends, on CLOCK_BOOTTIME; None where none does."""
    ends = [item.owner.deadline for item in items if item.owner is not None and item.owner.deadline is not None]
    return min(ends, default=None)


def _live(items: Families, request_id: str) -> tuple[TrackedDevice, ...]:
    """Give the devices of a request; those that are freed already, and only wait for a domain, are none of it."""
    return tuple(
        item
        for item in items.owned()
        if item.owner is not None and item.owner.request_id == request_id and not item.owner.releasing
    )
