"""
Finds the functions of a host by what people call them.

That is an address as the whitelist takes it, with wildcards too, libvirt's name of the node device, or a netdev's.
"""

from collections.abc import Iterable

from pci_agent.inspect.host import Host
from pci_agent.model import device_spec
from pci_agent.model.device import Device
from pci_agent.model.whitelist import AddressGlob


def found(texts: Iterable[str], host: Host) -> tuple[list[Device], list[str]]:
    """
    Find functions by what they are called.

    Returns:
        The functions in the order asked for, each once, and a line for each name that none has.
    """
    devices: list[Device] = []
    missing = []
    for text in texts:
        place = device_spec.place(text)
        named = [device for device in host.scan.devices if _is_called(device, text, place, host)]
        devices += [device for device in named if device not in devices]
        if not named:
            missing.append(_missing(text, host))
    return devices, missing


def _is_called(device: Device, text: str, place: AddressGlob | None, host: Host) -> bool:
    if place is not None and place.matches(device.address):
        return True
    return text in (device.dev_id, *(netdev.name for netdev in device.netdevs), *host.names.get(device.address, ()))


def _missing(text: str, host: Host) -> str:
    bad = next((each.cause for each in host.scan.problems if each.address == text), None)
    if bad is not None:
        return f"{text} can't be told: {bad}"
    used = [str(address) for address, reasons in host.blocked.items() if any(f"{text} " in each for each in reasons)]
    if used:
        return f"{text} is no netdev of a function itself, but stands on {', '.join(used)}: name that"
    return f"{text or 'an empty name'} is no PCI function of this host: pci-agent discover lists them"
