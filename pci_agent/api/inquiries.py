"""
What is asked of a host's own agent, and what an operator tells it: explain, the whitelist, plan; disable and enable.

Explaining, listing and planning change nothing. An agent that doesn't answer is a 504; nothing has changed then, or, of
disable and enable, nobody knows: both may be asked again.
"""

import json
import time
from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pci_agent.api.call import Call, Nothing
from pci_agent.api.devices import Devices, OnHypervisor
from pci_agent.api.faults import sentence
from pci_agent.api.hypervisors import Hypervisors
from pci_agent.api.view import Document
from pci_agent.errors import AgentSilent, BadRequest, Faulted, HostSilent, MessageRefused, NotFound, Unserved
from pci_agent.model import claims
from pci_agent.tracker.orders import Agents, Orders
from pci_agent.tracker.store import RowMap
from pci_agent.wire.commands import (
    AskCommand,
    CommandAnswer,
    DisableCommand,
    EnableCommand,
    ExplainCommand,
    InquiryAnswer,
    PlanCommand,
)
from pci_agent.wire.messages import Model

ANONYMOUS = "REST"
"""Who disabled a device, where nobody is asked who they are."""

_LATER = "Ask again, or look how the host fares at os-hypervisors."
_FAULTS: dict[str, type[Faulted]] = {
    claims.Verdict.UNKNOWN: NotFound,
    claims.Verdict.REFUSED: BadRequest,
}
_MOST_ENTRIES = 1024
_LONGEST_ENTRY = 65_536
_LONGEST_REASON = 1000
_LONGEST_NAME = 255


class DisableBody(BaseModel):
    """
    Why a device is kept from being given, and until when.

    Attributes:
        reason: what others read
        until: a time to come, with its zone; None: until it is enabled
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Annotated[str, Field(min_length=1, max_length=_LONGEST_REASON, pattern=r"^[^\x00]*$")]
    until: AwareDatetime | None = None


class PlanBody(BaseModel):
    """
    Another whitelist.

    Attributes:
        device_spec: the values of ``[pci] device_spec`` that are tried: each a JSON object or list, or the text of one
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    device_spec: Annotated[tuple[Any, ...], Field(max_length=_MOST_ENTRIES)]

    def texts(self) -> tuple[str, ...]:
        """
        Give the values as a file would have them.

        Raises:
            BadRequest: one is too long.
        """
        texts = tuple(each if isinstance(each, str) else json.dumps(each) for each in self.device_spec)
        for number, text in enumerate(texts):
            if len(text) > _LONGEST_ENTRY:
                raise BadRequest(f"Field 'device_spec.{number}': it has more than {_LONGEST_ENTRY} characters.")
        return texts


class Asking:
    """Asks the agents of hosts, which change nothing for that."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    def ask(self, host: RowMap, verb: str, command: Model) -> Any:
        """
        Give the document that a host's agent answers with.

        Raises:
            HostSilent: it doesn't answer.
            NotFound, BadRequest, Unserved: it says no.
        """
        name = host["hypervisor_hostname"]
        try:
            answer = self._agents.call(name, verb, command, InquiryAnswer)
        except (AgentSilent, MessageRefused) as silence:
            raise HostSilent(f"{_said(name, silence)} Nothing was changed. {_LATER}") from silence
        if answer.verdict == claims.Verdict.OK and answer.document is not None:
            return orjson.loads(answer.document)
        refusals = [each.model_dump() for each in answer.refusals]
        raise _refusal(name, answer.verdict, answer.reason, **({"refusals": refusals} if refusals else {}))


class Explaining:
    """
    Why a device is offered, or isn't.

    Args:
        devices, hypervisors: find what a path names
        agents: whom to ask
    """

    def __init__(self, devices: Devices, hypervisors: Hypervisors, agents: Agents) -> None:
        self._devices = devices
        self._hypervisors = hypervisors
        self._asking = Asking(agents)

    def explain(self, call: Call) -> Document:
        """Explain a device; one that isn't listed too, where the host is named."""
        asked = call.query(OnHypervisor)
        try:
            row = self._devices.only(call, asked.hypervisor)
        except NotFound:
            if asked.hypervisor is None:
                name = call.name("pci_device_id")
                raise NotFound(
                    f"PCI device {name} could not be found. Of a function that isn't listed, say on which host it is"
                    " with ?hypervisor=NAME."
                ) from None
            host = self._hypervisors.only(asked.hypervisor)
            return self._explained(host, call.name("pci_device_id"))
        return self._explained(self._hypervisors.only(row["hypervisor_hostname"]), row["address"])

    def _explained(self, host: RowMap, name: str) -> Document:
        if not 0 < len(name) <= _LONGEST_NAME:
            raise NotFound(f"PCI device {name[:32] or 'without a name'} could not be found.")
        command = ExplainCommand(agent_uuid=host["agent_uuid"], address=name)
        told = self._asking.ask(host, "explain", command)
        return {"hypervisor_hostname": host["hypervisor_hostname"], "explanations": told}


class Whitelists:
    """
    The whitelist in force on a host, and what another would change there.

    Args:
        hypervisors: finds the host that a path names
        agents: whom to ask
    """

    def __init__(self, hypervisors: Hypervisors, agents: Agents) -> None:
        self._hypervisors = hypervisors
        self._asking = Asking(agents)

    def show(self, call: Call) -> Document:
        """Show the entries, what each matches, and the netdevs that none bears."""
        call.query(Nothing)
        host = self._hypervisors.only(call.name("hypervisor_hostname"))
        told = self._asking.ask(host, "whitelist", AskCommand(agent_uuid=host["agent_uuid"]))
        return {"whitelist": {"hypervisor_hostname": host["hypervisor_hostname"], **told}}

    def plan(self, call: Call) -> Document:
        """Tell what another whitelist would change; nothing is changed by that."""
        call.query(Nothing)
        specs = call.body(PlanBody).texts()
        host = self._hypervisors.only(call.name("hypervisor_hostname"))
        told = self._asking.ask(host, "plan", PlanCommand(agent_uuid=host["agent_uuid"], device_specs=specs))
        return {"plan": {"hypervisor_hostname": host["hypervisor_hostname"], **told}}


class Disabling:
    """
    Keeps a device from being given, by an operator's word.

    Args:
        devices, hypervisors: find what a path names
        orders: has agents carry it out
    """

    def __init__(self, devices: Devices, hypervisors: Hypervisors, orders: Orders) -> None:
        self._devices = devices
        self._hypervisors = hypervisors
        self._orders = orders

    def disable(self, call: Call) -> Document:
        """Keep a device from being given, until a time or until it is enabled."""
        asked, hypervisor = call.body(DisableBody), call.query(OnHypervisor).hypervisor
        until = None if asked.until is None else _future(asked.until)

        actor = call.caller.user_name or call.caller.user_id or ANONYMOUS

        def command(agent_uuid: str, device_uuid: str) -> DisableCommand:
            return DisableCommand(
                agent_uuid=agent_uuid, device_uuid=device_uuid, reason=asked.reason, actor=actor, until=until
            )

        return self._ordered(call, hypervisor, "disable", command)

    def enable(self, call: Call) -> Document:
        """Take the operator's word back."""
        call.body(Nothing)

        def command(agent_uuid: str, device_uuid: str) -> EnableCommand:
            return EnableCommand(agent_uuid=agent_uuid, device_uuid=device_uuid)

        return self._ordered(call, call.query(OnHypervisor).hypervisor, "enable", command)

    def _ordered(self, call: Call, hypervisor: str | None, verb: str, command: Any) -> Document:
        row = self._devices.only(call, hypervisor)
        host = self._hypervisors.only(row["hypervisor_hostname"])
        name = host["hypervisor_hostname"]
        answer = self._orders.give(name, verb, command(host["agent_uuid"], row["uuid"]))
        if not isinstance(answer, CommandAnswer):
            raise HostSilent(f"{_said(name, answer)} Whether it will {verb} the device isn't known: ask again.")
        if answer.verdict != claims.Verdict.OK:
            raise _refusal(name, answer.verdict, answer.reason)
        return self._devices.shown(call, row["id"])


def _future(moment: datetime) -> float:
    if moment.timestamp() <= time.time():
        raise BadRequest("Field 'until': it is over already; name a time to come, or leave it out.")
    return moment.timestamp()


def _said(host: str, silence: object) -> str:
    return f"{host} doesn't answer ({str(silence).removeprefix(f'{host}: ').rstrip('.')})."


def _refusal(host: str, verdict: str, reason: str | None, **more: object) -> Faulted:
    return _FAULTS.get(verdict, Unserved)(sentence(f"{host}: {reason or verdict}"), verdict=verdict, **more)
