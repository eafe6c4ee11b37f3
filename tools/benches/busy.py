"""
How long finding hosts takes while nothing else happens, and while another tracker applies full reports without a pause.

That tracker is a process of its own, on the same database: see storming.py. What no host has isn't asked for here, for
no limit is set to it; tools/bench candidates asks that too, and of more shapes of fleet.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benches import candidates
from benches.candidates import Shape
from benches.side import PATH
from pci_agent.tracker import database
from pci_agent.tracker.scheduler import Scheduler
from simulation.children import Holder

_READY_WITHIN_S = 120
_ANSWERS_WITHIN_S = 30


@dataclass(frozen=True)
class Found:
    """
    What was measured.

    Attributes:
        shape: of the fleet
        hosts: how many there are
        quiet, stormy: the seconds of each run, by question
        reports_a_second: full reports of 300 devices that were applied meanwhile
    """

    shape: Shape
    hosts: int
    quiet: dict[str, list[float]]
    stormy: dict[str, list[float]]
    reports_a_second: float


def measured(folder: Path, url: str, shape: Shape, hosts: int, stormers: int) -> Found:
    """
    Measure, on a fleet that is made anew.

    Args:
        folder: for a log
        url: of a migrated database for this alone
        shape: of the fleet
        hosts: how many there are
        stormers: how many more report all the time
    """
    engine = database.connect(url)
    scheduler = Scheduler(engine, host_down_s=3600)
    candidates.fill(engine, shape, hosts)
    quiet = _asked(scheduler, shape)
    tracker = Holder("storm", folder / "storm.log")
    try:
        path = os.pathsep.join([PATH, *filter(None, sys.path)])
        command = [sys.executable, "-W", "ignore", "-P", "-m", "benches.storming", url, str(stormers)]
        tracker.start(command, {"PYTHONPATH": path})
        tracker.hear(_READY_WITHIN_S)
        tracker.ask("begin", _ANSWERS_WITHIN_S)
        since = time.perf_counter()
        stormy = _asked(scheduler, shape)
        told, spent = tracker.ask("told", _ANSWERS_WITHIN_S), time.perf_counter() - since
    finally:
        tracker.kill()
        engine.dispose()
    if told["over"] or told["applied"] < told["answered"]:
        raise RuntimeError(f"the storm was over before its time, or reports didn't apply: {told}")
    return Found(shape, hosts, quiet, stormy, told["applied"] / spent)


def _asked(scheduler: Scheduler, shape: Shape) -> dict[str, list[float]]:
    return {
        question.name: candidates.timed(scheduler, question)
        for question in candidates.questions(shape)
        if question.name != candidates.NO_HOST
    }
