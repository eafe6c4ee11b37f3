"""
What the tracker answers controllers on the bus.

A message that can't be read is refused by name and counted, and the next one is served. Where the database fails no
answer is given: the controller asks again, and whatever was begun is gone on with.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from pci_agent.errors import MessageRefused
from pci_agent.model.fit import GuestNuma
from pci_agent.tracker.allocations import Allocations
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.tracker.store import Store
from pci_agent.wire import asked as asked_for
from pci_agent.wire.control import (
    AllocationAnswer,
    CandidateRecord,
    CandidatesAnswer,
    CandidatesQuestion,
    ClaimQuestion,
    ConfirmQuestion,
    DevicesAnswer,
    DevicesQuestion,
    FreeQuestion,
    HostDevice,
    ShowQuestion,
    Verdict,
)
from pci_agent.wire.messages import Model, pack, unpack
from pci_agent.wire.refused import Refused

Q = TypeVar("Q", bound=Model)
A = TypeVar("A", CandidatesAnswer, AllocationAnswer, DevicesAnswer)


class ControlEndpoint:
    """The methods that controllers call; the arguments' names are part of the protocol."""

    def __init__(
        self, allocations: Allocations, scheduler: Scheduler, store: Store, refused: Refused | None = None
    ) -> None:
        self._allocations = allocations
        self._scheduler = scheduler
        self._store = store
        self._refused = refused or Refused()
        self.answered: Counter[str] = Counter()
        """How many questions got which verdict since the start."""

    def candidates(self, _context: object, body: object) -> str:
        """Name hosts that could serve requests now."""
        return self._answer(CandidatesQuestion, body, self._candidates, CandidatesAnswer)

    def claim(self, _context: object, body: object) -> str:
        """Claim devices for all requests of a claim on one host, or none."""
        return self._answer(ClaimQuestion, body, self._claim, AllocationAnswer)

    def confirm(self, _context: object, body: object) -> str:
        """Allocate what was claimed."""

        def confirm(asked: ConfirmQuestion) -> AllocationAnswer:
            return self._allocations.confirm(asked.instance_uuid, asked.request_ids)

        return self._answer(ConfirmQuestion, body, confirm, AllocationAnswer)

    def free(self, _context: object, body: object) -> str:
        """Take back what an instance has."""

        def free(asked: FreeQuestion) -> AllocationAnswer:
            return self._allocations.free(asked.instance_uuid, asked.request_id, asked.host)

        return self._answer(FreeQuestion, body, free, AllocationAnswer)

    def show_allocation(self, _context: object, body: object) -> str:
        """Tell how an instance's requests stand."""

        def show(asked: ShowQuestion) -> AllocationAnswer:
            return self._allocations.show(asked.instance_uuid)

        return self._answer(ShowQuestion, body, show, AllocationAnswer)

    def list_devices(self, _context: object, body: object) -> str:
        """List devices of a host, an instance, or of one name."""
        return self._answer(DevicesQuestion, body, self._devices, DevicesAnswer)

    def _candidates(self, asked: CandidatesQuestion) -> CandidatesAnswer:
        requests = [asked_for.read(each) for each in asked.requests]
        numa = GuestNuma(frozenset(asked.cells), asked.sockets)
        found = self._scheduler.candidates(requests, numa, limit=asked.limit, only=asked.host)
        hosts = tuple(
            CandidateRecord(
                agent_uuid=each.agent_uuid,
                hypervisor_hostname=each.hypervisor_hostname,
                node_id=each.node_id,
                free=each.free,
            )
            for each in found.hosts
        )
        verdict = Verdict.OK if hosts else Verdict.NO_FIT
        reason = found.cut or (None if hosts else "no host that is up has devices for it")
        return CandidatesAnswer(verdict=verdict, hosts=hosts, reason=reason)

    def _claim(self, asked: ClaimQuestion) -> AllocationAnswer:
        return self._allocations.claim(
            asked.instance_uuid,
            [asked_for.read(each) for each in asked.requests],
            GuestNuma(frozenset(asked.cells), asked.sockets),
            project_id=asked.project_id,
            user_id=asked.user_id,
            host=asked.host,
            lifetime_s=asked.lifetime_s,
        )

    def _devices(self, asked: DevicesQuestion) -> DevicesAnswer:
        rows = self._store.devices(name=asked.name, instance_uuid=asked.instance_uuid, hypervisor=asked.host)
        devices = tuple(HostDevice(**{name: row[name] for name in HostDevice.model_fields}) for row in rows)
        return DevicesAnswer(verdict=Verdict.OK, devices=devices)

    def _answer(self, question: type[Q], body: object, answer: Callable[[Q], A], kind: type[A]) -> str:
        try:
            told: Any = answer(unpack(question, body))
        except MessageRefused as refused:
            self._refused.add(refused)
            told = kind(verdict=Verdict.REFUSED, reason=str(refused))
        self.answered[told.verdict] += 1
        return pack(told)
