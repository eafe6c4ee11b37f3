"""What pci-tracker, pci-api and tools/run have alike: the fleet, and what has agents give devices of it out."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from oslo_config import cfg
from sqlalchemy import Engine

from pci_agent.api.routes import DEFAULT_MOST, Parts
from pci_agent.model.request import Aliases
from pci_agent.tracker.allocations import Allocations
from pci_agent.tracker.counted import Counted
from pci_agent.tracker.database import AWAY
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.tracker.settler import Settler
from pci_agent.tracker.store import Store
from pci_agent.wire import rpc
from pci_agent.wire.passing import Passing


@dataclass(frozen=True, slots=True)
class Centre:
    """
    The parts of the centre in one process.

    Attributes:
        store: the fleet
        scheduler: finds hosts
        agents: calls them
        allocations: has them claim, allocate and free
        settler: sends frees that are owed; not started yet
        away: the trouble that passes: a database that can't be asked at the moment
    """

    store: Store
    scheduler: Scheduler
    agents: Counted
    allocations: Allocations
    settler: Settler
    away: Passing

    def parts(
        self, aliases: Aliases, *, most: int = DEFAULT_MOST, messages: Counter[tuple[str, ...]] | None = None
    ) -> Parts:
        """Give what REST is served from; see there."""
        return Parts(
            store=self.store,
            scheduler=self.scheduler,
            allocations=self.allocations,
            agents=self.agents,
            aliases=aliases,
            messages=messages,
            most=most,
        )


def centre(conf: cfg.ConfigOpts, engine: Engine, bus: Any) -> Centre:
    """Put the parts together; nothing runs yet, and nothing is connected."""
    store = Store(engine, host_down_s=conf.tracker.host_down_s)
    scheduler = Scheduler(engine, host_down_s=conf.tracker.host_down_s)
    agents = Counted(rpc.AgentClient(bus, timeout_s=conf.tracker.rpc_timeout_s))
    allocations = Allocations(store, scheduler, agents)
    away = Passing(*AWAY)
    settler = Settler(allocations.settle_frees, interval_s=conf.tracker.settle_interval_s, passing=away)
    return Centre(store, scheduler, agents, allocations, settler, away)
