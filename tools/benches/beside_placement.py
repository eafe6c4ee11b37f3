"""
How long the tracker takes to name hosts that have a VF, beside OpenStack placement: the same fleet, server and limit.

Both are asked what their services are asked, a message and a GET, and answer with what is sent back; neither's bus, web
server or log-in is counted. Each has a database of its own on one server, and the two take turns.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benches.side import ROOT, Side, take_turns

LIMITS = (10, 100)


@dataclass(frozen=True)
class Beside:
    """
    What was measured.

    Attributes:
        providers: PFs that have VFs: placement's providers, beside a root for each host
        seconds: ours and placement's, by limit
        about: versions
    """

    providers: int
    seconds: dict[int, tuple[list[float], list[float]]]
    about: dict[str, str]

    def medians(self, limit: int) -> tuple[float, float]:
        """Give the median seconds, ours and placement's."""
        own, theirs = self.seconds[limit]
        return median(own), median(theirs)

    def faster(self, limit: int) -> float:
        """Tell how many times faster ours is for a provider; both have as many."""
        own, theirs = self.medians(limit)
        return theirs / own


def measured(own_url: str, their_url: str, hosts: int, pfs: int, vfs: int) -> Beside:
    """
    Measure.

    Args:
        own_url: of a database that has the fleet, of hosts that are all alike
        their_url: of an empty database
        hosts: how many there are
        pfs: of each host
        vfs: of each PF
    """
    limits = [limit for limit in LIMITS if limit <= hosts] or [hosts]
    asked = {"limits": limits, "hosts": hosts, "pfs": pfs, "vfs": vfs}
    theirs = their_url.replace("+psycopg:", "+psycopg2:")
    with (
        tempfile.TemporaryDirectory() as folder,
        Side.started(Path(sys.executable), "candidates_host") as ours,
        Side.started(ROOT / ".placement/bin/python", "placements") as other,
    ):
        ours.load({**asked, "url": own_url})
        other.load({**asked, "url": theirs, "folder": folder})
        works = [f"limit {limit}" for limit in limits]
        spent = take_turns(*([(ours, work), (other, work)] for work in works))
        seconds = {limit: (own, others) for limit, (own, others) in zip(limits, spent, strict=True)}
        return Beside(hosts * pfs, seconds, {**ours.about, **other.about})
