"""
The agent's main loop: looks at start, on a timer and when asked, reloads and stops when told to, and tells systemd.

* The loop that looks is the one that feeds the watchdog: where a look hangs, systemd notices.
* Nothing is told to the tracker before one look was complete: what the store remembers from before may be gone.
* It is ready when it has looked and libvirt has answered in this boot, for nothing is offered before. A libvirtd that
  is away or silent keeps nobody waiting: it is ready as soon as that is known, and says so.
* Where a look finds functions that come or go it looks again soon, then ever later: not every end of a change has an
  event of its own.
"""

import logging
import threading
import time
from collections.abc import Callable

from pci_agent.agent.reporter import Reporter
from pci_agent.agent.service import Agent, Looked
from pci_agent.bell import Bell
from pci_agent.discovery.libvirtd import Libvirtd
from pci_agent.errors import ConfigurationRefused, StoreFailed
from pci_agent.model.whitelist import Whitelist
from pci_agent.wire.refused import Refused

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
        libvirtd: whose first answer is waited for; None where libvirt isn't asked
        ready_within_s: how long that is waited for at most
        again_s: how long after a look that found functions coming or going the next one is; doubled for each further
            one, up to look_interval_s
        refused: counts the messages to the agent that couldn't be read
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
        libvirtd: Libvirtd | None = None,
        ready_within_s: float = 10,
        again_s: float = 0.5,
        refused: Refused | None = None,
    ) -> None:
        self._agent = agent
        self._reporter = reporter
        self._bell = bell
        self._notify = notify
        self._configured = configured
        self._asked = asked
        self._look_interval_s = look_interval_s
        self._watchdog_s = watchdog_s
        self._libvirtd = libvirtd
        self._ready_within_s = ready_within_s
        self._first_again_s = self._again_s = again_s
        self._refused = refused or Refused()
        self._ready = False
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
        self._ready_by = time.monotonic() + self._ready_within_s
        next_look = 0.0
        try:
            while not self._stopping:
                if self._reloading:
                    self._reload()
                    self._asked.set()
                if self._asked.is_set() or time.monotonic() >= next_look:
                    if self._asked.is_set():
                        self._again_s = self._first_again_s
                    self._asked.clear()
                    self._look()
                    next_look = time.monotonic() + self._rest_s()
                self._say_status()
                self._say_ready()
                if self._watchdog_s is not None:
                    self._notify("WATCHDOG=1")
                self._bell.wait(self._patience(next_look))
        finally:
            self._notify("STOPPING=1")
            if self._reporting:
                self._reporter.stop()

    def _patience(self, next_look: float) -> float:
        wake = next_look if self._ready else min(next_look, self._ready_by)
        wait = max(0.0, wake - time.monotonic())
        expiry = self._agent.next_expiry()
        if expiry is not None:
            wait = min(wait, max(0.0, expiry))
            if not expiry:
                self._asked.set()
        return wait if self._watchdog_s is None else min(wait, self._watchdog_s / 2)

    def _look(self) -> None:
        try:
            self._looked, self._trouble = self._agent.look(), None
        except StoreFailed as error:
            LOG.error("%s; the next look tries again", error)  # noqa: TRY400 - the text says it all
            self._trouble = str(error)
        if self._looked is not None and self._looked.complete and not self._reporting:
            self._reporting = True
            self._reporter.start()

    def _rest_s(self) -> float:
        """Tell how long there is no further look unless somebody asks for one."""
        if self._looked is None or not self._looked.unsettled:
            self._again_s = self._first_again_s
            return self._look_interval_s
        rest = min(self._again_s, self._look_interval_s)
        self._again_s = rest * 2
        return rest

    def _say_ready(self) -> None:
        if not self._ready and (not self._awaits_libvirt() or time.monotonic() >= self._ready_by):
            self._ready = True
            self._notify("READY=1")

    def _awaits_libvirt(self) -> bool:
        """True where libvirt's first answer of this boot isn't taken in yet, and nothing says that it won't come."""
        libvirtd = self._libvirtd
        if libvirtd is None or self._agent.ledger.state.waiting is None:
            return False
        return libvirtd.unheard or libvirtd.trouble is None

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
        if self._libvirtd is not None and self._libvirtd.trouble is not None:
            words.append(self._libvirtd.trouble)
        words += [f"configuration refused: {error}" for error in self._agent.status.config_errors]
        if self._reporter.trouble is not None:
            words.append(f"tracker: {self._reporter.trouble}")
        else:
            words.append("tracker: knows the newest state" if self._agent.agreed else "tracker: being told")
        return [*words, str(self._refused)] if self._refused.counted else words

    def _reload(self) -> None:
        self._reloading = False
        if self._ready:
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
        if self._ready:
            self._notify("READY=1")
