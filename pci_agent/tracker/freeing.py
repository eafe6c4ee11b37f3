"""
Frees what was claimed: written down first, then sent, then answered; and sends what is owed until it is done.

* A free ends all attempts up to the row's, wherever they are. Whoever claims meanwhile finds the row changed, and gives
  up. One of a request that nobody has heard of leaves a row too: a claim that it overtook is refused.
* A controller is answered after the agent. Where that is silent the free is a pending one, and sent until its
  agent has answered and the agent's row shows nothing of it any more. Any tracker may send it, and any number of times.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace

from pci_agent.model import claims
from pci_agent.tracker import told
from pci_agent.tracker.attempts import Attempts
from pci_agent.tracker.orders import Orders
from pci_agent.tracker.standings import Attempt, Free, Standing, State, Step, frees_of
from pci_agent.wire.commands import AttemptCommand, CommandAnswer
from pci_agent.wire.control import AllocationRecord, Verdict

LOG = logging.getLogger(__name__)

_MOST_STEPS = 100
_LATER = "it is freed when that lets go"


class Freeing:
    """Has agents free. Each public method is one step, or takes them in turn."""

    def __init__(self, rows: Attempts, orders: Orders) -> None:
        self._rows = rows
        self._orders = orders

    def free(self, standings: Iterable[Standing], instance_uuid: str) -> list[AllocationRecord]:
        """Free requests of an instance: all are written down before the first is sent."""
        begun = [self.begin(each, instance_uuid) for each in standings]
        silent: dict[str, str] = {}
        return [self._sent(each, silent) if isinstance(each, Attempt) else each for each in begun]

    def begin(self, standing: Standing, instance_uuid: str) -> Attempt | AllocationRecord:
        """Write one down; what is to be sent, or the answer where nothing is."""
        for _ in range(_MOST_STEPS):
            row = standing.row
            if row is not None and row.state is State.FREED and not standing.shown:
                return told.record(standing, Verdict.OK)
            freeing = self.write_down(standing, instance_uuid)
            if freeing is not None:
                return freeing
            standing = self._now(standing.request_id)
        return told.record(standing, Verdict.STALE, "others go on with it all the time: ask again")

    def write_down(self, standing: Standing, instance_uuid: str) -> Attempt | None:
        """Write down that a request is to be freed wherever it may be; None where it has changed meanwhile."""
        row = standing.row
        if standing.shown and (row is None or row.agent_uuid is None):
            row = standing.shown[0].row(standing.request_id)
        if row is None:
            row = Attempt(request_id=standing.request_id, attempt=0, state=State.FREED, instance_uuid=instance_uuid)
        here = (each.attempt for each in standing.shown if each.node.agent_uuid == row.agent_uuid)
        state = State.FREED if row.agent_uuid is None else State.FREEING
        after = replace(row, attempt=max(row.attempt, *here, 0), state=state)
        owed = [*frees_of([after]), *standing.elsewhere(after.agent_uuid)]
        return after if self._rows.advance([Step(standing.row, after)], owed) else None

    def send(self, free: Free, host: str) -> CommandAnswer | str:
        """Have an agent free an attempt; the reason where it doesn't."""
        command = AttemptCommand(agent_uuid=free.agent_uuid, request_id=free.request_id, attempt=free.attempt)
        answer = self._orders.give(host, "free", command)
        if isinstance(answer, str) or answer.verdict in (claims.Verdict.OK, claims.Verdict.RELEASING):
            return answer
        return f"{host}: {answer.verdict}: {answer.reason}"

    def conclude(self, free: Free, answer: CommandAnswer | str) -> tuple[Verdict, str | None]:
        """Take in an answer, and strike the free off where the agent's row shows that it is done."""
        if isinstance(answer, str):
            return Verdict.SILENT, answer
        ended = answer.verdict == claims.Verdict.OK
        shows = self._rows.answered(free, answer.token, ended=ended)
        if shows or (shows is None and not ended):
            return Verdict.RELEASING, answer.reason or f"a running domain still has it; {_LATER}"
        return Verdict.OK, None

    def settle(self, limit: int) -> int:
        """
        Send pending frees whose time has come, those that have waited longest first.

        An agent that doesn't answer is left alone for a while, for longer each time.

        Returns:
            How many were taken up; fewer than *limit*: no more are due now.
        """
        silent: set[str] = set()
        due = self._rows.due(limit)
        for each in due:
            agent = each.free.agent_uuid
            if agent in silent:
                continue
            verdict, reason = self.conclude(each.free, self.send(each.free, each.host))
            if verdict is Verdict.SILENT:
                LOG.info("a free of %s waits: %s", each.free.request_id, reason)
                silent.add(agent)
                self._rows.postpone(agent, each.tries)
        return len(due)

    def _sent(self, freeing: Attempt, silent: dict[str, str]) -> AllocationRecord:
        """Send one, unless its agent was silent just now."""
        verdict, reason = Verdict.OK, None
        for free in frees_of([freeing]):
            answer = silent.get(free.agent_uuid) or self._asked(free, freeing.host)
            if isinstance(answer, str):
                silent[free.agent_uuid] = answer
            verdict, reason = self.conclude(free, answer)
        return told.record(self._now(freeing.request_id).after(freeing), verdict, reason)

    def _asked(self, free: Free, host: str | None) -> CommandAnswer | str:
        node = self._rows.node(free.agent_uuid)
        if node is None:
            return f"nothing is heard of {host} and its agent; it is freed when that speaks again"
        return self.send(free, node.host)

    def _now(self, request_id: str) -> Standing:
        return self._rows.standings([request_id])[request_id]
