"""
Why there are as many hosts for a set of requests as there are: how many each filter left, and who failed last.

The filters are those of the search in its order; the ones before "fit" are told from pools.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, not_, select

from pci_agent.model.fit import Assignment, NoFit, Undecided
from pci_agent.tracker import narrowing
from pci_agent.tracker.search import MOST_AT_ONCE, MOST_HOSTS, Search, cut, hosts, name_of
from pci_agent.tracker.tables import compute_nodes

FILTERS = ("all", "up", "giving", "ids", "type", "tags", "numa", "free", "fit")
"""
What hosts go through: those that are up; whose agents don't only observe; that have devices, free or not, with the ids
asked for, of the type too, with the tags too, on NUMA nodes that are allowed too; that have enough free ones; that fit.
"""

_MISSES = 3

_NODE = compute_nodes.c
_Filters = Sequence[ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class NearMiss:
    """
    A host that doesn't fit, though it came far.

    Attributes:
        hypervisor_hostname: the host's name
        failed: the one of FILTERS that it failed
        why: in words: how each request fares there, or why the host isn't asked at all
    """

    hypervisor_hostname: str
    failed: str
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    Why there are as many hosts as there are.

    Attributes:
        left: how many hosts each of FILTERS left, in their order
        misses: a few hosts that failed last, those with the most free devices of use first
        cut: why more hosts may fit than are counted; None where none do
    """

    left: Mapping[str, int]
    misses: tuple[NearMiss, ...]
    cut: str | None = None


def explained(search: Search, standing: _Filters) -> Explanation:
    """
    Explain a search.

    Args:
        search: for what
        standing: the first filters, that look at a host and not at its devices
    """
    filters = [*standing, *_by_pools(search)]
    left = [search.connection.execute(_counted(filters[:place])).scalar_one() for place in range(1, len(filters) + 1)]
    narrowed = search.narrowed(standing)
    tried = [*search.tried(narrowed[:MOST_HOSTS], at_once=MOST_AT_ONCE)]
    unfit = [each.host for each in tried if not isinstance(each.answer, Assignment)]
    counts = dict(zip(FILTERS, (*left, len(tried) - len(unfit)), strict=True))
    return Explanation(counts, tuple(_misses(search, filters, unfit[::-1])), cut(len(narrowed), tried))


def _by_pools(search: Search) -> Iterator[ColumnElement[bool]]:
    """Select what the filters from "ids" to "free" leave."""
    for serving in (narrowing.with_its_ids, narrowing.with_its_type, narrowing.serving):
        yield _among(narrowing.with_any(search.demanding(serving, anywhere=True)))
    yield _among(narrowing.with_any(search.demands))
    yield _among(narrowing.with_enough(search.demands))


def _among(nodes: Select[Any]) -> ColumnElement[bool]:
    return _NODE.id.in_(select(nodes.subquery().c.compute_node_id))


def _counted(filters: _Filters) -> Select[Any]:
    return select(func.count()).select_from(compute_nodes).where(*filters)


def _misses(search: Search, filters: _Filters, unfit: Sequence[Any]) -> Iterator[NearMiss]:
    missing = _MISSES
    for host in unfit[:missing]:
        missing -= 1
        yield _missed(search, host, "fit")
    for place in range(len(filters) - 1, 0, -1):
        for host in _failing(search, filters[:place], filters[place], missing) if missing else ():
            missing -= 1
            yield _missed(search, host, FILTERS[place])


def _failing(search: Search, passed: _Filters, failed: ColumnElement[bool], count: int) -> Sequence[Any]:
    """Read hosts that failed a filter, those with the most free devices of use first."""
    of_use = narrowing.of_use(search.demands).subquery()
    free = func.coalesce(of_use.c.free, 0)
    query = hosts(free).outerjoin(of_use, of_use.c.compute_node_id == _NODE.id).where(*passed, not_(failed))
    return search.connection.execute(query.order_by(free.desc(), name_of(search.connection)).limit(count)).all()


def _missed(search: Search, host: Any, failed: str) -> NearMiss:
    return NearMiss(host.hypervisor_hostname, failed, _why(search, host, failed))


def _why(search: Search, host: Any, failed: str) -> tuple[str, ...]:
    if failed == "up":
        seen = select(_NODE.last_seen).where(_NODE.id == host.id)
        return (f"the host is down: last seen {search.connection.execute(seen).scalar_one()} UTC",)
    if failed == "giving":
        return ("the host's agent only observes",)
    answer = search.whole(host)
    if isinstance(answer, NoFit):
        return tuple(str(shortage) for shortage in answer.shortages)
    return (answer.reason,) if isinstance(answer, Undecided) else ("it has changed just now, and fits",)
