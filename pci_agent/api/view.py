"""How rows become JSON. Each version of the API has one view; the resources are the same for all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pci_agent.tracker.store import RowMap

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """
    What a version shows of devices.

    Attributes:
        columns: what is read for that, in this order
        shown: makes what is shown of rows with these columns, and their hosts' names by compute_node_id
        kept: whether what is shown of a device is worth keeping; see kept.py
    """

    columns: tuple[str, ...]
    shown: Callable[[Sequence[Any], Mapping[int, str]], list[Any]]
    kept: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """
    The answers of one version of the API.

    Attributes:
        devices: devices in a plain list
        devices_in_full: devices in a detailed list, or one alone
        hypervisor: a host in a plain list
        hypervisor_in_list: a host in a detailed list
        hypervisor_alone: a host alone
        server: an instance alone: its id and the devices that it holds, at least one
        server_in_list: an instance in a list
    """

    devices: Shape
    devices_in_full: Shape
    hypervisor: Callable[[RowMap], Document]
    hypervisor_in_list: Callable[[RowMap], Document]
    hypervisor_alone: Callable[[RowMap], Document]
    server: Callable[[str, Sequence[RowMap]], Document]
    server_in_list: Callable[[str, Sequence[RowMap]], Document]


@lru_cache(maxsize=4096)  # the devices of a host mostly came with one report
def time(moment: object) -> str | None:
    """Write one of the database's times, which are UTC, to the second; a driver gives it as a datetime or as text."""
    return None if moment is None else f"{str(moment)[:10]}T{str(moment)[11:19]}Z"
