"""
The table of contents of the API: every route, its name, and what answers it.

A route's name is what rules are made for and what is measured; like a fault's name it never changes once it is out.
Paths are those below a version's prefix, and the same for all versions.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from pci_agent.api.allocations import ClaimBody, ConfirmBody, FreeQuery, InstanceAllocations
from pci_agent.api.call import Call, Nothing
from pci_agent.api.candidates import CandidateHosts, CandidatesBody
from pci_agent.api.devices import Devices, DevicesQuery, HistoryQuery, OnHypervisor
from pci_agent.api.hypervisors import HostsQuery, Hypervisors
from pci_agent.api.inquiries import DisableBody, Disabling, Explaining, PlanBody, Whitelists
from pci_agent.api.pages import Paged
from pci_agent.api.servers import Servers
from pci_agent.model.request import Aliases
from pci_agent.tracker.allocations import Allocations
from pci_agent.tracker.counted import Counted
from pci_agent.tracker.orders import Orders
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.tracker.store import Store

DEFAULT_MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """
    What the API is served from.

    Attributes:
        store: the fleet
        scheduler: finds hosts
        allocations: has agents claim, allocate and free
        agents: whom hosts' questions and orders go to
        aliases: ``[pci] alias``
        messages: how many of agents' messages got which verdict, where this process answers agents
        most: so many items a page, at most and unless fewer are asked for
    """

    store: Store
    scheduler: Scheduler
    allocations: Allocations
    agents: Counted
    aliases: Aliases = field(default_factory=dict)
    messages: Counter[tuple[str, ...]] | None = None
    most: int = DEFAULT_MOST


@dataclass(frozen=True, slots=True)
class Route:
    """
    One method of one path.

    Attributes:
        name: what a rule is made for
        method: HTTP's
        path: below the version's prefix
        answer: gives the document of a call, or None where it has written the response by itself; its docstring's first
            line is the route's summary
        query: reads the query parameters
        body: reads the body; None where none is read
        codes: what it answers with where all is well
        faults: what else it may answer with, but for what any route may
        for_owners: the handler asks whether the caller may, for each thing that belongs to a project
    """

    name: str
    method: str
    path: str
    answer: Callable[[Call], Any]
    query: type[BaseModel] = Nothing
    body: type[BaseModel] | None = None
    codes: tuple[int, ...] = (200,)
    faults: tuple[int, ...] = ()
    for_owners: bool = field(default=False, kw_only=True)


def routes(parts: Parts) -> tuple[Route, ...]:
    """List every route of one version."""
    devices = Devices(parts.store, parts.most)
    hypervisors = Hypervisors(parts.store, parts.most)
    servers = Servers(parts.store, parts.most)
    held = InstanceAllocations(parts.store, parts.allocations, parts.aliases)
    candidates = CandidateHosts(parts.scheduler, hypervisors, parts.aliases)
    orders = Orders(parts.store, parts.agents)
    explaining = Explaining(devices, hypervisors, parts.agents)
    disabling = Disabling(devices, hypervisors, orders)
    whitelists = Whitelists(hypervisors, parts.agents)
    instance = "/os-pci/allocations/{instance_uuid}"
    device, host = "/os-pci/{pci_device_id}", "/os-hypervisors/{hypervisor_hostname}"
    whitelist = "/os-pci-whitelist/{hypervisor_hostname}"
    return (
        Route("os-pci:index", "GET", "/os-pci", devices.index, DevicesQuery),
        Route("os-pci:detail", "GET", "/os-pci/detail", devices.detail, DevicesQuery),
        Route("os-pci:show", "GET", device, devices.show, OnHypervisor, faults=(404, 409)),
        Route("os-pci:history", "GET", f"{device}/history", devices.history, HistoryQuery, faults=(404, 409)),
        Route("os-pci:explain", "GET", f"{device}/explain", explaining.explain, OnHypervisor, faults=(404, 409, 504)),
        Route(
            "os-pci:disable",
            "POST",
            f"{device}/disable",
            disabling.disable,
            OnHypervisor,
            DisableBody,
            faults=(404, 409, 504),
        ),
        Route(
            "os-pci:enable", "POST", f"{device}/enable", disabling.enable, OnHypervisor, Nothing, faults=(404, 409, 504)
        ),
        Route("os-pci:candidates", "POST", "/os-pci/candidates", candidates.find, body=CandidatesBody, faults=(404,)),
        Route("os-pci-allocations:show", "GET", instance, held.show, faults=(404,)),
        Route("os-pci-allocations:claim", "PUT", instance, held.claim, body=ClaimBody, faults=(404, 409, 504)),
        Route(
            "os-pci-allocations:free",
            "DELETE",
            instance,
            held.free,
            FreeQuery,
            codes=(200, 202),
            faults=(404, 409, 504),
        ),
        Route(
            "os-pci-allocations:confirm",
            "POST",
            f"{instance}/confirm",
            held.confirm,
            body=ConfirmBody,
            faults=(404, 409, 504),
        ),
        Route("os-pci-whitelist:show", "GET", whitelist, whitelists.show, faults=(404, 504)),
        Route("os-pci-whitelist:plan", "POST", f"{whitelist}/plan", whitelists.plan, body=PlanBody, faults=(404, 504)),
        Route("os-hypervisors:index", "GET", "/os-hypervisors", hypervisors.index, HostsQuery),
        Route("os-hypervisors:detail", "GET", "/os-hypervisors/detail", hypervisors.detail, HostsQuery),
        Route("os-hypervisors:show", "GET", host, hypervisors.show, faults=(404,)),
        Route("servers:detail", "GET", "/servers/detail", servers.detail, Paged, for_owners=True),
        Route("servers:show", "GET", "/servers/{server_id}", servers.show, faults=(404,), for_owners=True),
    )
