"""
The agent's main loop: looks at start, on a timer and when asked, reloads and stops when told to, and tells systemd.

The loop that looks is the one that feeds the watchdog: where a look hangs, systemd notices. Nothing is told to
the tracker before one look was complete: what the store remembers from before may be gone.
"""

import logging
import threading
import time
from collections.abc import Callable

from pci_agent.agent.reporter import Reporter
from pci_agent.agent.service import Agent, Looked
from pci_agent.bell import Bell
from pci_agent.errors import ConfigurationRefused, StoreFailed
from pci_agent.model.whitelist import Whitelist

LOG = logging.getLogger(__name__)


class Daemon:
    """
    Runs an agent until *stop*.

    Args:
        agent: started already
        reporter: not started yet
        bell: rung by the agent and the reporter when something has changed
        notify: sends one datagram to systemd; see sd_notify(3)
        configured: reads the configuration anew and gives its whitelist
        asked: set by whoever wants a look soon, before ringing the bell
        look_interval_s: how long between two looks
        watchdog_s: how often systemd wants to hear of us; None where it doesn't
    """

    def __init__(
        self,
        agent: Agent,
        reporter: Reporter,
        bell: Bell,
        *,
        notify: Callable[[str], None],
        configured: Callable[[], Whitelist],
        asked: threading.Event,
        look_interval_s: float,
        watchdog_s: float | None = None,
    ) -> None:
        self._agent = agent
        self._reporter = reporter
        self._bell = bell
        self._notify = notify
        self._configured = configured
        self._asked = asked
        self._look_interval_s = look_interval_s
        self._watchdog_s = watchdog_s
        self._stopping = False
        self._reloading = False
        self._reporting = False
        self._looked: Looked | None = None
        self._trouble: str | None = None
        self._said = ""

    def stop(self) -> None:
        """End *run* soon; safe in a signal handler."""
        self._stopping = True
        self._bell.ring()

    def reload(self) -> None:
        """Read the configuration again soon; safe in a signal handler."""
        self._reloading = True
        self._bell.ring()

    def run(self) -> None:
        """Look, tell and wait, until *stop* is called."""
        next_look = 0.0
        try:
            while not self._stopping:
                if self._reloading:
                    self._reload()
                    next_look = 0.0
                if self._asked.is_set() or time.monotonic() >= next_look:
                    self._asked.clear()
                    self._look()
                    next_look = time.monotonic() + self._look_interval_s
                self._say_status()
                if self._watchdog_s is not None:
                    self._notify("WATCHDOG=1")
                self._bell.wait(self._patience(next_look))
        finally:
            self._notify("STOPPING=1")
            if self._reporting:
                self._reporter.stop()

    def _patience(self, next_look: float) -> float:
        wait = max(0.0, next_look - time.monotonic())
        expiry = self._agent.next_expiry()
        if expiry is not None:
            wait = min(wait, max(0.0, expiry))
            if not expiry:
                self._asked.set()
        return wait if self._watchdog_s is None else min(wait, self._watchdog_s / 2)

    def _look(self) -> None:
        first = self._looked is None and self._trouble is None
        try:
            self._looked, self._trouble = self._agent.look(), None
        except StoreFailed as error:
            LOG.error("%s; the next look tries again", error)  # noqa: TRY400 - the text says it all
            self._trouble = str(error)
        if self._looked is not None and self._looked.complete and not self._reporting:
            self._reporting = True
            self._reporter.start()
        if first:
            self._say_status()
            self._notify("READY=1")

    def _say_status(self) -> None:
        words = "; ".join(self._words()).replace("\n", " ")
        if words != self._said:
            self._said = words
            self._notify(f"STATUS={words}")

    def _words(self) -> list[str]:
        words = [] if self._trouble is None else [self._trouble]
        if self._looked is not None:
            offered = f"{self._looked.offered} of {self._looked.functions} PCI functions offered"
            words.append(f"{offered}, {self._looked.problems} problems")
        words += [f"configuration refused: {error}" for error in self._agent.status.config_errors]
        if self._reporter.trouble is not None:
            words.append(f"tracker: {self._reporter.trouble}")
        else:
            words.append("tracker: knows the newest state" if self._agent.agreed else "tracker: being told")
        return words

    def _reload(self) -> None:
        self._reloading = False
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        errors: tuple[str, ...] = ()
        try:
            self._agent.use(self._configured())
        except ConfigurationRefused as refused:
            errors = tuple(str(refusal) for refusal in refused.refusals)
        if errors:
            LOG.error("the configuration can't be used, the one before stays in force")
            self._agent.refuse_configuration(errors)
        else:
            LOG.info("configuration read again")
        self._notify("READY=1")
