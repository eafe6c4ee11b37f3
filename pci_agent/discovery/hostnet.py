"""
Which functions the host's network stands on: default routes, global addresses, bridges, bonds and other masters.

A netdev's use is use of the function below it, through any number of netdevs in between. The kernel's tables
have gaps, which stay gaps here: ``net/route`` has the main table alone and of a multipath route the first hop.
"""

import ipaddress
import os
import socket
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import psutil

from pci_agent.discovery.attributes import last, opened, said, short
from pci_agent.discovery.findings import Findings, function_at, listed, rows, shown
from pci_agent.model.address import PciAddress

Addresses = Callable[[], Mapping[str, Sequence[str]]]
"""Gives the IP addresses of netdevs, by name."""

_RTF_UP, _RTF_REJECT = 0x1, 0x200  # linux/route.h


def net_addresses() -> dict[str, list[str]]:
    """Give the IP addresses of this machine's netdevs, by name. They are of no use beside another machine's tree."""
    families = (socket.AF_INET, socket.AF_INET6)
    found = psutil.net_if_addrs().items()
    return {name: [each.address for each in addresses if each.family in families] for name, addresses in found}


class Network:
    """Routes, addresses and masters, and the way from each netdev down to those of PCI functions."""

    def __init__(self, found: Findings, sysfs_root: str, proc_root: str) -> None:
        self._found = found
        self._root = os.path.join(sysfs_root, "class/net")
        self._proc_root = proc_root
        self._functions: dict[str, PciAddress] = {}
        self._enslaved: dict[str, str] = {}
        self._lowers: dict[str, set[str]] = {}

    def look(self, addresses: Addresses, only: Container[PciAddress] | None = None) -> None:
        """Say of each function, or of these only, what its netdevs are used for."""
        self._netdevs(only)
        if only is not None and not self._functions:
            return
        for name in sorted(self._default_routes()):
            for netdev, function in self._hardware(name):
                self._found.use(function, f"the default route goes through {netdev}")
        for name, enslaved in sorted(self._enslaved.items()):
            for netdev, function in self._hardware(name):
                self._found.use(function, f"{netdev} {enslaved}")
        for name, held in sorted(_global_addresses(self._found, addresses).items()):
            for netdev, function in self._hardware(name):
                self._found.use(function, f"{netdev} has the address{'es' if len(held) > 1 else ''} {listed(held)}")

    def _hardware(self, name: str) -> Iterator[tuple[str, PciAddress]]:
        """Yield the netdevs of PCI functions that this one stands on, or is: "vlan7 on enp5s0f0", and the function."""
        seen, waiting = {name}, [name]
        while waiting:
            each = waiting.pop()
            if each in self._functions:
                yield shown(name) + (f" on {shown(each)}" if each != name else ""), self._functions[each]
            below = self._lowers.get(each, set()) - seen
            seen |= below
            waiting += sorted(below)

    def _default_routes(self) -> set[str]:
        routes = set(rows(self._found, self._proc_root, "net/route", _ipv4_default))
        return routes | set(rows(self._found, self._proc_root, "net/ipv6_route", _ipv6_default, optional=True))

    def _netdevs(self, only: Container[PciAddress] | None) -> None:
        try:
            with opened(self._root) as directory:
                names = os.listdir(directory)
                for name in sorted(names if only is None else _upwards(directory, names, only)):
                    self._netdev(directory, name)
        except OSError as error:
            self._found.note(f"sys/class/net: {said(error)}")

    def _netdev(self, directory: int, name: str) -> None:
        try:
            place = os.readlink(name, dir_fd=directory)
        except OSError:
            return  # a file such as bonding_masters, or just gone
        function = function_at(place)
        if function is not None:
            self._functions[name] = function
        self._master(directory, name)
        if "/virtual/net/" in place:  # what stands on others is virtual, or a master, which its ports name
            self._standing(name)

    def _master(self, directory: int, name: str) -> None:
        try:
            master = last(os.readlink(f"{name}/master", dir_fd=directory))
        except FileNotFoundError:
            return
        except OSError as error:
            self._found.note(f"sys/class/net/{shown(name)}/master: {said(error)}")
            return
        self._lowers.setdefault(master, set()).add(name)
        if os.access(f"{name}/brport", os.F_OK, dir_fd=directory):
            self._enslaved[name] = f"is in the bridge {shown(master)}"
        elif os.access(f"{name}/bonding_slave", os.F_OK, dir_fd=directory):
            self._enslaved[name] = f"is in the bond {shown(master)}"
        elif master == "ovs-system":
            self._enslaved[name] = "is in Open vSwitch"
        else:
            self._enslaved[name] = f"is enslaved to {shown(master)}"

    def _standing(self, name: str) -> None:
        try:
            listed = os.listdir(os.path.join(self._root, name))
        except FileNotFoundError:
            return
        except OSError as error:
            self._found.note(f"sys/class/net/{shown(name)}: {said(error)}")
            return
        lowers = {each.removeprefix("lower_") for each in listed if each.startswith("lower_")}
        self._lowers.setdefault(name, set()).update(lowers)


def _upwards(directory: int, names: Iterable[str], functions: Container[PciAddress]) -> set[str]:
    """Give the netdevs of some functions and all that stand on them, by the kernel's ``upper_`` links."""
    found: set[str] = set()
    waiting = [name for name in names if _function_of(directory, name) in functions]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            with suppress(FileNotFoundError), opened(name, directory) as netdev:
                waiting += [each.removeprefix("upper_") for each in os.listdir(netdev) if each.startswith("upper_")]
    return found


def _function_of(directory: int, name: str) -> PciAddress | None:
    try:
        return function_at(os.readlink(name, dir_fd=directory))
    except OSError:
        return None


def _ipv4_default(line: bytes) -> str | None:
    """Read ``enp1s0 00000000 010200C0 0003 0 0 0 00000000 ...``: name, destination, gateway, flags, ..., mask."""
    name, destination, _, flags, _, _, _, mask = line.split()[:8]
    if destination == b"Destination" or int(destination, 16) or int(mask, 16):
        return None
    return os.fsdecode(name) if int(flags, 16) & (_RTF_UP | _RTF_REJECT) == _RTF_UP else None


def _ipv6_default(line: bytes) -> str | None:
    """Read ``<destination> 00 <source> 00 <next hop> <metric> <references> <uses> 00000003 enp1s0``."""
    destination, length, _, _, _, _, _, _, flags, name = line.split()
    if int(destination, 16) or int(length, 16) or int(flags, 16) & _RTF_REJECT or name == b"lo":
        return None
    return os.fsdecode(name)


def _global_addresses(found: Findings, addresses: Addresses) -> dict[str, list[str]]:
    """Give the addresses that are use, in order, by name of netdev."""
    try:
        told = addresses()
    except (OSError, ValueError, psutil.Error) as error:  # ValueError: a netdev's name that is no text
        found.note(f"addresses: {short(str(error))}")
        return {}
    kept: dict[str, set[tuple[int, str]]] = {}
    for label, texts in told.items():
        for each in texts:
            try:
                address = ipaddress.ip_address(each.partition("%")[0])
            except ValueError:
                found.note(f"addresses: {short(each)} is no IP address")
                continue
            if not _everywhere(address):
                name = label.partition(":")[0]  # enp1s0:1 is a label of an address on enp1s0
                kept.setdefault(name, set()).add((address.version, str(address)))
    return {name: [address for _, address in sorted(each)] for name, each in kept.items()}


def _everywhere(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell the addresses that a netdev has by merely being up, or that reach no other host."""
    return address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
