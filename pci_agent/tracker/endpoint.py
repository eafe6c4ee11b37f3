"""
What the tracker answers on the bus.

A message that can't be read is refused by name and counted, and the next one is served. Where the database
fails, no answer is given, so that the agent tells again later.
"""

import logging
from collections import Counter

from pci_agent.errors import MessageRefused
from pci_agent.tracker.store import Store
from pci_agent.wire.messages import Answer, Heartbeat, Report, Verdict, pack, unpack
from pci_agent.wire.refused import Refused

LOG = logging.getLogger(__name__)


class Endpoint:
    """The methods that agents call; the arguments' names are part of the protocol."""

    def __init__(self, store: Store, refused: Refused | None = None) -> None:
        self._store = store
        self._refused = refused or Refused()
        self.answered: Counter[tuple[str, ...]] = Counter()
        """How many messages got which verdict since the start: by kind and verdict."""

    def report(self, _context: object, body: object) -> str:
        """Apply a report."""
        try:
            answer = self._store.accept(unpack(Report, body))
        except MessageRefused as refused:
            answer = self._refuse(refused)
        return self._answer("report", answer)

    def heartbeat(self, _context: object, body: object) -> str:
        """Take a sign of life."""
        try:
            answer = self._store.hear(unpack(Heartbeat, body))
        except MessageRefused as refused:
            answer = self._refuse(refused)
        return self._answer("heartbeat", answer)

    def _refuse(self, refused: MessageRefused) -> Answer:
        self._refused.add(refused)
        return Answer(verdict=Verdict.REFUSED, reason=str(refused))

    def _answer(self, kind: str, answer: Answer) -> str:
        self.answered[kind, answer.verdict] += 1
        if answer.verdict in (Verdict.BAD_DIGEST, Verdict.TAKEN):
            LOG.warning("answered %s: %s", answer.verdict, answer.reason)
        return pack(answer)
