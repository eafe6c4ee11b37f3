"""
The machines that agents look at: directories shaped like sysfs, each shared by many agents.

A generated one has cards of a PF with seven VFs, each card below a root port of its own. A captured one is what
``pci-agent capture`` recorded of a real machine.
"""

import tarfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sysfs import FakeSysfs

PF_PRODUCT, VF_PRODUCT = "1521", "1520"
GENERATED_SPECS = (f'{{"product_id": "{PF_PRODUCT}"}}', f'{{"product_id": "{VF_PRODUCT}"}}')
CAPTURED_SPECS = ('{"address": "*:*:*.*"}',)
FUNCTIONS_OF_A_CARD = 8
MOST_DEVICES = 255 * FUNCTIONS_OF_A_CARD

_DRIVERS = ("igbvf", "vfio-pci")
_CAPTURES = Path(__file__).resolve().parents[2] / "tests/captures"


@dataclass(frozen=True, slots=True)
class Machine:
    """A sysfs, and what a whitelist for it says."""

    root: Path
    specs: tuple[str, ...]

    def functions(self) -> list[str]:
        """List the addresses of all functions that can be given another driver."""
        return sorted(
            entry.name for entry in (self.root / "bus/pci/devices").iterdir() if (entry / "driver").is_symlink()
        )

    def rebind(self, address: str) -> None:
        """Give a function to another driver, which is a change that agents see."""
        link = (self.root / "bus/pci/devices" / address).resolve() / "driver"
        before = link.readlink().name
        link.unlink()
        link.symlink_to(f"../../../bus/pci/drivers/{_DRIVERS[before == _DRIVERS[0]]}")


class Generated:
    """A machine whose cards' VFs can be switched off and on."""

    def __init__(self, root: Path, devices: int) -> None:
        self.machine = Machine(root, GENERATED_SPECS)
        self._sysfs = FakeSysfs(root)
        self.pfs: list[str] = []
        for number in range(max(1, min(devices, MOST_DEVICES) // FUNCTIONS_OF_A_CARD)):
            port = f"0000:00:{number // 8:02x}.{number % 8}"
            self._sysfs.add(port, "8086:3420", pci_class="60400")
            pf = f"0000:{number + 1:02x}:00.0"
            self._sysfs.add_pf(pf, vfs=_vfs(pf), below=port, numa_node=number % 2, driver="igb")
            self.pfs.append(pf)

    def switch_vfs(self, pf: str, *, on: bool) -> None:
        """Switch a card's VFs on or off."""
        self._sysfs.set_numvfs(pf, _vfs(pf) if on else [])

    def rebind_one(self, chance: Random) -> None:
        """Give any function to another driver."""
        self.machine.rebind(chance.choice(self.machine.functions()))


def generated(folder: Path, count: int, devices: int) -> list[Generated]:
    """Make machines with about so many devices each."""
    return [Generated(folder / f"machine-{number}/sys", devices) for number in range(count)]


def captured(folder: Path) -> list[Machine]:
    """Unpack the machines that were recorded for the tests."""
    machines = []
    for file in sorted(_CAPTURES.glob("*.tar.gz")):
        root = folder / file.name.partition(".")[0]
        with tarfile.open(file) as archive:
            archive.extractall(root, filter="tar")
        machines.append(Machine(root, CAPTURED_SPECS))
    return machines


def _vfs(pf: str) -> list[str]:
    return [f"{pf[:8]}10.{index}" for index in range(FUNCTIONS_OF_A_CARD - 1)]
