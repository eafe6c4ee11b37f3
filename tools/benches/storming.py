"""
A tracker under a storm, in a process of its own: ``storming.py URL HOSTS``, and then a word a line on stdin.

It applies full reports of its own hosts, in which every VF is held and free in turn, as fast as it can and some at
once. ``begin`` begins; ``told`` tells how many have been applied; it ends where stdin does.
"""

import itertools
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

from benches.reporting import Kind, Speaker
from benches.storm import AT_ONCE
from pci_agent.tracker import database
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.tracker.store import Store
from pci_agent.wire.messages import Verdict, pack

KIND = Kind(functions=300, vfs=74)
GENERATIONS = 6


def _bodies(speaker: Speaker) -> list[str]:
    """Pack what a host tells, one state after the other."""
    said, bodies = None, []
    for generation in range(GENERATIONS):
        said = speaker.report(KIND, generation, said)
        bodies.append(pack(said))
    return bodies


def main(url: str, hosts: int) -> None:
    """Prepare the reports, and serve stdin."""
    endpoint = Endpoint(Store(database.connect(url), host_down_s=75))
    told = list(zip(*(_bodies(Speaker(number)) for number in range(hosts)), strict=True))
    _say("ready")

    def storm() -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for generation in told:  # a host's reports are told in their order
                list(pool.map(endpoint.report, itertools.repeat({}), generation))

    storming = Thread(target=storm, daemon=True)
    for line in sys.stdin:
        if line.strip() == "begin":
            storming.start()
        answered = endpoint.answered
        _say({"over": not storming.is_alive(), "applied": answered["report", Verdict.OK], "answered": answered.total()})
    os._exit(0)


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
