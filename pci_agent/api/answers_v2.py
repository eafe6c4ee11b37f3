"""What version 2 answers, described field by field; v2.py writes it."""

from collections.abc import Mapping

from pydantic import Field

from pci_agent.api.answers import ALIKE, Answered, Links


class DeviceV2(Answered):
    """
    A device.

    Attributes:
        status: ``available``, ``claimed``, ``allocated``, ``unclaimable``, ``unavailable``, ``removed`` or ``deleted``
        compute_node_id: its host's id
    """

    address: str
    compute_node_id: int
    id: int
    product_id: str
    status: str
    vendor_id: str


class DeviceInFullV2(DeviceV2):
    """
    A device with all that is known of it.

    Attributes:
        created_at, updated_at, deleted_at: in UTC
        dev_id: libvirt's name of it
        dev_type: ``type-PCI``, ``type-PF``, ``type-VF`` or ``vdpa``
        extra_info: the facts that have no key of their own, and the tags
        instance_uuid: the instance that holds it
        label: ``label_`` and its ids
    """

    created_at: str | None
    deleted: bool
    deleted_at: str | None
    dev_id: str
    dev_type: str
    extra_info: dict[str, str]
    instance_uuid: str | None
    label: str
    updated_at: str | None


class DevicesAnswerV2(Answered):
    """
    Devices.

    Attributes:
        pci_devices_links: where another page follows
    """

    pci_devices: list[DeviceV2]
    pci_devices_links: Links = ()


class DevicesInFullAnswerV2(Answered):
    """
    Devices with all that is known of each.

    Attributes:
        pci_devices_links: where another page follows
    """

    pci_devices: list[DeviceInFullV2]
    pci_devices_links: Links = ()


class DeviceAnswerV2(Answered):
    """One device."""

    pci_device: DeviceInFullV2


class PoolV2(Answered):
    """
    Devices of one kind on a host.

    Attributes:
        count: how many are free
        extra_info: what they have in common beside their ids
    """

    count: int
    vendor_id: str
    product_id: str
    extra_info: dict[str, str]


class HypervisorAloneV2(Answered):
    """
    A host.

    Attributes:
        pci_stats: its devices by kind
    """

    pci_stats: list[PoolV2]


class HypervisorV2(HypervisorAloneV2):
    """A host in a list."""

    id: int
    hypervisor_hostname: str


class HypervisorsAnswerV2(Answered):
    """
    Hosts.

    Attributes:
        hypervisors_links: where another page follows
    """

    hypervisors: list[HypervisorV2]
    hypervisors_links: Links = ()


class HypervisorAnswerV2(Answered):
    """One host."""

    hypervisor: HypervisorAloneV2


class ServerDeviceV2(Answered):
    """A device that an instance holds."""

    id: int


class ServerAloneV2(Answered):
    """
    An instance that holds devices.

    Attributes:
        tenant_id, user_id: as whoever claimed them said
    """

    pci_devices: list[ServerDeviceV2] = Field(alias="os-pci:pci_devices")
    tenant_id: str | None
    user_id: str | None


class ServerV2(ServerAloneV2):
    """
    An instance in a list.

    Attributes:
        id: its uuid
    """

    id: str


class ServersAnswerV2(Answered):
    """
    Instances that hold devices.

    Attributes:
        servers_links: where another page follows
    """

    servers: list[ServerV2]
    servers_links: Links = ()


class ServerAnswerV2(Answered):
    """One instance."""

    server: ServerAloneV2


ANSWERS: Mapping[str, type[Answered]] = {
    **ALIKE,
    "os-pci:index": DevicesAnswerV2,
    "os-pci:detail": DevicesInFullAnswerV2,
    "os-pci:show": DeviceAnswerV2,
    "os-pci:disable": DeviceAnswerV2,
    "os-pci:enable": DeviceAnswerV2,
    "os-hypervisors:index": HypervisorsAnswerV2,
    "os-hypervisors:detail": HypervisorsAnswerV2,
    "os-hypervisors:show": HypervisorAnswerV2,
    "servers:detail": ServersAnswerV2,
    "servers:show": ServerAnswerV2,
}
"""By a route's name, what it answers."""
