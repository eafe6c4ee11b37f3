"""
What was promised to whom, kept beside the product: whatever breaks a promise is a *Violation*.

I1 no device has two holders. I2 an answered claim, allocate or free is never lost. I3 when things are quiet, the
tracker's rows equal each live agent's state. I4 the tracker never goes back to an older state. I5 what was answered
``failed`` holds nothing beyond the claim's lifetime. I6 an answered free is never undone by a late claim. I7 agent and
tracker come to agree. I8 one request ends on one host. What no rule can mend is left out, by name: *exempt*.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from adversary.machines import LIFETIME_S, Machine
from pci_agent.model.state import Owner, Status
from pci_agent.wire.messages import Token


class Violation(Exception):
    """An invariant doesn't hold; the text begins with its name."""


@dataclass(slots=True)
class Hold:
    """One device that was given on one machine."""

    request: str
    attempt: int
    allocated: bool
    ends: float
    """When the claim may end by itself, on the machine's clock."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that an agent carried out: claim, allocate or free of a request; *at* is by its machine's clock."""

    verb: str
    request: str
    attempt: int
    at: float
    sure: bool = True
    """False where the agent was killed in it, so that nobody knows."""


@dataclass(slots=True)
class Promises:
    """Everything that was promised so far."""

    holds: dict[tuple[str, str], Hold] = field(default_factory=dict)
    """By machine and address."""
    freed: dict[tuple[str, str], int] = field(default_factory=dict)
    """The highest attempt of which a free was answered, by machine and request."""
    said: dict[str, list[tuple[str, str | None]]] = field(default_factory=lambda: defaultdict(list))
    """What clients were answered of a request, oldest first: ok, failed, freed, or owed where that was put off."""
    confirmed: set[str] = field(default_factory=set)
    """Requests of which a confirm was answered ok."""
    given_up: set[str] = field(default_factory=set)
    """Requests that somebody began to free."""
    exempt: set[str] = field(default_factory=set)
    """Requests of which somebody lost what nobody else knew."""
    unsure: set[str] = field(default_factory=set)
    """Machines whose agent was put back to an older state and has not been accepted since."""
    database_lost: bool = False
    by_tracker: bool = False
    """Whether the tracker keeps which attempt is where, and repeats a free until its row shows that it is done."""
    killed_in: defaultdict[str, tuple[Asked, ...]] = field(default_factory=lambda: defaultdict(tuple))
    """What each machine's agent was carrying out when it was killed."""
    machines: dict[str, str] = field(default_factory=dict)
    """The machine of each agent."""
    _made: dict[tuple[str, Token], tuple[str, int]] = field(default_factory=dict)
    _shown: dict[str, tuple[str, int]] = field(default_factory=dict)

    # States

    def made(self, machine: str, agent_uuid: str, token: Token) -> None:
        """Take note of a state that an agent made durable."""
        self.machines[agent_uuid] = machine
        self._made[agent_uuid, token] = (machine, len(self._made))

    def shown(self, tokens: Mapping[str, Token]) -> None:
        """Check which states the tracker shows now, by agent, against those that it showed before."""
        now = {}
        for agent_uuid, token in tokens.items():
            if (agent_uuid, token) not in self._made:
                raise Violation(f"I4 the tracker shows a state that agent {agent_uuid} never made: {token}")
            machine, age = now[agent_uuid] = self._made[agent_uuid, token]
            if age < self._shown.get(agent_uuid, now[agent_uuid])[1]:
                raise Violation(f"I4 the tracker went back to an older state of {machine}: {token}")
        self._shown = now

    def shown_anew(self) -> None:
        """Forget what the tracker showed: its database was lost, or put back."""
        self._shown = {}
        self.database_lost = True

    # Holders

    def check(self, machine: Machine, *asked: Asked) -> None:
        """Check a machine's owners after each operation of its agent; *asked* is what it has just carried out."""
        if not machine.up:
            self.killed_in[machine.name] += tuple(replace(each, sure=False) for each in asked)
            return
        asked += self.killed_in.pop(machine.name, ())
        if machine.serving:
            self.unsure.discard(machine.name)
        owners: dict[str, Owner] = {}
        for address, owner in machine.owners():
            if address in owners:
                raise Violation(f"I1 {machine.name} {address} has two holders: {owner} and {owners[address]}")
            owners[address] = owner
        for (name, address), hold in list(self.holds.items()):
            if name == machine.name:
                self._still(machine, address, hold, owners.get(address), asked)
        for address, owner in owners.items():
            if (machine.name, address) not in self.holds and owner.request_id is not None:
                self._given(machine, address, owner, asked)

    def _still(self, machine: Machine, address: str, hold: Hold, owner: Owner | None, asked: tuple[Asked, ...]) -> None:
        if owner is not None and owner.request_id == hold.request:
            if owner.attempt < hold.attempt and machine.name not in self.unsure:
                raise Violation(f"I2 {machine.name} {address}: attempt {hold.attempt} of {hold.request} is lost")
            if owner.attempt > hold.attempt:
                renewed = (each.at for each in asked if (each.verb, each.request) == ("claim", hold.request))
                hold.ends = min(renewed, default=machine.boottime) + LIFETIME_S
            hold.attempt, hold.allocated = max(hold.attempt, owner.attempt), hold.allocated or owner.allocated
            return
        if machine.name in self.unsure:
            return
        frees = [each.attempt for each in asked if (each.verb, each.request) == ("free", hold.request)]
        expired = not hold.allocated and hold.ends <= machine.boottime
        if frees and max(frees) < hold.attempt and not expired:
            raise Violation(f"I2 a free of attempt {max(frees)} ended attempt {hold.attempt} of {hold.request}")
        if not expired and not frees:
            if owner is not None:
                raise Violation(f"I1 {machine.name} {address} was given to {owner.request_id}; {hold} still holds it")
            raise Violation(f"I2 {machine.name} {address}: {hold} is lost")
        del self.holds[machine.name, address]

    def _given(self, machine: Machine, address: str, owner: Owner, asked: tuple[Asked, ...]) -> None:
        request = str(owner.request_id)
        unsure = machine.name in self.unsure
        claimed = (each for each in asked if (each.verb, each.request) == ("claim", request))
        ends = [each.at + LIFETIME_S for each in claimed if each.sure or not unsure]
        if not ends:
            if unsure:
                return
            ends = [machine.boottime]  # taken over: nobody was told how long it lasts
        elif owner.attempt <= self.freed.get((machine.name, request), 0) and not self.database_lost:
            raise Violation(f"I6 a late claim of attempt {owner.attempt} of {request} was executed after its free")
        self.holds[machine.name, address] = Hold(request, owner.attempt, owner.allocated, min(ends))

    def booted(self, machine: Machine) -> None:
        """Claims begin their lifetime anew in a new boot."""
        for (name, _), hold in self.holds.items():
            if name == machine.name:
                hold.ends = machine.boottime + LIFETIME_S
        asked = self.killed_in.pop(machine.name, ())
        self.killed_in[machine.name] = tuple(replace(each, at=machine.boottime) for each in asked)

    # Answers

    def answered(self, request: str, what: str, machine: str | None = None) -> None:
        """Take note of what a client was answered."""
        self.said[request].append((what, machine))
        if what == "ok":
            self.confirmed.add(request)

    def was_freed(self, machine: str, request: str, attempt: int) -> None:
        """Take note that an agent's answer to a free arrived."""
        key = (machine, request)
        self.freed[key] = max(attempt, self.freed.get(key, 0))

    # What no rule can mend

    def put_back(self, machine: Machine, rows: Mapping[str, tuple[str | None, str]], kept: Mapping[str, str]) -> None:
        """
        A machine's agent lost its newest state, and got an older one.

        Args:
            machine: the machine
            rows: what the tracker shows of it now: request and status by address
            kept: the request by address in the older state
        """
        self.unsure.add(machine.name)
        for name, address in [key for key in self.holds if key[0] == machine.name]:
            hold = self.holds[name, address]
            if rows.get(address) != (hold.request, Status.ALLOCATED):
                del self.holds[name, address]
                self.exempt.add(hold.request)
        for address, held in kept.items():
            if (machine.name, address) not in self.holds and (not rows or rows.get(address, ("",))[0] == held):
                self.exempt.add(held)
        for address, (request, _) in rows.items():
            if (machine.name, address) not in self.holds and request is not None and not self.by_tracker:
                self.exempt.add(request)

    def gone(self, machine: Machine) -> None:
        """Everything that a machine knew is lost."""
        for name, address in [key for key in self.holds if key[0] == machine.name]:
            self.exempt.add(self.holds.pop((name, address)).request)
        self.unsure.add(machine.name)

    # In the end

    def settled(self, machines: Iterable[Machine]) -> None:
        """Check what is held in quiet times, on machines that serve, against what clients were answered."""
        if self.database_lost:
            return
        where: dict[str, list[tuple[str, str, Owner]]] = defaultdict(list)
        held_for_good = set()
        for machine in machines:
            for address, owner in machine.owners():
                if owner.allocated:
                    held_for_good.add(owner.request_id)
                if machine.serving:
                    where[str(owner.request_id)].append((machine.name, address, owner))
        for request, held in where.items():
            if request not in self.exempt:
                self._rightly_held(request, held)
        lost = self.confirmed - self.exempt - self.given_up - held_for_good
        if self.by_tracker and lost:
            raise Violation(f"I2 {sorted(lost)} were answered ok, and nobody wanted them freed; now nobody holds them")

    def _rightly_held(self, request: str, held: list[tuple[str, str, Owner]]) -> None:
        said = [what for what, _ in self.said[request]]
        for machine, address, owner in held:
            if said and said[-1] == "failed":
                raise Violation(f"I5 {request} was answered failed, and holds {machine} {address}")
            if said and said[-1] == "owed":
                raise Violation(f"I2 {request} was to be freed when its agent answers, and holds {machine} {address}")
            freed = owner.attempt <= self.freed.get((machine, request), 0)
            if said and said[-1] == "freed" and (freed or self.by_tracker):
                raise Violation(f"I6 {request} was answered freed, and holds {machine} {address}")
        if self.by_tracker and len({machine for machine, _, _ in held}) > 1:
            raise Violation(f"I8 {request} ends on two hosts: {held}")
        last = [machine for what, machine in self.said[request] if what == "ok"]
        if self.by_tracker and last and held[0][2].allocated and held[0][0] != last[-1]:
            raise Violation(f"I8 {request} was given on {last[-1]}, and is on {held[0][0]}")
