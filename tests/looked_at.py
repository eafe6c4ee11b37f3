"""
A fleet to look at: a machine like the lab's, two hosts beside it, instances that hold some of their devices.

There is one at a time in a process, since agents of one name on its one bus would answer for each other: so a file of
tests either looks at *shown* or changes its own *looked*.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import falcon
import orjson
import pytest
from browsers import Reader, reader, served
from falcon.testing import TestClient
from playwright.sync_api import Browser

from buses import get, parts
from centres import Centre, joined
from hosts import Host
from pci_agent.api.app import application
from pci_agent.tracker import database
from pci_agent.tracker.store import Store
from sysfs import FakeSysfs

LAB, BESIDE, BARE = "lab", "compute-1", "compute-2"
WEB = "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11"
DATABASE = "d5c1e0a4-90bb-4a55-8c55-6f5f7f6c2b02"
PFS = {"0000:21:00.0": (0, "physnet1"), "0000:41:00.0": (1, "physnet2")}
FIRST_VF = "0000:21:10.0"


def lab(folder: Path) -> Host:
    """Two igb cards with 4 VFs each on two nodes, and a GPU of two functions in one IOMMU group."""
    sysfs = FakeSysfs(folder / "lab-sys")
    groups = iter(range(10, 99))
    for number, (address, (node, _)) in enumerate(PFS.items()):
        vfs = [f"{address[:8]}{0x10 + each // 2:02x}.{each % 2 * 4}" for each in range(4)]
        sysfs.add_pf(address, "8086:10c9", vfs=vfs, vf_ids="8086:10ca", numa_node=node, netdev=f"enp{number}s0")
        for each in (address, *vfs):
            (sysfs.place(each) / "iommu_group").symlink_to(f"../../../kernel/iommu_groups/{next(groups)}")
    for each in ("0000:61:00.0", "0000:61:00.1"):
        sysfs.add(each, "10de:25b6", pci_class="30200", numa_node=1, iommu_group=30)
    specs = [f'{{"address": "{address}", "physical_network": "{network}"}}' for address, (_, network) in PFS.items()]
    host = Host(LAB, sysfs, folder / LAB, *specs, '{"vendor_id": "10de", "rack": "7"}')
    host.uses["0000:41:00.0"] = "the default route goes through enp1s0"
    return host


def beside(name: str, folder: Path) -> Host:
    """One card with 8 VFs."""
    sysfs = FakeSysfs(folder / f"{name}-sys")
    sysfs.add_pf("0000:04:00.0", vfs=[f"0000:04:{0x10 + each // 8:02x}.{each % 8}" for each in range(8)], numa_node=0)
    return Host(name, sysfs, folder / name, '{"product_id": "1520", "physical_network": "physnet1"}')


def bare(folder: Path) -> Host:
    """A host whose whitelist names nothing that is there."""
    sysfs = FakeSysfs(folder / "bare-sys")
    sysfs.add("0000:05:00.0")
    return Host(BARE, sysfs, folder / BARE, '{"product_id": "9999"}')


@dataclass(frozen=True)
class Looked:
    """The fleet, the application that shows it, and whoever asks that for what a test wants to know."""

    fleet: Centre
    app: falcon.App[Any, Any]
    client: TestClient

    def get(self, path: str) -> Any:
        return get(self.client, path)

    def device(self, host: str, address: str) -> Any:
        """What REST shows of a device."""
        (found,) = self.get(f"/v3/os-pci/detail?hypervisor={host}&address={address}")["pci_devices"]
        return found

    def claim(
        self, instance: str, host: str, request: str, count: int = 1, *, project: str = "shop", **more: object
    ) -> None:
        """Claim VFs for an instance, over REST."""
        spec = {"dev_type": "type-VF", **more}
        body = {"hypervisor": host, "requests": [{"request_id": request, "count": count, "specs": [spec]}]}
        self.send("PUT", f"/v3/os-pci/allocations/{instance}", {**body, "project_id": project})

    def send(self, method: str, path: str, body: object) -> None:
        answer = self.client.simulate_request(method, path, body=orjson.dumps(body).decode())
        assert answer.status_code == 200, answer.text


@contextmanager
def looked_at(folder: Path) -> Iterator[Looked]:
    """The fleet, with nobody that holds anything."""
    engine = database.connect(f"sqlite:///{folder}/tracker.sqlite")
    database.upgrade(engine)
    store = Store(engine, host_down_s=75)
    hosts = {LAB: lab(folder), BESIDE: beside(BESIDE, folder), BARE: bare(folder)}
    with joined(store, hosts) as fleet:
        app = application(parts(store, agents=fleet.agents))
        yield Looked(fleet, app, TestClient(app))
    engine.dispose()


def furnished(looked: Looked) -> None:
    """Let instances hold devices, and an operator disable one."""
    looked.claim(WEB, LAB, "web-1", 2, tags={"physical_network": "physnet1"})
    looked.send("POST", f"/v3/os-pci/allocations/{WEB}/confirm", {})
    looked.claim(DATABASE, LAB, "database-1", tags={"physical_network": "physnet2"})
    broken = looked.device(LAB, "0000:61:00.0")["uuid"]
    looked.send("POST", f"/v3/os-pci/{broken}/disable", {"reason": "its fan is broken"})
    looked.fleet.report()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Looked, str]]:
    """A furnished fleet, and where it is served."""
    with looked_at(tmp_path_factory.mktemp("shown")) as made:
        furnished(made)
        with served(made.app) as url:
            yield made, url


@pytest.fixture
def looked(tmp_path: Path) -> Iterator[Looked]:
    """A furnished fleet that a test may change."""
    with looked_at(tmp_path) as made:
        furnished(made)
        yield made


@pytest.fixture
def operator(looked: Looked, browser: Browser) -> Iterator[Reader]:
    """Somebody who looks at it, and does something."""
    with served(looked.app) as url, reader(browser, url) as made:
        yield made
