"""
``os-pci``: the devices of the fleet.

A list is filtered by what a device is, where it is and who holds it, and by any tag: as ``NAME=VALUE`` where a device
of the fleet has such a tag, as ``tag:NAME=VALUE`` whether one has or not.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, WithJsonSchema

from pci_agent.api.call import Call
from pci_agent.api.kept import Kept, document
from pci_agent.api.pages import Id, Paged, SortedDevices, Text, links, page
from pci_agent.api.requests import PciId
from pci_agent.api.view import Document, Shape, time
from pci_agent.errors import Ambiguous, BadRequest, InvalidAddress, NotFound
from pci_agent.model import vocabulary
from pci_agent.model.address import PciAddress
from pci_agent.model.device import DevType
from pci_agent.model.state import Status
from pci_agent.tracker.lists import Filters, Page
from pci_agent.tracker.store import RowMap, Store

_TAG = "tag:"
_LONGEST_ID = 36
_MOST_TAGS = 64


def _address(text: str) -> str:
    try:
        return str(PciAddress.parse(text))
    except InvalidAddress as error:
        raise ValueError(str(error)) from None


_ADDRESS = WithJsonSchema({"type": "string", "pattern": "^[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[01][0-9A-Fa-f][.][0-7]$"})
_Uuid = Annotated[Text, StringConstraints(max_length=_LONGEST_ID)]
_IN_ROWS = (
    "status",
    "vendor_id",
    "product_id",
    "dev_type",
    "compute_node_id",
    "instance_uuid",
    "request_id",
    "address",
)


class DevicesQuery(SortedDevices):
    """
    Which devices, which page of them, in which order. All conditions that are given must hold.

    Attributes:
        vendor_id, product_id: in hex, as in the whitelist
        hypervisor: the host's name or id
        compute_node_id: the host's id
        instance_uuid: the instance that holds them
        request_id: the request that holds them
        physical_network: the tag of that name, compared without case
        address: in full
    """

    model_config = ConfigDict(
        json_schema_extra={
            "patternProperties": {r"^tag:[ -!#-\[\]-~]{1,255}$": {"type": "string", "pattern": r"^[^\x00]*$"}},
            "x-tags": "Any tag, compared without case; one that a device of the fleet has needs no tag: before it",
        }
    )

    status: Literal[tuple(map(str, Status))] | None = None  # type: ignore[valid-type]
    vendor_id: PciId | None = None
    product_id: PciId | None = None
    dev_type: Literal[tuple(map(str, DevType))] | None = None  # type: ignore[valid-type]
    hypervisor: Text | None = None
    compute_node_id: Id | None = None
    instance_uuid: _Uuid | None = None
    request_id: _Uuid | None = None
    physical_network: Text | None = None
    address: Annotated[str, AfterValidator(_address), _ADDRESS] | None = None


class OnHypervisor(BaseModel):
    """
    Which host is meant.

    Attributes:
        hypervisor: its name or id; needed where several hosts have a device of that name
    """

    model_config = ConfigDict(extra="forbid")

    hypervisor: Text | None = None


class HistoryQuery(Paged, OnHypervisor):
    """Which page of a device's history; which host is meant."""


class Devices:
    """
    The devices, as far as the rows tell.

    Args:
        store: the fleet
        most: so many items a page
    """

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most
        self._kept = Kept(store.lists)

    def index(self, call: Call) -> Document | None:
        """List devices."""
        return self._listed(call, call.view.devices)

    def detail(self, call: Call) -> Document | None:
        """List devices with all that is known of them."""
        return self._listed(call, call.view.devices_in_full)

    def show(self, call: Call) -> Document:
        """Show one device, by id, uuid, device name or address."""
        return self.shown(call, self.only(call, call.query(OnHypervisor).hypervisor)["id"])

    def history(self, call: Call) -> Document:
        """List what became of a device, newest first; of one that is gone too, by its uuid."""
        asked = call.query(HistoryQuery)
        name = call.name("pci_device_id")
        try:
            name = self.only(call, asked.hypervisor)["uuid"]
        except NotFound:
            if not self._store.lists.history(name, Page(limit=1)).rows:
                raise
        listed = self._store.lists.history(name, page(asked, self._most))
        more = links(call, "events", listed.rows[-1]["id"]) if listed.more else {}
        return {"events": [_event(row) for row in listed.rows], **more}

    def only(self, call: Call, hypervisor: str | None) -> RowMap:
        """
        Find the row of the device that a path names.

        Raises:
            NotFound: there is none, or no such host.
            Ambiguous: it is on several hosts, and *hypervisor* doesn't say on which.
        """
        name = call.name("pci_device_id")
        rows = self._store.devices(name=name, hypervisor=hypervisor)
        if not rows:
            if hypervisor is not None and not self._store.hypervisors(hypervisor):
                raise NotFound(f"Hypervisor {hypervisor} could not be found.")
            raise NotFound(f"PCI device {name} could not be found.")
        if len(rows) > 1:
            hosts = ", ".join(row["hypervisor_hostname"] for row in rows)
            raise Ambiguous(f"PCI device {name} is on several hosts: {hosts}. Choose one with ?hypervisor=NAME.")
        return rows[0]

    def shown(self, call: Call, row_id: int) -> Document:
        """Show the device of that id."""
        shape = call.view.devices_in_full
        listed = self._store.lists.devices(shape.columns, Filters(equal={"id": row_id}), Page(limit=1))
        if not listed.rows:
            raise NotFound(f"PCI device {call.name('pci_device_id')} has gone just now.")
        return {"pci_device": shape.shown(listed.rows, listed.hosts)[0]}

    def _listed(self, call: Call, shape: Shape) -> Document | None:
        tags, params = self._split(call.request.params)
        asked = call.query(DevicesQuery, params, also=", and the fleet's tags, or any tag as tag:NAME")
        if asked.physical_network is not None:
            tags["physical_network"] = asked.physical_network
        given = {name: getattr(asked, name) for name in _IN_ROWS}
        equal = {name: value for name, value in given.items() if value is not None}
        if "compute_node_id" in equal:
            equal["compute_node_id"] = int(equal["compute_node_id"])
        filters = Filters(equal=equal, tags=tags, hypervisor=asked.hypervisor)
        which = page(asked, self._most)
        if shape.kept:
            listed = self._store.lists.stamps(filters, which)
            more = links(call, "pci_devices", listed.rows[-1].partition(" ")[0]) if listed.more else {}
            told = document("pci_devices", self._kept.page(shape, listed), more)
            call.response.set_stream(told, sum(map(len, told)))
            return None
        listed = self._store.lists.devices(shape.columns, filters, which)
        more = links(call, "pci_devices", listed.rows[-1][shape.columns.index("id")]) if listed.more else {}
        return {"pci_devices": shape.shown(listed.rows, listed.hosts), **more}

    def _split(self, params: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        """Part the tags from the other parameters; what is neither stays with these, to be refused by name."""
        others = {name: value for name, value in params.items() if name in DevicesQuery.model_fields}
        if len(others) == len(params):
            return {}, others
        known = {*vocabulary.TAGS, *self._store.lists.tag_names()}
        tags: dict[str, str] = {}
        for name, value in params.items():
            if name in others:
                continue
            tag = name.removeprefix(_TAG)
            if tag == name and tag not in known:
                others[name] = value
            else:
                tags[tag] = _tag(name, tag, value)
        if len(tags) > _MOST_TAGS:
            raise BadRequest(f"{len(tags)} tags are asked for: a list is filtered by {_MOST_TAGS} at most.")
        return tags, others


def _tag(name: str, tag: str, value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise BadRequest(f"Query parameter {name!r}: write one value, without NUL.")
    if not tag or not tag.isprintable() or '"' in tag or "\\" in tag:
        raise BadRequest(f"Query parameter {name!r}: no tag is called that.")
    return value


def _event(row: RowMap) -> Document:
    return {
        "id": row["id"],
        "at": time(row["at"]),
        "event": row["event"],
        "before": row["before"],
        "after": row["after"],
        "instance_uuid": row["instance_uuid"],
        "request_id": row["request_id"],
        "compute_node_id": row["compute_node_id"],
    }
