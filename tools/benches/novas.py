"""Nova's side, in nova's own Python: the same works as ours.py, done by nova.pci."""

import copy
import logging
import platform
import uuid
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

from nova import conf, objects  # type: ignore[import-not-found]
from nova.objects import instance_pci_requests, pci_device  # type: ignore[import-not-found]  # noqa: F401
from nova.pci import manager, stats, utils, whitelist  # type: ignore[import-not-found]

from benches.timing import Work, serve


def load(asked: dict[str, Any]) -> dict[str, Work]:
    """Take up a host and its whitelist as a compute service does."""
    machine = asked["machine"]
    pfs = set(machine["pfs"])
    utils.is_physical_function = lambda *fields: "{}:{}:{}.{}".format(*fields) in pfs
    conf.CONF.set_override("device_spec", asked["values"], "pci")
    reports = machine["devices"]
    tracker = manager.PciDevTracker(None, SimpleNamespace(id=1, numa_topology=None))
    tracker._set_hvdevs(copy.deepcopy(reports))  # noqa: SLF001
    return {
        "match": Work(_match(tracker.dev_filter), lambda: reports),
        "pools": Work(_pools(tracker.dev_filter), lambda: list(tracker.pci_devs)),
        **_fits(tracker.stats, asked["requests"]),
        "unchanged": Work(_unchanged(tracker), lambda: copy.deepcopy(reports)),
    }


def _match(listed: whitelist.Whitelist) -> Any:
    return lambda reports: sum(listed.device_assignable(report) is not None for report in reports)


def _pools(listed: whitelist.Whitelist) -> Any:
    def build(devices: list[Any]) -> int:
        built = stats.PciDeviceStats(None, dev_filter=listed)
        for device in devices:
            built.add_device(device)
        return sum(pool["count"] for pool in built.pools)

    return build


def _fits(pools: stats.PciDeviceStats, sets: dict[str, Any]) -> dict[str, Work]:
    """Fit each set of requests as the compute does: see whether they are supported, then take devices."""
    kept = [(pool, list(pool["devices"])) for pool in pools.pools]

    def restore() -> None:
        pools.pools = [{**pool, "count": len(devices), "devices": list(devices)} for pool, devices in kept]

    def consume(requests: list[Any]) -> int:
        return len(pools.consume_requests(requests))

    def fit(requests: list[Any]) -> int:
        return consume(requests) if pools.support_requests(requests, None) else 0

    works = {}
    for name, asked in sets.items():
        requests = [_request(each) for each in asked]

        def prepare(requests: list[Any] = requests) -> list[Any]:
            restore()
            return requests

        works[name] = Work(fit, prepare)
        works[f"{name}, taken alone"] = Work(consume, prepare)
    return works


def _request(asked: dict[str, Any]) -> Any:
    return objects.InstancePCIRequest(
        count=asked["count"],
        spec=asked["specs"],
        alias_name="bench",
        request_id=str(uuid.uuid4()),
        numa_policy="legacy",
    )


def _unchanged(tracker: manager.PciDevTracker) -> Any:
    def sync(reports: list[dict[str, Any]]) -> int:
        tracker._set_hvdevs(reports)  # noqa: SLF001
        return len(tracker.pci_devs)

    return sync


if __name__ == "__main__":
    logging.disable()
    conf.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    # The one thing that it asks of a database: a host of which nothing is known yet.
    objects.PciDeviceList.get_by_compute_node = lambda *_: objects.PciDeviceList()
    serve(load, {"Python": platform.python_version(), "nova": version("nova")})
