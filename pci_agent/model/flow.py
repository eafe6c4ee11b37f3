"""
Serves demands from supplies: a transport problem, solved exactly, in any way or at the least total cost.

Small numbers only: up to some dozens of demands and of kinds of supply. Each step serves what can be served next,
or is served most cheaply, taking back and giving otherwise what was given before where that helps (augmenting
paths, shortest ones). Equal input gives equal output.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

Costs = Sequence[Sequence[int | None]]
"""By demand and supply: what one unit costs; None where the supply doesn't serve the demand."""


def anyhow(demands: Sequence[int], supplies: Sequence[int], costs: Costs) -> list[list[int]] | None:
    """Serve all demands in some way, whatever it costs; None where they can't all be served."""
    serves = [[supply for supply, cost in enumerate(each) if cost is not None] for each in costs]
    flow = [[0] * len(supplies) for _ in demands]
    wanted, left = list(demands), list(supplies)
    for demand in range(len(demands)):
        while wanted[demand]:
            path = _some_path(demand, flow, left, serves)
            if path is None:
                return None
            _push(path, flow, wanted, left)
    return flow


def _some_path(start: int, flow: list[list[int]], left: list[int], serves: list[list[int]]) -> "_Path | None":
    """Find the shortest way to serve one more unit of a demand, breadth first."""
    taken_by: dict[int, int] = {}
    given_up = {start: -1}
    queue = [start]
    for demand in queue:
        for supply in serves[demand]:
            if supply in taken_by:
                continue
            taken_by[supply] = demand
            if left[supply]:
                return _back(supply, taken_by, given_up)
            for other, held in enumerate(flow):
                if held[supply] and other not in given_up:
                    given_up[other] = supply
                    queue.append(other)
    return None


def _back(supply: int, taken_by: Mapping[int, int], given_up: Mapping[int, int]) -> "_Path":
    path = []
    while supply != -1:
        demand = taken_by[supply]
        path.append((demand, supply))
        supply = given_up[demand]
    return path[::-1]


def cheapest(demands: Sequence[int], supplies: Sequence[int], costs: Costs) -> list[list[int]] | None:
    """
    Serve all demands.

    Returns:
        By demand and supply, how many units; None where the demands can't all be served.
    """
    flow = [[0] * len(supplies) for _ in demands]
    wanted, left = list(demands), list(supplies)
    while any(wanted):
        path = _cheapest_path(flow, wanted, left, costs)
        if path is None:
            return None
        _push(path, flow, wanted, left)
    return flow


_Path = list[tuple[int, int]]
"""(demand, supply) steps: the demand takes from that supply, what the demand of the step after held there."""


def _cheapest_path(flow: list[list[int]], wanted: list[int], left: list[int], costs: Costs) -> _Path | None:
    """Find the cheapest way to serve one more unit, by Bellman and Ford."""
    prices = _Prices(wanted, len(left))
    while prices.take(costs) | prices.give_up(flow, costs):
        pass
    ends = [(price, supply) for supply, price in enumerate(prices.supplies) if price is not None and left[supply]]
    return prices.path_to(min(ends)[1]) if ends else None


class _Prices:
    """What it costs to reach each demand and supply from a demand that is still to be served, and by which step."""

    def __init__(self, wanted: Sequence[int], supplies: int) -> None:
        self.demands: list[int | None] = [0 if units else None for units in wanted]
        self.supplies: list[int | None] = [None] * supplies
        self._taken_by = dict.fromkeys(range(supplies), -1)
        self._given_up = dict.fromkeys(range(len(wanted)), -1)

    def take(self, costs: Costs) -> bool:
        """Let each demand take from each supply; True where that makes one cheaper."""
        cheaper = False
        for demand, price in enumerate(self.demands):
            for supply, cost in enumerate(costs[demand]):
                if price is not None and cost is not None and _less(price + cost, self.supplies[supply]):
                    self.supplies[supply], self._taken_by[supply], cheaper = price + cost, demand, True
        return cheaper

    def give_up(self, flow: list[list[int]], costs: Costs) -> bool:
        """Let each demand give up what it holds of each supply; True where that makes one cheaper."""
        cheaper = False
        for demand, held in enumerate(flow):
            for supply, units in enumerate(held):
                price, cost = self.supplies[supply], costs[demand][supply]
                if units and price is not None and cost is not None and _less(price - cost, self.demands[demand]):
                    self.demands[demand], self._given_up[demand], cheaper = price - cost, supply, True
        return cheaper

    def path_to(self, supply: int) -> _Path:
        """Give the steps that lead to a supply."""
        return _back(supply, self._taken_by, self._given_up)


def _less(price: int, known: int | None) -> bool:
    return known is None or price < known


def _push(path: _Path, flow: list[list[int]], wanted: list[int], left: list[int]) -> None:
    """Serve as many units along a path as it carries."""
    held = [flow[demand][supply] for (_, supply), (demand, _) in pairwise(path)]
    units = min(wanted[path[0][0]], left[path[-1][1]], *held)
    for (demand, supply), (after, _) in pairwise(path):
        flow[demand][supply] += units
        flow[after][supply] -= units
    last, supply = path[-1]
    flow[last][supply] += units
    wanted[path[0][0]] -= units
    left[supply] -= units
