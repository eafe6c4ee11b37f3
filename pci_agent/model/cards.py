"""
Which card stands in a place: another one of the same model, put where the first was, is another device.

A device is found again by its place and kind (device.identity). A serial number or a PF's permanent MAC is evidence
beside that: known on both sides and different it means another card, unknown it means nothing, for a PF on vfio-pci
shows no MAC. A VF's evidence is its PF's. The cards that were seen in a place have identities of their own, so that the
first one gets its uuid back when it returns.
"""

from collections.abc import Iterable, Iterator, Mapping

from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device
from pci_agent.model.evidence import NOTHING, Evidence
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.names import identities


def cards(devices: Iterable[Device], tracked: Mapping[str, TrackedDevice]) -> dict[PciAddress, str]:
    """
    Tell what each function is, of all that were seen in its place.

    Args:
        devices: every function of the host
        tracked: what was known before, by identity
    """
    seen = evidence_of(devices)
    return {
        address: name if name not in tracked else _card(name, seen.get(address, NOTHING), tracked)
        for address, name in identities(devices).items()
    }


def evidence_of(devices: Iterable[Device]) -> dict[PciAddress, Evidence]:
    """Tell the evidence of each function that has any, a VF's by its PF."""
    own = {
        device.address: Evidence(device.serial_number, device.permanent_mac)
        for device in devices
        if device.serial_number is not None or device.permanent_mac is not None
    }
    of_vfs = {
        device.address: own[device.parent_addr]
        for device in devices
        if own and device.parent_addr is not None and device.parent_addr in own
    }
    return own | of_vfs


def _card(place: str, seen: Evidence, tracked: Mapping[str, TrackedDevice]) -> str:
    """Choose among the cards of a place: the one that it surely is, else the newest that it may be, else a new one."""
    first = tracked[place]
    if first.present and (seen is NOTHING or seen == first.evidence):  # nearly all, at nearly every look
        return place
    names = list(_names(place, tracked))
    known = [name for name in names if tracked[name].evidence.confirms(seen)]
    possible = [name for name in names if not tracked[name].evidence.contradicts(seen)]
    there = [name for name in possible if tracked[name].present]
    return next(iter([*known, *there, *reversed(possible)]), f"{place} card {len(names) + 1}")


def _names(place: str, tracked: Mapping[str, TrackedDevice]) -> Iterator[str]:
    name, number = place, 1
    while name in tracked:
        yield name
        number += 1
        name = f"{place} card {number}"
