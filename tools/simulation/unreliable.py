"""
A bus that loses, repeats and delays: around what an agent tells, and around what it answers.

What is repeated arrives a second time later, after other messages, as from a network that kept it; its answer goes
nowhere. A lost answer was given: whoever waits for it doesn't know. *calm* ends all of that.
"""

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

from pci_agent.agent.endpoint import Endpoint
from pci_agent.agent.reporter import Tell
from pci_agent.agent.service import Agent
from pci_agent.errors import PciAgentError, TrackerSilent
from pci_agent.wire.messages import Answer, Heartbeat, Report

_MOST_LATE = 2000


@dataclass(frozen=True, slots=True)
class Trouble:
    """
    How often each thing happens to a message, from 0 to 1, and for how long at most it is late.

    Attributes:
        lost: it never arrives
        answer_lost: it arrives, and its answer doesn't
        delayed: it arrives after up to *delay_s* seconds
        repeated: it arrives at once, and again after up to *late_s* seconds
    """

    lost: float = 0
    answer_lost: float = 0
    delayed: float = 0
    delay_s: float = 1.5
    repeated: float = 0
    late_s: float = 8


class Lost(PciAgentError):
    """A message or its answer got lost on purpose."""


class Late:
    """Does things later, in order of their time, on one thread."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._busy = False
        threading.Thread(target=self._run, name="late", daemon=True).start()

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Do it then; where too much waits already, never."""
        with self._news:
            if len(self._due) < _MOST_LATE:
                heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), call))
                self._news.notify()

    @property
    def is_done(self) -> bool:
        """True while nothing waits."""
        with self._news:
            return not self._due and not self._busy

    def _run(self) -> None:
        while True:
            call = self._next()
            try:
                call()
            except PciAgentError:
                pass  # it got lost after all
            finally:
                with self._news:
                    self._busy = False

    def _next(self) -> Callable[[], object]:
        with self._news:
            while True:
                now = time.monotonic()
                if self._due and self._due[0][0] <= now:
                    self._busy = True
                    return heapq.heappop(self._due)[2]
                self._news.wait(self._due[0][0] - now if self._due else None)


class Bus:
    """What happens to messages, by the seed."""

    def __init__(self, trouble: Trouble, seed: str, late: Late) -> None:
        self._trouble = trouble
        self._chance = Random(seed)
        self._late = late

    def calm(self) -> None:
        """Let nothing more happen to messages."""
        self._trouble = Trouble()

    def carry(self, send: Callable[[], Any], again: Callable[[], object], lost: type[PciAgentError]) -> Any:
        """
        Send a message and give its answer.

        Args:
            send: sends it
            again: sends it once more
            lost: what is raised where the message or the answer got lost
        """
        trouble, chance = self._trouble, self._chance
        if chance.random() < trouble.lost:
            raise lost("the message got lost on purpose")
        if chance.random() < trouble.delayed:
            time.sleep(chance.uniform(0, trouble.delay_s))
        if chance.random() < trouble.repeated:
            self._late.after(chance.uniform(0, trouble.late_s), again)
        answer = send()
        if chance.random() < trouble.answer_lost:
            raise lost("the answer got lost on purpose")
        return answer


def telling(bus: Bus, tell: Tell, again: Tell) -> Tell:
    """Give what tells over such a bus; *again* has a client of its own, since a client sends one thing at a time."""

    def told(message: Report | Heartbeat) -> Answer:
        answer: Answer = bus.carry(lambda: tell(message), lambda: again(message), TrackerSilent)
        return answer

    return told


class UnreliableEndpoint(Endpoint):
    """What an agent answers over such a bus."""

    def __init__(self, agent: Agent, bus: Bus, *, lifetime_s: float) -> None:
        super().__init__(agent, lifetime_s=lifetime_s)
        self._bus = bus

    def claim(self, context: object, body: object) -> str:
        """Claim, if the message arrives."""
        return self._carried(super().claim, context, body)

    def allocate(self, context: object, body: object) -> str:
        """Allocate, if the message arrives."""
        return self._carried(super().allocate, context, body)

    def free(self, context: object, body: object) -> str:
        """Free, if the message arrives."""
        return self._carried(super().free, context, body)

    def _carried(self, method: Callable[[object, object], str], context: object, body: object) -> str:
        return str(self._bus.carry(lambda: method(context, body), lambda: method(context, body), Lost))
