"""
Sends pending frees on a timer, whoever wrote them down: one thread a tracker, a batch at a time.

Several trackers may be at it: each free is taken by one of them, and sending one twice does no harm.
"""

import logging
import random
import threading
from collections.abc import Callable

from pci_agent.wire.passing import Passing

LOG = logging.getLogger(__name__)

_BATCH = 50


class Settler:
    """
    The thread. *start* and *stop* it.

    Args:
        settle: sends up to so many and tells how many there were; Allocations.settle_frees
        interval_s: how long between two rounds, give or take a fifth
        passing: which failures are trouble that passes; of others the log has a traceback
    """

    def __init__(self, settle: Callable[[int], int], *, interval_s: float, passing: Passing | None = None) -> None:
        self._settle = settle
        self._passing = passing or Passing()
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, patience_s: float = 1) -> None:
        """Stop; a call in flight is left to itself after *patience_s* seconds."""
        self._stopping.set()
        self._thread.join(patience_s)

    def round(self) -> None:
        """Send all that is due now."""
        try:
            while self._settle(_BATCH) >= _BATCH and not self._stopping.is_set():
                pass
        except self._passing.kinds as trouble:
            self._passing.add("pending frees", trouble)
        except Exception:
            LOG.exception("pending frees can't be sent at the moment; they are tried again")

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s * random.uniform(0.8, 1.2)):  # noqa: S311 - spreads load
            self.round()
