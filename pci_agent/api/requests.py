"""
What is asked for, as a body says it: requests of an alias, of a port, or of devices by their ids, type and tags.

Each is one request of the model, and means what it means on the bus. A field that isn't known is refused.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.config import JsonDict

from pci_agent.api.pages import Text
from pci_agent.errors import BadRequest
from pci_agent.model import vocabulary
from pci_agent.model.device import DevType
from pci_agent.model.fit import GuestNuma
from pci_agent.model.json_option import Wrong
from pci_agent.model.request import Alias, Aliases, NumaPolicy, PciRequest, Spec, from_port

_MOST = 64
_NODE = Annotated[int, Field(ge=0, lt=2**31)]
_SOCKET = Annotated[int, Field(ge=-1, lt=2**31)]


def _whole(number: object) -> object:
    """Take 2.0 for 2, as JSON does."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


Whole = BeforeValidator(_whole)
"""Of an integer: it may be written as JSON writes numbers."""

_NULL: JsonDict = {"type": "null"}
_NO_NUL = r"^[^\x00]*$"


def pci_id(text: str) -> str:
    """Read a vendor or product id as the whitelist has it; a ValueError says what is wrong."""
    try:
        found = vocabulary.pci_id("", text)
    except Wrong as wrong:
        raise ValueError(f"{wrong.what}; write 1 to 4 hex digits, as in 8086") from None
    if found is None:
        raise ValueError("leave it out where any will do")
    return found


PciId = Annotated[
    str, AfterValidator(pci_id), WithJsonSchema({"type": "string", "pattern": "^(0[xX])?[0-9a-fA-F]{1,4}$"})
]
RequestId = Annotated[str, Field(min_length=1, max_length=36, pattern=_NO_NUL)]
_TagName = Annotated[str, Field(min_length=1, max_length=255, pattern=_NO_NUL)]
_TagValue = Annotated[str, Field(max_length=255, pattern=_NO_NUL)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SpecBody(_Body):
    """
    What one device must be; every condition that is given must hold.

    Attributes:
        vendor_id, product_id: in hex, as in the whitelist
        tags: that its whitelist entry gives it; null: that it hasn't
    """

    vendor_id: PciId | None = None
    product_id: PciId | None = None
    dev_type: Literal[tuple(map(str, DevType))] | None = None  # type: ignore[valid-type]
    tags: Annotated[dict[_TagName, _TagValue | bool | None], Field(max_length=_MOST)] = Field(default_factory=dict)

    def spec(self) -> Spec:
        """Give the model's word for it; true and false mean what they mean in the whitelist."""
        return Spec(
            vendor_id=self.vendor_id,
            product_id=self.product_id,
            dev_type=None if self.dev_type is None else DevType(self.dev_type),
            tags={name: str(each).lower() if isinstance(each, bool) else each for name, each in self.tags.items()},
        )


class PortBody(_Body):
    """
    A port of a network, in neutron's words.

    Attributes:
        physical_network: that the device's tag names; None for any
        trusted: whether the device's tag says so; None for either
    """

    vnic_type: Literal["direct", "macvtap", "virtio-forwarder", "remote-managed", "direct-physical", "vdpa"]
    physical_network: Text | None = None
    trusted: bool | None = None


_SAYS_WHAT: JsonDict = {
    "oneOf": [
        {"required": ["alias"], "properties": {"alias": {"type": "string"}, "port": _NULL, "specs": _NULL}},
        {
            "required": ["port"],
            "properties": {"port": {"type": "object"}, "alias": _NULL, "specs": _NULL, "count": {"enum": [1, None]}},
        },
        {"required": ["specs"], "properties": {"specs": {"type": "array"}, "alias": _NULL, "port": _NULL}},
    ]
}


class RequestBody(_Body):
    """
    So many devices for one purpose: of an alias, for a port, or that meet one of *specs*.

    Attributes:
        request_id: the request's own; it serves once
        count: how many; 1 where none is said. A port takes one
        alias: a name of ``[pci] alias`` in pci-tracker.conf
        port: a port of a network
        specs: alternatives
        numa_policy: how near to the guest's NUMA nodes
    """

    model_config = ConfigDict(json_schema_extra=_SAYS_WHAT)

    request_id: RequestId | None = None
    count: Annotated[int, Field(ge=1, le=_MOST), Whole] | None = None
    alias: Text | None = None
    port: PortBody | None = None
    specs: Annotated[tuple[SpecBody, ...], Field(min_length=1, max_length=_MOST)] | None = None
    numa_policy: Literal[tuple(map(str, NumaPolicy))] | None = None  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if sum(each is not None for each in (self.alias, self.port, self.specs)) != 1:
            raise ValueError("write one of alias, port and specs")
        if self.port is not None and self.count not in (None, 1):
            raise ValueError("count: a port takes one device")
        return self


class NamedRequestBody(RequestBody):
    """A request with a name of its own, under which it may be asked for again."""

    request_id: RequestId


class PlacedBody(_Body):
    """
    What is to be placed.

    Attributes:
        cells: the host's NUMA nodes that the guest's cells lie on; empty where unknown
        sockets: the socket of each of the host's nodes, where known
        hypervisor: only this host, by name or id; None for any
    """

    cells: Annotated[tuple[Annotated[_NODE, Whole], ...], Field(max_length=1024)] = ()
    sockets: Annotated[dict[_NODE, Annotated[_SOCKET, Whole] | None], Field(max_length=1024)] = Field(
        default_factory=dict, json_schema_extra={"propertyNames": {"pattern": "^(0|[1-9][0-9]{0,8})$"}}
    )
    hypervisor: Text | None = None

    @property
    def numa(self) -> GuestNuma:
        """Where the guest's memory is."""
        return GuestNuma(frozenset(self.cells), self.sockets)


def read(bodies: Iterable[RequestBody], aliases: Aliases) -> tuple[PciRequest, ...]:
    """
    Read requests; one without a name gets one.

    Raises:
        BadRequest: an alias isn't there, or two requests have one name.
    """
    requests = tuple(_request(number, body, aliases) for number, body in enumerate(bodies))
    names = [request.request_id for request in requests]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise BadRequest(f"Field 'requests.{number}.request_id': {name} is another request's already.")
    return requests


def _request(number: int, body: RequestBody, aliases: Mapping[str, Alias]) -> PciRequest:
    name = body.request_id or str(uuid4())
    policy = None if body.numa_policy is None else NumaPolicy(body.numa_policy)
    if body.port is not None:
        port = body.port
        found = from_port(
            port.vnic_type, port.physical_network, request_id=name, trusted=port.trusted, numa_policy=policy
        )
        if found is None:
            raise BadRequest(f"Field 'requests.{number}.port.vnic_type': {port.vnic_type} takes no PCI device.")
        return found
    alias = None if body.alias is None else aliases.get(body.alias)
    if body.alias is not None and alias is None:
        known = ", ".join(sorted(aliases)) or "none is"
        what = f"no alias is called {body.alias}; define it in [pci] alias of pci-tracker.conf, or use one of: {known}"
        raise BadRequest(f"Field 'requests.{number}.alias': {what}.")
    return PciRequest(
        request_id=name,
        count=body.count or 1,
        specs=tuple(each.spec() for each in body.specs or ()) if alias is None else alias.specs,
        numa_policy=policy or (NumaPolicy.LEGACY if alias is None else alias.numa_policy),
        alias_name=body.alias,
    )
