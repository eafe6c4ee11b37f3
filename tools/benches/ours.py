"""Our side: the model's own functions, and the agent's look without the reading of sysfs."""

import platform
import tempfile
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

from benches import fleet
from benches.timing import Work, serve
from pci_agent.agent.identity import Machine
from pci_agent.agent.service import Agent
from pci_agent.agent.store import Store
from pci_agent.discovery import sysfs
from pci_agent.discovery.sysfs import Scan
from pci_agent.model import device_spec
from pci_agent.model.device import Device, DevType
from pci_agent.model.fit import Assignment, fit
from pci_agent.model.inventory import TrackedDevice, apply, offered, reconcile
from pci_agent.model.names import names_of, remember
from pci_agent.model.request import PciRequest, Spec
from pci_agent.model.stats import nova_pools, pools

_OPEN = ExitStack()


def load(asked: dict[str, Any]) -> dict[str, Work]:
    """Take up a host and its whitelist as the agent does."""
    devices = fleet.devices(asked["count"], asked["vfs"])
    values = asked["values"]
    whitelist = device_spec.parse(values)
    names = names_of(devices, remember(devices, {}))
    tracked = apply({}, reconcile({}, offered(devices, whitelist, names), untold=(), new_uuid=lambda: str(uuid4())))
    inventory = list(tracked.values())

    def match(_: None) -> int:
        listed = device_spec.parse(values)
        return sum(listed.match(device, names) is not None for device in devices)

    seen = offered(devices, whitelist, names)

    def reconciled(_: None) -> int:
        return 0 if reconcile(tracked, seen, untold=(), new_uuid=lambda: "") else len(tracked)

    def unchanged(_: None) -> int:
        change = reconcile(tracked, offered(devices, whitelist, names), untold=(), new_uuid=lambda: "")
        return 0 if change else len(tracked)

    return {
        "match": Work(match),
        "pools": Work(lambda _: sum(pool.total for pool in pools(inventory))),
        "nova's pools": Work(lambda _: sum(pool["count"] for pool in nova_pools(inventory, devices))),
        **{name: _fit(inventory, each) for name, each in asked["requests"].items()},
        "unchanged": Work(unchanged),
        "reconcile": Work(reconciled),
        "agent's look": _look(devices, values),
    }


def _fit(inventory: list[TrackedDevice], asked: list[dict[str, Any]]) -> Work:
    requests = [
        PciRequest(request_id=str(number), count=each["count"], specs=tuple(_spec(spec) for spec in each["specs"]))
        for number, each in enumerate(asked)
    ]

    def chosen(_: None) -> int:
        found = fit(inventory, requests)
        return sum(len(given) for given in found.devices.values()) if isinstance(found, Assignment) else 0

    return Work(chosen)


def _spec(asked: dict[str, str]) -> Spec:
    dev_type = asked.get("dev_type")
    return Spec(
        vendor_id=asked.get("vendor_id"),
        product_id=asked.get("product_id"),
        dev_type=None if dev_type is None else DevType(dev_type),
        tags={name: value for name, value in asked.items() if name not in ("vendor_id", "product_id", "dev_type")},
    )


def _look(devices: tuple[Device, ...], values: list[str]) -> Work:
    """Let an agent look at a host of which sysfs says what it said before."""
    agent = Agent(_store(), host="bench", whitelist=device_spec.parse(values))

    def same_again(root: str = "/sys", before: Scan | None = None) -> Scan:  # noqa: ARG001
        return Scan(devices, ())

    sysfs.scan = same_again
    agent.start()
    agent.look()

    def look(_: None) -> int:
        looked = agent.look()
        return 0 if looked.changed else looked.offered

    return Work(look)


def _store() -> Store:
    """Open a store of its own; it lasts as long as the process."""
    folder = _OPEN.enter_context(tempfile.TemporaryDirectory(prefix="pci-bench-"))
    return _OPEN.enter_context(Store.opened(folder, Machine("bench", None)))


if __name__ == "__main__":
    with _OPEN:
        serve(load, {"Python": platform.python_version()})
