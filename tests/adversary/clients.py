"""
Who asks for devices: each client has a script, and does one thing of it at a time, in a task of its own.

A *Client* speaks to the agents as a tracker does; clients have an honest count of attempts between them. A *Controller*
asks a tracker, which is a process of its own for each.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pci_agent.errors import AgentSilent
from pci_agent.model.request import PciRequest, Spec
from pci_agent.tracker.allocations import Allocations
from pci_agent.tracker.standings import State
from pci_agent.wire.commands import AttemptCommand, ClaimCommand, CommandAnswer, RequestRecord, SpecRecord
from pci_agent.wire.control import AllocationAnswer, Verdict
from pci_agent.wire.messages import Model, pack, unpack

if TYPE_CHECKING:
    from adversary.world import World

_MOST_TRIES = 3

A = TypeVar("A", bound=Model)


def uuid_of(name: str) -> str:
    """Make a uuid of a short name such as r1."""
    return f"00000000-0000-4000-8000-{name.encode().hex():>012}"


class Client:
    """One that asks directly."""

    def __init__(self, world: "World", name: str, script: tuple[tuple[str, ...], ...]) -> None:
        self.world = world
        self.name = name
        self.script = list(script)

    def next(self) -> Callable[[], None]:
        """Take the next thing that it asks for."""
        what, *about = self.script.pop(0)
        request, instance = map(uuid_of, about)
        return (lambda: self._allocate(request, instance)) if what == "alloc" else lambda: self._free(request, instance)

    def _allocate(self, request: str, instance: str) -> None:
        attempts, highest = self.world.attempts, 0
        for _ in range(_MOST_TRIES):
            row = self._host(request)
            if row is None:
                return
            attempts[request] = attempt = max(attempts[request], highest) + 1
            asked = RequestRecord(request_id=request, attempt=attempt, specs=(SpecRecord(vendor_id="8086"),))
            claimed = self._call(
                row[1],
                "claim",
                ClaimCommand(agent_uuid=row[0], session=row[2], instance_uuid=instance, requests=(asked,)),
            )
            if claimed is None:
                continue
            highest = claimed.highest or 0
            if claimed.verdict == "ok" and self._confirm(row, request, attempt):
                self.world.promises.answered(request, "ok", self.world.machine_of(row[0]))
                return

    def _confirm(self, row: tuple[str, str, str], request: str, attempt: int) -> bool:
        for _ in range(_MOST_TRIES):
            done = self._call(
                row[1], "allocate", AttemptCommand(agent_uuid=row[0], request_id=request, attempt=attempt)
            )
            if done is not None:
                return done.verdict == "ok"
        return False

    def _free(self, request: str, _instance: str) -> None:
        attempt = self.world.attempts[request]
        for _ in range(_MOST_TRIES):
            row = self._host(request)
            if row is None or not attempt:
                return
            done = self._call(row[1], "free", AttemptCommand(agent_uuid=row[0], request_id=request, attempt=attempt))
            if done is not None and done.verdict == "ok":
                machine = self.world.machine_of(row[0])
                self.world.promises.was_freed(machine, request, attempt)
                self.world.promises.answered(request, "freed", machine)
                return

    def _host(self, request: str) -> tuple[str, str, str] | None:
        """Give agent, name and session of the host that this request goes to: always the same while that is there."""
        rows = {row["agent_uuid"]: row for row in self.world.centre.store.hypervisors() if row["up"]}
        if not rows:
            return None
        placed = self.world.placed.get(request)
        row = (
            rows.get(placed or "") or sorted(rows.values(), key=lambda row: row["id"])[int(request[-1], 16) % len(rows)]
        )
        self.world.placed[request] = row["agent_uuid"]
        return row["agent_uuid"], row["hypervisor_hostname"], row["session"]

    def _call(self, host: str, verb: str, command: Model) -> CommandAnswer | None:
        body = self.world.call(host, verb, pack(command))
        if body is None:
            return None
        answer = unpack(CommandAnswer, body)
        if answer.report is not None:
            self.world.centre.store.accept(answer.report)
        return answer


class Controller(Client):
    """One that asks a tracker, for several requests of an instance at once too, as r1+r2; it frees all of one as *."""

    def __init__(self, world: "World", name: str, script: tuple[tuple[str, ...], ...]) -> None:
        super().__init__(world, name, script)
        self._allocations = Allocations(world.centre.store, world.centre.scheduler, self)

    def settle_frees(self) -> None:
        """Send what is owed."""
        self._allocations.settle_frees()

    def call(self, host: str, verb: str, command: Model, answer: type[A]) -> A:
        """Call an agent, as rpc.AgentClient does."""
        body = self.world.call(host, verb, pack(command))
        if body is None:
            raise AgentSilent(f"{host}: no answer in time")
        said = unpack(answer, body)
        if verb == "free" and isinstance(command, AttemptCommand) and getattr(said, "verdict", "") == "ok":
            machine = self.world.machine_of(command.agent_uuid)
            self.world.promises.was_freed(machine, command.request_id, command.attempt)
        return said

    def next(self) -> Callable[[], None]:
        """Take the next thing that it asks for."""
        what, names, instance = self.script.pop(0)
        requests = [] if names == "*" else [uuid_of(name) for name in names.split("+")]
        owner = uuid_of(instance)
        return (lambda: self._place(requests, owner)) if what == "alloc" else lambda: self._take_back(requests, owner)

    def _place(self, requests: list[str], instance: str) -> None:
        asked = [PciRequest(request_id=request, specs=(Spec(vendor_id="8086"),)) for request in requests]
        for _ in range(_MOST_TRIES):
            answer = self._allocations.claim(instance, asked)
            if answer.verdict == Verdict.OK:
                answer = self._confirmed(requests, instance)
                if answer.verdict == Verdict.OK:
                    for each in answer.allocations:
                        machine = self.world.machine_of(each.agent_uuid or "")
                        self.world.promises.answered(each.request_id, "ok", machine)
                    return
            if answer.verdict not in (Verdict.STALE, Verdict.SILENT):
                break
        for each in answer.allocations:
            if each.state == State.FAILED:
                self.world.promises.answered(each.request_id, "failed")

    def _confirmed(self, requests: list[str], instance: str) -> AllocationAnswer:
        for _ in range(_MOST_TRIES):
            answer = self._allocations.confirm(instance, requests)
            if answer.verdict != Verdict.SILENT:
                break
        return answer

    def _take_back(self, requests: list[str], instance: str) -> None:
        self.world.promises.given_up.update(requests or self.world.requests_of(instance))
        whole: list[str | None] = [None]
        for request in requests or whole:
            for each in self._allocations.free(instance, request).allocations:
                if each.verdict in (Verdict.OK, Verdict.SILENT):
                    self.world.promises.answered(each.request_id, "freed" if each.verdict == Verdict.OK else "owed")
