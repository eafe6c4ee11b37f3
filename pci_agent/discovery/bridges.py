"""
Tells where a PCI function hangs, in words that survive renumbered buses: the host bridge, then each bridge by its slot.

The host bridge goes by its domain and the path that the firmware (ACPI) has for it, else by its root bus.
"""

import os
import re

from pci_agent.discovery.attributes import Unreadable, read, said

_ROOT_BUS = re.compile(r"pci([0-9a-f]{4,8}):([0-9a-f]{2})", re.IGNORECASE)


class Bridges:
    """The bridges below one root; each host bridge's firmware path is read once."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._named: dict[str, str] = {}

    def chain(self, target: str) -> str | None:
        """Turn a function's ``../../../devices/pci0000:00/0000:00:1c.0/0000:05:00.0`` into ``0000:00/1c.0``."""
        *parts, _ = (part for part in target.split("/") if part not in ("", "..", "."))
        start = next((i for i, part in enumerate(parts) if _ROOT_BUS.fullmatch(part)), None)
        if start is None:
            return None
        steps = [self._host_bridge("/".join(parts[: start + 1]), parts[start])]
        for part in parts[start + 1 :]:
            nested = _ROOT_BUS.fullmatch(part)  # Intel VMD: a bridge of its own, in a domain made up at boot
            steps.append(f"bus {nested[2]}" if nested else part.rpartition(":")[2])
        return "/".join(steps)

    def _host_bridge(self, place: str, name: str) -> str:
        if place not in self._named:
            found = _ROOT_BUS.fullmatch(name)
            domain, bus = (found[1], found[2]) if found else ("", name)
            try:
                firmware = read(os.path.join(self._root, place, "firmware_node/path"))
            except (FileNotFoundError, NotADirectoryError):
                firmware = ""
            except OSError as error:
                raise Unreadable(f"its host bridge's firmware_node/path: {said(error)}") from None
            self._named[place] = f"{domain}:{firmware or bus}"
        return self._named[place]
