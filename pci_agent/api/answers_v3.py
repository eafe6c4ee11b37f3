"""What version 3 answers, described field by field; v3.py writes it."""

from collections.abc import Mapping

from pydantic import ConfigDict, Field

from pci_agent.api.answers import ALIKE, Answered, Links


class Device(Answered):
    """
    A device.

    Attributes:
        id: a number of this database's; it is never another device's
        uuid: the device's own, wherever it is plugged in
        address: ``domain:bus:slot.function``
        status: ``available``, ``claimed``, ``allocated``, ``unclaimable``, ``unavailable``, ``removed`` or ``deleted``
        status_reason: why it isn't to be had, in words
        compute_node_id: its host's id
        hypervisor_hostname: its host's name
        dev_id: libvirt's name of it
        dev_type: ``type-PCI``, ``type-PF``, ``type-VF`` or ``vdpa``
        parent_addr: the address of a VF's PF
        numa_node: null where the host doesn't say
        tags: of the whitelist entry that offers it; one with no value is null
        request_id: the request that holds it
    """

    id: int
    uuid: str
    address: str
    vendor_id: str
    product_id: str
    status: str
    status_reason: str | None
    compute_node_id: int
    hypervisor_hostname: str
    dev_id: str
    dev_type: str
    parent_addr: str | None
    numa_node: int | None
    tags: dict[str, str | None]
    request_id: str | None


class DeviceInFull(Device):
    """
    A device with all that is known of it.

    Attributes:
        label: ``label_`` and its ids
        extra_info: the facts that have no key of their own, and the tags
        server_uuid: the instance that holds it
        created_at, updated_at: in UTC
    """

    label: str
    extra_info: dict[str, str]
    server_uuid: str | None
    created_at: str | None
    updated_at: str | None


class DevicesAnswer(Answered):
    """
    Devices.

    Attributes:
        pci_devices_links: where another page follows
    """

    pci_devices: list[Device]
    pci_devices_links: Links = ()


class DevicesInFullAnswer(Answered):
    """
    Devices with all that is known of each.

    Attributes:
        pci_devices_links: where another page follows
    """

    pci_devices: list[DeviceInFull]
    pci_devices_links: Links = ()


class DeviceAnswer(Answered):
    """One device."""

    pci_device: DeviceInFull


class Pool(Answered):
    """
    Devices of one kind on a host; its tags, ``physical_network`` among them, stand beside these fields.

    Attributes:
        count: as nova has it: how many are free
        free: how many can be given
        used: how many somebody holds
        total: how many there are; what is neither free nor used can't be given at the moment
        parent_addr: the address of VFs' PF
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str | None]

    count: int
    free: int
    used: int
    total: int
    vendor_id: str
    product_id: str
    numa_node: int | None
    dev_type: str | None
    parent_addr: str | None


class RefusedAgent(Answered):
    """
    Another agent that asked last to speak for a host.

    Attributes:
        session: of its start
        refused_at: in UTC
    """

    agent_uuid: str
    session: str | None
    refused_at: str | None


class Hypervisor(Answered):
    """
    A host.

    Attributes:
        state: ``up`` or ``down``
        last_seen: when its agent was last heard of, in UTC
        refused_agent: null where none was since its own agent started
        observing: whether its agent shows everything and gives nothing
        agent_version: null until it has told
        agent_is_older: than the tracker, by a minor version at least
        pci_stats: its devices by kind
    """

    id: int
    hypervisor_hostname: str
    state: str
    last_seen: str | None
    refused_agent: RefusedAgent | None
    observing: bool
    agent_version: str | None
    agent_is_older: bool | None
    pci_stats: list[Pool] = Field(alias="os-pci:pci_stats")


class Problem(Answered):
    """
    Something odd or unreadable on a host.

    Attributes:
        address: of the function; null where no single one is meant
    """

    address: str | None
    cause: str


class HypervisorInFull(Hypervisor):
    """
    A host with all that is known of it.

    Attributes:
        physical_networks: how many devices of each are free
        config_errors: why the newest configuration of its agent isn't in force
        unresolved_devnames: netdevs that whitelist entries name and no function bears
    """

    physical_networks: dict[str, int]
    agent_uuid: str
    problems: list[Problem]
    config_errors: list[str]
    unresolved_devnames: list[str]


class HypervisorsAnswer(Answered):
    """
    Hosts.

    Attributes:
        hypervisors_links: where another page follows
    """

    hypervisors: list[Hypervisor]
    hypervisors_links: Links = ()


class HypervisorsInFullAnswer(Answered):
    """
    Hosts with all that is known of each.

    Attributes:
        hypervisors_links: where another page follows
    """

    hypervisors: list[HypervisorInFull]
    hypervisors_links: Links = ()


class HypervisorAnswer(Answered):
    """One host."""

    hypervisor: HypervisorInFull


class ServerDevice(Answered):
    """A device that an instance holds."""

    id: int
    uuid: str
    address: str
    hypervisor_hostname: str
    request_id: str | None


class Server(Answered):
    """
    An instance that holds devices.

    Attributes:
        id: its uuid
        tenant_id, user_id: as whoever claimed them said
    """

    id: str
    tenant_id: str | None
    user_id: str | None
    pci_devices: list[ServerDevice] = Field(alias="os-pci:pci_devices")


class ServersAnswer(Answered):
    """
    Instances that hold devices.

    Attributes:
        servers_links: where another page follows
    """

    servers: list[Server]
    servers_links: Links = ()


class ServerAnswer(Answered):
    """One instance."""

    server: Server


ANSWERS: Mapping[str, type[Answered]] = {
    **ALIKE,
    "os-pci:index": DevicesAnswer,
    "os-pci:detail": DevicesInFullAnswer,
    "os-pci:show": DeviceAnswer,
    "os-pci:disable": DeviceAnswer,
    "os-pci:enable": DeviceAnswer,
    "os-hypervisors:index": HypervisorsAnswer,
    "os-hypervisors:detail": HypervisorsInFullAnswer,
    "os-hypervisors:show": HypervisorAnswer,
    "servers:detail": ServersAnswer,
    "servers:show": ServerAnswer,
}
"""By a route's name, what it answers."""
