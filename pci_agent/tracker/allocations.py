"""
Who gets which devices where: what controllers ask for, in terms of instances and requests.

* Every step is one transaction over the (attempt, state) that it found, committed before anything that follows from it
  is sent or answered. A process may end between any two; any other goes on from the rows.
* What is said of a whole instance is resolved to its requests first, to those too that only hosts' rows show.
* All requests of a claim go to one host, or none does. A request_id serves once: what was freed stays freed. An
  instance that migrates has requests on two hosts, under different request_ids; one request never has two hosts.
"""

import threading
from collections import Counter
from collections.abc import Sequence

from pci_agent.model.fit import ANYWHERE, GuestNuma
from pci_agent.model.request import PciRequest
from pci_agent.tracker import told
from pci_agent.tracker.claiming import Asked, Claiming, Finder
from pci_agent.tracker.confirming import Confirming
from pci_agent.tracker.freeing import Freeing
from pci_agent.tracker.orders import Agents, Orders
from pci_agent.tracker.standings import Standing, State
from pci_agent.tracker.store import Store
from pci_agent.wire.control import AllocationAnswer, Verdict


class Allocations:
    """
    Claims, confirms and frees for controllers. Any number of threads and processes may.

    Args:
        store: the fleet
        scheduler: names hosts
        agents: calls them
    """

    def __init__(self, store: Store, scheduler: Finder, agents: Agents) -> None:
        self._rows = store.attempts
        orders = Orders(store, agents)
        self._claiming = Claiming(self._rows, scheduler, orders)
        self._confirming = Confirming(self._rows, orders)
        self._freeing = Freeing(self._rows, orders)
        self._lock = threading.Lock()
        self.answered: Counter[tuple[str, ...]] = Counter()
        """How many claims, confirms and frees got which verdict since the start: by verb and verdict."""

    def claim(
        self,
        instance_uuid: str,
        requests: Sequence[PciRequest],
        numa: GuestNuma = ANYWHERE,
        *,
        project_id: str | None = None,
        user_id: str | None = None,
        host: str | None = None,
        lifetime_s: float | None = None,
    ) -> AllocationAnswer:
        """
        Claim devices for all of these requests on one host, or none. Asked again it answers the same devices.

        Args:
            instance_uuid: for whom
            requests: each with a request_id of its own
            numa: where the guest's memory is
            project_id: the instance's
            user_id: the instance's
            host: only this one, by name; None for any
            lifetime_s: how long the claim lasts unless it is confirmed; None for the agent's own

        Returns:
            ``ok`` with the devices; ``no_fit`` where no host has, or gives, devices for all; ``silent`` where hosts
            that might don't answer; ``freed`` where one of the requests was freed already; ``conflict`` where one
            is there for another instance, with another content or elsewhere; ``stale`` where another call of the same
            requests has gone on: ask again; ``refused`` where the requests can't be read.
        """
        asked = Asked(
            instance_uuid=instance_uuid,
            requests=tuple(requests),
            numa=numa,
            project_id=project_id,
            user_id=user_id,
            host=host,
            lifetime_s=lifetime_s,
        )
        return self._counted("claim", self._claiming.claim(asked))

    def confirm(self, instance_uuid: str, request_ids: Sequence[str] = ()) -> AllocationAnswer:
        """
        Allocate exactly what was claimed: these requests, or all that the instance has claimed where none is named.

        Returns:
            ``ok``; ``gone`` where a claim has ended or was freed; ``silent`` where its agent doesn't answer: ask
            again; ``stale`` where another call is at it; ``unknown`` where there is no such request.
        """
        known = self._rows.of_instance(instance_uuid)
        missing = [name for name in request_ids if name not in known]
        if missing or not known:
            what = f"request {missing[0]}" if missing else "request"
            unknown = AllocationAnswer(verdict=Verdict.UNKNOWN, reason=f"the instance {instance_uuid} has no {what}")
            return self._counted("confirm", unknown)
        asked = request_ids or [name for name, each in known.items() if _is_live(each)] or list(known)
        return self._counted("confirm", told.together(self._confirming.confirm(known[name] for name in asked)))

    def free(self, instance_uuid: str, request_id: str | None = None, host: str | None = None) -> AllocationAnswer:
        """
        Take back what an instance has: one request or all, on one host or wherever they are.

        Returns:
            ``ok``, of nothing too; ``releasing`` where its running domain still has a device: it is freed when that
            lets go; ``silent`` where an agent doesn't answer: it is written down, and sent until that does;
            ``conflict`` where the request is another instance's.
        """
        known = self._rows.of_instance(instance_uuid)
        if request_id is not None:
            known = self._rows.standings([request_id])
            if known[request_id].instance_uuid not in (None, instance_uuid):
                conflict = AllocationAnswer(verdict=Verdict.CONFLICT, reason=f"{request_id} is another instance's")
                return self._counted("free", conflict)
        own = [each for each in known.values() if each.instance_uuid in (None, instance_uuid)]
        there = [each for each in own if host is None or host in (_places(each) or {host})]
        return self._counted("free", told.together(self._freeing.free(there, instance_uuid)))

    def show(self, instance_uuid: str) -> AllocationAnswer:
        """Tell how an instance's requests stand, freed ones too, with the devices that their hosts' rows show."""
        return told.shown(self._rows.of_instance(instance_uuid).values())

    def settle_frees(self, limit: int = 50) -> int:
        """
        Send up to so many pending frees whose time has come.

        Returns:
            How many were taken up; fewer than *limit*: no more are due now.
        """
        return self._freeing.settle(limit)

    def _counted(self, verb: str, answer: AllocationAnswer) -> AllocationAnswer:
        with self._lock:
            self.answered[verb, answer.verdict] += 1
        return answer


def _is_live(standing: Standing) -> bool:
    return standing.row is None or standing.row.state in (State.CLAIMING, State.DONE)


def _places(standing: Standing) -> set[str]:
    """Name the hosts that a request is on, or may be; none where nobody has heard of it."""
    own = (standing.row.host if standing.row else None, standing.node.host if standing.node else None)
    return {host for host in (*own, *(each.node.host for each in standing.shown)) if host is not None}
