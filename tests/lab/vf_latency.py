"""
Makes VFs in the guest and tells when their uevents came and when REST showed them, by one clock.

Run there: ``vf_latency.py HOST PORT PF ROUNDS VFS``. Prints a line of JSON for each round, seconds since the write to
sriov_numvfs began: the last of the kernel's uevents of the VFs' PCI functions (pci) and of all that is theirs, their
netdevs included (all), the last that udevd passed on (udev), and when REST showed all of them available (shown).
Who listens at HOST answers when it does: to poll from here would take the only CPU from what is measured.
"""

import json
import re
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

UEVENTS = Path("/tmp/vf-uevents")


class Guest:
    """A PF whose VFs are switched on and off, and who answers when REST shows that."""

    def __init__(self, watcher: HTTPConnection, pf: str) -> None:
        self._watcher = watcher
        self._pf = pf

    def write(self, number: int) -> None:
        Path(f"/sys/bus/pci/devices/{self._pf}/sriov_numvfs").write_text(str(number))

    def wait_until_rest_shows(self, number: int) -> float:
        self._watcher.request("GET", f"/{self._pf}/{number}")
        self._watcher.getresponse().read()
        return time.monotonic()

    def last_uevent(self, since: float, what: str) -> float:
        """When the last uevent of a VF was that *what* tells."""
        vf = rf"\[([0-9.]+)\].*/{self._pf[:8]}10\.\d"
        times = [float(each) for each in re.findall(rf"^{what.format(vf=vf)}", UEVENTS.read_text(), re.MULTILINE)]
        return max(each for each in times if each > since) - since


def measured(guest: Guest, vfs: int) -> dict[str, float]:
    """Make them once."""
    guest.write(0)
    settle()
    guest.wait_until_rest_shows(0)
    time.sleep(0.5)
    writing = threading.Thread(target=guest.write, args=(vfs,))
    begun = time.monotonic()
    writing.start()
    shown = guest.wait_until_rest_shows(vfs) - begun
    writing.join()
    settle()
    time.sleep(0.5)
    what = {"pci": r"KERNEL{vf} \(pci\)$", "all": "KERNEL{vf}", "udev": "UDEV *{vf}"}
    return {**{name: guest.last_uevent(begun, each) for name, each in what.items()}, "shown": shown}


def settle() -> None:
    """Wait until udevd has nothing more to do."""
    subprocess.run(["udevadm", "settle"], check=True)


def main(host: str, port: str, pf: str, rounds: str, vfs: str) -> None:
    """Measure so many rounds."""
    with UEVENTS.open("w") as out:
        command = "udevadm monitor --kernel --udev --subsystem-match=pci --subsystem-match=net".split()
        monitor = subprocess.Popen(command, stdout=out)
    try:
        guest = Guest(HTTPConnection(host, int(port)), pf)
        for _ in range(int(rounds)):
            print(json.dumps(measured(guest, int(vfs))), flush=True)  # noqa: T201 - what it is for
    finally:
        monitor.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
