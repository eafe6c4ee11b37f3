"""
Work that blocks, made to stop wherever the world says: a thread each, and exactly one of them runs at a time.

Whoever runs gives the turn back by *pause*, before a transaction or while it waits for an answer. There it may be
resumed much later, or killed.
"""

import threading
from collections.abc import Callable
from typing import Any

_here = threading.local()


class Killed(BaseException):
    """The process ends here; nothing of ours may catch it."""


class Task:
    """One piece of work in a thread of its own, which runs only within *resume*."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.awaits: int | None = None
        """The call that it waits for; None where it only waits for its turn."""
        self.coarse = False
        """Whether it is to run past transactions that only read."""
        self.over = False
        self._work = work
        self._value: Any = None
        self._failed: BaseException | None = None
        self._killed = False
        self._turn = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def resume(self, value: Any = None, *, coarse: bool = False) -> None:
        """
        Let it run to its next pause, which gives *value* there; what it raises is raised here.

        Args:
            value: what the pause gives that it stands in
            coarse: run past transactions that only read
        """
        self.awaits, self._value, self.coarse = None, value, coarse
        self._turn.release()
        self._back.acquire()
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed

    def kill(self) -> None:
        """End it where it stands."""
        self._killed = True
        self.resume()
        assert self.over, f"{self.name} lives on after it was killed"

    def _run(self) -> None:
        self._turn.acquire()
        _here.task = self
        try:
            if not self._killed:
                self._work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the world's thread
            self._failed = error
        self.over = True
        self._back.release()

    def _pause(self) -> Any:
        self._back.release()
        self._turn.acquire()
        if self._killed:
            raise Killed
        return self._value


def current() -> Task | None:
    """Give the task that calls this; None outside of any."""
    return getattr(_here, "task", None)


def begins(*, reading: bool) -> None:
    """Pause before a transaction, where a task begins one."""
    task = current()
    if task is not None and not (reading and task.coarse):
        pause()


def pause(awaits: int | None = None) -> Any:
    """Give the turn back, where a task calls this; gives what it is resumed with."""
    task = current()
    if task is None:
        return None
    task.awaits = awaits
    return task._pause()
