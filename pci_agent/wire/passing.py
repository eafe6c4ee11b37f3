"""
Trouble of our own that passes, such as a database that is away: calls aren't answered, and are made again later.

Every caller meets it, again and again. So the log has it once in ten seconds, with how many calls it was.
"""

import logging
import threading
import time
from collections.abc import Callable

LOG = logging.getLogger(__name__)

_EVERY_S = 10.0


class Passing:
    """
    What may fail so, and how often it did.

    Args:
        kinds: the exceptions that mean it
        clock: seconds that never go back
    """

    def __init__(self, *kinds: type[Exception], clock: Callable[[], float] = time.monotonic) -> None:
        self.kinds = kinds
        self._clock = clock
        self._lock = threading.Lock()
        self._told_at: float | None = None
        self._untold = 0

    def add(self, call: str, error: Exception) -> None:
        """Take down that a call failed so."""
        with self._lock:
            self._untold += 1
            now = self._clock()
            if self._told_at is not None and now - self._told_at < _EVERY_S:
                return
            self._told_at, number, self._untold = now, self._untold, 0
        what = str(error).partition("\n")[0]
        LOG.warning("%d calls couldn't be answered and are made again later; the last, %s: %s", number, call, what)
