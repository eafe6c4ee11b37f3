"""
One search for hosts: those that may fit, by their pools, and of these those that do, by their devices.

Hosts with the fewest free devices of use are tried first, and so many at most. Devices are read for a page of hosts
at a time, in one statement.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, or_, select

from pci_agent.model.device import DevType
from pci_agent.model.fit import Assignment, GuestNuma, NoFit, Undecided, fit
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.request import PciRequest
from pci_agent.model.state import Status
from pci_agent.tracker import inventories, narrowing
from pci_agent.tracker.narrowing import Demand, Nodes, Specimen
from pci_agent.tracker.tables import compute_nodes, pci_devices

MOST_HOSTS = 500
"""On so many hosts a search tries to fit."""

MOST_AT_ONCE = 50
"""The devices of so many hosts are read at once."""

_NODE, _DEVICE = compute_nodes.c, pci_devices.c


@dataclass(frozen=True, slots=True)
class Tried:
    """A host that may fit, and what fit says."""

    host: Any
    answer: Assignment | NoFit | Undecided


class Search:
    """One search for one set of requests; a connection's, and one thread's."""

    def __init__(self, connection: Connection, requests: Sequence[PciRequest], numa: GuestNuma) -> None:
        self.connection = connection
        self._requests = requests
        self._numa = numa
        self._kinds = narrowing.read_kinds(connection, requests)
        self._near = [narrowing.nodes(numa, request.numa_policy) for request in requests]
        self.demands = self.demanding(narrowing.serving)

    def demanding(
        self, serving: Callable[[Iterable[Specimen], PciRequest], frozenset[int]], *, anywhere: bool = False
    ) -> list[Demand]:
        """Tell what pools must have where those kinds serve that *serving* names; *anywhere*: on whatever node."""
        near: Sequence[Nodes | None] = [None for _ in self._near] if anywhere else self._near
        return narrowing.merged(
            Demand(serving(self._kinds, request), nodes, request.count)
            for request, nodes in zip(self._requests, near, strict=True)
        )

    def narrowed(self, conditions: Iterable[ColumnElement[bool]]) -> list[Any]:
        """Read the hosts that may fit, in the order in which they are tried; no more than one beyond MOST_HOSTS."""
        if not all(demand.kinds for demand in self.demands):
            return []
        enough = narrowing.with_enough(self.demands).subquery()
        query = hosts(enough.c.free).join(enough, enough.c.compute_node_id == _NODE.id).where(*conditions)
        by_name = name_of(self.connection)
        query = query.order_by(enough.c.free, by_name).limit(MOST_HOSTS + 1)
        return list(self.connection.execute(query).all())

    def tried(self, hosts: Iterable[Any], *, at_once: int) -> Iterator[Tried]:
        """Try hosts in their order, and read the devices of *at_once* of them at once."""
        rest = iter(hosts)
        while page := [*islice(rest, min(at_once, MOST_AT_ONCE))]:
            devices = self._free_devices([host.id for host in page])
            for host in page:
                yield Tried(host, self._fit(devices.get(host.id, ())))

    def whole(self, host: Any) -> Assignment | NoFit | Undecided:
        """Try one host with all its devices, those too that can't be given: to tell in full why it doesn't fit."""
        devices = inventories.read(self.connection, _DEVICE.compute_node_id == host.id)
        return self._fit(devices.get(host.id, ()))

    def _fit(self, devices: Iterable[TrackedDevice]) -> Assignment | NoFit | Undecided:
        return fit(devices, self._requests, self._numa)

    def _free_devices(self, node_ids: Sequence[int]) -> dict[int, list[TrackedDevice]]:
        """
        Read what some hosts may give, by host: what has the ids asked for, and PFs for what they mean to VFs.

        Of devices that are alike no more are read than all requests together can take, which changes no answer.
        """
        asked = narrowing.with_ids(_DEVICE, self._requests)
        return inventories.read_some(
            self.connection,
            sum(request.count for request in self._requests),
            _DEVICE.compute_node_id.in_(node_ids),
            _DEVICE.status == str(Status.AVAILABLE),
            or_(_DEVICE.dev_type == str(DevType.PF), asked),
        )


def hosts(free: ColumnElement[int]) -> Select[Any]:
    """Select hosts, each with a number as ``free``."""
    return select(_NODE.id, _NODE.hypervisor_hostname, _NODE.agent_uuid, _NODE.session, free.label("free"))


def name_of(connection: Connection) -> ColumnElement[str]:
    """Name hosts, to order by: byte by byte, as every database but PostgreSQL does by itself."""
    name: ColumnElement[str] = _NODE.hypervisor_hostname
    return name.collate("C") if connection.dialect.name == "postgresql" else name


def cut(narrowed: int, tried: Iterable[Tried]) -> str | None:
    """Tell why there may be more hosts than those that fit, where so many may; None where there are none."""
    if narrowed > MOST_HOSTS:
        return f"more than {MOST_HOSTS} hosts may fit: the {MOST_HOSTS} with the fewest free devices were tried"
    undecided = [each.answer.reason for each in tried if isinstance(each.answer, Undecided)]
    return f"undecided on {len(undecided)} hosts: {undecided[0]}" if undecided else None
