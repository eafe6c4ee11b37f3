"""
What was refused on the bus, counted by what it was to be and why.

Whoever sends such a message sends it again and again. So the log has the first of each sort, the second, the fourth,
the eighth and so on, each with its number: a day of them takes no more than a screen.
"""

import logging
import threading
from collections import Counter

from pci_agent.errors import MessageRefused

LOG = logging.getLogger(__name__)


class Refused:
    """The messages that one process refused since its start. Any number of threads may count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: Counter[tuple[str, str]] = Counter()

    def add(self, refused: MessageRefused) -> None:
        """Count a message."""
        sort = (refused.kind, refused.why)
        with self._lock:
            self._counted[sort] += 1
            number = self._counted[sort]
        if number & (number - 1) == 0:
            LOG.warning("refused message %d of its sort (%s, %s): %s", number, *sort, refused)

    @property
    def counted(self) -> dict[tuple[str, str], int]:
        """How many there were, by what each was to be and why it was refused (see MessageRefused)."""
        with self._lock:
            return dict(self._counted)

    def __str__(self) -> str:
        """Tell all of it in one line; empty where nothing was refused."""
        counted = self.counted
        if not counted:
            return ""
        sorts = ", ".join(f"{kind} {why} {number}" for (kind, why), number in sorted(counted.items()))
        return f"refused {sum(counted.values())} messages ({sorts})"
