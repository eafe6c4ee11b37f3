"""Nova's side, in nova's own Python: its libvirt driver's discovery of PCI devices, its tracker's sync, its claims."""

import glob
import logging
import platform
import uuid
from collections.abc import Sequence
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

from nova import conf, context, objects  # type: ignore[import-not-found]
from nova.db.main import api, models  # type: ignore[import-not-found]
from nova.pci import manager, utils  # type: ignore[import-not-found]
from nova.virt.libvirt import driver, host  # type: ignore[import-not-found]

from benches.timing import Work, serve

_NODE = SimpleNamespace(id=1, numa_topology=None)
_FEATURES = ("rx", "tx", "sg", "tso", "gso", "gro", "rxvlan", "txvlan", "rxhash", "txudptnl")


class NodeDevice:
    """A node device that answers at once: no libvirt, no wire, nothing to wait for."""

    def __init__(self, name: str, parent: str, capability: str, xml: str) -> None:
        self._name, self._parent, self._capabilities = name, parent, [capability]
        self._xml = (
            f"<device><name>{name}</name><path>/sys/devices/{name}</path><parent>{parent}</parent>{xml}</device>"
        )

    def name(self) -> str:
        """Give its name."""
        return self._name

    def parent(self) -> str:
        """Give its parent's name."""
        return self._parent

    def listCaps(self) -> list[str]:  # noqa: N802 - libvirt's word
        """Give the kinds of it."""
        return self._capabilities

    def XMLDesc(self, _flags: int) -> str:  # noqa: N802 - libvirt's word
        """Give its description."""
        return self._xml


def load(asked: dict[str, Any]) -> dict[str, Work]:
    """Take up a host as a compute service does."""
    conf.CONF.set_override("device_spec", asked["values"], "pci")
    _read_below(asked["root"])
    devices = node_devices(asked["functions"])
    virt = SimpleNamespace(_host=host.Host.__new__(host.Host))
    virt._host.list_all_devices = lambda flags: devices  # noqa: ARG005, SLF001 - the name is nova's
    discover = driver.LibvirtDriver._get_pci_passthrough_devices.__wrapped__  # noqa: SLF001 - below its cache
    tracker = manager.PciDevTracker(_context(asked["folder"] if asked["claims"] else None), _NODE)
    tracker.update_devices_from_hypervisor_resources(discover(virt))

    def inventory(_: None) -> int:
        tracker.update_devices_from_hypervisor_resources(discover(virt))
        return len(tracker.pci_devs)

    works = {
        "discovery": Work(lambda _: str(discover(virt)).count('"dev_id"')),
        "discovery and sync": Work(inventory),
    }
    return works | _claims(tracker, asked["specs"]) if asked["claims"] else works


def _read_below(root: str) -> None:
    """Let nova find below *root* what it looks for in /sys."""
    utils._get_sysfs_netdev_path = lambda address, pf_interface: (  # noqa: SLF001
        f"{root}/bus/pci/devices/{address}/{'physfn/' if pf_interface else ''}net"
    )
    utils.glob = SimpleNamespace(iglob=lambda pattern: glob.iglob(pattern.replace("/sys", root, 1)))


def node_devices(functions: Sequence[dict[str, Any]]) -> list[NodeDevice]:
    """Describe functions and their netdevs as libvirt does."""
    vfs: dict[str, list[str]] = {}
    for function in functions:
        if function["pf"] is not None:
            vfs.setdefault(function["pf"], []).append(function["address"])
    made = []
    for function in functions:
        name = "pci_" + function["address"].replace(":", "_").replace(".", "_")
        made.append(NodeDevice(name, "pci_0000_00_1c_0", "pci", _pci(function, vfs.get(function["address"]))))
        for netdev in function["netdevs"]:
            features = "".join(f"<feature name='{each}'/>" for each in _FEATURES)
            net = f"<interface>{netdev}</interface><address>02:00:00:00:00:01</address><link speed='10000' state='up'/>"
            xml = f"<capability type='net'>{net}{features}<capability type='80203'/></capability>"
            made.append(NodeDevice(f"net_{netdev}_02_00_00_00_00_01", name, "net", xml))
    return made


def _pci(function: dict[str, Any], vfs: Sequence[str] | None) -> str:
    domain, bus, rest = function["address"].split(":")
    slot, number = rest.split(".")
    kin = ""
    if function["pf"] is not None:
        kin = f"<capability type='phys_function'>{_address(function['pf'])}</capability>"
    elif vfs:
        kin = f"<capability type='virt_functions' maxCount='{len(vfs)}'>{''.join(map(_address, vfs))}</capability>"
    return (
        f"<driver><name>{function['driver']}</name></driver><capability type='pci'><class>0x020000</class>"
        f"<domain>{int(domain, 16)}</domain><bus>{int(bus, 16)}</bus><slot>{int(slot, 16)}</slot>"
        f"<function>{number}</function><product id='0x{function['product_id']}'>A card</product>"
        f"<vendor id='0x{function['vendor_id']}'>A vendor</vendor>{kin}"
        f"<iommuGroup number='1'>{_address(function['address'])}</iommuGroup><numa node='{function['numa_node']}'/>"
        "<pci-express><link validity='cap' port='0' speed='5' width='4'/><link validity='sta' speed='5' width='4'/>"
        "</pci-express></capability>"
    )


def _address(address: str) -> str:
    domain, bus, rest = address.split(":")
    slot, function = rest.split(".")
    return f"<address domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' function='0x{function}'/>"


def _context(folder: str | None) -> Any:
    """Give what nova asks its database with; without a folder nothing is known of the host, and nothing kept."""
    if folder is None:
        return None
    conf.CONF.set_override("connection", f"sqlite:///{folder}/nova.sqlite", "database")
    api.configure(conf.CONF)
    models.BASE.metadata.create_all(api.get_engine())
    return context.get_admin_context()


def _claims(tracker: manager.PciDevTracker, specs: list[dict[str, str]]) -> dict[str, Work]:
    """Claim a VF; what was given is freed untimed."""
    asking = tracker._context  # noqa: SLF001
    tracker.save(asking)
    given: list[Any] = []

    def prepared() -> Any:
        for instance in given:
            tracker.free_instance(asking, instance)
            tracker.save(asking)
        given[:] = [objects.Instance(uuid=str(uuid.uuid4()), pci_devices=objects.PciDeviceList(objects=[]))]
        request = objects.InstancePCIRequest(
            count=1, spec=specs, alias_name="bench", request_id=str(uuid.uuid4()), numa_policy="legacy"
        )
        return given[0], objects.InstancePCIRequests(instance_uuid=given[0].uuid, requests=[request])

    def claim(asked: Any) -> int:
        _, requests = asked
        number = len(tracker.claim_instance(asking, requests, None))
        tracker.save(asking)
        return number

    def claim_and_allocate(asked: Any) -> int:
        instance, requests = asked
        number = len(tracker.claim_instance(asking, requests, None))
        tracker.allocate_instance(instance)
        tracker.save(asking)
        return number

    return {"claim": Work(claim, prepared), "claim and allocate": Work(claim_and_allocate, prepared)}


def _nothing_kept(asking: Any, node: int) -> Any:
    return objects.PciDeviceList() if asking is None else _kept(asking, node)


if __name__ == "__main__":
    logging.disable()
    objects.register_all()
    conf.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    driver.libvirt = SimpleNamespace(
        libvirtError=OSError,
        VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET=1,
        VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV=2,
        VIR_CONNECT_LIST_NODE_DEVICES_CAP_VDPA=4,
    )
    _kept = objects.PciDeviceList.get_by_compute_node
    objects.PciDeviceList.get_by_compute_node = _nothing_kept
    serve(load, {"Python": platform.python_version(), "nova": version("nova")})
