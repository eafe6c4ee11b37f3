"""Looks at the tracker's rows all the time: no host may ever go back to an older state of its agent."""

import threading
from collections import defaultdict
from contextlib import suppress

from sqlalchemy.exc import OperationalError

from pci_agent.tracker.store import Store

_EVERY_S = 0.2


class Watch:
    """
    Looks on a thread of its own, until *stop* is set.

    Attributes:
        found: what went back
        trouble: how it died; None where it didn't
        looks: how often it has looked
    """

    def __init__(self, store: Store, stop: threading.Event) -> None:
        self._store = store
        self._stop = stop
        self._sessions: dict[str, list[str]] = defaultdict(list)
        self._generations: dict[str, int] = {}
        self.found: list[str] = []
        self.trouble: str | None = None
        self.looks = 0

    def run(self) -> None:
        """Look until *stop*."""
        try:
            while not self._stop.wait(_EVERY_S):
                with suppress(OperationalError):  # the database may be away
                    self._look()
        except Exception as error:  # noqa: BLE001 - told at the end
            self.trouble = f"the watch died: {type(error).__name__}: {error}"

    def _look(self) -> None:
        for row in self._store.hypervisors():
            self.see(row["hypervisor_hostname"], row["session"], row["generation"])
        self.looks += 1

    def see(self, host: str, session: str, generation: int) -> None:
        """Take in what a row says now."""
        sessions = self._sessions[host]
        if session not in sessions:
            sessions.append(session)
        elif session != sessions[-1]:
            self.found.append(f"{host}: the row went back from session {sessions[-1]} to {session}")
        elif generation < self._generations[host]:
            self.found.append(f"{host}: the row went back from generation {self._generations[host]} to {generation}")
        self._generations[host] = generation
