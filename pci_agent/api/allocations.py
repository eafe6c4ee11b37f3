"""
``os-pci/allocations``: gives devices to an instance, and takes them back; the verbs that controllers have on the bus.

PUT claims and only adds: requests that aren't named stay as they are, and the same PUT again gets the same devices.
POST confirm allocates, as the domain's start does by itself. DELETE takes back. What can't be done is a fault that has
the verdict and how each request stands beside its message; where a host is silent the fault says what that means.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pci_agent.api.access import FOR_OTHERS
from pci_agent.api.call import Call, Nothing
from pci_agent.api.faults import sentence
from pci_agent.api.pages import Text
from pci_agent.api.requests import NamedRequestBody, PlacedBody, RequestId, read
from pci_agent.api.view import Document
from pci_agent.errors import BadRequest, Conflicting, Faulted, HostSilent, NotFound
from pci_agent.model.request import Aliases
from pci_agent.tracker.allocations import Allocations
from pci_agent.tracker.standings import State
from pci_agent.tracker.store import Store
from pci_agent.wire.control import AllocationAnswer, AllocationRecord, Verdict
from pci_agent.wire.messages import DeviceRecord

_ACCEPTED = 202
_LONGEST_UUID = 36
UUID = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
"""How an instance is named in a claim."""
_DONE = (Verdict.OK, Verdict.RELEASING)
_FAULTS: dict[str, type[Faulted]] = {
    Verdict.SILENT: HostSilent,
    Verdict.UNKNOWN: NotFound,
    Verdict.REFUSED: BadRequest,
}
_OVER = (State.FAILED, State.FREEING, State.FREED)
_CLAIM_SILENT = (
    "Nothing is claimed: what a silent host may have claimed ends with its lifetime, or when the host answers."
    " The same claim may be made again."
)
_STANDS = "What was claimed there before stays claimed. Ask again, or free it."
_CONFIRM_SILENT = "Whether it is allocated isn't known, and the claim stands until its lifetime ends: ask again."
_NOTHING = "has asked for no PCI device"
_FREE_SILENT = "It is written down and sent until the host answers; there is no need to ask again."


class ClaimBody(PlacedBody):
    """
    What is claimed.

    Attributes:
        requests: all go to one host, or none does
        project_id, user_id: the instance's; the caller's own where none are named, and only who places instances for
            others may name others
        lifetime_s: how long the claim lasts unless it is confirmed; None for the agent's own
    """

    requests: Annotated[tuple[NamedRequestBody, ...], Field(min_length=1, max_length=64)]
    project_id: Text | None = None
    user_id: Text | None = None
    lifetime_s: Annotated[float, Field(gt=0, le=7 * 86400)] | None = None


class ConfirmBody(BaseModel):
    """
    Which requests.

    Attributes:
        request_ids: none named: all that the instance has claimed
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    request_ids: Annotated[tuple[RequestId, ...], Field(max_length=64)] = ()


class FreeQuery(BaseModel):
    """
    Which request, on which host.

    Attributes:
        request_id: all of the instance's where none is named
        hypervisor: a host's name or id; needed, or a request, while the instance holds devices on several
    """

    model_config = ConfigDict(extra="forbid")

    request_id: RequestId | None = None
    hypervisor: Text | None = None


class InstanceAllocations:
    """
    What one instance has.

    Args:
        store: the fleet
        allocations: has agents claim, allocate and free
        aliases: what requests may name
    """

    def __init__(self, store: Store, allocations: Allocations, aliases: Aliases) -> None:
        self._store = store
        self._allocations = allocations
        self._aliases = aliases

    def show(self, call: Call) -> Document:
        """Show how an instance's requests stand."""
        call.query(Nothing)
        instance = _instance(call)
        answer = self._allocations.show(instance)
        if not answer.allocations:
            raise NotFound(f"Instance {instance} {_NOTHING}.")
        return _document(instance, answer)

    def claim(self, call: Call) -> Document:
        """Claim devices for all requests on one host, or none."""
        call.query(Nothing)
        instance, asked = _instance(call), call.body(ClaimBody)
        if re.fullmatch(UUID, instance) is None:
            raise BadRequest(f"{instance!r} is no instance's uuid: write it as 6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11.")
        project_id, user_id = _owner(call, asked)
        host = self._host(asked.hypervisor)
        answer = self._allocations.claim(
            instance,
            read(asked.requests, self._aliases),
            asked.numa,
            project_id=project_id,
            user_id=user_id,
            host=host,
            lifetime_s=asked.lifetime_s,
        )
        if answer.verdict == Verdict.NO_FIT and host is not None and not self._store.hypervisors(host):
            raise NotFound(f"Hypervisor {host} could not be found.")
        stands = any(each.state == State.DONE for each in answer.allocations)
        return _told(instance, answer, _STANDS if stands else _CLAIM_SILENT)

    def confirm(self, call: Call) -> Document:
        """Allocate what was claimed."""
        call.query(Nothing)
        instance, asked = _instance(call), call.body(ConfirmBody)
        return _told(instance, self._allocations.confirm(instance, asked.request_ids), _CONFIRM_SILENT)

    def free(self, call: Call) -> Document:
        """Take back what an instance has: one request or all, on one host or wherever they are."""
        instance, asked = _instance(call), call.query(FreeQuery)
        if asked.request_id is None and asked.hypervisor is None:
            _refuse_both(instance, self._allocations.show(instance).allocations)
        answer = self._allocations.free(instance, asked.request_id, self._host(asked.hypervisor))
        if asked.request_id is None and not (answer.allocations or self._allocations.show(instance).allocations):
            raise NotFound(f"Instance {instance} {_NOTHING}.")
        if answer.verdict == Verdict.RELEASING:
            call.response.status = _ACCEPTED
        return _told(instance, answer, _FREE_SILENT)

    def _host(self, name: str | None) -> str | None:
        """Give the name of a host that may be named by its id; one that isn't listed may have been."""
        rows = [] if name is None else self._store.hypervisors(name)
        return str(rows[0]["hypervisor_hostname"]) if rows else name


def _instance(call: Call) -> str:
    """Give the name in the path; a uuid in small letters, as libvirt and nova write it."""
    instance = call.name("instance_uuid")
    if len(instance) > _LONGEST_UUID:
        raise BadRequest(f"{instance[:_LONGEST_UUID]}… is no instance's uuid: it has more than 36 characters.")
    return instance.lower() if re.fullmatch(UUID, instance) else instance


def _owner(call: Call, asked: ClaimBody) -> tuple[str | None, str | None]:
    """
    Give the instance's project and user.

    Raises:
        falcon.HTTPForbidden: they are others than the caller's, who may not name any.
    """
    caller = call.caller
    project_id, user_id = asked.project_id or caller.project_id, asked.user_id or caller.user_id
    if (project_id, user_id) != (caller.project_id, caller.user_id):
        caller.must(FOR_OTHERS)
    return project_id, user_id


def _refuse_both(instance: str, records: Iterable[AllocationRecord]) -> None:
    """Refuse to free an instance on two hosts at once: one that migrates would lose what it runs with."""
    hosts = sorted({each.hypervisor_hostname or "" for each in records if each.state not in _OVER})
    if len(hosts) > 1:
        raise Conflicting(
            f"Instance {instance} holds devices on several hosts: {', '.join(hosts)}. Say on which they are to be freed"
            " with ?hypervisor=NAME, or name one request with ?request_id=ID."
        )


def _told(instance: str, answer: AllocationAnswer, silent: str) -> Document:
    """Give the document of what was done; what wasn't is a fault."""
    document = _document(instance, answer)
    if answer.verdict in _DONE:
        return document
    message = sentence(answer.reason or "It was not done")
    if answer.verdict == Verdict.SILENT:
        message = f"{message} {silent}"
    raise _FAULTS.get(answer.verdict, Conflicting)(message, verdict=answer.verdict, **document)


def _document(instance: str, answer: AllocationAnswer) -> Document:
    requests = [_request(each) for each in answer.allocations]
    return {
        "allocation": {
            "instance_uuid": instance,
            "verdict": answer.verdict,
            "reason": answer.reason,
            "requests": requests,
        }
    }


def _request(record: AllocationRecord) -> Document:
    return {
        "request_id": record.request_id,
        "instance_uuid": record.instance_uuid,
        "verdict": record.verdict,
        "reason": record.reason,
        "state": record.state,
        "attempt": record.attempt,
        "confirmed": record.confirmed,
        "hypervisor_hostname": record.hypervisor_hostname,
        "devices": [_device(device) for device in record.devices],
    }


def _device(record: DeviceRecord) -> dict[str, Any]:
    return {
        "uuid": record.uuid,
        "address": record.address,
        "vendor_id": record.vendor_id,
        "product_id": record.product_id,
        "status": record.status,
        "dev_id": record.dev_id,
        "dev_type": record.dev_type,
        "parent_addr": record.parent_addr,
        "numa_node": record.numa_node,
        "tags": record.tags,
    }
