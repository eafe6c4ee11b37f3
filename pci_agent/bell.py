"""
A bell that anybody may ring, a signal handler too, and that one loop waits for.

A lock (and so threading.Event) may be held by the very thread that a signal interrupts; a pipe has none. And Python
calls a handler when the main thread does something: a signal that comes just before it begins to wait, or that reaches
another thread, would be heeded when the wait is over. So who waits for signals has them ring: *ring_on_signals*.
"""

import os
import select
import signal
from contextlib import suppress


class Bell:
    """Rings once for any number of *ring* before the next *wait*."""

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._rung, False)

    def ring_on_signals(self) -> None:
        """Ring at every signal that has a handler, too. Only the main thread may ask for it, for one bell a process."""
        signal.set_wakeup_fd(self._rung, warn_on_full_buffer=False)

    def ring(self) -> None:
        """Wake the loop. Safe in a signal handler and in any thread."""
        with suppress(BlockingIOError):  # the pipe is full: the loop will wake anyway
            os.write(self._rung, b"!")

    def wait(self, patience_s: float | None) -> bool:
        """Wait for a ring; False where none came in *patience_s* seconds. None: wait for ever."""
        ready, _, _ = select.select([self._heard], [], [], patience_s)
        with suppress(BlockingIOError):
            while os.read(self._heard, 4096):
                pass
        return bool(ready)
