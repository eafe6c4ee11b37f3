"""Looks at the host for a command: sysfs, and of the running system also its use, the agent's store and libvirt."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pci_agent.agent.store import Machine, peek
from pci_agent.discovery import hostuse, libvirt, sysfs
from pci_agent.discovery.hostnet import Addresses, net_addresses
from pci_agent.discovery.hostuse import HostUse
from pci_agent.discovery.sysfs import Scan
from pci_agent.errors import CommandFailed, InvalidAddress, LibvirtSilent, StoreFailed, StoreRefused
from pci_agent.inspect import capture as captures
from pci_agent.inspect.host import Host, Kept, host
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device


@contextmanager
def looked_at(asked: argparse.Namespace, state_dir: str) -> Iterator[Host]:
    """
    Look once at everything; yields what is known, and in words what isn't.

    Raises:
        CommandFailed: not even the PCI functions can be listed.
    """
    unknown: list[str] = []
    with captures.replayed(asked.sysfs_root) as root:
        scan = sysfs.scan(root)
        if not scan.complete:
            raise CommandFailed(f"{scan.problems[0].cause}: is sysfs mounted there?")
        here = os.path.realpath(root) == "/sys"
        kept = _kept(asked, state_dir, unknown, here=here)
        use = _use(asked, root, scan, unknown, here=here)
        reading = _reading(asked, scan, unknown) if here else None
        yield host(scan, kept, use, reading, unknown)


def found(text: str, host: Host) -> Device:
    """
    Find a function by its address, in full or without the domain, by libvirt's name, or by its netdev's.

    Raises:
        CommandFailed: there is none.
    """
    for device in host.scan.devices:
        names = {str(device.address), device.dev_id, *(netdev.name for netdev in device.netdevs)}
        if text in names or _address(text) == device.address:
            return device
    bad = next((each.cause for each in host.scan.problems if each.address == text), None)
    if bad is not None:
        raise CommandFailed(f"{text} can't be told: {bad}")
    raise CommandFailed(f"{text} is no PCI function of this host: pci-agent discover lists them")


def _address(text: str) -> PciAddress | None:
    for each in (text, f"0000:{text}"):
        try:
            return PciAddress.parse(each)
        except InvalidAddress:
            continue
    return None


def _kept(asked: argparse.Namespace, state_dir: str, unknown: list[str], *, here: bool) -> Kept:
    if not here and asked.state_dir is None:
        unknown.append("what the agent knows: its store isn't of the machine that was captured")
        return Kept()
    try:
        return Kept(*peek(state_dir, Machine.read()))
    except (StoreFailed, StoreRefused) as error:
        unknown.append(f"what the agent knows of holders and of former netdev names: {error}")
        return Kept()


def _use(asked: argparse.Namespace, root: str, scan: Scan, unknown: list[str], *, here: bool) -> HostUse:
    if not here and asked.proc_root == "/proc":
        unknown.append("what the host itself uses: this isn't the running system's sysfs")
        return HostUse({}, ())
    if not here:
        unknown.append("which addresses the netdevs have: this isn't the running system's sysfs")
    addresses: Addresses = net_addresses if here else dict
    return hostuse.host_use(scan.devices, sysfs_root=root, proc_root=asked.proc_root, addresses=addresses)


def _reading(asked: argparse.Namespace, scan: Scan, unknown: list[str]) -> libvirt.Reading | None:
    if not asked.libvirt_uri:
        unknown.append("which domains hold what: libvirt wasn't asked")
        return None
    try:
        with libvirt.opened(asked.libvirt_uri) as connection:
            return libvirt.read(connection, scan.devices)
    except LibvirtSilent as error:
        unknown.append(f"which domains hold what: {error}")
        return None
