"""
Tells where a PCI function hangs, in words that survive renumbered buses: the host bridge, then each bridge by its slot.

The host bridge goes by its domain and the path that the firmware (ACPI) has for it, else by its root bus.
"""

import re

from pci_agent.discovery.attributes import Unreadable, read, said

_NOWHERE = ("", ".", "..")
_ROOT_BUS = re.compile(r"pci([0-9a-f]{4,8}):([0-9a-f]{2})", re.IGNORECASE)


class Bridges:
    """The bridges below one root; each host bridge's firmware path is read once."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._chains: dict[str, str | None] = {}

    def chain(self, target: str) -> str | None:
        """Turn a function's ``../../../devices/pci0000:00/0000:00:1c.0/0000:05:00.0`` into ``0000:00/1c.0``."""
        place, chain = "", None
        for part in target.rstrip("/").split("/")[:-1]:
            if part not in _NOWHERE:
                place = f"{place}/{part}"
                if place not in self._chains:
                    self._chains[place] = self._longer(chain, place, part)
                chain = self._chains[place]
        return chain

    def _longer(self, chain: str | None, place: str, part: str) -> str | None:
        """Add what stands at a place to the chain above it, which begins with a host bridge."""
        root_bus = _ROOT_BUS.fullmatch(part)
        if chain is None:
            return None if root_bus is None else self._host_bridge(place, root_bus[1], root_bus[2])
        # Intel VMD has a root bus of its own below a function, in a domain made up at boot.
        return f"{chain}/{part.rpartition(':')[2]}" if root_bus is None else f"{chain}/bus {root_bus[2]}"

    def _host_bridge(self, place: str, domain: str, bus: str) -> str:
        try:
            firmware = read(f"{self._root}{place}/firmware_node/path")
        except (FileNotFoundError, NotADirectoryError):
            firmware = ""
        except OSError as error:
            raise Unreadable(f"its host bridge's firmware_node/path: {said(error)}") from None
        return f"{domain}:{firmware or bus}"
