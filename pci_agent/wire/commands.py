"""
What an agent is told to do, and what it answers: versioned models, checked on both sides.

A command names the agent that it is for, and a claim the session too that it was planned against; see PROTOCOL.md
rules 13 to 17. Every command that changes something is answered with the report of its change. Inquiries change
nothing: they are answered with what the commands on the host print.
"""

from typing import Annotated, Literal

from pydantic import Field

from pci_agent.wire.messages import (
    VERSION,
    DeviceRecord,
    HexId,
    Many,
    Model,
    Name,
    Named,
    PoolRecord,
    Report,
    Tags,
    Text,
    Token,
    Uuid,
)

MOST_ATTEMPTS = 2**31 - 1
_Attempt = Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)]
_DeviceSpec = Annotated[str, Field(max_length=65_536)]


class SpecRecord(Model):
    """What one device must be; see model.request.Spec."""

    vendor_id: HexId | None = None
    product_id: HexId | None = None
    dev_type: Literal["type-PCI", "type-PF", "type-VF", "vdpa"] | None = None
    tags: Tags = Field(default_factory=dict)


class AskedRecord(Model):
    """One request of a claim; see model.request.PciRequest."""

    request_id: Uuid
    count: Annotated[int, Field(ge=1, le=64)] = 1
    specs: Annotated[Many[SpecRecord], Field(min_length=1, max_length=64)]
    numa_policy: Literal["required", "legacy", "preferred", "socket"] = "legacy"
    for_port: bool = False


class RequestRecord(AskedRecord):
    """One request of a claim, and which attempt of it this is."""

    attempt: _Attempt


class _Command(Model):
    version: str = VERSION
    agent_uuid: Uuid


class ClaimCommand(_Command):
    """
    Claim devices for all of an instance's requests, or none.

    Attributes:
        session: of the agent, that this was planned against
        lifetime_s: how long the claim lasts unless it is allocated; None for the agent's own
        cells: the host's NUMA nodes that the guest's cells lie on; empty where unknown
        sockets: the socket of each of the host's nodes, where known
    """

    session: Uuid
    instance_uuid: Uuid
    project_id: Name | None = None
    user_id: Name | None = None
    requests: Annotated[Many[RequestRecord], Field(min_length=1, max_length=64)]
    lifetime_s: Annotated[float, Field(gt=0, le=7 * 86400)] | None = None
    cells: Many[Annotated[int, Field(ge=0)]] = ()
    sockets: Named[int, int | None] = Field(default_factory=dict)


class AttemptCommand(_Command):
    """Allocate exactly this attempt of a request, or free all up to it."""

    request_id: Uuid
    attempt: _Attempt


class DisableCommand(_Command):
    """Keep a device, or the whole host where none is named, from being given."""

    device_uuid: Uuid | None = None
    reason: Text
    actor: Name
    until: float | None = None


class EnableCommand(_Command):
    """Take an operator's word back, of a device or of the whole host."""

    device_uuid: Uuid | None = None


class AskCommand(_Command):
    """Ask something of the agent, or for a look."""


class ExplainCommand(_Command):
    """
    Ask why a function is offered or not.

    Attributes:
        address: as ``pci-agent explain`` takes it: as lspci or the whitelist writes it, libvirt's name or a netdev's
    """

    address: Annotated[str, Field(min_length=1, max_length=255)]


class PlanCommand(_Command):
    """
    Ask what another whitelist would change.

    Attributes:
        device_specs: the values of ``[pci] device_spec``, in order; none: nothing is offered
    """

    device_specs: Annotated[Many[_DeviceSpec], Field(max_length=1024)]


class CommandAnswer(Model):
    """
    What became of a command.

    Attributes:
        verdict: ok, or why not; see model.claims.Verdict
        token: the agent's state afterwards
        devices: of claim, allocate and free: the uuids of each request's devices
        highest: of freed and stale: the highest attempt that is known
        reason: in words, of all but ok
        report: what the command changed; None where nothing
    """

    version: str = VERSION
    verdict: Name
    token: Token
    devices: Named[str, Many[str]] = Field(default_factory=dict)
    highest: int | None = None
    reason: str | None = None
    report: Report | None = None


class RefusalRecord(Model):
    """One thing that is wrong in a whitelist; see errors.Refusal."""

    option: str
    entry: int | None = None
    key: str | None = None
    value: str
    what: str
    cure: str


class InquiryAnswer(Model):
    """
    The answer to an inquiry.

    Attributes:
        verdict: ok, stranger, unknown, unavailable or refused; see model.claims.Verdict
        document: of ok: the JSON text that the command of that name prints with ``-f json``
        reason: in words, of all but ok
        refusals: of a whitelist that can't be used: everything that is wrong with it
    """

    version: str = VERSION
    verdict: Name
    document: str | None = None
    reason: str | None = None
    refusals: Many[RefusalRecord] = ()


class Listing(Model):
    """An agent's devices and pools as they are now."""

    version: str = VERSION
    token: Token
    devices: Many[DeviceRecord] = ()
    pools: Many[PoolRecord] = ()
