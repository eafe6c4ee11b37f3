"""
pci-agent as it is, on a host that doesn't answer: what the host itself uses can't be told while a file is there.

Run as a process of its own: ``slow_agent.py FILE ARGUMENT...``. FILE.asked appears when a look waits for it.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pci_agent.cmd import agent_daemon, process
from pci_agent.discovery.hostuse import HostUse
from pci_agent.model.device import Device


def main(file: str, *arguments: str) -> None:
    """Run until a signal says to stop."""

    def uses(sysfs_root: str, proc_root: str, *, alone: bool = False) -> Callable[[Sequence[Device]], HostUse]:  # noqa: ARG001
        return lambda _: slow()

    def slow() -> HostUse:
        while Path(file).exists():
            Path(f"{file}.asked").touch()
            time.sleep(0.05)
        return HostUse({}, ())

    agent_daemon.uses = uses
    process.serve(lambda: agent_daemon.serve(arguments, ()))


if __name__ == "__main__":
    main(*sys.argv[1:])
