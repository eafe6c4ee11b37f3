"""
Instances that come, claim devices, have them allocated, and go again: all the time, whatever is broken meanwhile.

A request stays on the host that it was planned for. A command that wasn't answered is sent again, until it is
answered or patience ends; then its request is freed, and what is left of it ends by itself.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

from pci_agent.errors import AgentSilent, MessageRefused
from pci_agent.model.device import DevType
from pci_agent.model.request import PciRequest, Spec
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.tracker.store import Store
from pci_agent.wire import rpc
from pci_agent.wire.commands import AttemptCommand, ClaimCommand, CommandAnswer, RequestRecord, SpecRecord
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


@dataclass(slots=True)
class Life:
    """One request of an instance, and how far it came."""

    request: str
    instance: str
    host: str
    of_pf: bool
    count: int
    attempt: int = 1

    @property
    def spec(self) -> SpecRecord:
        """What it asks for."""
        if self.of_pf:
            return SpecRecord(product_id=PF_PRODUCT, dev_type="type-PF")
        return SpecRecord(product_id=VF_PRODUCT)


class Direct:
    """
    Asks agents over the bus, after a look at the tracker's rows.

    What asks through the tracker's allocations instead takes its place with the same four methods.
    """

    def __init__(self, transport: object, store: Store, scheduler: Scheduler, journal: Journal, chance: Random) -> None:
        self._client = rpc.AgentClient(transport, timeout_s=4)
        self._store = store
        self._scheduler = scheduler
        self._journal = journal
        self._chance = chance

    def host_for(self, spec: SpecRecord, count: int) -> str | None:
        """Choose a host that is up and has enough; None where there is none."""
        dev_type = None if spec.dev_type is None else DevType(spec.dev_type)
        wanted = Spec(vendor_id=spec.vendor_id, product_id=spec.product_id, dev_type=dev_type)
        found = self._scheduler.candidates([PciRequest(request_id="", count=count, specs=(wanted,))]).hosts
        return self._chance.choice(found).hypervisor_hostname if found else None

    def claim(self, life: Life) -> CommandAnswer | None:
        """Claim; None where no answer came."""
        wanted = RequestRecord(request_id=life.request, attempt=life.attempt, count=life.count, specs=(life.spec,))

        def command(agent_uuid: str, session: str) -> Model:
            return ClaimCommand(
                agent_uuid=agent_uuid,
                session=session,
                instance_uuid=life.instance,
                project_id="fleet",
                requests=(wanted,),
                lifetime_s=LIFETIME_S,
            )

        return self._call(life, "claim", command)

    def allocate(self, life: Life) -> CommandAnswer | None:
        """Allocate; None where no answer came."""
        return self._call(life, "allocate", lambda uuid, _: self._attempt(life, uuid))

    def free(self, life: Life) -> CommandAnswer | None:
        """Free; None where no answer came."""
        return self._call(life, "free", lambda uuid, _: self._attempt(life, uuid))

    def _attempt(self, life: Life, agent_uuid: str) -> AttemptCommand:
        return AttemptCommand(agent_uuid=agent_uuid, request_id=life.request, attempt=life.attempt)

    def _call(self, life: Life, verb: str, command: Callable[[str, str], Model]) -> CommandAnswer | None:
        rows = self._store.hypervisors(life.host)
        if not rows:
            return None
        sent, answer = time.monotonic(), None
        try:
            asked = command(rows[0]["agent_uuid"], rows[0]["session"])
            answer = self._client.call(life.host, verb, asked, CommandAnswer)
        except (AgentSilent, MessageRefused):
            pass
        self._write(life, verb, sent, answer)
        if answer is not None and answer.report is not None and self._chance.random() < _SHOWN_AT_ONCE:
            self._store.accept(answer.report)  # as a tracker does that was asked for this
        return answer

    def _write(self, life: Life, verb: str, sent: float, answer: CommandAnswer | None) -> None:
        self._journal.write(
            Entry(
                host=life.host,
                request=life.request,
                verb=verb,
                attempt=life.attempt,
                sent_s=sent,
                over_s=time.monotonic(),
                verdict=None if answer is None else answer.verdict,
                devices=() if answer is None else tuple(sorted(answer.devices.get(life.request, ()))),
            )
        )


@dataclass
class Caller:
    """
    Starts and ends lives on a thread of its own, until *stop* is set; some live on then.

    Attributes:
        trouble: how it died; None while it lives, or where it ended well
    """

    ask: Direct
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
        life = Life(self._uuid(), self._uuid(), "", of_pf, 1 if of_pf else self.chance.randint(1, 3))
        host = self.ask.host_for(life.spec, life.count)
        if host is None:
            return
        life.host = host
        if not self._claimed(life):
            return
        if self.chance.random() < _ABANDONED:
            return  # it ends by itself
        if self._allocated(life):
            self.lives.append(life)

    def _claimed(self, life: Life) -> bool:
        for _ in range(_TRIES):
            answer = self.ask.claim(life)
            if answer is not None and answer.verdict == "ok":
                return True
            if answer is not None and answer.verdict != "stranger":
                return False
            life.attempt += self.chance.random() < _NEXT_ATTEMPT
            self._pause()
        self._free(life)
        return False

    def _allocated(self, life: Life) -> bool:
        for _ in range(_TRIES):
            answer = self.ask.allocate(life)
            if answer is not None and answer.verdict != "stranger":
                return answer.verdict == "ok"
            self._pause()
        self._free(life)
        return False

    def _free(self, life: Life) -> None:
        for _ in range(_TRIES_TO_FREE):
            answer = self.ask.free(life)
            if answer is not None and answer.verdict != "stranger":
                return
            self._pause()

    def _pause(self) -> None:
        time.sleep(self.chance.uniform(0.2, 1))

    def _uuid(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))
