"""
A hypervisor in a test: a directory for /sys, a real agent on a real store, and a tracker to tell.

What the host itself uses is what the test says in *uses*: a reason by address. What libvirt says is *reading*.
"""

from contextlib import ExitStack
from pathlib import Path

from pci_agent.agent.identity import Machine
from pci_agent.agent.ledger import Clock
from pci_agent.agent.senses import Senses
from pci_agent.agent.service import Agent
from pci_agent.agent.store import Store
from pci_agent.discovery.domains import Reading
from pci_agent.discovery.hostuse import HostUse, Source
from pci_agent.model import device_spec
from pci_agent.model.address import PciAddress
from pci_agent.model.reality import Habits
from pci_agent.tracker.store import Store as TrackerStore
from pci_agent.wire.messages import Answer, Heartbeat, Report, Verdict
from sysfs import FakeSysfs

_NO_DOMAINS = Reading((), (), ())
EVERYTHING = '{"address": "*:*:*.*"}'


def tell(tracker: TrackerStore, message: Report | Heartbeat) -> Answer:
    """Hand a message to the tracker's store, with no bus in between."""
    return tracker.accept(message) if isinstance(message, Report) else tracker.hear(message)


class Host:
    """One hypervisor. *start* and *stop* are its agent's; its state directory and /sys stay."""

    def __init__(self, name: str, sysfs: FakeSysfs, state_dir: Path, *specs: str) -> None:
        self.name = name
        self.sysfs = sysfs
        self.state_dir = state_dir
        self.machine = Machine(f"machine-of-{name}", None)
        self._specs = specs or (EVERYTHING,)
        self.uses: dict[str, str] = {}
        self.use_is_whole = True
        self.reading: Reading | None = None
        self.habits = Habits()
        self.boottime = 1000.0
        self.wall = 1_700_000_000.0
        self._open = ExitStack()
        self.agent: Agent

    def start(self) -> Agent:
        self.store = self._open.enter_context(Store.opened(str(self.state_dir), self.machine))
        whitelist = device_spec.parse(self._specs)
        self.agent = Agent(
            self.store,
            host=self.name,
            whitelist=whitelist,
            senses=Senses(
                sysfs_root=str(self.sysfs),
                host_use=self._host_use,
                use_of=self._host_use,
                reading=lambda _: self.reading or _NO_DOMAINS,
            ),
            habits=self.habits,
            clock=Clock(boottime=lambda: self.boottime, wall=lambda: self.wall),
        )
        self.agent.start()
        self.agent.look()
        return self.agent

    def _host_use(self, _devices: object) -> HostUse:
        reasons = {PciAddress.parse(each): (why,) for each, why in self.uses.items()}
        return HostUse(reasons, (), (Source(reasons, self.use_is_whole),))

    def stop(self) -> None:
        self._open.close()

    def restart(self) -> Agent:
        self.stop()
        return self.start()

    def reconfigure(self, *specs: str) -> None:
        """Put another whitelist in force, as a reload does, and look."""
        self._specs = specs
        self.agent.use(device_spec.parse(specs))
        self.agent.look()

    def report(self, tracker: TrackerStore) -> list[Verdict]:
        """Talk to the tracker until both agree, and give its verdicts in order."""
        verdicts = []
        for _ in range(8):
            answer = tell(tracker, self.agent.next_message())
            verdicts.append(answer.verdict)
            trouble = self.agent.answered(answer)
            if self.agent.agreed or answer.verdict is Verdict.TAKEN:
                assert trouble is None or answer.verdict is Verdict.TAKEN
                return verdicts
        raise AssertionError(f"no agreement: {verdicts}")
