"""
Finds devices for a set of requests, or says what stands in the way of each: the one matcher of agent and tracker.

* A set is one guest's. It never takes a device twice, never one that isn't available, never a PF together with
  one of its VFs. Members of one IOMMU group go to one guest: several may go to this one, none where another
  guest holds one of them.
* Filters in order: spec; type (a PF, a vdpa or a remotely managed device only if asked for, network class for a
  port); NUMA; free. A filter sees devices, not counters, and none counts what an earlier one took away.
* Of what fits it takes the nearest by NUMA, then the least special (fewest tags that nobody asked for), then VFs
  of PFs that are in use already, before it breaks a whole PF. Equal input gives an equal answer.
* Its no is a no: an assignment is found wherever one exists. A set of more than MOST_DEVICES, or one that takes
  too many steps, is undecided instead.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType
from pci_agent.model.exclusion import Alike, Budget, Choice, TooManyBranches, possible, serve
from pci_agent.model.families import Families, Family, groups
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.relatives import Held, Hold, holds
from pci_agent.model.request import NumaPolicy, PciRequest
from pci_agent.model.standing import own_obstacle
from pci_agent.model.vocabulary import Tags

MOST_DEVICES = 64

FILTERS = ("spec", "type", "numa", "free")
"""In their order; each request is told how many devices each one left."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A device for everything asked for: by request_id, in order of address."""

    devices: Mapping[str, tuple[TrackedDevice, ...]]


@dataclass(frozen=True, slots=True)
class Shortage:
    """
    How one request fared in a set that can't be met.

    Attributes:
        request_id: which request
        wanted: how many devices it asks for
        left: how many devices each of FILTERS left, in their order
        met: True where it could be met beside those before it
        starved_by: the requests before it that take what it needs; empty where it is met, or lacks devices alone
    """

    request_id: str
    wanted: int
    left: tuple[int, ...]
    met: bool
    starved_by: tuple[str, ...]

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in zip(FILTERS, self.left, strict=True))
        verdict = "met" if self.met else "not met"
        if self.starved_by:
            verdict += f", starved by {', '.join(self.starved_by)}"
        return f"request {self.request_id}: {verdict}; asks for {self.wanted}, devices left by each filter: {counts}"


@dataclass(frozen=True, slots=True)
class NoFit:
    """The set can't be met: every request of it, in its order."""

    shortages: tuple[Shortage, ...]


@dataclass(frozen=True, slots=True)
class Undecided:
    """Neither yes nor no, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class GuestNuma:
    """
    Where the guest's memory is.

    Attributes:
        cells: the host's NUMA nodes that the guest's cells lie on; empty where unknown, then nothing is filtered
        sockets: the socket of each of the host's nodes; None where the host doesn't say
    """

    cells: frozenset[int] = frozenset()
    sockets: Mapping[int, int | None] = field(default_factory=dict)

    def rank(self, policy: NumaPolicy, node: int | None) -> int | None:
        """Tell how far a device on a node is, from 0; None where the policy doesn't allow it."""
        if not self.cells or node in self.cells:
            return 0
        if policy is NumaPolicy.PREFERRED:
            return 1 if node is None else 2
        if policy is NumaPolicy.LEGACY:
            return 1 if node is None else None
        if policy is NumaPolicy.SOCKET and node in self._nodes_of_sockets():
            return 1
        return None

    def _nodes_of_sockets(self) -> Collection[int]:
        if None in self.sockets.values():
            return ()
        own = {self.sockets[cell] for cell in self.cells if cell in self.sockets}
        return [node for node, socket in self.sockets.items() if socket in own]


ANYWHERE = GuestNuma()


def fit(
    devices: Families | Iterable[TrackedDevice],
    requests: Sequence[PciRequest],
    numa: GuestNuma = ANYWHERE,
    *,
    guest: str | None = None,
    elsewhere: Iterable[Hold] = (),
) -> Assignment | NoFit | Undecided:
    """
    Choose devices for a set of requests.

    Args:
        devices: the host's inventory; held ones too, for they keep others from being given
        requests: of one guest, each with a request_id of its own
        numa: where the guest's memory is
        guest: the instance; what it holds already of an IOMMU group doesn't keep the rest from it
        elsewhere: what domains have of the devices that aren't in the inventory
    """
    asked = sum(request.count for request in requests)
    if asked > MOST_DEVICES:
        return Undecided(f"the set asks for {asked} devices, up to {MOST_DEVICES} are decided")
    inventory = Families.of(devices)
    market = _Market(inventory, requests, numa, _Open(inventory, guest, elsewhere))
    try:
        served = market.serve(range(len(requests)), Budget())
    except TooManyBranches:
        return Undecided("too many ways to share PFs and VFs among the requests; ask for fewer at once")
    if served is None:
        return NoFit(_shortages(market, requests))
    return Assignment({request.request_id: served[place] for place, request in enumerate(requests)})


def _shortages(market: "_Market", requests: Sequence[PciRequest]) -> tuple[Shortage, ...]:
    met: list[int] = []
    told = []
    budget = Budget()
    for place, request in enumerate(requests):
        is_met = _can_serve(market, [*met, place], budget)
        rivals = () if is_met else _rivals(market, met, place, budget)
        told.append(
            Shortage(
                request.request_id,
                request.count,
                market.left(place),
                is_met,
                tuple(requests[rival].request_id for rival in rivals),
            )
        )
        if is_met:
            met.append(place)
    return tuple(told)


def _rivals(market: "_Market", met: list[int], starved: int, budget: Budget) -> list[int]:
    """Find those without whom the starved one could be met: none of them can be left out."""
    if not _can_serve(market, [starved], budget):
        return []
    rivals = list(met)
    for each in met:
        others = [rival for rival in rivals if rival != each]
        if not _can_serve(market, [*others, starved], budget):
            rivals = others
    return rivals


def _can_serve(market: "_Market", places: Sequence[int], budget: Budget) -> bool:
    """Tell whether some of the requests can be met together; what can't be told counts as yes."""
    try:
        return market.can_serve(places, budget)
    except TooManyBranches:
        return True


_FAR = 1_000_000
_SPECIAL = 1_000
_ALL_BUT_FREE = len(FILTERS) - 1


@dataclass(slots=True)
class _Kind:
    """
    Devices that no request tells apart.

    Attributes:
        passed: by request, how many of the filters before "free" they pass
        costs: by request, what one of them costs; None where it doesn't serve
        seen: how many there are
        free: how many of them can be given
    """

    passed: tuple[int, ...]
    costs: tuple[int | None, ...]
    seen: int = 0
    free: int = 0

    @property
    def serves(self) -> bool:
        """True where one of them is of use to some request."""
        return any(cost is not None for cost in self.costs)


class _Market:
    """Devices by kind, and who could take which."""

    def __init__(self, inventory: Families, requests: Sequence[PciRequest], numa: GuestNuma, open_to: "_Open") -> None:
        self._requests = requests
        self._numa = numa
        self._items: dict[PciAddress, TrackedDevice] = {}
        self._kinds: dict[_Alike, _Kind] = {}
        self._choices: list[Choice] = []
        self._costs: dict[Alike, tuple[int | None, ...]] = {}
        self._sort(inventory, open_to)

    def _sort(self, inventory: Families, open_to: "_Open") -> None:
        """Count every device, and offer those that are free and serve somebody."""
        free = []
        for key, family in inventory.families.items():
            for alike, items in family.told(_offered).items():
                self._kind(alike, items[0]).seen += len(items)
            given = open_to.of(key, family)
            for alike, items in given.items():
                self._kinds[alike].free += len(items)
            free.append(given)
        most = self._most_of_a_family(given.keys() for given in free)
        for given in free:
            whole = any(items[0].device.dev_type is DevType.PF for items in given.values())
            for alike, items in given.items():
                if self._kinds[alike].serves:
                    self._offer(items[:most], self._kinds[alike], whole=whole)

    def _kind(self, alike: "_Alike", item: TrackedDevice) -> _Kind:
        known = self._kinds.get(alike)
        if known is None:
            judged = [self._judge(request, item.device, item.tags) for request in self._requests]
            known = self._kinds[alike] = _Kind(tuple(each[0] for each in judged), tuple(each[1] for each in judged))
        return known

    def _most_of_a_family(self, free: Iterable[Iterable["_Alike"]]) -> int | None:
        """Tell how many like VFs of one PF need be offered; all where a PF might be given whole with them in it."""
        if any(alike.dev_type is DevType.PF and self._kinds[alike].serves for each in free for alike in each):
            return None
        return sum(request.count for request in self._requests)

    def _judge(self, request: PciRequest, device: Device, tags: Tags) -> tuple[int, int | None]:
        """Tell how many filters a device passes, and what it costs where it passes all."""
        if not request.asks_for(device, tags):
            return 0, None
        if not request.takes(device, tags):
            return 1, None
        rank = self._numa.rank(request.numa_policy, device.numa_node)
        if rank is None:
            return 2, None
        asked = {name for spec in request.specs for name in spec.tags}
        return _ALL_BUT_FREE, rank * _FAR + len(set(tags) - asked) * _SPECIAL

    def _offer(self, items: Iterable[TrackedDevice], kind: _Kind, *, whole: bool) -> None:
        for item in items:
            device = item.device
            is_pf = device.dev_type is DevType.PF
            name = (kind.costs, whole and not is_pf)
            if name not in self._costs:
                self._costs[name] = tuple(None if cost is None else cost + name[1] for cost in kind.costs)
            self._items[device.address] = item
            self._choices.append(Choice(device.address, name, device.address if is_pf else device.parent_addr, is_pf))

    def can_serve(self, places: Sequence[int], budget: Budget) -> bool:
        """Tell whether there are devices for the requests at *places* together."""
        choices, demands, costs = self._problem(self._alike(places))
        return possible(choices, demands, costs, budget)

    def serve(self, places: Sequence[int], budget: Budget) -> dict[int, tuple[TrackedDevice, ...]] | None:
        """Choose devices for the requests at *places*; None where there are none for all of them."""
        alike = self._alike(places)
        served = serve(*self._problem(alike), budget)
        if served is None:
            return None
        shared: dict[int, tuple[TrackedDevice, ...]] = {}
        for group, given in zip(alike, served, strict=True):
            rest = given
            for place in group:
                count = self._requests[place].count
                shared[place] = tuple(self._items[address] for address in rest[:count])
                rest = rest[count:]
        return shared

    def _problem(self, alike: list[list[int]]) -> tuple[list[Choice], list[int], dict[Alike, tuple[int | None, ...]]]:
        """Put it as devices, demands and costs: one demand for requests that are alike."""
        costs = {name: tuple(each[group[0]] for group in alike) for name, each in self._costs.items()}
        useful = {name: each for name, each in costs.items() if any(cost is not None for cost in each)}
        demands = [sum(self._requests[place].count for place in group) for group in alike]
        return [each for each in self._choices if each.kind in useful], demands, useful

    def _alike(self, places: Sequence[int]) -> list[list[int]]:
        """Group the requests that every device costs the same: together they are one demand."""
        groups: dict[tuple[int | None, ...], list[int]] = {}
        for place in places:
            groups.setdefault(tuple(each[place] for each in self._costs.values()), []).append(place)
        return list(groups.values())

    def left(self, place: int) -> tuple[int, ...]:
        """Count the devices that each filter left of those present."""
        kinds = self._kinds.values()
        passed = [
            sum(kind.seen for kind in kinds if kind.passed[place] >= least) for least in range(1, _ALL_BUT_FREE + 1)
        ]
        return (*passed, sum(kind.free for kind in kinds if kind.passed[place] == _ALL_BUT_FREE))


class _Alike(NamedTuple):
    """What requests can ask of a device: those that agree in it are alike to all requests."""

    vendor_id: str
    product_id: str
    dev_type: DevType
    numa_node: int | None
    class_code: str
    tags: tuple[tuple[str, str | None], ...]


_Sorted = Mapping[_Alike, tuple[TrackedDevice, ...]]


def _sorted(items: Iterable[TrackedDevice]) -> _Sorted:
    """Put like to like, in order of address."""
    by_kind: dict[_Alike, list[TrackedDevice]] = {}
    for item in items:
        device = item.device
        ids = (device.vendor_id, device.product_id, device.dev_type, device.numa_node, device.class_code)
        by_kind.setdefault(_Alike(*ids, tuple(sorted(item.tags.items()))), []).append(item)
    return {alike: tuple(each) for alike, each in by_kind.items()}


def _offered(family: Family) -> _Sorted:
    return _sorted(item for item in family.items if item.offered)


def _free(family: Family) -> _Sorted:
    """Sort what can be given, as far as this family can tell."""
    return _sorted(_open(family, Held(holds(family.items)), None))


def _open(family: Family, held: Held, guest: str | None) -> Iterator[TrackedDevice]:
    for item in family.items:
        if own_obstacle(item) is None and (not held or held.obstacle(item.device, guest=guest) is None):
            yield item


def _share_a_group(family: Family) -> bool:
    """True where two of a family are in one IOMMU group, so that it matters which guest asks."""
    members = [item.device.iommu_group for item in family.items if item.device.iommu_group is not None]
    return len(family.told(groups)) < len(members)


class _Open:
    """Which devices can be given to one guest: by facts, since a status is the same for all guests."""

    def __init__(self, inventory: Families, guest: str | None, elsewhere: Iterable[Hold]) -> None:
        self._inventory = inventory
        self._guest = guest
        self._elsewhere = tuple(elsewhere)

    def of(self, key: PciAddress, family: Family) -> _Sorted:
        """Sort those of a family's devices that can be given."""
        beside = list(self._inventory.beside(key))
        elsewhere = [hold for hold in self._elsewhere if _concerns(hold.device, key, family)]
        if not beside and not elsewhere and not family.told(_share_a_group):
            return family.told(_free)
        near = (item for each in (family, *beside) for item in each.items)
        return _sorted(_open(family, Held(holds(near, elsewhere)), self._guest))


def _concerns(device: Device, key: PciAddress, family: Family) -> bool:
    return key in (device.address, device.parent_addr) or device.iommu_group in family.told(groups)
