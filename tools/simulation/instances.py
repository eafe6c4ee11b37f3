"""
Instances that come, claim devices, have them allocated, and go again: all the time, whatever is broken meanwhile.

Some ask trackers, as controllers do; some ask agents themselves, each on the host that its request was planned for.
What nobody knows is asked again, until it is answered or patience ends; then the request is freed, and what is left of
it ends by itself.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Protocol
from uuid import UUID

from sqlalchemy.exc import OperationalError

from pci_agent.errors import AgentSilent, MessageRefused, TrackerSilent
from pci_agent.model.device import DevType
from pci_agent.model.request import PciRequest, Spec
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.tracker.store import Store
from pci_agent.wire import rpc
from pci_agent.wire.commands import (
    AskedRecord,
    AttemptCommand,
    ClaimCommand,
    CommandAnswer,
    RequestRecord,
    SpecRecord,
)
from pci_agent.wire.control import AllocationAnswer, ClaimQuestion, ConfirmQuestion, FreeQuestion
from pci_agent.wire.messages import Model
from simulation.agents import LIFETIME_S
from simulation.journal import Entry, Journal
from simulation.machines import PF_PRODUCT, VF_PRODUCT

_MOST_LIVES = 12
_TRIES = 8
_TRIES_TO_FREE = 40
_PFS = 0.15
_ABANDONED = 0.2
_ENDS = 0.4
_NEXT_ATTEMPT = 0.5
_SHOWN_AT_ONCE = 0.5
_AGENT_TIMEOUT_S = 4
_TRACKER_TIMEOUT_S = 15
_PROJECT = "fleet"


@dataclass(slots=True)
class Life:
    """One request of an instance, and how far it came; *host* is empty until one is known."""

    request: str
    instance: str
    of_pf: bool
    count: int
    host: str = ""
    attempt: int = 1

    @property
    def spec(self) -> SpecRecord:
        """What it asks for."""
        if self.of_pf:
            return SpecRecord(product_id=PF_PRODUCT, dev_type="type-PF")
        return SpecRecord(product_id=VF_PRODUCT)


@dataclass(frozen=True, slots=True)
class Said:
    """
    An answer.

    Attributes:
        verdict: None where none came
        devices: of ok: what the request holds
        again: whether it isn't known what became of the question, so that it is to be asked again
    """

    verdict: str | None = None
    devices: tuple[str, ...] = ()
    again: bool = True


class Ways(Protocol):
    """How devices are asked for."""

    def place(self, life: Life) -> bool:
        """Find out where to ask; False where there is no such place now."""

    def claim(self, life: Life) -> Said:
        """Claim."""

    def allocate(self, life: Life) -> Said:
        """Allocate."""

    def free(self, life: Life) -> Said:
        """Free."""


def _written(journal: Journal, life: Life, verb: str, ask: Callable[[], Said]) -> Said:
    """Ask, and write down what was asked and answered."""
    sent = time.monotonic()
    said = ask()
    journal.write(
        Entry(
            host=life.host,
            request=life.request,
            verb=verb,
            attempt=life.attempt,
            sent_s=sent,
            over_s=time.monotonic(),
            verdict=said.verdict,
            devices=said.devices,
        )
    )
    return said


class Direct:
    """Asks agents over the bus, after a look at the tracker's rows."""

    def __init__(self, transport: object, store: Store, scheduler: Scheduler, journal: Journal, chance: Random) -> None:
        self._client = rpc.AgentClient(transport, timeout_s=_AGENT_TIMEOUT_S)
        self._store = store
        self._scheduler = scheduler
        self._journal = journal
        self._chance = chance

    def place(self, life: Life) -> bool:
        """Choose a host that is up and has enough."""
        spec = life.spec
        dev_type = None if spec.dev_type is None else DevType(spec.dev_type)
        wanted = Spec(vendor_id=spec.vendor_id, product_id=spec.product_id, dev_type=dev_type)
        try:
            found = self._scheduler.candidates([PciRequest(request_id="", count=life.count, specs=(wanted,))]).hosts
        except OperationalError:  # the database is away
            return False
        life.host = self._chance.choice(found).hypervisor_hostname if found else ""
        return bool(found)

    def claim(self, life: Life) -> Said:
        """Claim on its host."""
        wanted = RequestRecord(request_id=life.request, attempt=life.attempt, count=life.count, specs=(life.spec,))

        def command(agent_uuid: str, session: str) -> Model:
            return ClaimCommand(
                agent_uuid=agent_uuid,
                session=session,
                instance_uuid=life.instance,
                project_id=_PROJECT,
                requests=(wanted,),
                lifetime_s=LIFETIME_S,
            )

        return _written(self._journal, life, "claim", lambda: self._call(life, "claim", command))

    def allocate(self, life: Life) -> Said:
        """Allocate on its host."""
        return self._attempt(life, "allocate")

    def free(self, life: Life) -> Said:
        """Free on its host."""
        return self._attempt(life, "free")

    def _attempt(self, life: Life, verb: str) -> Said:
        def command(agent_uuid: str, _session: str) -> Model:
            return AttemptCommand(agent_uuid=agent_uuid, request_id=life.request, attempt=life.attempt)

        return _written(self._journal, life, verb, lambda: self._call(life, verb, command))

    def _call(self, life: Life, verb: str, command: Callable[[str, str], Model]) -> Said:
        try:
            rows = self._store.hypervisors(life.host)
        except OperationalError:
            return Said()
        if not rows:
            return Said()
        try:
            asked = command(rows[0]["agent_uuid"], rows[0]["session"])
            answer = self._client.call(life.host, verb, asked, CommandAnswer)
        except (AgentSilent, MessageRefused):
            return Said()
        if answer.report is not None and self._chance.random() < _SHOWN_AT_ONCE:
            with suppress(OperationalError):
                self._store.accept(answer.report)  # as a tracker does that was asked for this
        devices = tuple(sorted(answer.devices.get(life.request, ())))
        return Said(answer.verdict, devices, again=answer.verdict == "stranger")


class Through:
    """Asks trackers, whichever is free, as a controller does; they choose the host."""

    def __init__(self, transport: object, journal: Journal) -> None:
        self._client = rpc.ControlClient(transport, timeout_s=_TRACKER_TIMEOUT_S)
        self._journal = journal

    def place(self, life: Life) -> bool:
        """Leave the host to the trackers."""
        return not life.host

    def claim(self, life: Life) -> Said:
        """Claim wherever there is something."""
        wanted = AskedRecord(request_id=life.request, count=life.count, specs=(life.spec,))
        question = ClaimQuestion(
            instance_uuid=life.instance, requests=(wanted,), project_id=_PROJECT, lifetime_s=LIFETIME_S
        )
        return self._asked(life, "claim", lambda: self._client.claim(question))

    def allocate(self, life: Life) -> Said:
        """Confirm what was claimed."""
        question = ConfirmQuestion(instance_uuid=life.instance, request_ids=(life.request,))
        return self._asked(life, "allocate", lambda: self._client.confirm(question))

    def free(self, life: Life) -> Said:
        """Free it wherever it is."""
        question = FreeQuestion(instance_uuid=life.instance, request_id=life.request)
        return self._asked(life, "free", lambda: self._client.free(question))

    def _asked(self, life: Life, verb: str, ask: Callable[[], AllocationAnswer]) -> Said:
        def asking() -> Said:
            try:
                answer = ask()
            except (TrackerSilent, MessageRefused):
                return Said()
            again = answer.verdict in ("silent", "stale")
            if answer.verdict != "ok" or not answer.allocations or verb == "free":
                return Said(answer.verdict, again=again)
            (allocation,) = answer.allocations
            life.host = allocation.hypervisor_hostname or ""
            return Said(answer.verdict, tuple(sorted(device.uuid for device in allocation.devices)), again=False)

        return _written(self._journal, life, verb, asking)


@dataclass
class Caller:
    """
    Starts and ends lives on a thread of its own, until *stop* is set; some live on then.

    Attributes:
        trouble: how it died; None while it lives, or where it ended well
    """

    ask: Ways
    chance: Random
    stop: threading.Event
    lives: list[Life] = field(default_factory=list)
    trouble: str | None = None

    def run(self) -> None:
        """Go on until *stop*."""
        try:
            while not self.stop.wait(self.chance.uniform(0, 0.2)):
                if len(self.lives) >= _MOST_LIVES or (self.lives and self.chance.random() < _ENDS):
                    self._free(self.lives.pop(self.chance.randrange(len(self.lives))))
                else:
                    self._begin()
        except Exception as error:  # noqa: BLE001 - told at the end
            self.trouble = f"a caller died: {type(error).__name__}: {error}"

    def _begin(self) -> None:
        of_pf = self.chance.random() < _PFS
        life = Life(self._uuid(), self._uuid(), of_pf, 1 if of_pf else self.chance.randint(1, 3))
        if not self.ask.place(life) or not self._claimed(life):
            return
        if self.chance.random() < _ABANDONED:
            return  # it ends by itself
        if self._allocated(life):
            self.lives.append(life)

    def _claimed(self, life: Life) -> bool:
        for _ in range(_TRIES):
            said = self.ask.claim(life)
            if not said.again:
                return said.verdict == "ok"
            life.attempt += self.chance.random() < _NEXT_ATTEMPT
            self._pause()
        self._free(life)
        return False

    def _allocated(self, life: Life) -> bool:
        for _ in range(_TRIES):
            said = self.ask.allocate(life)
            if not said.again:
                return said.verdict == "ok"
            self._pause()
        self._free(life)
        return False

    def _free(self, life: Life) -> None:
        for _ in range(_TRIES_TO_FREE):
            if not self.ask.free(life).again:
                return
            self._pause()

    def _pause(self) -> None:
        time.sleep(self.chance.uniform(0.2, 1))

    def _uuid(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))
