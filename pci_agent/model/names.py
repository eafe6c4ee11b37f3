"""
Which device a netdev's name means: whoever bears it now, else who bore it last in this boot and is still there.

A device that is bound to vfio-pci, or whose netdev went into a namespace, bears no name. It is meant all the
same: else giving it to a guest would take it off the whitelist. A reboot forgets, since names are given anew; so does
a device that has had too many others since, for whoever makes netdevs anew all day names them as they like.
"""

from collections.abc import Iterable, Mapping

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, identity, vf_identity

Remembered = Mapping[str, str]
"""Identity of the device that bears a name, or bore it last, by name; the newest come last."""

MOST_FORMER = 16
"""How many names are remembered of a device beside those that it bears."""


def remember(devices: Iterable[Device], before: Remembered) -> dict[str, str]:
    """Learn from a look who bears which name; who bears none keeps the one that nobody took over."""
    known = identities(devices)
    now = {netdev.name: known[device.address] for device in devices for netdev in device.netdevs}
    former: dict[str, list[str]] = {}
    for name, bearer in before.items():
        if name not in now:
            former.setdefault(bearer, []).append(name)
    newest = {name for names in former.values() for name in names[-MOST_FORMER:]}
    return {**{name: bearer for name, bearer in before.items() if name in newest}, **now}


def names_of(devices: Iterable[Device], remembered: Remembered) -> dict[PciAddress, frozenset[str]]:
    """Tell which names count for which address, of those devices that are there."""
    names: dict[str, set[str]] = {}
    for name, bearer in remembered.items():
        names.setdefault(bearer, set()).add(name)
    known = identities(devices)
    return {address: frozenset(names[each]) for address, each in known.items() if each in names}


def identities(devices: Iterable[Device]) -> dict[PciAddress, str]:
    """Tell what each device is, with its PF at hand; two that can't be told apart are told by address."""
    by_address = {device.address: device for device in devices}
    own = {address: identity(device, None) for address, device in by_address.items() if device.vf_index is None}
    known: dict[PciAddress, str] = {}
    taken: set[str] = set()
    for address, device in by_address.items():
        index, pf = device.vf_index, device.parent_addr
        of_pf = None if index is None or pf is None else own.get(pf)
        if index is None or of_pf is None:
            name = own.get(address) or identity(device, None)
        else:
            name = vf_identity(index, of_pf)
        if name in taken:
            name = f"{name} at {address}"
        taken.add(name)
        known[address] = name
    return known
