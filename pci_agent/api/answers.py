"""
What the calls answer that are alike in every version, described field by field; and what a fault looks like.

The models describe and check: answers are written from rows without them, and tests hold each against its model.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from pci_agent.api.faults import NAMES


class Answered(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Link(Answered):
    """
    Where something else is.

    Attributes:
        rel: ``next``: the following page
        href: its address
    """

    rel: str
    href: str


Links = tuple[Link, ...]


class Refused(Answered):
    """
    One thing that is wrong in a whitelist.

    Attributes:
        option: as written in the file, with its group
        entry: which value of the option, from 1
        key: the key inside it; null where the whole of it is meant
        value: what was found
        what: why it can't be used
        cure: what to write instead
    """

    option: str
    entry: int | None
    key: str | None
    value: str
    what: str
    cure: str


class AllocatedDevice(Answered):
    """
    A device that a request has.

    Attributes:
        dev_id: libvirt's name of it
        parent_addr: the address of a VF's PF
        numa_node: null where the host doesn't say
        tags: of the whitelist entry that offers it
    """

    uuid: str
    address: str
    vendor_id: str
    product_id: str
    status: str
    dev_id: str
    dev_type: str
    parent_addr: str | None
    numa_node: int | None
    tags: dict[str, str | None]


class RequestStanding(Answered):
    """
    How one request stands.

    Attributes:
        verdict: what became of it by this call
        reason: in words, of all but ``ok``
        state: ``claiming``, ``done``, ``failed``, ``freeing`` or ``freed``
        attempt: the newest
        confirmed: whether it was ever allocated
        hypervisor_hostname: where it is, or was last; null where nowhere
        devices: that it has
    """

    request_id: str
    instance_uuid: str
    verdict: str
    reason: str | None
    state: str
    attempt: int
    confirmed: bool
    hypervisor_hostname: str | None
    devices: list[AllocatedDevice]


class Allocation(Answered):
    """
    What an instance has asked for.

    Attributes:
        verdict: of all requests together: ``ok``, or the worst; ``releasing`` where a running domain still has a device
        reason: in words, of all but ``ok``
        requests: those that the call is about, by request_id
    """

    instance_uuid: str
    verdict: str
    reason: str | None
    requests: list[RequestStanding]


class AllocationAnswer(Answered):
    """How the requests of an instance stand."""

    allocation: Allocation


class CandidateHost(Answered):
    """
    A host that could serve all requests.

    Attributes:
        free: how many of its free devices some request could take
    """

    id: int
    hypervisor_hostname: str
    free: int


class HostsLeft(Answered):
    """
    What one filter left.

    Attributes:
        filter: its name, in the order in which hosts go through
        hosts_left: how many hosts were left behind it
    """

    filter: str
    hosts_left: int


class NearMiss(Answered):
    """
    A host that failed late.

    Attributes:
        failed: the filter that it failed
        why: what was amiss
    """

    hypervisor_hostname: str
    failed: str
    why: list[str]


class CandidatesExplained(Answered):
    """
    Why there are as many hosts as there are.

    Attributes:
        cut: why more hosts may fit than are counted; null where none do
    """

    filters: list[HostsLeft]
    near_misses: list[NearMiss]
    cut: str | None


class CandidatesAnswer(Answered):
    """
    Hosts for requests.

    Attributes:
        candidates: the fullest first
        cut: why more hosts may fit than were found; null where none do
        explanation: where no host fits, and where it was asked for
    """

    candidates: list[CandidateHost]
    cut: str | None
    explanation: CandidatesExplained | None


class Event(Answered):
    """
    Something that became of a device.

    Attributes:
        event: ``appeared``, ``changed`` or ``vanished``
        before, after: what differs; null where the device wasn't, or isn't, there
        instance_uuid, request_id: who holds it, or held it before
    """

    id: int
    at: str
    event: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    instance_uuid: str | None
    request_id: str | None
    compute_node_id: int


class HistoryAnswer(Answered):
    """
    What became of a device.

    Attributes:
        events: newest first
        events_links: where another page follows
    """

    events: list[Event]
    events_links: Links = ()


class EntryJudged(Answered):
    """
    What one entry of the whitelist makes of a function.

    Attributes:
        number: its place, from 1
        entry: the entry as JSON text
        failed: the first condition that doesn't hold, and what is there instead
    """

    number: int
    entry: str
    matches: bool
    failed: str | None


class HolderTold(Answered):
    """
    Who holds a function.

    Attributes:
        said_by: who says so: the agent's store, or libvirt
    """

    instance_uuid: str | None
    said_by: str


class Explained(Answered):
    """
    Why a function is offered or not.

    Attributes:
        entries: every entry of the whitelist, in order
        decided_by: number of the entry that decides; null where none matches
        tags: of the entry that offers it
        pool: what it counts in; null where it isn't offered
        host_use: what the host uses it for; null where that can't be told
        status: that it has once this whitelist is in force; null where it isn't offered, or that can't be told
        status_now: what the agent's store says at the moment, with the reason
        cures: what to do to change the outcome
        unknown: what couldn't be told
    """

    address: str
    vendor_id: str
    product_id: str
    dev_type: str
    parent_addr: str | None
    entries: list[EntryJudged]
    decided_by: int | None
    offered: bool
    tags: dict[str, str | None]
    pool: dict[str, str] | None
    host_use: list[str] | None
    status: str | None
    status_reason: str | None
    status_now: str | None
    holders: list[HolderTold]
    cures: list[str]
    unknown: list[str]


class ExplainAnswer(Answered):
    """
    Why functions are offered or not.

    Attributes:
        explanations: of each function that the name means
    """

    hypervisor_hostname: str
    explanations: list[Explained]


class EntryInForce(Answered):
    """
    An entry of the whitelist.

    Attributes:
        number: its place, from 1
        entry: the entry as JSON text
        exclude: whether it keeps functions from being offered
        devices: the addresses of the functions that it decides about
    """

    number: int
    entry: str
    exclude: bool
    tags: dict[str, str | None]
    devices: list[str]


class Whitelist(Answered):
    """
    The whitelist in force on a host.

    Attributes:
        unresolved_devnames: netdevs that entries name and no function bears
        functions: how many PCI functions the host has
        offered: how many of them are offered
        unknown: what couldn't be told
    """

    hypervisor_hostname: str
    entries: list[EntryInForce]
    unresolved_devnames: list[str]
    functions: int
    offered: int
    unknown: list[str]


class WhitelistAnswer(Answered):
    """The whitelist in force on a host."""

    whitelist: Whitelist


class Changed(Answered):
    """
    A function that another whitelist changes something for.

    Attributes:
        tags_now, tags_then: null where it isn't offered
        host_use: the host's use that would keep it back
        freed_from_use: the host's use that would keep it back no more
    """

    address: str
    vendor_id: str
    product_id: str
    dev_type: str
    tags_now: dict[str, str | None] | None
    tags_then: dict[str, str | None] | None
    host_use: list[str]
    freed_from_use: list[str]
    holders: list[HolderTold]


class Plan(Answered):
    """
    What another whitelist would change on a host.

    Attributes:
        gained: offered then, and not now
        lost: offered now, and not then
        retagged: with other tags
        released: with another answer to the host's own use
        kept: how many stay as they are
        unknown: what couldn't be told
    """

    hypervisor_hostname: str
    gained: list[Changed]
    lost: list[Changed]
    retagged: list[Changed]
    released: list[Changed]
    kept: int
    unknown: list[str]


class PlanAnswer(Answered):
    """What another whitelist would change."""

    plan: Plan


class VersionDescribed(Answered):
    """
    A version of this API.

    Attributes:
        status: ``CURRENT`` is what new programs should use
        min_version, version: empty: there are no microversions
    """

    id: str
    status: str
    min_version: str
    version: str
    links: list[Link]


class VersionAnswer(Answered):
    """One version of this API."""

    version: VersionDescribed


class VersionsAnswer(Answered):
    """
    What is served here.

    Attributes:
        version: of the program
    """

    name: str
    version: str
    versions: list[VersionDescribed]


class HealthAnswer(Answered):
    """All is well."""

    status: str


class FaultDetail(Answered):
    """
    What is wrong.

    Attributes:
        code: HTTP's
        message: what, where and the cure
        verdict: of an agent or the tracker, where one was asked
        allocation: how an instance's requests stand, where it was about them
        refusals: everything that is wrong with a whitelist, where one was sent
    """

    code: int
    message: str
    verdict: str | None = None
    allocation: Allocation | None = None
    refusals: tuple[Refused, ...] = ()


FAULTS: Mapping[int, type[Answered]] = {
    code: create_model(
        f"{name[0].upper()}{name[1:]}",
        __base__=Answered,
        __doc__=f"The body that comes with {code}.",
        **{name: (FaultDetail, Field())},  # type: ignore[call-overload]
    )
    for code, name in NAMES.items()
}
"""What a fault's body holds, by its code."""

ALIKE: Mapping[str, type[Answered]] = {
    "os-pci:history": HistoryAnswer,
    "os-pci:explain": ExplainAnswer,
    "os-pci:candidates": CandidatesAnswer,
    "os-pci-allocations:show": AllocationAnswer,
    "os-pci-allocations:claim": AllocationAnswer,
    "os-pci-allocations:free": AllocationAnswer,
    "os-pci-allocations:confirm": AllocationAnswer,
    "os-pci-whitelist:show": WhitelistAnswer,
    "os-pci-whitelist:plan": PlanAnswer,
}
"""By a route's name, what it answers in every version."""
