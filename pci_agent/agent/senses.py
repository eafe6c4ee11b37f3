"""What the agent sees the host with, and what it saw at one look. Nothing here decides or keeps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from pci_agent.discovery import glance, sysfs
from pci_agent.discovery.domains import Reading
from pci_agent.discovery.hostuse import NOTHING_KNOWN, HostUse
from pci_agent.discovery.sysfs import Scan
from pci_agent.model.device import Device
from pci_agent.model.reality import Domains
from pci_agent.wire.messages import ProblemRecord


@dataclass(frozen=True, slots=True)
class Seen:
    """What the senses said at one look; where the scan isn't complete they said nothing."""

    scan: Scan
    use: HostUse
    reading: Reading | None

    def same_as(self, before: "Seen | None") -> bool:
        """True where nothing is other than at an earlier look."""
        if before is None or self.use != before.use or self.reading is not before.reading:
            return False
        now, then = self.scan, before.scan
        return (
            then.complete
            and then.unreadable == now.unreadable
            and len(then.devices) == len(now.devices)
            and all(old is new for old, new in zip(then.devices, now.devices, strict=True))
        )

    @property
    def problems(self) -> tuple[ProblemRecord, ...]:
        """What couldn't be told, or is odd."""
        said = () if self.reading is None else self.reading.problems
        return (
            *(ProblemRecord(address=problem.address, cause=problem.cause) for problem in self.scan.problems),
            *(ProblemRecord(cause=f"what the host uses: {cause}") for cause in self.use.problems),
            *(ProblemRecord(cause=f"libvirt: {cause}") for cause in said),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Senses:
    """
    What the agent sees the host with.

    Attributes:
        sysfs_root: where sysfs is mounted
        host_use: tells what the host itself uses
        use_of: tells what the host uses single functions for, asked of them alone
        reading: tells libvirt's newest word on domains, None before its first; None where libvirt isn't asked at all
        refresh: has libvirt asked anew; False where it doesn't answer in time
    """

    sysfs_root: str = "/sys"
    host_use: Callable[[Sequence[Device]], HostUse] = lambda _: NOTHING_KNOWN
    use_of: Callable[[Sequence[Device]], HostUse] = lambda _: NOTHING_KNOWN
    reading: Callable[[Sequence[Device]], Reading | None] | None = None
    refresh: Callable[[], bool] = lambda: True

    def look(self, before: Seen | None) -> Seen:
        """Look at the whole host; what is as it was *before* is handed back as the same objects."""
        scan = sysfs.scan(self.sysfs_root, None if before is None else before.scan)
        if not scan.complete:
            return Seen(scan, NOTHING_KNOWN, None)
        use = self.host_use(scan.devices)
        return Seen(scan, use if before is None else use.after(before.use), self._read(scan))

    def glance(self, devices: Sequence[Device], before: Seen) -> bool:
        """Tell whether a look would find single functions as they were, without one."""
        if self._read(before.scan) is not before.reading:
            return False
        if not all(glance.is_as_seen(device, self.sysfs_root) for device in devices):
            return False
        use, known = self.use_of(devices), before.use.reasons
        return not use.problems and all(use.reasons.get(each.address) == known.get(each.address) for each in devices)

    def _read(self, scan: Scan) -> Reading | None:
        return None if self.reading is None else self.reading(scan.devices)


def domains_of(reading: Reading) -> Domains:
    """Tell from libvirt's word who has what."""
    held = [(each.address, domain.uuid) for domain in reading.domains for each in (*domain.live, *domain.defined)]
    return Domains(
        running={each.address: domain.uuid for domain in reading.domains for each in domain.live},
        defined={
            address: frozenset(uuid for _, uuid in holders)
            for address, holders in groupby(sorted(held), key=lambda each: each[0])
        },
        known=frozenset(domain.uuid for domain in reading.domains),
        complete=all(domain.complete for domain in reading.domains),
    )
