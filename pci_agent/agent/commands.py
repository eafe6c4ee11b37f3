"""
What the agent does on command: claim, allocate, free, disable, enable. Durable before it is answered.

Only an agent whose session the tracker has accepted serves, and only commands that name it; a claim names the
session too that it was planned against. The answer carries the report of its change, so that whoever asked can
show it before the agent's own report arrives.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pci_agent.agent.service import Agent
from pci_agent.model import claims
from pci_agent.model.claims import Claim, Outcome, Verdict
from pci_agent.model.state import Disabled
from pci_agent.wire.messages import Report, Token

_MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class Done:
    """
    What became of a command.

    Attributes:
        outcome: the decision
        token: the agent's state afterwards
        report: what the command changed; None where nothing
    """

    outcome: Outcome
    token: Token
    report: Report | None


class Commands:
    """The verbs of one agent. Every method may be called by any thread; one is carried out at a time."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._ledger = agent.ledger

    def claim(self, agent_uuid: str, session: str, asked: Claim) -> Done:
        """Claim devices for all requests of an instance, or none."""
        if self._knows(agent_uuid):
            self._agent.refresh()
        with self._ledger.lock:
            if not self._knows(agent_uuid) or session != self._ledger.token.session:
                return self._stranger()
            if self._agent.habits.observe:
                return self._said(Outcome(Verdict.UNAVAILABLE, reason="the agent only observes this host"))
            return self._kept(lambda: self._claimed(asked))

    def _claimed(self, asked: Claim) -> Outcome:
        self._agent.expire()
        outcome = Outcome(Verdict.NO_FIT)
        for _ in range(_MOST_TRIES):
            obstacle = self._ledger.state.obstacle
            outcome = claims.claim(
                self._ledger.tracked,
                asked,
                self._ledger.tombstones,
                self._ledger.now(),
                self._ledger.state.elsewhere,
            )
            fresh = [item for item in outcome.changed if self._ledger.tracked[item.identity].owner is None]
            if not fresh:
                return outcome
            if obstacle is not None:
                return Outcome(Verdict.UNAVAILABLE, reason=obstacle)
            given = [self._ledger.tracked[item.identity] for item in fresh]
            if self._agent.check(given, asked.instance_uuid) is None:
                return outcome
        return (
            outcome
            if outcome.verdict is not Verdict.OK
            else Outcome(Verdict.UNAVAILABLE, reason="the host changes faster than it can be read")
        )

    def allocate(self, agent_uuid: str, request_id: str, attempt: int) -> Done:
        """Make exactly that attempt's claim an allocation."""
        with self._ledger.lock:
            if not self._knows(agent_uuid):
                return self._stranger()
            self._agent.expire()
            return self._kept(lambda: claims.allocate(self._ledger.tracked, request_id, attempt))

    def free(self, agent_uuid: str, request_id: str, attempt: int) -> Done:
        """End all attempts of a request up to this one."""
        with self._ledger.lock:
            if not self._knows(agent_uuid):
                return self._stranger()
            self._ledger.bury(request_id, attempt)
            return self._kept(lambda: claims.free(self._ledger.tracked, request_id, attempt))

    def disable(self, agent_uuid: str, device_uuid: str | None, word: Disabled) -> Done:
        """Keep a device, or the whole host where None, from being given."""
        return self._marked(agent_uuid, device_uuid, word)

    def enable(self, agent_uuid: str, device_uuid: str | None) -> Done:
        """Take an operator's word back."""
        return self._marked(agent_uuid, device_uuid, None)

    def rescan(self, agent_uuid: str) -> Done:
        """Look at the host now."""
        with self._ledger.lock:
            if not self._knows(agent_uuid):
                return self._stranger()
            before = self._ledger.snapshot
            changed = self._agent.look().changed
            report = self._ledger.told_since(before) if changed else None
            return Done(Outcome(Verdict.OK), self._ledger.token, report)

    def _marked(self, agent_uuid: str, device_uuid: str | None, word: Disabled | None) -> Done:
        with self._ledger.lock:
            if not self._knows(agent_uuid):
                return self._stranger()
            if device_uuid is None:
                before = self._ledger.snapshot
                facts = replace(self._ledger.facts, disabled=word)
                state = replace(self._ledger.state, disabled=word)
                changed = self._ledger.change((), state=state, facts=facts)
                report = self._ledger.told_since(before) if changed else None
                return Done(Outcome(Verdict.OK), self._ledger.token, report)
            item = next((each for each in self._ledger.tracked.values() if each.uuid == device_uuid), None)
            if item is None:
                return self._said(Outcome(Verdict.UNKNOWN, reason=f"no device here has the uuid {device_uuid}"))
            return self._kept(lambda: Outcome(Verdict.OK, (replace(item, disabled=word),)))

    def _knows(self, agent_uuid: str) -> bool:
        return self._ledger.serving and agent_uuid == self._ledger.agent_uuid

    def _stranger(self) -> Done:
        return self._said(Outcome(Verdict.STRANGER, reason="this is another agent or session, or it isn't accepted"))

    def _said(self, outcome: Outcome) -> Done:
        return Done(outcome, self._ledger.token, None)

    def _kept(self, decide: Callable[[], Outcome]) -> Done:
        before = self._ledger.snapshot
        outcome = decide()  # a claim looks at the host, which may change something too
        self._ledger.change(outcome.changed)
        changed = self._ledger.token != before.token
        return Done(outcome, self._ledger.token, self._ledger.told_since(before) if changed else None)
