"""
What the agent answers on the bus: each verb reads its message, has it carried out, and answers.

A message that can't be read is refused by name and counted, and the next one is served. Where the store can't be
written there is no answer: the caller asks again, and nothing has changed.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

from pci_agent.agent.commands import Commands, Done
from pci_agent.agent.service import Agent
from pci_agent.errors import MessageRefused
from pci_agent.model.claims import Claim, Outcome, Verdict, Wanted
from pci_agent.model.fit import GuestNuma
from pci_agent.model.state import Disabled
from pci_agent.wire import asked as asked_for
from pci_agent.wire.commands import (
    AskCommand,
    AttemptCommand,
    ClaimCommand,
    CommandAnswer,
    DisableCommand,
    EnableCommand,
    Listing,
)
from pci_agent.wire.messages import Model, pack, unpack
from pci_agent.wire.refused import Refused

LOG = logging.getLogger(__name__)

M = TypeVar("M", bound=Model)


class Endpoint:
    """The methods that trackers call; the arguments' names are part of the protocol."""

    def __init__(self, agent: Agent, *, lifetime_s: float, refused: Refused | None = None) -> None:
        self._agent = agent
        self._commands = Commands(agent)
        self._lifetime_s = lifetime_s
        self._refused = refused or Refused()

    def claim(self, _context: object, body: object) -> str:
        """Claim devices for all of an instance's requests, or none."""

        def carry_out(asked: ClaimCommand) -> Done:
            return self._commands.claim(asked.agent_uuid, asked.session, _claim(asked, self._lifetime_s))

        return self._answer(ClaimCommand, body, carry_out)

    def allocate(self, _context: object, body: object) -> str:
        """Make exactly that attempt's claim an allocation."""
        return self._answer(
            AttemptCommand,
            body,
            lambda asked: self._commands.allocate(asked.agent_uuid, asked.request_id, asked.attempt),
        )

    def free(self, _context: object, body: object) -> str:
        """End all attempts of a request up to this one."""
        return self._answer(
            AttemptCommand, body, lambda asked: self._commands.free(asked.agent_uuid, asked.request_id, asked.attempt)
        )

    def disable(self, _context: object, body: object) -> str:
        """Keep a device, or the whole host, from being given."""
        return self._answer(
            DisableCommand,
            body,
            lambda asked: self._commands.disable(
                asked.agent_uuid,
                asked.device_uuid,
                Disabled(reason=asked.reason, actor=asked.actor, until=asked.until),
            ),
        )

    def enable(self, _context: object, body: object) -> str:
        """Take an operator's word back."""
        return self._answer(
            EnableCommand, body, lambda asked: self._commands.enable(asked.agent_uuid, asked.device_uuid)
        )

    def rescan(self, _context: object, body: object) -> str:
        """Look at the host now."""
        return self._answer(AskCommand, body, lambda asked: self._commands.rescan(asked.agent_uuid))

    def list_devices(self, _context: object, body: object) -> str:
        """Give the devices and pools as they are now."""
        unpack(AskCommand, body)
        snapshot = self._agent.ledger.snapshot
        devices = tuple(sorted(snapshot.records.values(), key=lambda record: record.address))
        return pack(Listing(token=snapshot.token, devices=devices, pools=snapshot.pools))

    def get_stats(self, _context: object, body: object) -> str:
        """Give the pools as they are now."""
        unpack(AskCommand, body)
        snapshot = self._agent.ledger.snapshot
        return pack(Listing(token=snapshot.token, pools=snapshot.pools))

    def _answer(self, model: type[M], body: object, carry_out: Callable[[M], Done]) -> str:
        try:
            asked = unpack(model, body)
        except MessageRefused as refused:
            self._refused.add(refused)
            return pack(_said(Done(Outcome(Verdict.REFUSED, reason=str(refused)), self._agent.ledger.token, None)))
        done = carry_out(asked)
        if done.outcome.verdict is not Verdict.OK:
            LOG.info("answered %s: %s", done.outcome.verdict, done.outcome.reason)
        return pack(_said(done))


def _said(done: Done) -> CommandAnswer:
    outcome = done.outcome
    return CommandAnswer(
        verdict=str(outcome.verdict),
        token=done.token,
        devices=dict(outcome.devices),
        highest=outcome.highest,
        reason=outcome.reason,
        report=done.report,
    )


def _claim(asked: ClaimCommand, lifetime_s: float) -> Claim:
    return Claim(
        instance_uuid=asked.instance_uuid,
        wanted=tuple(Wanted(asked_for.read(each), each.attempt) for each in asked.requests),
        numa=GuestNuma(frozenset(asked.cells), asked.sockets),
        project_id=asked.project_id,
        user_id=asked.user_id,
        lifetime_s=asked.lifetime_s or lifetime_s,
    )
