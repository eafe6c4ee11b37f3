"""What controllers are told of requests: each as its row and its host's rows have it, and the worst of them for all."""

from collections.abc import Iterable, Sequence

from pci_agent.model.state import Status
from pci_agent.tracker.standings import Attempt, Standing
from pci_agent.wire.control import AllocationAnswer, AllocationRecord, Verdict
from pci_agent.wire.messages import DeviceRecord

_WORST_FIRST = (
    Verdict.CONFLICT,
    Verdict.GONE,
    Verdict.STALE,
    Verdict.SILENT,
    Verdict.RELEASING,
)


def told(verdict: Verdict, reason: str | None, records: Iterable[AllocationRecord]) -> AllocationAnswer:
    """Answer for requests that have one verdict."""
    ordered = sorted(records, key=lambda record: record.request_id)
    return AllocationAnswer(verdict=verdict, reason=reason, allocations=tuple(ordered))


def together(records: Sequence[AllocationRecord]) -> AllocationAnswer:
    """Answer for requests that each have a verdict with the worst of these."""
    worst = next((verdict for verdict in _WORST_FIRST if any(each.verdict == verdict for each in records)), Verdict.OK)
    reasons = [f"{each.request_id}: {each.reason}" for each in records if each.reason is not None]
    return told(worst, "; ".join(reasons) or None, records)


def shown(standings: Iterable[Standing], verdict: Verdict = Verdict.OK, reason: str | None = None) -> AllocationAnswer:
    """Answer with how requests stand; one that nobody has heard of is left out."""
    known = [each for each in standings if each.row is not None or each.shown]
    return told(verdict, reason, [record(each, verdict, reason) for each in known])


def record(standing: Standing, verdict: Verdict, reason: str | None = None) -> AllocationRecord:
    """Show a request as its row and its host's rows have it."""
    row = standing.row or standing.shown[0].row(standing.request_id)
    return of_row(row, verdict, standing.devices, reason)


def of_row(
    row: Attempt, verdict: Verdict, devices: Iterable[DeviceRecord], reason: str | None = None
) -> AllocationRecord:
    """
    Show a request as its row has it, with these devices in order of address.

    What is allocated counts as confirmed, whatever the row says: that may have been lost with a database, and made anew
    from the agents' reports.
    """
    known = tuple(sorted(devices, key=lambda device: device.address))
    return AllocationRecord(
        request_id=row.request_id,
        instance_uuid=row.instance_uuid,
        verdict=verdict,
        reason=reason,
        state=row.state,
        attempt=row.attempt,
        confirmed=row.confirmed_at is not None or any(device.status == Status.ALLOCATED for device in known),
        agent_uuid=row.agent_uuid,
        hypervisor_hostname=row.host,
        devices=known,
    )
