"""
Tells which PCI functions the host itself is using, and why, in words that an operator understands.

* Use is a default route, a global address, a bridge, bond, Open vSwitch or other master over its netdev
  (hostnet.py); a mounted disk, or swap (hostdisks.py); the boot display. Being up is not use, nor is a loopback,
  link-local or multicast address.
* Facts of single functions: what a VF's use means for its PF, or a PF's for its VFs, is the model's to decide.
* What can't be read is a problem, and nothing is concluded from it: *after* keeps what was known. Nothing raises.
* Few system calls: two links per netdev, a listing per virtual one, no question per PCI function but of displays.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pci_agent.discovery.attributes import read, said
from pci_agent.discovery.findings import Findings
from pci_agent.discovery.hostdisks import Storage
from pci_agent.discovery.hostnet import Addresses, Network, net_addresses
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device

_DISPLAY = "03"
_NO_DISK_BELOW = ("02", "03", "0b", "12")  # networks, displays, processors, accelerators: linux/pci_ids.h


Reasons = Mapping[PciAddress, tuple[str, ...]]
"""Why each function is in use, in sorted sentences."""


@dataclass(frozen=True, slots=True)
class Source:
    """What one source said; not *whole* where a part of it couldn't be read."""

    reasons: Reasons
    whole: bool


@dataclass(frozen=True, slots=True)
class HostUse:
    """
    What the host uses of its own devices.

    Attributes:
        reasons: of each function that is in use; who isn't here isn't known to be
        problems: what couldn't be told
        sources: the network, the disks and the displays, each by itself
    """

    reasons: Reasons
    problems: tuple[str, ...]
    sources: tuple[Source, ...] = field(default=(), compare=False)

    def after(self, before: "HostUse") -> "HostUse":
        """Leave what a source can't tell now as it told it before: a bad read is no end of use."""
        if all(source.whole for source in self.sources) or len(before.sources) != len(self.sources):
            return self
        sources = tuple(
            now if now.whole else Source({**then.reasons, **now.reasons}, whole=False)
            for now, then in zip(self.sources, before.sources, strict=True)
        )
        return HostUse(_joined(sources), self.problems, sources)


NOTHING_KNOWN = HostUse({}, ())


def host_use(
    devices: Iterable[Device],
    *,
    sysfs_root: str = "/sys",
    proc_root: str = "/proc",
    addresses: Addresses = net_addresses,
    alone: bool = False,
) -> HostUse:
    """
    Look which of these functions the host is using.

    Args:
        devices: the functions that a scan of the same tree gave; all others are left out
        sysfs_root: where sysfs is mounted; any directory of the same shape serves
        proc_root: likewise
        addresses: gives the IP addresses by name of netdev; ``dict`` where the tree isn't the running system's
        alone: whether to read only what may speak of these functions; what is said of them is the same
    """
    known = {device.address: device for device in devices}
    network, disks, displays = Findings(), Findings(), Findings()
    Network(network, sysfs_root, proc_root).look(addresses, known if alone else None)
    if not alone or any(not device.class_code.startswith(_NO_DISK_BELOW) for device in known.values()):
        Storage(disks, sysfs_root, proc_root).look()
    _displays(displays, sysfs_root, known.values())
    found = (network, disks, displays)
    sources = tuple(Source(each.reasons(known), each.whole) for each in found)
    problems = tuple(problem for each in found for problem in each.problems())
    return HostUse(_joined(sources), problems, sources)


def _joined(sources: Iterable[Source]) -> Reasons:
    """Put together what the sources say of each function."""
    joined: dict[PciAddress, list[str]] = {}
    for source in sources:
        for address, reasons in source.reasons.items():
            joined.setdefault(address, []).extend(reasons)
    return {address: tuple(joined[address]) for address in sorted(joined)}


def _displays(found: Findings, root: str, devices: Iterable[Device]) -> None:
    for device in devices:
        if not device.class_code.startswith(_DISPLAY):
            continue
        try:
            if read(os.path.join(root, "bus/pci/devices", str(device.address), "boot_vga")) == "1":
                found.use(device.address, "it is the boot display")
        except FileNotFoundError:
            continue
        except OSError as error:
            found.note(f"sys/bus/pci/devices/{device.address}/boot_vga: {said(error)}")
