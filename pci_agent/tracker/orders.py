"""
Has agents carry out commands, and applies what their answers report before anybody hears of them.

A report that doesn't apply is no error: the agent tells its state by itself too. No answer means that nobody knows
whether the command was carried out, or when it will be.
"""

from typing import Protocol, TypeVar

from pci_agent.errors import AgentSilent, MessageRefused
from pci_agent.tracker.store import Store
from pci_agent.wire.commands import CommandAnswer
from pci_agent.wire.messages import Model

A = TypeVar("A", bound=Model)


class Agents(Protocol):
    """Calls agents; rpc.AgentClient is one."""

    def call(self, host: str, verb: str, command: Model, answer: type[A]) -> A:
        """Call the agent of a host; raises AgentSilent or MessageRefused where no answer comes that can be read."""


class Orders:
    """Gives commands to agents; any number of threads may."""

    def __init__(self, store: Store, agents: Agents) -> None:
        self._store = store
        self._agents = agents

    def give(self, host: str, verb: str, command: Model) -> CommandAnswer | str:
        """Call the agent of a host, and apply what it reports; the reason where no answer comes that can be read."""
        try:
            answer = self._agents.call(host, verb, command, CommandAnswer)
        except (AgentSilent, MessageRefused) as silence:
            return str(silence)
        if answer.report is not None:
            self._store.apply(answer.report)
        return answer
