"""
Remembers tokens that were signed out here, for a while: whoever checks tokens may still take them from a cache.

Only their digests are kept, and so many at most: the oldest go first.
"""

import hashlib
import threading
import time
from collections.abc import Callable

_MOST = 65_536


class SignedOut:
    """
    The tokens. Every method may be called by any thread.

    Args:
        most: so many are kept
        clock: gives seconds, from whenever
    """

    def __init__(self, most: int = _MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._until: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def add(self, token: str, for_s: float) -> None:
        """Remember a token for so many seconds from now, whatever was said of it before."""
        name, now = _name(token), self._clock()
        with self._lock:
            self._until.pop(name, None)
            if len(self._until) >= self._most:
                self._until = {each: until for each, until in self._until.items() if until > now}
            while len(self._until) >= self._most:
                del self._until[next(iter(self._until))]
            self._until[name] = now + for_s

    def __contains__(self, token: str) -> bool:
        return self._until.get(_name(token), 0.0) > self._clock()


def _name(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
