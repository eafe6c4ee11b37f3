"""
Nova's own answers about machines, configurations and requests: JSON lines in, JSON lines out, run by nova's Python.

Nova asks /sys in two functions, and neutron in three; they are told of the case in question instead. Nothing else of
nova is changed, and nothing needs a database.
"""

import json
import logging
import sys
from typing import Any
from uuid import uuid4

from nova import conf, objects  # type: ignore[import-not-found]
from nova.network import neutron  # type: ignore[import-not-found]
from nova.pci import request, stats, utils, whitelist  # type: ignore[import-not-found]

Answer = dict[str, Any]
NOTHING = whitelist.Whitelist([])


def place(machine: dict[str, Any]) -> None:
    """Let nova find this machine where it would read /sys."""
    pfs, netdevs = set(machine["pfs"]), machine["netdevs"]
    utils.is_physical_function = lambda *fields: "{}:{}:{}.{}".format(*fields) in pfs
    utils.get_function_by_ifname = lambda name: tuple(netdevs.get(name, (None, False)))


def offered(machine: dict[str, Any], specs: list[str]) -> Answer:
    """Tell which entry, from 1, matches each device, under which tags, and the pools that come of it."""
    place(machine)
    listed = whitelist.Whitelist(specs)
    pools = stats.PciDeviceStats(None, dev_filter=listed)
    numbers = {id(spec): number for number, spec in enumerate(listed.specs, 1)}
    entries, tags = [], []
    for device in machine["devices"]:
        spec = listed.device_assignable(device)
        entries.append(spec and numbers[id(spec)])
        tags.append(spec and spec.get_tags())
        if spec is not None:
            spec.enhanced_pci_device_with_spec_tags(device)
            pools.add_device(objects.PciDevice.create(None, device))
    return {
        "entries": entries,
        "tags": tags,
        "pools": [{key: value for key, value in pool.items() if key != "devices"} for pool in pools.pools],
    }


def asked(aliases: list[str], flavor: str | None, policy: str | None, ports: list[Any], pools: list[Any]) -> Answer:
    """Tell what a flavor and ports ask for, and which of these pools each request could be met from."""
    conf.CONF.set_override("alias", aliases, "pci")
    request.get_alias_from_config.cache_clear()
    request.get_alias_from_config()
    extra_specs = {} if flavor is None else {"pci_passthrough:alias": flavor}
    requests = request.get_pci_requests_from_flavor({"extra_specs": extra_specs}, policy).requests
    requests += [each for port in ports for each in of_port(*port)]
    return {
        "requests": [
            {"alias": each.alias_name, "count": each.count, "policy": each.numa_policy, "specs": each.spec}
            for each in requests
        ],
        "takes": [[could_meet(each, pool) for pool in pools] for each in requests],
    }


def could_meet(asked: Any, pool: dict[str, Any]) -> bool:
    """Tell whether such a pool could meet a request, if only it had enough devices."""
    host = stats.PciDeviceStats(None, dev_filter=NOTHING)
    return bool(host._filter_pools([{**pool, "count": asked.count}], asked, None, []))


def of_port(vnic_type: str, physical_network: str | None, trusted: bool | None, policy: str | None) -> list[Any]:
    """Have nova make the request of a port."""
    api = neutron.API()
    neutron.get_client = lambda *_, **__: None
    api.has_extended_resource_request_extension = lambda *_: False
    api._get_port_vnic_info = lambda *_: (vnic_type, trusted, "network", None, policy, None)
    api._get_physnet_tunneled_info = lambda *_: (physical_network, False)
    made = objects.InstancePCIRequests(requests=[])
    networks = objects.NetworkRequestList(objects=[objects.NetworkRequest(port_id=str(uuid4()))])
    api.create_resource_requests(None, networks, made)
    return list(made.requests)


def answer(question: dict[str, Any]) -> Answer:
    """Answer, or say what nova raised: it then doesn't start or doesn't schedule, whatever the error's class."""
    ((what, arguments),) = question.items()
    try:
        return offered(**arguments) if what == "offered" else asked(**arguments)
    except Exception as error:  # noqa: BLE001
        return {"refused": [type(error).__name__, str(error)]}


if __name__ == "__main__":
    logging.disable()
    objects.register_all()
    conf.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    # Without it nova refuses one_time_use, which it then leaves to placement.
    conf.CONF.set_override("report_in_placement", True, "pci")
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)  # noqa: T201
