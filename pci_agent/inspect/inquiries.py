"""
What an agent answers on the bus to who only asks: explain and plan, as the commands on the host do, and what the
whitelist in force does.

They change nothing and need no accepted session, so an operator may ask why before the tracker hears of the host. They
go by what the running agent knows: its whitelist, its newest look, its inventory.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

from pci_agent.errors import ConfigurationRefused, MessageRefused
from pci_agent.inspect import explain as explaining
from pci_agent.inspect import offered as offering
from pci_agent.inspect import plan as planning
from pci_agent.inspect.host import Host
from pci_agent.inspect.naming import found
from pci_agent.model import device_spec
from pci_agent.model.claims import Verdict
from pci_agent.model.whitelist import Whitelist
from pci_agent.wire.commands import AskCommand, ExplainCommand, InquiryAnswer, PlanCommand, RefusalRecord
from pci_agent.wire.messages import pack, unpack
from pci_agent.wire.refused import Refused

LOG = logging.getLogger(__name__)

MOST_EXPLAINED = 64
"""How many functions one address may name, and fewer where the whitelist is long."""

_MOST_JUDGED = 50_000  # entries, over all functions: an answer of some ten megabytes

_Inquiry = TypeVar("_Inquiry", ExplainCommand, PlanCommand, AskCommand)
Known = tuple[Whitelist, Host]
"""The whitelist in force, and the host as the agent saw it last."""


class Inquiries:
    """
    The methods that trackers call; the arguments' names are part of the protocol.

    Args:
        agent_uuid: who answers
        known: tells what the agent knows now; None before its first look
        refused: counts the messages that can't be read
    """

    def __init__(self, agent_uuid: str, known: Callable[[], Known | None], refused: Refused | None = None) -> None:
        self._agent_uuid = agent_uuid
        self._known = known
        self._refused = refused or Refused()

    def explain(self, _context: object, body: object) -> str:
        """Tell why a function is offered or not."""
        return self._answer(ExplainCommand, body, _explained)

    def plan(self, _context: object, body: object) -> str:
        """Tell what another whitelist would change."""
        return self._answer(PlanCommand, body, _planned)

    def whitelist(self, _context: object, body: object) -> str:
        """Tell the whitelist in force, and which functions each entry decides about."""
        return self._answer(AskCommand, body, _whitelisted)

    def _answer(
        self, model: type[_Inquiry], body: object, tell: Callable[[_Inquiry, Whitelist, Host], InquiryAnswer]
    ) -> str:
        answer = self._told(model, body, tell)
        if answer.verdict != Verdict.OK:
            LOG.info("answered %s: %s", answer.verdict, answer.reason)
        return pack(answer)

    def _told(
        self, model: type[_Inquiry], body: object, tell: Callable[[_Inquiry, Whitelist, Host], InquiryAnswer]
    ) -> InquiryAnswer:
        try:
            asked = unpack(model, body)
        except MessageRefused as refused:
            self._refused.add(refused)
            return _not(Verdict.REFUSED, str(refused))
        if asked.agent_uuid != self._agent_uuid:
            return _not(Verdict.STRANGER, f"this is another agent, {self._agent_uuid}")
        known = self._known()
        if known is None:
            return _not(Verdict.UNAVAILABLE, "the agent couldn't look at its host yet: ask again, or see its problems")
        return tell(asked, *known)


def _explained(asked: ExplainCommand, whitelist: Whitelist, host: Host) -> InquiryAnswer:
    devices, missing = found([asked.address], host)
    if missing:
        return _not(Verdict.UNKNOWN, missing[0])
    most = min(MOST_EXPLAINED, max(1, _MOST_JUDGED // max(1, len(whitelist.entries))))
    if len(devices) > most:
        what = f"{asked.address} names {len(devices)} functions, and {most} are told at once"
        return _not(Verdict.REFUSED, f"{what}: name fewer")
    told = [explaining.explain(device, whitelist, host) for device in devices]
    return InquiryAnswer(verdict=Verdict.OK, document=explaining.as_json(told))


def _whitelisted(_asked: AskCommand, whitelist: Whitelist, host: Host) -> InquiryAnswer:
    return InquiryAnswer(verdict=Verdict.OK, document=offering.as_json(offering.offered(whitelist, host)))


def _planned(asked: PlanCommand, whitelist: Whitelist, host: Host) -> InquiryAnswer:
    try:
        then = device_spec.parse(asked.device_specs)
    except ConfigurationRefused as refused:
        refusals = tuple(RefusalRecord(**asdict(each)) for each in refused.refusals)
        return InquiryAnswer(verdict=Verdict.REFUSED, reason=str(refused), refusals=refusals)
    return InquiryAnswer(verdict=Verdict.OK, document=planning.as_json(planning.plan(whitelist, then, host)))


def _not(verdict: Verdict, reason: str) -> InquiryAnswer:
    return InquiryAnswer(verdict=verdict, reason=reason)
