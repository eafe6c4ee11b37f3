"""
Confirms what was claimed: exactly the attempt that the row has, and only while the row has it.

An agent that doesn't answer may have allocated or not; the row stays as it is, and asking again is safe. A claim that
ended at its agent has failed, and is owed a free like everything that is given up.
"""

from collections.abc import Iterable
from dataclasses import replace

from pci_agent.model import claims
from pci_agent.tracker import told
from pci_agent.tracker.attempts import Attempts
from pci_agent.tracker.orders import Orders
from pci_agent.tracker.standings import Attempt, Standing, State, Step, frees_of
from pci_agent.wire.commands import AttemptCommand, CommandAnswer
from pci_agent.wire.control import AllocationRecord, Verdict

_OVER = (State.FAILED, State.FREEING, State.FREED)


class Confirming:
    """Has agents allocate what they claimed. Each public method is one step; *confirm* takes them in turn."""

    def __init__(self, rows: Attempts, orders: Orders) -> None:
        self._rows = rows
        self._orders = orders

    def confirm(self, standings: Iterable[Standing]) -> list[AllocationRecord]:
        """Allocate requests; an agent that is silent once isn't waited for again."""
        silent: dict[str, str] = {}
        return [self._confirmed(self.adopt(each), silent) for each in standings]

    def _confirmed(self, standing: Standing, silent: dict[str, str]) -> AllocationRecord:
        row = standing.row
        if row is None or row.state is State.CLAIMING:
            return told.record(standing, Verdict.STALE, "its claim is still under way: ask again")
        if row.state is not State.DONE:
            return told.record(standing, Verdict.GONE, f"it is {row.state}: nothing is there to be confirmed")
        agent = row.agent_uuid or ""
        answer = silent.get(agent) or self.ask(standing, row)
        if isinstance(answer, str):
            silent[agent] = answer
        return self.conclude(standing, row, answer)

    def adopt(self, standing: Standing) -> Standing:
        """Give a request that only a host's rows show a row of its own: that was lost with a database, or purged."""
        if standing.row is not None or not standing.shown:
            return standing
        self._rows.advance([Step(None, standing.shown[0].row(standing.request_id))])
        return self._now(standing.request_id)

    def ask(self, standing: Standing, row: Attempt) -> CommandAnswer | str:
        """Have the row's agent allocate its attempt; the reason where it doesn't answer."""
        node = standing.node
        if node is None:
            return f"nothing is heard of {row.host} and its agent: ask again, or free it"
        command = AttemptCommand(agent_uuid=node.agent_uuid, request_id=row.request_id, attempt=row.attempt)
        return self._orders.give(node.host, "allocate", command)

    def conclude(self, standing: Standing, row: Attempt, answer: CommandAnswer | str) -> AllocationRecord:
        """Take the step that an answer leads to."""
        if isinstance(answer, str):
            return told.record(standing, Verdict.SILENT, answer)
        reason = f"{answer.verdict}: {answer.reason}"
        if answer.verdict == claims.Verdict.OK:
            if not self._rows.confirm(row, answer.token):
                return self._lost(row)
            return told.record(self._now(row.request_id).after(row), Verdict.OK)
        if answer.verdict == claims.Verdict.GONE:
            self._rows.advance([Step(row, replace(row, state=State.FAILED))], frees_of([row]))
            return told.record(self._now(row.request_id).after(row), Verdict.GONE, reason)
        if answer.verdict == claims.Verdict.STALE:
            return told.record(standing, Verdict.STALE, f"{reason}; claim it again")
        return told.record(standing, Verdict.SILENT, reason)

    def _lost(self, row: Attempt) -> AllocationRecord:
        """Somebody else has gone on: give up what was done here."""
        self._rows.give_up([row])
        now = self._now(row.request_id).after(row)
        if now.row is not None and now.row.state in _OVER:
            return told.record(now, Verdict.GONE, "it was freed meanwhile")
        return told.record(now, Verdict.STALE, "it was claimed once more meanwhile: ask again")

    def _now(self, request_id: str) -> Standing:
        return self._rows.standings([request_id])[request_id]
