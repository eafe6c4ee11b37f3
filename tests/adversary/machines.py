"""
Hypervisors: a directory for /sys, one for the agent's state, and the agent's process, which may end at any write.

What a machine is asked to do is one *operation* of its agent. Where the process is killed in it, nothing is answered,
and the next start finds what had been written.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

from adversary.patches import patched
from adversary.tasks import Killed
from pci_agent.agent import identity
from pci_agent.agent.endpoint import Endpoint
from pci_agent.agent.identity import Identity
from pci_agent.agent.identity import Machine as Identified
from pci_agent.agent.ledger import Clock
from pci_agent.agent.senses import Senses
from pci_agent.agent.service import Agent
from pci_agent.agent.store import HostFacts, Session, Store
from pci_agent.model import device_spec
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.state import Owner
from pci_agent.wire.messages import Token
from sysfs import FakeSysfs

LIFETIME_S = 90.0
_keep = identity.keep
_EVERYTHING = device_spec.parse(['{"address": "*:*:*.*"}'])

T = TypeVar("T")


class _Kept(Store):
    """The agent's real store; it tells of each state, and lets the process end before any write."""

    machine: "Machine"

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self.machine.about_to_write()
        with super()._writing() as database:
            yield database

    def begin_session(self, digest: str, inherited: Any = ()) -> Session:
        begun = super().begin_session(digest, inherited)
        self.machine.made(self.agent_uuid, Token(session=begun.session, generation=begun.generation, digest=digest))
        return begun

    def commit(self, changed: Any, token: Token, facts: HostFacts | None = None) -> None:
        super().commit(changed, token, facts)
        self.machine.made(self.agent_uuid, token)


class Machine:
    """
    One hypervisor.

    Args:
        name: of the machine, whatever its host name is
        host: the host name that its agent speaks for
        made: called with each state that an agent here made durable: agent_uuid and token
    """

    def __init__(
        self, name: str, host: str, folder: Path, addresses: tuple[str, ...], made: Callable[[str, str, Token], None]
    ) -> None:
        self.name, self.host = name, host
        self.folder = folder / name
        self.sysfs = FakeSysfs(self.folder / "sys")
        for address in addresses:
            self.sysfs.add(address, driver="igb0")
        self.boottime, self.boots = 1000.0, 1
        self.up = False
        self.call: int | None = None
        """The call to the tracker that is in flight."""
        self.kill_before: int | None = None
        """How many writes the next operation may still make before the process is killed; None: it isn't."""
        self.agent: Agent
        self.endpoint: Endpoint
        self._made = made
        self._bound = 0
        self._open = ExitStack()

    @property
    def state(self) -> Path:
        """The agent's state directory."""
        return self.folder / "state"

    @property
    def uuid(self) -> str:
        """The name of the agent that runs here, or ran last."""
        return self.agent.ledger.agent_uuid

    @property
    def serving(self) -> bool:
        """True where the agent runs and the tracker has accepted it."""
        return self.up and self.agent.ledger.serving

    def made(self, agent_uuid: str, token: Token) -> None:
        """Take note of a state that is durable now."""
        self._made(self.name, agent_uuid, token)

    def about_to_write(self) -> None:
        """End the process here, where that was asked for."""
        if self.kill_before is not None:
            if self.kill_before == 0:
                raise Killed
            self.kill_before -= 1

    def operate(self, work: Callable[[], T]) -> T | None:
        """Have the agent do something; None where it was killed in it, or just after it."""
        doomed = self.kill_before is not None
        try:
            done = work()
        except Killed:
            done = None
        finally:
            self.kill_before = None
        if doomed:
            self.crash()
            return None
        return done

    def start(self) -> None:
        """Start the agent's process."""

        def starting() -> None:
            machine = Identified(f"machine {self.name}", None, f"boot {self.boots}")
            with patched(identity, keep=self._keep):
                store = self._open.enter_context(_Kept.opened(str(self.state), machine))
            store.machine = self
            self.agent = Agent(
                store,
                host=self.host,
                whitelist=_EVERYTHING,
                senses=Senses(sysfs_root=str(self.sysfs)),
                lifetime_s=LIFETIME_S,
                clock=Clock(boottime=lambda: self.boottime, wall=lambda: 1_700_000_000.0 + self.boottime),
            )
            self.endpoint = Endpoint(self.agent, lifetime_s=LIFETIME_S)
            self.agent.start()
            self.agent.look()

        self.up, self.call = True, None
        self.operate(starting)

    def _keep(self, directory: str, who: Identity) -> None:
        self.about_to_write()
        _keep(directory, who)

    def crash(self) -> None:
        """End the process at once."""
        self.up, self.call = False, None
        self._open.close()

    def look(self) -> None:
        """Give a function to another driver, and look."""
        self._bound += 1
        for entry in sorted(self.sysfs.entries.iterdir())[:1]:
            self.sysfs.bind(entry.name, f"igb{self._bound}")
        self.operate(self.agent.look)

    def plug(self, address: str) -> None:
        """Take a function away, or put it back, and look."""
        if (self.sysfs.entries / address).is_symlink():
            self.sysfs.remove(address)
        else:
            self.sysfs.add(address, driver=f"igb{self._bound}")
        self.operate(self.agent.look)

    def lapse(self) -> None:
        """Let the machine's clock go on by itself, as while it sleeps."""
        self.boottime += LIFETIME_S

    def boot(self) -> None:
        """Boot the machine; its agent is down until it is started."""
        self.crash()
        self.boots += 1
        self.boottime = 10.0

    # What is done to the state directory; the agent is down meanwhile

    def copy_state(self, name: str) -> None:
        """Keep a copy of the state directory, as a snapshot of a running machine has it."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        shutil.copytree(self.state, self.folder / name)

    def put_back(self, copy: Path) -> None:
        """Replace the state directory by a copy."""
        self.crash()
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.copytree(copy, self.state)

    def reinstall(self) -> None:
        """Lose the state directory."""
        self.crash()
        shutil.rmtree(self.state, ignore_errors=True)

    def lose_store(self) -> None:
        """Lose the store, and keep the agent's name."""
        self.crash()
        for file in self.state.glob("agent.sqlite*"):
            file.unlink()

    # What is read of it

    def owners(self) -> list[tuple[str, Owner]]:
        """Who holds what: addresses and owners, as the agent believes."""
        return [(str(item.device.address), item.owner) for item in self.items() if item.owner is not None]

    def items(self) -> list[TrackedDevice]:
        """Read the agent's inventory."""
        return list(self.agent.ledger.tracked.values())
