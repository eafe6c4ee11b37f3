"""
Rows of devices as the model has them, for fit to decide on.

What is available may be given, and nothing else: a row's status says so in its agent's words, which knows of more than
is in the rows. Who holds a relative, or a member of a device's IOMMU group, is in that status already. So what isn't
available is as good as in use here, and groups needn't be read. A row that can't be understood isn't offered.
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast, func, or_, select

from pci_agent.errors import InvalidAddress
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Device, DevType
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.state import Status
from pci_agent.model.vocabulary import Tags
from pci_agent.tracker.tables import pci_devices

_DEVICE = pci_devices.c

_TAGS = cast(_DEVICE.tags, Text).label("tags")  # as text: the devices of a fleet share few
_CLASS_CODE = _DEVICE.extra_info["class"].as_string().label("class_code")

_READ = (
    _DEVICE.compute_node_id,
    _DEVICE.uuid,
    _DEVICE.address,
    _DEVICE.vendor_id,
    _DEVICE.product_id,
    _DEVICE.dev_type,
    _DEVICE.parent_addr,
    _DEVICE.numa_node,
    _DEVICE.status,
    _DEVICE.status_reason,
    _TAGS,
    _CLASS_CODE,
)

_ALIKE = (
    _DEVICE.compute_node_id,
    _DEVICE.vendor_id,
    _DEVICE.product_id,
    _DEVICE.dev_type,
    _DEVICE.parent_addr,
    _DEVICE.numa_node,
    _TAGS,
    _CLASS_CODE,
)
"""What devices have in common that no set of requests tells apart; PFs aside, whose VFs may differ."""


def read(connection: Connection, *conditions: ColumnElement[bool]) -> dict[int, list[TrackedDevice]]:
    """Read living devices in one statement, by their host's id."""
    hosts, _ = _by_host(connection.execute(select(*_READ).where(_DEVICE.deleted == 0, *conditions)).all())
    return hosts


def read_some(connection: Connection, most: int, *conditions: ColumnElement[bool]) -> dict[int, list[TrackedDevice]]:
    """
    Read all living PFs, and of other devices at most so many that are alike: a set of so many takes no more.

    A host that has a row which can't be understood is read in whole, lest that row stands for those like it.
    """
    place = func.row_number().over(partition_by=_ALIKE, order_by=_DEVICE.id).label("place")
    counted = select(*_READ, place).where(_DEVICE.deleted == 0, *conditions).subquery()
    few = or_(counted.c.dev_type == str(DevType.PF), counted.c.place <= most)
    hosts, odd = _by_host(connection.execute(select(counted).where(few)).all())
    return hosts | read(connection, _DEVICE.compute_node_id.in_(odd), *conditions) if odd else hosts


def _by_host(rows: Iterable[Any]) -> tuple[dict[int, list[TrackedDevice]], set[int]]:
    """Sort rows by their host's id; and name the hosts that have rows which can't be understood."""
    hosts: dict[int, list[TrackedDevice]] = {}
    odd = set()
    for row in rows:
        item = _tracked(row)
        if item is None:
            odd.add(row.compute_node_id)
        else:
            hosts.setdefault(row.compute_node_id, []).append(item)
    return hosts, odd


def _tracked(row: Any) -> TrackedDevice | None:
    try:
        device = _device(row)
    except (InvalidAddress, ValueError):
        return None
    return TrackedDevice(
        uuid=row.uuid,
        identity=row.uuid,
        device=device,
        tags=_tags(row.tags),
        host_use=() if row.status == Status.AVAILABLE else (row.status_reason or f"it is {row.status}",),
        status=Status.AVAILABLE,
    )


def _device(row: Any) -> Device:
    return Device(
        address=_address(row.address),
        path=None,
        vendor_id=row.vendor_id,
        product_id=row.product_id,
        subsystem_vendor_id=None,
        subsystem_product_id=None,
        class_code=row.class_code or "",
        revision=None,
        dev_type=DevType(row.dev_type),
        parent_addr=None if row.parent_addr is None else _address(row.parent_addr),
        vf_index=None,
        sriov_totalvfs=None,
        sriov_numvfs=None,
        numa_node=row.numa_node,
        driver=None,
        iommu_group=None,
        netdevs=(),
    )


@lru_cache(maxsize=16384)  # the hosts of a fleet have their cards in the same places
def _address(text: str) -> PciAddress:
    return PciAddress.parse(text)


@lru_cache(maxsize=4096)
def _tags(text: str) -> Tags:
    tags: Tags = json.loads(text)
    return tags
