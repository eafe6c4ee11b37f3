"""
Keeps what libvirt says of its domains and networks up to date, whatever libvirtd does.

* An event says only that something has changed, and all is fetched anew. So neither an event's contents matter nor
  the order in which they come; any number of them make one fetch, and one fetch at most is under way. Some changes
  have no event (a running domain's definition, by ``virsh attach-device --config``): so all is fetched now and then.
* Events get lost with their connection, so each new one begins with a fetch. What was said last stays until then.
* Any question to a libvirtd that hangs may last for ever. So one thread alone asks, nobody waits for it longer than
  they want to, and at the end it is left to itself. Keepalive breaks a connection that is dead; where libvirtd lives
  and only its answer fails to come, that is said and still waited for: a second question would hang beside the first.
* A process has one event loop of libvirt's. It is started by the first who needs it and never ended, since libvirt
  can't be told to forget it.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from pci_agent.discovery.domain_xml import Texts
from pci_agent.discovery.libvirt import bindings, fetch, opened
from pci_agent.errors import LibvirtSilent

if TYPE_CHECKING:
    import libvirt

LOG = logging.getLogger(__name__)

_NOT_YET = "libvirt hasn't answered yet"
_MOST_UNANSWERED = 2  # signs of life that libvirtd may be asked for before the connection counts as dead
_FAREWELL_S = 1.0
_LONGEST_REST_S = 1.0
# In the order of libvirt's numbers.
_WHY_CLOSED = ("it broke", "libvirtd has ended it", "libvirtd gives no sign of life", "we have ended it")
_ONCE = threading.Lock()


class Libvirtd:
    """
    The newest texts of one libvirtd. *start* and *stop* it, each once.

    Args:
        uri: whom to ask, as in ``qemu:///system``
        changed: called from a thread of ours whenever *said* or *trouble* becomes another; it mustn't wait
        first_retry_s: how long to wait after a failure, give or take; doubled for each further one
        last_retry_s: the longest of these
        keepalive_s: how long libvirtd may be quiet before it is asked for a sign of life; after three times that
            its connection is given up
        patience_s: how long a fetch may last before it is a trouble
        fetch_interval_s: how long *said* may miss a change that has no event
    """

    def __init__(
        self,
        uri: str,
        changed: Callable[[], None],
        *,
        first_retry_s: float = 0.5,
        last_retry_s: float = 30,
        keepalive_s: int = 5,
        patience_s: float = 10,
        fetch_interval_s: float = 60,
    ) -> None:
        self._uri = uri
        self._changed = changed
        self._first_retry_s = first_retry_s
        self._last_retry_s = last_retry_s
        self._keepalive_s = keepalive_s
        self._patience_s = patience_s
        self._fetch_interval_s = fetch_interval_s
        self._turns = _Turns()
        self._noting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="libvirt", daemon=True)
        self.said: Texts | None = None
        """The newest that libvirt has said to this process; the same object as long as nothing changes."""
        self.trouble: str | None = _NOT_YET
        """Why libvirt doesn't answer now; None where it does, and *said* is up to date."""

    @property
    def unheard(self) -> bool:
        """True until libvirt has answered, or it is known why it doesn't."""
        return self.trouble == _NOT_YET

    def start(self) -> None:
        """Begin to ask and to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End it, within a second; a question that libvirtd doesn't answer is left to itself."""
        self._turns.stop()
        self._thread.join(_FAREWELL_S)

    def refresh(self, timeout_s: float) -> bool:
        """
        Fetch anew; any number of threads may wait for it, but not *changed*.

        Returns:
            True where *said* was fetched after this call had begun. False where libvirt is away (it is tried at once,
            back-off or not), or hasn't answered within *timeout_s* seconds.
        """
        return self._turns.one_more(timeout_s)

    def _run(self) -> None:
        failures = 0
        while not self._turns.stopping:
            before = self._turns.succeeded
            trouble = self._troubled()
            if trouble is None:
                return
            failures = failures + 1 if self._turns.succeeded == before else 1
            LOG.log(logging.WARNING if failures == 1 else logging.DEBUG, "%s", trouble)
            self._end(trouble)
            longest = min(self._last_retry_s, self._first_retry_s * 2.0 ** min(failures - 1, 16))
            self._turns.rest(longest * random.uniform(0.5, 1))  # noqa: S311 - spreads load, keeps no secret

    def _troubled(self) -> str | None:
        """Keep up with libvirt, and tell what broke that; None where nothing did and it is to end."""
        try:
            self._keep_up()
        except LibvirtSilent as error:
            return str(error)
        except Exception as error:
            LOG.exception("asking libvirt failed; it is tried again")
            return f"{type(error).__name__}: {error}"
        return None

    def _keep_up(self) -> None:
        self._turns.begin()
        closed: list[int] = []

        def close(_connection: object, reason: int, _opaque: object) -> None:
            closed.append(reason)
            self._turns.news()

        with _listening(self._uri, self._keepalive_s, self._turns.news, close) as connection:
            while not self._turns.stopping:
                since = time.monotonic()
                with _within(self._patience_s, self._late):
                    texts = fetch(connection)
                self._take(texts)
                self._turns.wait(self._fetch_interval_s, rest_s=min(time.monotonic() - since, _LONGEST_REST_S))
                if closed:
                    raise LibvirtSilent(f"libvirt's connection is closed: {_WHY_CLOSED[closed[0]]}")
                self._turns.begin()

    def _take(self, texts: Texts) -> None:
        if self.trouble is not None:
            LOG.info("libvirt answers")
        another = texts != self.said
        if another:
            self.said = texts
        self._end(None, another=another)

    def _end(self, trouble: str | None, *, another: bool = False) -> None:
        """End a turn; who waited for it finds *said* and *trouble* in step."""
        with self._noting:
            another = another or trouble != self.trouble
            self.trouble = trouble
            self._turns.end(success=trouble is None)
        self._tell(another)

    def _late(self) -> None:
        trouble = f"libvirt hasn't answered for {self._patience_s:g} s: see what its daemon is waiting for"
        with self._noting:
            another = self._turns.under_way and trouble != self.trouble
            if another:
                LOG.warning("%s", trouble)
                self.trouble = trouble
        self._tell(another)

    def _tell(self, another: bool) -> None:
        if another and not self._turns.stopping:
            self._changed()


class _Turns:
    """
    The turns of the asking thread, one after another, and who waits for which.

    Attributes:
        succeeded: the last turn that was a whole fetch; turns are counted from 1
        stopping: whether there shall be no further turn
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._news = False
        self._hurry = False
        self._begun = 0
        self._ended = 0
        self.succeeded = 0
        self.stopping = False

    @property
    def under_way(self) -> bool:
        """Whether a turn is."""
        return self._ended < self._begun

    # Of everybody

    def news(self, *_event: object) -> None:
        """Have one more turn soon."""
        with self._condition:
            self._news = True
            self._condition.notify_all()

    def one_more(self, timeout_s: float) -> bool:
        """Have one more turn at once, and wait for its end; False where it had no success, or takes too long."""
        with self._condition:
            wanted = self._begun + 1
            self._hurry = True
            self._condition.notify_all()
            self._condition.wait_for(lambda: self.stopping or self._ended >= wanted, timeout_s)
            return self.succeeded >= wanted

    def stop(self) -> None:
        """Have no further turn, and nobody wait for one."""
        with self._condition:
            self.stopping = True
            self._condition.notify_all()

    # Of the asking thread

    def begin(self) -> None:
        """Begin a turn: what has been news until now will be seen by it."""
        with self._condition:
            self._begun += 1
            self._news = self._hurry = False

    def end(self, *, success: bool) -> None:
        """End the turn, where one is under way."""
        with self._condition:
            self._ended = self._begun
            if success:
                self.succeeded = self._begun
            self._condition.notify_all()

    def wait(self, longest_s: float, *, rest_s: float) -> None:
        """Wait for news, and then for more of them until *rest_s* seconds are over, or somebody is in a hurry."""
        with self._condition:
            self._condition.wait_for(lambda: self._news or self._hurry or self.stopping, longest_s)
        self.rest(rest_s)

    def rest(self, rest_s: float) -> None:
        """Do nothing for so long, unless somebody is in a hurry."""
        with self._condition:
            self._condition.wait_for(lambda: self._hurry or self.stopping, rest_s)


# libvirt


@contextmanager
def _listening(
    uri: str, keepalive_s: int, event: Callable[..., None], close: Callable[[Any, int, Any], None]
) -> Iterator["libvirt.virConnect"]:
    """Open a connection that calls *event* when something has changed, and *close* when it has broken."""
    libvirt = bindings()
    with _ONCE:
        _event_loop()
    with opened(uri) as connection, ExitStack() as at_the_end:

        def leave(what: Callable[..., object], *arguments: object) -> None:
            with suppress(libvirt.libvirtError):  # it has left already, with the connection
                what(*arguments)

        with suppress(
            libvirt.libvirtError
        ):  # not every driver has this, nor networks; a dead one the fetch will notice
            connection.setKeepAlive(keepalive_s, _MOST_UNANSWERED)
        try:
            connection.registerCloseCallback(close, None)
            at_the_end.callback(leave, connection.unregisterCloseCallback)
            for kind in ("LIFECYCLE", "DEVICE_ADDED", "DEVICE_REMOVED"):
                number = getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{kind}")
                registered = connection.domainEventRegisterAny(None, number, event, None)
                at_the_end.callback(leave, connection.domainEventDeregisterAny, registered)
        except libvirt.libvirtError as error:
            raise LibvirtSilent(f"libvirt doesn't say when something changes: {error}") from error
        with suppress(libvirt.libvirtError):
            registered = connection.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, event, None)
            at_the_end.callback(leave, connection.networkEventDeregisterAny, registered)
        yield connection


@contextmanager
def _within(limit_s: float, late: Callable[[], None]) -> Iterator[None]:
    """Call *late*, from another thread, where what is done here takes longer."""
    timer = threading.Timer(limit_s, late)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@cache
def _event_loop() -> threading.Thread:
    """Start the event loop. Connections that are opened later use it."""
    libvirt = bindings()
    libvirt.virEventRegisterDefaultImpl()
    thread = threading.Thread(target=_run_for_ever, args=(libvirt,), name="libvirt-events", daemon=True)
    thread.start()
    return thread


def _run_for_ever(libvirt: Any) -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            LOG.exception("libvirt's event loop failed; it goes on")
            time.sleep(1)
