"""``os-pci/candidates``: which hosts could serve requests now, and why others can't. It changes nothing."""

from typing import Annotated

from pydantic import Field

from pci_agent.api.call import Call, Nothing
from pci_agent.api.hypervisors import Hypervisors
from pci_agent.api.requests import PlacedBody, RequestBody, Whole, read
from pci_agent.api.view import Document
from pci_agent.model.request import Aliases
from pci_agent.tracker.explaining import Explanation
from pci_agent.tracker.scheduler import Scheduler
from pci_agent.wire.control import MOST_CANDIDATES


class CandidatesBody(PlacedBody):
    """
    What is to be placed.

    Attributes:
        requests: all for one instance; all go to one host
        limit: how many hosts are enough
        explain: tell too how many hosts each filter leaves; where no host fits that is told anyhow
    """

    requests: Annotated[tuple[RequestBody, ...], Field(min_length=1, max_length=64)]
    limit: Annotated[int, Field(ge=1, le=MOST_CANDIDATES), Whole] = 10
    explain: bool = False


class CandidateHosts:
    """
    Hosts for requests.

    Args:
        scheduler: finds them
        hypervisors: finds the one that a body names
        aliases: what requests may name
    """

    def __init__(self, scheduler: Scheduler, hypervisors: Hypervisors, aliases: Aliases) -> None:
        self._scheduler = scheduler
        self._hypervisors = hypervisors
        self._aliases = aliases

    def find(self, call: Call) -> Document:
        """Name hosts, the best first."""
        call.query(Nothing)
        asked = call.body(CandidatesBody)
        only = None if asked.hypervisor is None else self._hypervisors.only(asked.hypervisor)["hypervisor_hostname"]
        requests = read(asked.requests, self._aliases)
        found = self._scheduler.candidates(requests, asked.numa, limit=asked.limit, only=only)
        hosts = [
            {"id": each.node_id, "hypervisor_hostname": each.hypervisor_hostname, "free": each.free}
            for each in found.hosts
        ]
        why = self._scheduler.explain(requests, asked.numa) if asked.explain or not hosts else None
        return {
            "candidates": hosts,
            "cut": found.cut,
            "explanation": None if why is None else _explanation(why),
        }


def _explanation(why: Explanation) -> Document:
    return {
        "filters": [{"filter": name, "hosts_left": left} for name, left in why.left.items()],
        "near_misses": [
            {"hypervisor_hostname": each.hypervisor_hostname, "failed": each.failed, "why": list(each.why)}
            for each in why.misses
        ],
        "cut": why.cut,
    }
