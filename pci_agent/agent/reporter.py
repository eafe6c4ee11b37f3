"""
Tells the tracker the newest state until it has answered.

One thread, one call in flight. While there is nothing new only heartbeats go out; after a silence it backs
off, with jitter so that a fleet doesn't return all at once. Looking at the host never waits for it.
"""

import logging
import random
import threading
from collections.abc import Callable

from pci_agent.agent.service import Agent
from pci_agent.errors import MessageRefused, StoreFailed, TrackerSilent
from pci_agent.wire.messages import Answer, Heartbeat, Report

LOG = logging.getLogger(__name__)

_MOST_ROUNDS = 8  # three do where nothing is lost: heartbeat, report, status

Tell = Callable[[Report | Heartbeat], Answer]


class Reporter:
    """
    The telling thread of one agent. *start* and *stop* it; *wake* it when there is news.

    Args:
        agent: whose state is told
        tell: hands a message to a tracker and gives its answer
        heartbeat_s: how long between two signs of life, give or take a fifth
        first_retry_s: how long to wait after a failure; doubled for each further one
        last_retry_s: the longest of these
        told: called after each message, answered or not
    """

    def __init__(
        self,
        agent: Agent,
        tell: Tell,
        *,
        heartbeat_s: float,
        first_retry_s: float = 1,
        last_retry_s: float = 60,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self._agent = agent
        self._tell = tell
        self._heartbeat_s = heartbeat_s
        self._first_retry_s = first_retry_s
        self._last_retry_s = last_retry_s
        self._heard = told
        self._failures = 0
        self._rounds = 0
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self.trouble: str | None = "no tracker has answered yet"
        """Why the tracker doesn't know the newest state; None where it does."""

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self, patience_s: float = 1) -> None:
        """Stop telling; a call in flight is left to itself after *patience_s* seconds."""
        self._stopping.set()
        self._news.set()
        self._thread.join(patience_s)

    def wake(self) -> None:
        """Say that there is news."""
        self._news.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            self.speak()
            self._pause()

    def speak(self) -> None:
        """Tell one message and take in its answer."""
        trouble = self._told()
        self._rounds = 0 if self._agent.agreed or trouble is not None else self._rounds + 1
        if trouble is None and self._rounds >= _MOST_ROUNDS:
            trouble = "agent and tracker don't come to agree on what the tracker holds"
        if trouble is None:
            if self._failures:
                LOG.info("the tracker answers again")
            self._failures = 0
        else:
            self._failures += 1
            LOG.log(logging.WARNING if self._failures == 1 else logging.DEBUG, "tracker: %s", trouble)
        self.trouble = trouble
        self._heard()

    def _told(self) -> str | None:
        try:
            return self._agent.answered(self._tell(self._agent.next_message()))
        except (TrackerSilent, MessageRefused, StoreFailed) as error:
            return str(error)
        except Exception as error:
            LOG.exception("telling the tracker failed; it is tried again")
            return f"{type(error).__name__}: {error}"

    def _pause(self) -> None:
        """Wait for news or for the next heartbeat; after a failure for its back-off, whatever the news."""
        if self._failures:
            longest = min(self._last_retry_s, self._first_retry_s * 2.0 ** min(self._failures - 1, 16))
            self._stopping.wait(longest * random.uniform(0.5, 1))  # noqa: S311 - spreads load, keeps no secret
        elif self._agent.agreed:
            self._news.wait(self._heartbeat_s * random.uniform(0.8, 1.2))  # noqa: S311
