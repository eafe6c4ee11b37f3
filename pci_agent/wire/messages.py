"""
The messages between agent and tracker.

State travels, not events: a report names the state that it replaces (``over``) and the one that it makes
(``token``), so that a lost, repeated or overtaken message changes nothing. Every message carries a version:
a newer minor one is read and its unknown fields are dropped, another major one is refused by name.

A message crosses the bus as one text: JSON, compressed, in base64. That is half the work of nested dicts,
and a text can be measured before it is unpacked.
"""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator

from pci_agent.errors import MessageRefused

VERSION = "1.0"
MOST_BYTES = 32 * 1024 * 1024
"""The largest message, unpacked: forty times a host of 4,096 devices would need less."""

MOST_ITEMS = 65_536
"""The longest list in a message: sixteen hosts of 4,096 devices have so many."""

_DIGEST_MODULUS = 1 << 128
_MOST_NAME = 40

_M = TypeVar("_M", bound=BaseModel)
_K = TypeVar("_K")
_V = TypeVar("_V")

_NO_NUL = r"^[^\x00]*$"
Name = Annotated[str, Field(max_length=255, pattern=_NO_NUL)]
Uuid = Annotated[str, Field(max_length=36, pattern=_NO_NUL)]
Short = Annotated[str, Field(max_length=32, pattern=_NO_NUL)]
Address = Annotated[str, Field(max_length=16, pattern=_NO_NUL)]
Text = Annotated[str, Field(pattern=_NO_NUL)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
HexId = Annotated[str, Field(pattern=r"^[0-9a-f]{4}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
# What is wrong with each item of a long list takes far more memory than the list: so the first one is enough.
Many = Annotated[tuple[_V, ...], FailFast(), Field(max_length=MOST_ITEMS)]
Named = Annotated[dict[_K, _V], FailFast(), Field(max_length=MOST_ITEMS)]
Tags = Named[str, str | None]


class Model(BaseModel):
    """What travels: it doesn't change, and fields of a newer minor version are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Token(Model):
    """
    One state of one agent. Two tokens are the same state where all three parts are equal.

    Attributes:
        session: made anew at each start of the agent; generations compare only within one
        generation: one more at each commit
        digest: the sum of the devices' hashes; see *digest*
    """

    session: Uuid
    generation: Count
    digest: Digest


class DeviceRecord(Model):
    """
    One device as the tracker keeps it.

    Attributes:
        hash: of everything else here, made by the agent; nobody makes it again to compare
        extra_info: more facts, as text: driver, iommu_group, netdevs, phys_function, …
        instance_uuid, request_id, project_id, user_id: who holds it; None while nobody does
        attempt: of that request
    """

    uuid: Uuid
    hash: Digest
    address: Address
    vendor_id: HexId
    product_id: HexId
    dev_type: Address
    dev_id: Short
    label: Short
    parent_addr: Address | None = None
    numa_node: Count | None = None
    status: Short
    status_reason: Text | None = None
    tags: Tags = Field(default_factory=dict)
    extra_info: Named[str, str] = Field(default_factory=dict)
    instance_uuid: Uuid | None = None
    request_id: Uuid | None = None
    attempt: Count = 0
    project_id: Name | None = None
    user_id: Name | None = None


_DEVICE_FIELDS = set(DeviceRecord.model_fields)


class PoolRecord(Model):
    """Devices of one kind on the reporting host; *free* of *total* are available, *used* are held by somebody."""

    vendor_id: HexId
    product_id: HexId
    numa_node: Count | None = None
    dev_type: Name | None = None
    parent_addr: Name | None = None
    tags: Tags = Field(default_factory=dict)
    free: Count
    used: Count = 0
    total: Count

    @property
    def kind(self) -> tuple[object, ...]:
        """All but the counts: what no two pools of a host have in common."""
        tags = tuple(sorted(self.tags.items()))
        return (self.vendor_id, self.product_id, self.numa_node, self.dev_type, self.parent_addr, tags)


class ProblemRecord(Model):
    """Something odd or unreadable on the reporting host; no address where no single function is meant."""

    address: str | None = None
    cause: str


class AgentStatus(Model):
    """
    How the agent itself fares.

    Attributes:
        counter: one more at each change, within a session; an older one is ignored
        config_errors: why the newest configuration is not in force; empty where it is
        unresolved_devnames: netdevs that whitelist entries name and no device bears
        observing: True where the agent shows everything and gives nothing
    """

    counter: Count
    agent_version: Name
    problems: Many[ProblemRecord] = ()
    config_errors: Many[str] = ()
    unresolved_devnames: Many[str] = ()
    observing: bool = False


class _FromAgent(Model):
    """
    Who speaks.

    Attributes:
        agent_uuid: made once, bound to the machine
        host: the name of the hypervisor that the agent speaks for
        session: of this start of the agent
        lineage: the last state of each earlier session, newest last
        status: how the agent fares, where that is not acknowledged yet
    """

    version: str = VERSION
    agent_uuid: Uuid
    host: Annotated[str, Field(min_length=1, max_length=255, pattern=_NO_NUL)]
    session: Uuid
    lineage: Many[Token] = ()
    status: AgentStatus | None = None


class Report(_FromAgent):
    """
    The state *token*, as a change to the state *over*.

    Attributes:
        over: what the tracker must hold for this to apply; None: nothing at all
        full: *devices* are all there are; else those that differ from *over*
        removed: uuids that *over* has and *token* has not; empty where full
        pools: all of them, always
    """

    over: Token | None
    token: Token
    full: bool
    devices: Many[DeviceRecord] = ()
    removed: Many[Uuid] = ()
    pools: Many[PoolRecord] = ()

    @model_validator(mode="after")
    def _is_one_state(self) -> Self:
        named = [record.uuid for record in self.devices] + list(self.removed)
        if len(set(named)) < len(named):
            raise ValueError("a device stands in it twice")
        if len({pool.kind for pool in self.pools}) < len(self.pools):
            raise ValueError("a pool stands in it twice")
        if self.token.session != self.session:
            raise ValueError("its token is of another session")
        return self


class Heartbeat(_FromAgent):
    """A sign of life. *token* is the state that the agent believes the tracker to hold; None: nothing."""

    token: Token | None


class Verdict(StrEnum):
    """What the tracker made of a report or heartbeat."""

    OK = "ok"
    HOLDS = "holds"
    TAKEN = "taken"
    BAD_DIGEST = "bad_digest"
    REFUSED = "refused"


class KnownRecord(Model):
    """
    One device as the tracker has it, for an agent that has lost what it knew of it.

    Attributes:
        status: claimed or allocated where somebody holds it
        status_reason: says too whether that one has freed it already (see model.standing.RELEASING)
        instance_uuid, request_id, attempt, project_id, user_id: who does; None while nobody does
    """

    uuid: Uuid
    address: Address
    vendor_id: HexId
    product_id: HexId
    dev_type: Address
    parent_addr: Address | None = None
    status: Short
    status_reason: Text | None = None
    instance_uuid: Uuid | None = None
    request_id: Uuid | None = None
    attempt: Count = 0
    project_id: Name | None = None
    user_id: Name | None = None


class Answer(Model):
    """
    The tracker's answer, given after its commit.

    Attributes:
        token: ``ok`` and ``holds``: what the tracker holds now; None where it holds nothing
        reason: ``taken``: by whom; ``bad_digest`` and ``refused``: why
        known: ``holds`` of a token that the agent can't have written by itself: every device of it, for the agent to
            take over uuids and owners; empty where the agent knows better
    """

    version: str = VERSION
    verdict: Verdict
    token: Token | None = None
    reason: str | None = None
    known: Many[KnownRecord] = ()


def digest(hashes: Iterable[str]) -> str:
    """Sum the hashes of devices, whatever their order; 32 hex digits."""
    return f"{sum(int(each, 16) for each in hashes) % _DIGEST_MODULUS:032x}"


def digest_after(before: str, gone: Iterable[str], come: Iterable[str]) -> str:
    """Tell the digest once these hashes have gone and those have come, without asking for all the others."""
    total = int(before, 16) - int(digest(gone), 16) + int(digest(come), 16)
    return f"{total % _DIGEST_MODULUS:032x}"


def device_record(facts: Mapping[str, Any]) -> DeviceRecord:
    """Make a record with its hash from everything else that it holds."""
    unsealed = DeviceRecord(hash="0" * 32, **facts)
    sealed = hashlib.sha256(unsealed.model_dump_json(exclude={"hash"}).encode()).hexdigest()[:32]
    # One set of names for all: pydantic would keep two kilobytes of its own with each.
    return DeviceRecord.model_construct(_DEVICE_FIELDS, **{**unsealed.__dict__, "hash": sealed})


def pack(message: BaseModel) -> str:
    """Write a message as the one text that crosses the bus."""
    return base64.b64encode(zlib.compress(message.model_dump_json().encode(), 1)).decode()


def unpack(kind: type[_M], body: object) -> _M:
    """
    Read a message of one kind.

    Raises:
        MessageRefused: the text says why: not ours, too big, of another major version, or a field that can't be.
    """
    name = kind.__name__
    text = _unpacked(name, body)
    try:
        version = _Versioned.model_validate_json(text).version
    except ValidationError:
        raise _foreign(name, "no version in it") from None
    if version.partition(".")[0] != VERSION.partition(".")[0]:
        what = f"{name}: version {version} can't be read here, {VERSION} can: upgrade me"
        raise MessageRefused(what, kind=name, why="version")
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        # Names in it may be of anybody's making and of any length.
        where = ascii(".".join(str(part)[:_MOST_NAME] for part in first["loc"]))[1:-1] or "as a whole"
        raise MessageRefused(f"{name} {version}: {where}: {first['msg']}", kind=name, why="field") from None


class _Versioned(Model):
    version: Annotated[str, Field(pattern=r"^\d{1,6}(\.\d{1,6})?$")]


def _unpacked(name: str, body: object) -> bytes:
    if not isinstance(body, str):
        raise _foreign(name, "its body is no text")
    if len(body) > MOST_BYTES:
        raise _too_big(name, f"{len(body)} bytes, at most {MOST_BYTES} are read")
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(base64.b64decode(body, validate=True), MOST_BYTES)
    except (binascii.Error, zlib.error, ValueError):
        raise _foreign(name, "its body can't be unpacked") from None
    if unpacking.unconsumed_tail:
        raise _too_big(name, f"more than {MOST_BYTES} bytes unpacked")
    if not unpacking.eof:
        raise MessageRefused(f"{name}: it breaks off in the middle", kind=name, why="truncated")
    return text


def _foreign(name: str, what: str) -> MessageRefused:
    return MessageRefused(f"{name}: not a message of pci-agent's: {what}", kind=name, why="foreign")


def _too_big(name: str, what: str) -> MessageRefused:
    return MessageRefused(f"{name}: too big: {what}", kind=name, why="too_big")
