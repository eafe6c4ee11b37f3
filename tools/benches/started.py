"""
How long ``pcictl device list`` takes, beside importing the library that it is made of.

Both are processes of their own, run in turn, so that what else the machine does meets both. The API is a real one, with
a host of 64 VFs, in this process; it answers in milliseconds.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benches.side import PATH
from buses import parts
from hosts import Host
from pci_agent.api.app import application
from pci_agent.api.serving import http_server
from pci_agent.tracker import database
from pci_agent.tracker.store import Store
from sysfs import FakeSysfs

MOST = 3.0
"""How many times as long as the import the command may take."""

_RUNS = 21
_VFS = 64
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Result:
    """
    Medians, in seconds.

    Attributes:
        imported: of ``python -c 'import cliff.app'``
        listed: of ``pcictl device list``
    """

    imported: float
    listed: float

    @property
    def times(self) -> float:
        """How many times as long the command takes."""
        return self.listed / self.imported


def measured(runs: int = _RUNS) -> Result:
    """Run both so many times, in turn, after one run of each that warms the caches."""
    python, pcictl = sys.executable, str(Path(sys.executable).parent / "pcictl")
    with tempfile.TemporaryDirectory() as folder, _api(Path(folder)) as endpoint:
        commands = ([python, "-c", "import cliff.app"], [pcictl, "--os-endpoint", endpoint, "device", "list"])
        took = [[_timed(command) for command in commands] for _ in range(runs + 1)][1:]
    imported, listed = (median(each) for each in zip(*took, strict=True))
    return Result(imported, listed)


def lines(result: Result) -> list[str]:
    """Say what was measured."""
    return [
        f"import cliff.app    {result.imported * 1000:6.0f} ms",
        f"pcictl device list  {result.listed * 1000:6.0f} ms, {result.times:.2f} times as long",
    ]


def missed(result: Result) -> list[str]:
    """Name the limit where it is missed."""
    if result.times <= MOST:
        return []
    return [f"pcictl device list takes at most {MOST:g} times what importing cliff.app takes: {result.times:.2f}"]


def _timed(command: list[str]) -> float:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    since = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        env={**environment, "PYTHONPATH": PATH},
        timeout=_PATIENCE_S,
    )
    return time.perf_counter() - since


@contextmanager
def _api(folder: Path) -> Iterator[str]:
    sysfs = FakeSysfs(folder / "sys")
    sysfs.add_pf("0000:04:00.0", vfs=[f"0000:04:{0x10 + each // 8:02x}.{each % 8}" for each in range(_VFS)])
    engine = database.connect(f"sqlite:///{folder}/tracker.sqlite")
    database.upgrade(engine)
    store, host = Store(engine, host_down_s=3600), Host("compute-1", sysfs, folder / "agent")
    host.start()
    host.report(store)
    server = http_server(application(parts(store)), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.bind_addr[1]}"
    finally:
        server.stop()
        thread.join()
        host.stop()
        engine.dispose()
