"""
What controllers ask of trackers, and what they are answered: versioned models, checked on both sides.

A controller is whoever places instances: it claims devices for one before it starts it, confirms them once it runs, and
frees them when it is gone. It names the instance and its requests; hosts, attempts and sessions are the tracker's
business. Every question may be asked again: the same one gets the same answer, and changes nothing that it hasn't.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from pci_agent.wire.commands import AskedRecord
from pci_agent.wire.messages import VERSION, Count, DeviceRecord, Many, Model, Name, Named, Text, Uuid

MOST_CANDIDATES = 1000


class Verdict(StrEnum):
    """What became of what a controller asked for."""

    OK = "ok"
    NO_FIT = "no_fit"
    SILENT = "silent"
    STALE = "stale"
    GONE = "gone"
    FREED = "freed"
    RELEASING = "releasing"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"
    REFUSED = "refused"


class _Question(Model):
    version: str = VERSION


_Instance = Annotated[str, Field(min_length=1, max_length=36, pattern=r"^[^\x00]+$")]
_Requests = Annotated[Many[AskedRecord], Field(min_length=1, max_length=64)]


class _Placed(_Question):
    """
    What is to be placed.

    Attributes:
        requests: all for one instance, each with a request_id of its own; all go to one host
        cells: the host's NUMA nodes that the guest's cells lie on; empty where unknown
        sockets: the socket of each of the host's nodes, where known
        host: only this one, by name; None for any
    """

    requests: _Requests
    cells: Many[Count] = ()
    sockets: Named[Count, int | None] = Field(default_factory=dict)
    host: Name | None = None

    @model_validator(mode="after")
    def _names_each_once(self) -> "_Placed":
        names = {request.request_id for request in self.requests}
        if len(names) < len(self.requests):
            raise ValueError("two of the requests have one request_id")
        if "" in names:
            raise ValueError("a request has no request_id")
        return self


class CandidatesQuestion(_Placed):
    """Ask which hosts could serve requests now, the best first."""

    limit: Annotated[int, Field(ge=1, le=MOST_CANDIDATES)] = 10


class ClaimQuestion(_Placed):
    """
    Claim devices for all of these requests on one host, or none.

    Attributes:
        lifetime_s: how long the claim lasts unless it is confirmed; None for the agent's own
    """

    instance_uuid: _Instance
    project_id: Name | None = None
    user_id: Name | None = None
    lifetime_s: Annotated[float, Field(gt=0, le=7 * 86400)] | None = None


class ConfirmQuestion(_Question):
    """Make what an instance has claimed its own: these requests, or all of its where none is named."""

    instance_uuid: _Instance
    request_ids: Annotated[Many[Uuid], Field(max_length=64)] = ()


class FreeQuestion(_Question):
    """Take back what an instance has: this request, or all; on this host alone, where one is named."""

    instance_uuid: _Instance
    request_id: Annotated[str, Field(min_length=1, max_length=36, pattern=r"^[^\x00]+$")] | None = None
    host: Name | None = None


class ShowQuestion(_Question):
    """Ask how an instance's requests stand."""

    instance_uuid: _Instance


class DevicesQuestion(_Question):
    """
    Ask for devices; at least one of these must say which.

    Attributes:
        host: all of this host, by name or id
        instance_uuid: all that this instance holds
        name: the one with this id, uuid, device name or address; on several hosts there may be several
    """

    host: Name | None = None
    instance_uuid: Uuid | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _says_which(self) -> "DevicesQuestion":
        if self.host is None and self.instance_uuid is None and self.name is None:
            raise ValueError("it says of no device: name a host, an instance or a device")
        return self


class CandidateRecord(Model):
    """
    A host that can serve what was asked for.

    Attributes:
        node_id: its id in REST
        free: how many of its free devices some request could take
    """

    agent_uuid: Uuid
    hypervisor_hostname: Name
    node_id: int
    free: Count


class CandidatesAnswer(Model):
    """The answer to a CandidatesQuestion; *reason* is told of all but ok."""

    version: str = VERSION
    verdict: Name
    hosts: Many[CandidateRecord] = ()
    reason: Text | None = None


class AllocationRecord(Model):
    """
    How one request stands.

    Attributes:
        verdict: what became of it by this question
        reason: in words, of all but ok
        state: claiming, done, failed, freeing or freed
        attempt: the newest
        confirmed: True once it was allocated
        hypervisor_hostname: where it is, or was last; None where nowhere
        devices: that it has, as the tracker knows them
    """

    request_id: Uuid
    instance_uuid: Uuid
    verdict: Name
    reason: Text | None = None
    state: Name
    attempt: Count
    confirmed: bool = False
    agent_uuid: Uuid | None = None
    hypervisor_hostname: Name | None = None
    devices: Many[DeviceRecord] = ()


class AllocationAnswer(Model):
    """
    The answer to a claim, confirm, free or show.

    Attributes:
        verdict: of all requests together: ok, or the worst
        reason: in words, of all but ok
        allocations: the requests that it is about, by request_id
    """

    version: str = VERSION
    verdict: Name
    reason: Text | None = None
    allocations: Many[AllocationRecord] = ()


class HostDevice(DeviceRecord):
    """A device, and whose it is."""

    id: int
    hypervisor_hostname: Name


class DevicesAnswer(Model):
    """The answer to a DevicesQuestion."""

    version: str = VERSION
    verdict: Name
    reason: Text | None = None
    devices: Many[HostDevice] = ()
