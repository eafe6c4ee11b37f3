"""Counts calls to agents by what became of them; who answers badly isn't counted apart from who doesn't answer."""

import threading
from collections import Counter
from typing import TypeVar

from pci_agent.errors import AgentSilent, MessageRefused
from pci_agent.tracker.orders import Agents
from pci_agent.wire.messages import Model

A = TypeVar("A", bound=Model)


class Counted:
    """
    Agents, with a count of the calls to them.

    Args:
        agents: who are called

    Attributes:
        failed: how many calls of each verb had no answer that could be read, since the start
        made: how many calls there were of each verb
    """

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._lock = threading.Lock()
        self.made: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def call(self, host: str, verb: str, command: Model, answer: type[A]) -> A:
        """Call the agent of a host; raises AgentSilent or MessageRefused where no answer comes that can be read."""
        with self._lock:
            self.made[verb] += 1
        try:
            return self._agents.call(host, verb, command, answer)
        except (AgentSilent, MessageRefused):
            with self._lock:
                self.failed[verb] += 1
            raise
