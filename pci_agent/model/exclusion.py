"""
Serves demands from devices of which some exclude others: a PF that is given whole takes its VFs away.

Devices that serve alike at alike cost are of one kind, and nothing else tells them apart. Families whose PFs are
of one kind stand in lines, each with all the VFs of the one before it and maybe more: whoever gives one of a
line whole loses least by giving the first. So only numbers are searched: how many of each line are given whole.
Bounds on them are narrowed by branching; within bounds it is a transport problem (flow.py). What that one can't
serve with every PF and VF counted at once can't be served at all, so the search never says no wrongly; after too
many branches it says so instead. Where nothing clashes, which is the rule, the answer costs least.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

from pci_agent.model.address import PciAddress
from pci_agent.model.flow import Costs, anyhow, cheapest

Alike = Hashable
"""Names a kind: what devices that serve alike at alike cost have in common."""

_Served = list[list[PciAddress]]


class TooManyBranches(Exception):
    """The search was given up: neither yes nor no."""


@dataclass(slots=True)
class Budget:
    """How many more branches may be tried; shared by the searches that one answer takes."""

    branches: int = 500

    def spend(self) -> None:
        """
        Try one more.

        Raises:
            TooManyBranches: there are none left.
        """
        if not self.branches:
            raise TooManyBranches
        self.branches -= 1


@dataclass(frozen=True, slots=True)
class Choice:
    """
    One device that some demand could be served with.

    Attributes:
        address: its own
        kind: alike kinds serve alike demands at alike cost
        family: the PF's address, of a PF and of its VFs; None for a function outside SR-IOV
        whole: True for the PF, which excludes the rest of its family
    """

    address: PciAddress
    kind: Alike
    family: PciAddress | None
    whole: bool


def serve(
    choices: Sequence[Choice], demands: Sequence[int], costs: Mapping[Alike, Sequence[int | None]], budget: Budget
) -> _Served | None:
    """
    Choose devices for all demands.

    Args:
        choices: the devices
        demands: how many each demand needs
        costs: by kind, what a device costs each demand; None where it doesn't serve it
        budget: how many branches may be tried

    Returns:
        By demand, the addresses of its devices in order; None where the demands can't all be served.

    Raises:
        TooManyBranches: it could not be told within bounds.
    """
    return _Search(choices, demands, costs).served(budget)


def possible(
    choices: Sequence[Choice], demands: Sequence[int], costs: Mapping[Alike, Sequence[int | None]], budget: Budget
) -> bool:
    """Tell whether *serve* would find devices for all demands; takes and raises what it does."""
    return _Search(choices, demands, costs).possible(budget)


_Stocks = dict[int, int]
"""How many devices of each stock."""


@dataclass(frozen=True, slots=True)
class _Line:
    """
    Families that are given whole in this order.

    Attributes:
        pf: the stock of their PFs
        members: their PFs' addresses
        parted: by how many are given whole, how many VFs of each stock the others have
    """

    pf: int
    members: tuple[PciAddress, ...]
    parted: tuple[_Stocks, ...]


_Bounds = tuple[tuple[int, int], ...]
"""By line: at least and at most how many are given whole."""


class _Search:
    """The numbers behind the devices, and the way back from numbers to devices."""

    def __init__(
        self, choices: Sequence[Choice], demands: Sequence[int], costs: Mapping[Alike, Sequence[int | None]]
    ) -> None:
        self._demands = demands
        self._stocks: list[list[Choice]] = []
        self._stock_of: dict[tuple[Hashable, Alike], int] = {}
        self._by_stock: list[Sequence[int | None]] = []
        self._costs = costs
        coupled = _coupled(choices)
        for each in choices:
            if each.family not in coupled:
                self._stock(None, each)
        self._lines = [
            self._line(number, line)
            for number, line in enumerate(_in_lines([each for each in choices if each.family in coupled]))
        ]
        self._by_demand: Costs = [[cost[demand] for cost in self._by_stock] for demand in range(len(demands))]

    def _stock(self, line: Hashable, choice: Choice) -> int:
        """Put a device to its like, outside lines or within one."""
        place = self._stock_of.setdefault((line, choice.kind), len(self._stocks))
        if place == len(self._stocks):
            self._stocks.append([])
            self._by_stock.append(self._costs[choice.kind])
        self._stocks[place].append(choice)
        return place

    def _line(self, number: int, families: list["_Family"]) -> _Line:
        pfs = {self._stock((number, "whole"), family.pf) for family in families}
        own = [Counter(self._stock(number, each) for each in family.vfs) for family in families]
        parted = [Counter[int]()]
        for each in reversed(own):
            parted.append(parted[-1] + each)
        return _Line(
            pfs.pop(), tuple(family.pf.address for family in families), tuple(dict(each) for each in reversed(parted))
        )

    def possible(self, budget: Budget) -> bool:
        """Search the numbers alone."""
        return self._branch(self._all_bounds(), budget) is not None

    def _all_bounds(self) -> _Bounds:
        return tuple((0, len(line.members)) for line in self._lines)

    def served(self, budget: Budget) -> _Served | None:
        """Search the numbers, and give devices for them."""
        all_bounds = self._all_bounds()
        flow = cheapest(self._demands, self._supplies(all_bounds), self._by_demand)
        if flow is None:
            return None
        whole = self._whole(flow, all_bounds)
        if self._clash(flow, whole) is not None:
            found = self._branch(all_bounds, budget)
            if found is None:
                return None
            whole = found
            flow = cheapest(self._demands, self._supplies(tuple((n, n) for n in whole)), self._by_demand)
        return None if flow is None else self._devices(flow, whole)

    def _branch(self, bounds: _Bounds, budget: Budget) -> list[int] | None:
        """Find how many of each line to give whole so that nothing clashes; None where nothing does it."""
        waiting = [bounds]
        while waiting:
            now = waiting.pop()
            if now is not bounds:
                budget.spend()
            flow = anyhow(self._demands, self._supplies(now), self._by_demand)
            if flow is None:
                continue
            whole = self._whole(flow, now)
            clash = self._clash(flow, whole)
            if clash is None:
                return whole
            least, most = now[clash]
            waiting.append((*now[:clash], (least, whole[clash] - 1), *now[clash + 1 :]))
            waiting.append((*now[:clash], (whole[clash], most), *now[clash + 1 :]))
        return None

    def _whole(self, flow: list[list[int]], bounds: _Bounds) -> list[int]:
        return [max(least, _used(flow, line.pf)) for (least, _), line in zip(bounds, self._lines, strict=True)]

    def _supplies(self, bounds: _Bounds) -> list[int]:
        supplies = [len(stock) for stock in self._stocks]
        for (least, most), line in zip(bounds, self._lines, strict=True):
            supplies[line.pf] = most
            for stock in line.parted[0]:
                supplies[stock] = line.parted[least].get(stock, 0)
        return supplies

    def _clash(self, flow: list[list[int]], whole: list[int]) -> int | None:
        """Find the first line of which PFs and VFs together are given more than there are."""
        for place, line in enumerate(self._lines):
            left = line.parted[whole[place]]
            if any(_used(flow, stock) > left.get(stock, 0) for stock in line.parted[0]):
                return place
        return None

    def _devices(self, flow: list[list[int]], whole: list[int]) -> _Served:
        """Give devices for the numbers: the scarce first, and VFs of families that are in parts already."""
        lined = {member for line in self._lines for member in line.members}
        given_whole = {
            member for line, number in zip(self._lines, whole, strict=True) for member in line.members[:number]
        }
        parted: set[PciAddress] = set()
        served: _Served = [[] for _ in self._demands]
        for stock, choices in sorted(enumerate(self._stocks), key=lambda each: len(each[1])):
            free = [each for each in choices if each.family not in lined or each.whole is (each.family in given_whole)]
            taken = nsmallest(_used(flow, stock), free, key=lambda each: (each.family not in parted, _place(each)))
            parted |= {each.family for each in taken if each.family is not None and not each.whole}
            for demand, given in enumerate(flow):
                served[demand] += [each.address for each in taken[: given[stock]]]
                taken = taken[given[stock] :]
        return [sorted(each) for each in served]


@dataclass(frozen=True, slots=True)
class _Family:
    """A PF and those of its VFs that could be given; *kinds* counts these."""

    pf: Choice
    vfs: tuple[Choice, ...]
    kinds: Counter[Alike]


def _coupled(choices: Sequence[Choice]) -> set[PciAddress | None]:
    """Name the families of which both the PF and a VF could be given."""
    wholes = {each.family for each in choices if each.whole}
    return {each.family for each in choices if not each.whole and each.family in wholes} - {None}


def _in_lines(choices: Sequence[Choice]) -> list[list[_Family]]:
    """Line up families whose PFs are alike, each behind one that loses no VF that it keeps."""
    grouped: dict[PciAddress | None, list[Choice]] = {}
    for each in choices:
        grouped.setdefault(each.family, []).append(each)
    families = [_family(group) for group in grouped.values()]
    families.sort(key=lambda family: (len(family.vfs), family.pf.address))
    lines: list[list[_Family]] = []
    for family in families:
        line = next(
            (each for each in lines if each[-1].pf.kind == family.pf.kind and each[-1].kinds <= family.kinds), None
        )
        if line is None:
            lines.append([family])
        else:
            line.append(family)
    return lines


def _family(group: list[Choice]) -> _Family:
    vfs = tuple(each for each in group if not each.whole)
    return _Family(next(each for each in group if each.whole), vfs, Counter(each.kind for each in vfs))


def _place(choice: Choice) -> tuple[PciAddress, PciAddress]:
    return (choice.family or choice.address, choice.address)


def _used(flow: list[list[int]], stock: int) -> int:
    return sum(given[stock] for given in flow)
