"""
Which hosts fit a set of requests: SQL narrows the fleet by its pools, and model.fit decides on devices.

* A host that is down, only observed, superseded, or disabled as a whole is no candidate. It is offered under the
  session of its row: the one that its reports came from, and its signs of life.
* Fit is the one that agents use, so the two can't disagree but by what has changed since the host's last report.
* Hosts with the fewest free devices of use come first, so that whole hosts stay free; after that the name decides.
* A search is bounded, and says so where it was cut off.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, Engine, false, or_, select

from pci_agent.model.fit import ANYWHERE, Assignment, GuestNuma, Undecided, fit
from pci_agent.model.request import PciRequest
from pci_agent.tracker import reports
from pci_agent.tracker.explaining import Explanation, explained
from pci_agent.tracker.ids import numbered
from pci_agent.tracker.search import MOST_HOSTS, Search, Tried, cut
from pci_agent.tracker.tables import compute_nodes

_NODE = compute_nodes.c


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    A host that fits.

    Attributes:
        agent_uuid: whom to ask
        session: the session of that agent that this was planned against; a claim names it
        hypervisor_hostname: the host's name
        node_id: the host's id
        free: how many of its free devices are of use to the requests
    """

    agent_uuid: str
    session: str
    hypervisor_hostname: str
    node_id: int
    free: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """
    Hosts that fit.

    Attributes:
        hosts: at most as many as were asked for; in the order in which they should be asked
        cut: why others may fit though fewer were found than asked for; None where none do
    """

    hosts: tuple[Candidate, ...]
    cut: str | None = None


class Scheduler:
    """
    Finds hosts in the tracker's database. Every method may be called by any thread.

    Args:
        engine: from database.connect
        host_down_s: how long a host must be silent until it is "down"
    """

    def __init__(self, engine: Engine, *, host_down_s: float) -> None:
        self._engine = engine
        self._host_down = timedelta(seconds=host_down_s)

    def candidates(
        self,
        requests: Sequence[PciRequest],
        numa: GuestNuma = ANYWHERE,
        *,
        limit: int = 10,
        only: str | None = None,
        without: Container[str] = (),
    ) -> Candidates:
        """
        Find hosts that fit a set of requests.

        Args:
            requests: of one guest, at least one
            numa: where the guest's memory is
            limit: how many hosts are enough, from 1
            only: consider the host with this name, or else this id, alone
            without: uuids of agents to pass over
        """
        anyhow = fit((), requests)
        if isinstance(anyhow, Undecided):
            return Candidates((), anyhow.reason)
        found: list[Candidate] = []
        tried: list[Tried] = []
        with self._reading() as connection:
            search = Search(connection, requests, numa)
            narrowed = search.narrowed([*self._standing(connection), *_only(connection, only)])
            hosts = (host for host in narrowed[:MOST_HOSTS] if host.agent_uuid not in without)
            for each in search.tried(hosts, at_once=limit):
                tried.append(each)
                if isinstance(each.answer, Assignment):
                    found.append(_candidate(each))
                if len(found) == limit:
                    return Candidates(tuple(found))
        return Candidates(tuple(found), cut(len(narrowed), tried))

    def explain(self, requests: Sequence[PciRequest], numa: GuestNuma = ANYWHERE) -> Explanation:
        """
        Tell how many hosts each filter leaves, and what stands in the way on a few that fail last.

        Args:
            requests: of one guest, at least one
            numa: where the guest's memory is
        """
        with self._reading() as connection:
            return explained(Search(connection, requests, numa), self._standing(connection))

    def _standing(self, connection: Connection) -> list[ColumnElement[bool]]:
        """Select hosts that are there, of these those that are up, and of these those that give devices."""
        silent_since = reports.clock(connection) - self._host_down
        return [_NODE.deleted == 0, _NODE.last_seen >= silent_since, _NODE.observing == false()]

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reading=True)


def _candidate(tried: Tried) -> Candidate:
    host = tried.host
    return Candidate(host.agent_uuid, host.session, host.hypervisor_hostname, host.id, int(host.free))


def _only(connection: Connection, name: str | None) -> list[ColumnElement[bool]]:
    """Select one host, by its name or else by its id."""
    if name is None:
        return []
    by_name = select(_NODE.id).where(_NODE.deleted == 0, _NODE.hypervisor_hostname == name)
    found = connection.execute(by_name).scalar()
    return [or_(false(), *numbered(_NODE.id, name)) if found is None else _NODE.id == found]
