"""How rows become JSON. Each version of the API has one view; the resources are the same for all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pci_agent.tracker.store import RowMap

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """
    The answers of one version of the API.

    Attributes:
        device: a device in a plain list
        device_detail: a device in a detailed list, or alone
        hypervisor: a host in a list
        hypervisor_detail: a host alone
        server: an instance's id and the devices that it holds, at least one
    """

    device: Callable[[RowMap], Document]
    device_detail: Callable[[RowMap], Document]
    hypervisor: Callable[[RowMap], Document]
    hypervisor_detail: Callable[[RowMap], Document]
    server: Callable[[str, Sequence[RowMap]], Document]


def time(moment: datetime | None) -> str | None:
    """Write one of the database's times, which are UTC, to the second."""
    return None if moment is None else moment.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def extra_info(row: RowMap) -> dict[str, str]:
    """Give a device's facts and tags as the seeds show them: one dict of strings; a tag with no value is left out."""
    return {**row["extra_info"], **{name: value for name, value in row["tags"].items() if value is not None}}
