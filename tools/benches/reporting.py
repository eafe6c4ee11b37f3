"""What agents of hosts of one kind tell: reports as an agent makes them, packed for the bus."""

from dataclasses import dataclass, replace
from functools import cache
from uuid import UUID

from benches import fleet
from pci_agent.agent.records import pool_records, record_of
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.state import Owner, Status
from pci_agent.model.stats import pools
from pci_agent.model.vocabulary import Tags
from pci_agent.wire.messages import AgentStatus, Report, Token, digest

_TAGS: Tags = {"physical_network": "physnet1"}
_PROJECT = "bench"


@dataclass(frozen=True)
class Kind:
    """How many functions a host has, and how many of them are VFs of each PF."""

    functions: int
    vfs: int


@dataclass(frozen=True)
class Speaker:
    """The agent of one host."""

    number: int

    @property
    def host(self) -> str:
        """The host's name."""
        return f"storm-{self.number:05}.example.org"

    @property
    def uuid(self) -> str:
        """The agent's own."""
        return _uuid(1, self.number)

    @property
    def session(self) -> str:
        """Its only one."""
        return _uuid(2, self.number)

    def report(self, kind: Kind, generation: int = 0, over: Report | None = None) -> Report:
        """
        Tell all of the host's devices.

        Args:
            kind: of host
            generation: of its state; where it is odd every VF is held, where even none is, so that all have changed
            over: what it told before; None where the tracker knows nothing of it
        """
        items = [self._tracked(item, number, generation) for number, item in enumerate(_items(kind))]
        records = tuple(record_of(item) for item in items)
        told = digest(record.hash for record in records)
        return Report(
            agent_uuid=self.uuid,
            host=self.host,
            session=self.session,
            over=None if over is None else over.token,
            token=Token(session=self.session, generation=generation, digest=told),
            full=True,
            devices=records,
            pools=pool_records(pools(items)),
            status=AgentStatus(counter=generation, agent_version="bench"),
        )

    def _tracked(self, item: TrackedDevice, number: int, generation: int) -> TrackedDevice:
        uuid = _uuid(3, self.number, number)
        if item.device.parent_addr is None or generation % 2 == 0:
            return replace(item, uuid=uuid)
        owner = Owner(
            instance_uuid=_uuid(4, self.number, number),
            request_id=_uuid(5, self.number, number),
            attempt=generation,
            project_id=_PROJECT,
            user_id=None,
            allocated=True,
            lifetime_s=None,
        )
        return replace(item, uuid=uuid, owner=owner, status=Status.ALLOCATED)


@cache
def _items(kind: Kind) -> tuple[TrackedDevice, ...]:
    return tuple(
        TrackedDevice(uuid="", identity=str(device.address), device=device, tags=_TAGS, status=Status.AVAILABLE)
        for device in fleet.devices(kind.functions, kind.vfs)
    )


def _uuid(what: int, host: int, number: int = 0) -> str:
    """Make a uuid that tells what it is of; spread, as real ones are, so that indexes have no easy time."""
    spread = (host * 1_000_003 + number * 7_919 + what) * 0x9E3779B97F4A7C15 % (1 << 64)
    return str(UUID(int=spread << 64 | what << 60 | host << 20 | number, version=4))
