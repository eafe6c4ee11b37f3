"""Looks at the host for a command: sysfs, and of the running system also its use, the agent's store and libvirt."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from pci_agent.agent.identity import Machine
from pci_agent.agent.store import peek
from pci_agent.cmd import process
from pci_agent.cmd.configured import Configured
from pci_agent.discovery import hostuse, libvirt, sysfs
from pci_agent.discovery.domains import Reading
from pci_agent.discovery.hostnet import Addresses, net_addresses
from pci_agent.discovery.hostuse import HostUse
from pci_agent.discovery.sysfs import Scan
from pci_agent.errors import CommandFailed, LibvirtSilent, StoreFailed, StoreRefused
from pci_agent.inspect import capture as captures
from pci_agent.inspect.host import Host, Kept, host


@contextmanager
def looked_at(asked: argparse.Namespace, configured: Configured) -> Iterator[Host]:
    """
    Look once at everything; yields what is known, and in words what isn't.

    Raises:
        CommandFailed: not even the PCI functions can be listed.
    """
    unknown = [] if configured.files else ["a whitelist: there is no pci-agent.conf in its usual places"]
    with captures.replayed(configured.sysfs_root) as root:
        scan = sysfs.scan(root)
        if not scan.complete:
            raise CommandFailed(f"{scan.problems[0].cause}: is sysfs mounted there?")
        here = process.is_running_systems(root)
        kept = _kept(asked, configured.state_dir, unknown, here=here)
        use = _use(configured, root, scan, unknown, here=here)
        reading = _reading(configured.libvirt_uri, scan, unknown) if here else None
        yield host(scan, kept, use, reading, unknown=unknown, files=configured.files)


def _kept(asked: argparse.Namespace, state_dir: str, unknown: list[str], *, here: bool) -> Kept:
    if not here and asked.state_dir is None:
        unknown.append("what the agent knows: its store isn't of the machine that was captured")
        return Kept()
    try:
        return Kept(*peek(state_dir, Machine.read()))
    except (StoreFailed, StoreRefused) as error:
        unknown.append(f"what the agent knows of holders and of former netdev names: {error}")
        return Kept()


def _use(configured: Configured, root: str, scan: Scan, unknown: list[str], *, here: bool) -> HostUse | None:
    if not here and configured.proc_root == "/proc":
        unknown.append("what the host itself uses: this isn't the running system's sysfs")
        return None
    if not here:
        unknown.append("which addresses the netdevs have: this isn't the running system's sysfs")
    addresses: Addresses = net_addresses if here else dict
    return hostuse.host_use(scan.devices, sysfs_root=root, proc_root=configured.proc_root, addresses=addresses)


def _reading(uri: str, scan: Scan, unknown: list[str]) -> Reading | None:
    if not uri:
        unknown.append("which domains hold what: libvirt wasn't asked")
        return None
    try:
        with libvirt.opened(uri) as connection:
            return libvirt.read(connection, scan.devices)
    except LibvirtSilent as error:
        unknown.append(f"which domains hold what: {error}")
        return None
