"""
The agent's main loop: looks at start and on a timer, reloads and stops when it is told to, and says so to systemd.

The loop that looks is the one that feeds the watchdog: where a look hangs, systemd notices.
"""

import logging
import threading
import time
from collections.abc import Callable

from pci_agent.agent.reporter import Reporter
from pci_agent.agent.service import Agent, Looked
from pci_agent.errors import ConfigurationRefused
from pci_agent.model.whitelist import Whitelist

LOG = logging.getLogger(__name__)


class Daemon:
    """
    Runs an agent until *stop*.

    Args:
        agent: started already
        reporter: not started yet
        notify: sends one datagram to systemd; see sd_notify(3)
        configured: reads the configuration anew and gives its whitelist
        look_interval_s: how long between two looks
        watchdog_s: how often systemd wants to hear of us; None where it doesn't
    """

    def __init__(
        self,
        agent: Agent,
        reporter: Reporter,
        *,
        notify: Callable[[str], None],
        configured: Callable[[], Whitelist],
        look_interval_s: float,
        watchdog_s: float | None = None,
    ) -> None:
        self._agent = agent
        self._reporter = reporter
        self._notify = notify
        self._configured = configured
        self._look_interval_s = look_interval_s
        self._watchdog_s = watchdog_s
        self._wake = threading.Event()
        self._stopping = False
        self._reloading = False

    def stop(self) -> None:
        """End *run* soon; safe in a signal handler."""
        self._stopping = True
        self._wake.set()

    def reload(self) -> None:
        """Read the configuration again soon; safe in a signal handler."""
        self._reloading = True
        self._wake.set()

    def run(self) -> None:
        """Look, tell and wait, until *stop* is called."""
        self._look()
        self._reporter.start()
        self._notify("READY=1")
        next_look = time.monotonic() + self._look_interval_s
        try:
            while not self._stopping:
                self._wake.wait(self._patience(next_look))
                self._wake.clear()
                if self._reloading and not self._stopping:
                    self._reload()
                    next_look = 0
                if time.monotonic() >= next_look and not self._stopping:
                    self._look()
                    next_look = time.monotonic() + self._look_interval_s
                if self._watchdog_s is not None:
                    self._notify("WATCHDOG=1")
        finally:
            self._notify("STOPPING=1")
            self._reporter.stop()

    def _patience(self, next_look: float) -> float:
        wait = max(0.0, next_look - time.monotonic())
        return wait if self._watchdog_s is None else min(wait, self._watchdog_s / 2)

    def _look(self) -> None:
        looked = self._agent.look()
        self._notify(f"STATUS={self._in_words(looked)}")

    def _in_words(self, looked: Looked) -> str:
        words = f"{looked.offered} of {looked.functions} PCI functions offered, {looked.problems} problems"
        trouble = self._reporter.trouble
        return f"{words}; tracker: {trouble or 'knows the newest state'}".replace("\n", " ")

    def _reload(self) -> None:
        self._reloading = False
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            self._agent.use(self._configured())
            LOG.info("configuration read again")
        except ConfigurationRefused as refused:
            LOG.error("the configuration can't be used, the one before stays in force:\n%s", refused)  # noqa: TRY400
            self._agent.refuse_configuration(tuple(str(refusal) for refusal in refused.refusals))
        self._notify("READY=1")
