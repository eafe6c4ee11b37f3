"""A tracker that gives devices out, with real agents on a bus: and a bus between them that can be made worse."""

from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from buses import bus
from hosts import Host
from pci_agent.agent.endpoint import Endpoint
from pci_agent.cmd.agent_daemon import inquiries
from pci_agent.errors import AgentSilent
from pci_agent.model.fit import ANYWHERE, GuestNuma
from pci_agent.model.request import PciRequest, Spec
from pci_agent.tracker.allocations import Allocations
from pci_agent.tracker.scheduler import Candidate, Candidates
from pci_agent.tracker.store import Store
from pci_agent.wire import rpc
from pci_agent.wire.messages import Model
from sysfs import FakeSysfs

A = TypeVar("A", bound=Model)


class ByName:
    """A scheduler that knows nothing of devices: all hosts that are up, by name."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def candidates(
        self,
        requests: Sequence[PciRequest],
        numa: GuestNuma = ANYWHERE,
        *,
        limit: int = 10,
        only: str | None = None,
        without: Container[str] = (),
    ) -> Candidates:
        assert requests
        assert numa is not None
        rows = [row for row in self._store.hypervisors(only) if row["up"] and row["agent_uuid"] not in without]
        named = (Candidate(row["agent_uuid"], row["session"], row["hypervisor_hostname"], row["id"], 1) for row in rows)
        return Candidates(tuple(named)[:limit])


class Bad:
    """
    Calls agents over a bus that does to them what the test says.

    Attributes:
        called: every call: host and verb
        lost: (host, verb) that don't arrive
        deaf: (host, verb) that arrive and whose answers are lost
        before, after: what happens once, just before or after the next such call
    """

    def __init__(self, client: rpc.AgentClient) -> None:
        self._client = client
        self.called: list[tuple[str, str]] = []
        self.lost: set[tuple[str, str]] = set()
        self.deaf: set[tuple[str, str]] = set()
        self.before: dict[tuple[str, str], Callable[[], object]] = {}
        self.after: dict[tuple[str, str], Callable[[], object]] = {}

    def call(self, host: str, verb: str, command: Model, answer: type[A]) -> A:
        which = (host, verb)
        self.called.append(which)
        self.before.pop(which, lambda: None)()
        if which in self.lost:
            raise AgentSilent(f"{host}: lost")
        got = self._client.call(host, verb, command, answer)
        self.after.pop(which, lambda: None)()
        if which in self.deaf:
            raise AgentSilent(f"{host}: its answer was lost")
        return got

    def again(self, host: str, verb: str, command: Model, answer: type[A]) -> A:
        """Deliver once more what was delivered before."""
        return self._client.call(host, verb, command, answer)


class Centre:
    """A tracker's allocations, and the hosts of its fleet by name."""

    def __init__(self, store: Store, hosts: dict[str, Host], agents: Bad, bus: Any) -> None:
        self.store, self.hosts, self.agents, self.bus = store, hosts, agents, bus
        self.allocations = Allocations(store, ByName(store), agents)

    def holders(self) -> dict[str, list[str]]:
        """Who holds how many devices, by the agents' own word: request_ids by host."""
        return {
            name: sorted(
                item.owner.request_id or ""
                for item in host.agent.ledger.tracked.values()
                if item.owner is not None and not item.owner.releasing
            )
            for name, host in self.hosts.items()
        }

    def rows(self) -> dict[str, tuple[str, str]]:
        """What the tracker's rows show of held devices: host and status by request_id."""
        return {
            row["request_id"]: (row["hypervisor_hostname"], row["status"])
            for row in self.store.devices()
            if row["request_id"] is not None
        }

    def report(self) -> None:
        """Let every agent tell what it has."""
        for host in self.hosts.values():
            host.report(self.store)


def one(request_id: str | None = None, count: int = 1) -> PciRequest:
    """Ask for VFs of the cards that *centre* gives its hosts."""
    return PciRequest(request_id=request_id or str(uuid4()), count=count, specs=(Spec(product_id="1520"),))


@contextmanager
def centre(folder: Path, store: Store, vfs: dict[str, int]) -> Iterator[Centre]:
    """A fleet of hosts with so many VFs each, all of which the tracker has heard of."""
    hosts = {}
    for name, count in vfs.items():
        sysfs = FakeSysfs(folder / f"{name}-sys")
        sysfs.add_pf("0000:04:00.0", vfs=[f"0000:04:{10 + each // 8}.{each % 8}" for each in range(count)])
        hosts[name] = Host(name, sysfs, folder / name, '{"product_id": "1520"}')
    with joined(store, hosts) as made:
        yield made


@contextmanager
def joined(store: Store, hosts: dict[str, Host]) -> Iterator[Centre]:
    """A fleet of these hosts, all of which the tracker has heard of; their agents are on a bus."""
    with bus("fake://") as opened:
        servers = []
        for name, host in hosts.items():
            host.start()
            host.report(store)
            servers.append(rpc.server(opened, rpc.AGENT_TOPIC, name, Late(host), inquiries(host.agent, None)))
            servers[-1].start()
        try:
            yield Centre(store, hosts, Bad(rpc.AgentClient(opened, timeout_s=30)), opened)
        finally:
            with ThreadPoolExecutor(len(servers)) as threads:
                list(threads.map(stop, servers))
            for host in hosts.values():
                host.stop()


def stop(server: Any) -> None:
    server.stop()
    server.wait()


class Late:
    """What a host's agent answers, whichever agent that is by then."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def claim(self, context: object, body: object) -> str:
        return Endpoint(self._host.agent, lifetime_s=300).claim(context, body)

    def allocate(self, context: object, body: object) -> str:
        return Endpoint(self._host.agent, lifetime_s=300).allocate(context, body)

    def free(self, context: object, body: object) -> str:
        return Endpoint(self._host.agent, lifetime_s=300).free(context, body)

    def disable(self, context: object, body: object) -> str:
        return Endpoint(self._host.agent, lifetime_s=300).disable(context, body)

    def enable(self, context: object, body: object) -> str:
        return Endpoint(self._host.agent, lifetime_s=300).enable(context, body)
