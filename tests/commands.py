"""pcictl, as a process of its own, against a real API with real agents behind it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buses import parts
from centres import Centre, centre
from pci_agent.api.app import application
from pci_agent.api.serving import http_server
from pci_agent.model.request import parse_aliases
from pci_agent.tracker import database
from pci_agent.tracker.store import Store
from services import as_nobody

PCICTL = Path(sys.executable).parent / "pcictl"
A, B = "compute-1", "compute-2"
PF, VF, VF2 = "0000:04:00.0", "0000:04:10.0", "0000:04:10.1"
NAME = "pci_0000_04_10_0"
INSTANCE = "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11"
ALIASES = parse_aliases(['{"name": "nic", "vendor_id": "8086", "product_id": "1520"}'])
TAGGED = '{"product_id": "1520", "physical_network": "physnet1", "rack": "7"}'


@dataclass
class Fleet:
    """A host with one VF and one with two, and the command."""

    centre: Centre
    endpoint: str

    def run(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [PCICTL, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            input=stdin,
            env={**as_nobody(), "OS_ENDPOINT": self.endpoint},
        )

    def told(self, *arguments: str) -> Any:
        """What a command tells machines."""
        ran = self.run(*arguments, "-f", "json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def refused(self, *arguments: str, code: int = 1) -> str:
        """What a command that fails tells on stderr."""
        ran = self.run(*arguments)
        assert (ran.returncode, ran.stdout) == (code, "")
        return ran.stderr


@contextmanager
def running(folder: Path) -> Iterator[Fleet]:
    engine = database.connect(f"sqlite:///{folder}/tracker.sqlite")
    database.upgrade(engine)
    store = Store(engine, host_down_s=3600)
    with centre(folder, store, {A: 1, B: 2}) as made:
        server = http_server(application(parts(store, agents=made.agents, aliases=ALIASES, most=2)), "127.0.0.1", 0)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield Fleet(made, f"http://127.0.0.1:{server.bind_addr[1]}")
        finally:
            server.stop()
            thread.join()
    engine.dispose()
