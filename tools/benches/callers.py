"""
How many devices a fleet gives out a second, to one caller and to many at once.

Everything is real: trackers over a real broker, and agents as in tools/fleet, each with its store, who look at the host
once more before they give a device and keep what they gave before they answer. All run on one machine. Each allocation
is for an instance of its own: a claim of one VF, on whichever host the tracker chooses, and its confirmation. Nothing
is freed. Claims of different callers may meet on one host, for hosts are filled one after the other.
"""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pci_agent.wire import rpc
from pci_agent.wire.commands import AskedRecord, SpecRecord
from pci_agent.wire.control import AllocationAnswer, ClaimQuestion, ConfirmQuestion, Verdict
from services import RabbitMQ
from simulation import load
from simulation.agents import Settings
from simulation.machines import FUNCTIONS_OF_A_CARD, VF_PRODUCT, generated
from simulation.world import Plan, World, running

TRACKERS = 2
_AGENTS_A_PROCESS = 25
_MACHINES = 8
_NEVER_S = 3600
_TIMEOUT_S = 60
_TRIES = 20


@dataclass(frozen=True)
class Given:
    """
    One allocation.

    Attributes:
        request_id: of whom
        device: the uuid of what was given
        host: where
        seconds: from the first question to the last answer
        again: how often a question was asked again, for the answer told to
    """

    request_id: str
    device: str
    host: str
    seconds: float
    again: int


@dataclass(frozen=True)
class Round:
    """So many callers at once, what they were given, and the seconds that it took all of them."""

    callers: int
    given: tuple[Given, ...]
    seconds: float

    @property
    def a_second(self) -> float:
        """Allocations a second."""
        return len(self.given) / self.seconds


@dataclass(frozen=True)
class Fleet:
    """How many agents, and devices of each; VFs are seven eighths of them."""

    agents: int
    devices: int

    @property
    def vfs(self) -> int:
        """How many VFs there are in all."""
        cards = self.devices // FUNCTIONS_OF_A_CARD
        return self.agents * cards * (FUNCTIONS_OF_A_CARD - 1)


@dataclass(frozen=True)
class Result:
    """
    What was measured.

    Attributes:
        fleet: who gave
        rounds: in their order
        wrong: what doesn't agree among callers, rows and agents; empty where every device was given once
    """

    fleet: Fleet
    rounds: tuple[Round, ...]
    wrong: tuple[str, ...]


def measured(
    folder: Path, database_url: str, broker: RabbitMQ, fleet: Fleet, rounds: Sequence[tuple[int, int]]
) -> Result:
    """
    Measure.

    Args:
        folder: for state and logs
        database_url: of an empty database
        broker: that nobody else uses
        fleet: who gives
        rounds: how many callers, and how many allocations all of them make; fewer in all than there are VFs
    """
    plan = Plan(agents=fleet.agents, a_process=_AGENTS_A_PROCESS, trackers=TRACKERS)
    machines = [each.machine for each in generated(folder, min(fleet.agents, _MACHINES), fleet.devices)]
    settings = Settings(look_interval_s=_NEVER_S)
    with running(folder, plan, machines, settings, database_url=database_url, broker=broker) as world:
        load.told_by_all(world, world.states())
        load.settle(world)
        made = tuple(_round(world, callers, number) for callers, number in rounds)
        load.settle(world)
        wrong = _wrong(world, [each for one in made for each in one.given])
    return Result(fleet, made, tuple(wrong))


def _round(world: World, callers: int, number: int) -> Round:
    client = rpc.ControlClient(world.transport, timeout_s=_TIMEOUT_S)
    with ThreadPoolExecutor(callers) as pool:
        since = time.perf_counter()
        given = tuple(pool.map(lambda _: _allocation(client), range(number)))
        return Round(callers, given, time.perf_counter() - since)


def _allocation(client: rpc.ControlClient) -> Given:
    instance, request = str(uuid4()), str(uuid4())
    wanted = AskedRecord(request_id=request, specs=(SpecRecord(product_id=VF_PRODUCT),))
    claim = ClaimQuestion(instance_uuid=instance, requests=(wanted,), project_id="bench", lifetime_s=_NEVER_S)
    since = time.perf_counter()
    again = 0
    while (answer := client.claim(claim)).verdict != Verdict.OK:
        again = _again(answer, again)
    confirm = ConfirmQuestion(instance_uuid=instance, request_ids=(request,))
    while (confirmed := client.confirm(confirm)).verdict != Verdict.OK:
        again = _again(confirmed, again)
    spent = time.perf_counter() - since
    (allocation,) = confirmed.allocations
    (device,) = allocation.devices
    return Given(request, device.uuid, allocation.hypervisor_hostname or "", spent, again)


def _again(answer: AllocationAnswer, before: int) -> int:
    """Count that a question has to be asked again."""
    if answer.verdict not in (Verdict.STALE, Verdict.SILENT, Verdict.NO_FIT) or before == _TRIES:
        raise RuntimeError(f"an allocation was answered {answer.verdict}: {answer.reason}")
    return before + 1


def _wrong(world: World, given: Sequence[Given]) -> list[str]:
    """Compare what callers were told with the agents' states and the tracker's rows."""
    told = {each.request_id: (each.host, each.device) for each in given}
    counts = Counter(told.values())
    wrong = [f"{host}: {device} was given {count} times" for (host, device), count in counts.items() if count > 1]
    held = {
        request: (host, device)
        for host, state in world.states().items()
        for request, owned in state["owned"].items()
        for device in owned["devices"]
        if owned["allocated"]
    }
    rows = {
        row["request_id"]: (row["hypervisor_hostname"], row["uuid"])
        for row in world.store.devices()
        if row["status"] == "allocated"
    }
    for who, known in (("the agents", held), ("the tracker's rows", rows)):
        differing = [request for request in told.keys() | known.keys() if told.get(request) != known.get(request)]
        if differing:
            wrong.append(f"{who} and the callers differ in {len(differing)} of {len(told)} allocations")
    return wrong
