"""The product with one rule of the protocol switched off, to see that its absence is found."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from adversary.centre import centre
from adversary.patches import patched
from pci_agent.agent.conversation import Conversation
from pci_agent.agent.ledger import Ledger
from pci_agent.model import claims
from pci_agent.model.claims import Outcome
from pci_agent.model.families import Families
from pci_agent.tracker import attempts, reports
from pci_agent.tracker.database import run
from pci_agent.tracker.store import Store
from pci_agent.tracker.tables import allocations, compute_nodes, utcnow
from pci_agent.wire.messages import Answer, Report, Token
from pci_agent.wire.messages import Verdict as Answered


@contextmanager
def rule_4() -> Iterator[None]:
    """Check in one transaction, write in the next."""

    def accept(self: Store, report: Report) -> Answer:
        def may(connection: Connection) -> bool:
            row = connection.execute(select(compute_nodes).where(reports.speaks(report))).first()
            held = row and Token(session=row.session, generation=row.generation, digest=row.digest)
            silent_since = reports.clock(connection) - self._host_down
            first = report.over is None or report.over.session == report.session
            follows = first or (row is not None and reports.follows(report, row.session))
            return held == report.over and (follows or (row is not None and row.last_seen < silent_since))

        if not run(self._engine, may):
            return run(self._engine, lambda connection: self._verdict(connection, report))
        try:
            run(self._engine, lambda connection: reports.replace(connection, report, self._host_down))
        except (reports.NotApplied, IntegrityError):
            return run(self._engine, lambda connection: self._verdict(connection, report))
        return Answer(verdict=Answered.OK, token=report.token)

    def write(connection: Connection, report: Report, *_: object) -> None:
        held = {
            "hypervisor_hostname": report.host,
            "session": report.token.session,
            "generation": report.token.generation,
            "digest": report.token.digest,
            "pci_stats": [pool.model_dump(mode="json") for pool in report.pools],
            "last_seen": utcnow(),
        }
        if not connection.execute(update(compute_nodes).where(reports.speaks(report)).values(**held)).rowcount:
            connection.execute(insert(compute_nodes).values(**held, agent_uuid=report.agent_uuid, status_counter=-1))

    with patched(Store, accept=accept), patched(reports, _compare_and_set=write):
        yield


@contextmanager
def rule_9() -> Iterator[None]:
    """Let whoever comes take a host over, at once."""
    store = centre().store
    before, store._host_down = store._host_down, timedelta(seconds=-1)
    try:
        yield
    finally:
        store._host_down = before


@contextmanager
def rule_11() -> Iterator[None]:
    """Carry commands out before a tracker has accepted the session."""
    with patched(Ledger, serving=property(lambda _: True)):
        yield


@contextmanager
def rule_12() -> Iterator[None]:
    """Take every state that the tracker holds for one of ours."""
    with patched(Conversation, _was_ours=lambda *_: True):
        yield


@contextmanager
def rule_14() -> Iterator[None]:
    """Let allocate and free name the request alone."""
    allocate, free = claims.allocate, claims.free

    def attempt(items: Families, request_id: str) -> int:
        owners = [item.owner for item in items.owned() if item.owner is not None]
        return max((owner.attempt for owner in owners if owner.request_id == request_id), default=0)

    def allocate_any(items: Families, request_id: str, _attempt: int) -> Outcome:
        return allocate(items, request_id, attempt(items, request_id))

    def free_any(items: Families, request_id: str, _attempt: int) -> Outcome:
        return free(items, request_id, attempt(items, request_id))

    with patched(claims, allocate=allocate_any, free=free_any):
        yield


@contextmanager
def rule_15() -> Iterator[None]:
    """Leave no tombstones."""
    with patched(Ledger, bury=lambda *_: None):
        yield


@contextmanager
def rule_18() -> Iterator[None]:
    """Write a request's row whatever it is by now."""
    with patched(attempts, _is=lambda row: allocations.c.request_id == row.request_id):
        yield


@contextmanager
def rule_19() -> Iterator[None]:
    """Write down nothing of what is given up."""
    with patched(attempts, _owe=lambda *_: None):
        yield


ABLATIONS: dict[str, Callable[[], Any]] = {
    "4": rule_4,
    "9": rule_9,
    "11": rule_11,
    "12": rule_12,
    "14": rule_14,
    "15": rule_15,
    "18": rule_18,
    "19": rule_19,
}
