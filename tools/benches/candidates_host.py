"""Our side beside placement's: which hosts have a VF, asked of the tracker's endpoint as controllers do."""

import platform
from functools import partial
from typing import Any, NoReturn

from benches.candidates import A_VF
from benches.timing import Work, serve
from pci_agent.errors import AgentSilent
from pci_agent.tracker import database
from pci_agent.tracker.allocations import Allocations
from pci_agent.tracker.control import ControlEndpoint
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.tracker.store import Store
from pci_agent.wire.asked import written
from pci_agent.wire.control import CandidatesAnswer, CandidatesQuestion
from pci_agent.wire.messages import pack, unpack


class _Nobody:
    """Agents, of whom none is asked for anything here."""

    def call(self, host: str, *_: object) -> NoReturn:
        """Be silent."""
        raise AgentSilent(host)


def load(asked: dict[str, Any]) -> dict[str, Work]:
    """Take up a fleet that is in that database."""
    engine = database.connect(asked["url"])
    store, scheduler = Store(engine, host_down_s=3600), Scheduler(engine, host_down_s=3600)
    endpoint = ControlEndpoint(Allocations(store, scheduler, _Nobody()), scheduler, store)

    def candidates(limit: int, _: None) -> int:
        question = CandidatesQuestion(requests=(written(A_VF),), limit=limit)
        return len(unpack(CandidatesAnswer, endpoint.candidates({}, pack(question))).hosts)

    return {f"limit {limit}": Work(partial(candidates, limit)) for limit in asked["limits"]}


if __name__ == "__main__":
    serve(load, {"Python": platform.python_version()})
