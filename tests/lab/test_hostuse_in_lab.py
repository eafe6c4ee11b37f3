"""What a real kernel shows of routes, addresses, bridges, bonds, VLANs and disks is told as use; all is undone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from labs.guest import Lab
from labs.qmp import Qmp

NIC, ROOT, PF, VF, SLOT = "0000:00:02.0", "0000:00:01.0", "0000:21:00.0", "0000:21:10.0", "0000:41:00.0"
LOOK = """
import json
from pci_agent.discovery.hostuse import host_use
from pci_agent.discovery.sysfs import scan
seen = host_use(scan().devices)
print(json.dumps([{str(address): reasons for address, reasons in seen.reasons.items()}, seen.problems]))
"""
OTHERS = {NIC, ROOT}


def look(lab: Lab) -> tuple[dict[str, list[str]], list[str]]:
    reasons, problems = json.loads(lab.run(f"PYTHONPATH=/project:/site python3 - <<'END'\n{LOOK}\nEND"))
    return reasons, problems


def cards(lab: Lab) -> dict[str, list[str]]:
    """Tell the use of everything but the guest's own NIC and disk."""
    reasons, problems = look(lab)
    assert problems == []
    return {address: said for address, said in reasons.items() if address not in OTHERS}


@contextmanager
def done(lab: Lab, command: str, undo: str) -> Iterator[None]:
    try:
        lab.run(f"set -e; {command}")
        yield
    finally:
        lab.try_run(undo)


@pytest.fixture(autouse=True)
def _put_back(lab: Lab) -> Iterator[None]:
    """Nothing of the cards is in use after a test."""
    yield
    assert cards(lab) == {}


def test_the_guests_own_nic_and_disk_are_in_use_over_virtio(lab: Lab) -> None:
    reasons, problems = look(lab)
    assert problems == []
    assert set(reasons) == OTHERS
    assert reasons[ROOT] == ["/ is mounted from vda"]
    name = json.loads(lab.run("ip -j route show default"))[0]["dev"]
    assert f"the default route goes through {name}" in reasons[NIC]
    assert any(said.startswith(f"{name} has the address") and "10.0.2.15" in said for said in reasons[NIC])


def test_being_up_with_a_link_local_address_is_not_use(lab: Lab) -> None:
    netdevs = "ens1 ens1v0 ens2 ens2v1"
    up = f"for each in {netdevs}; do ip link set $each up; done; ip addr add 169.254.7.7/16 dev ens1v0"
    down = f"ip addr del 169.254.7.7/16 dev ens1v0; for each in {netdevs}; do ip link set $each down; done"
    with done(lab, up, down):
        lab.run("until ip -6 -o addr show dev ens1 | grep -q 'inet6 fe80'; do sleep 0.1; done")
        assert cards(lab) == {}


@pytest.mark.parametrize("label", ["", " label ens1v0:1"])
def test_an_address_on_a_vf_is_use_of_the_vf_alone(lab: Lab, label: str) -> None:
    with done(lab, f"ip addr add 192.0.2.7/24 dev ens1v0{label}", "ip addr del 192.0.2.7/24 dev ens1v0"):
        assert cards(lab) == {VF: ["ens1v0 has the address 192.0.2.7"]}


def test_an_ipv6_default_route_is_use(lab: Lab) -> None:
    route = "ip link set ens1v0 up; ip -6 route add default via fe80::99 dev ens1v0 metric 9999"
    with done(lab, route, "ip -6 route del default via fe80::99 dev ens1v0 metric 9999; ip link set ens1v0 down"):
        assert cards(lab) == {VF: ["the default route goes through ens1v0"]}


def test_a_pf_in_a_bridge_is_in_use_and_so_is_what_the_bridge_is_for(lab: Lab) -> None:
    with done(lab, "ip link add br-ex type bridge; ip link set ens1 master br-ex", "ip link del br-ex"):
        assert cards(lab) == {PF: ["ens1 is in the bridge br-ex"]}
        lab.run("ip addr add 192.0.2.7/24 dev br-ex")
        assert cards(lab) == {PF: ["br-ex on ens1 has the address 192.0.2.7", "ens1 is in the bridge br-ex"]}


def test_a_vlans_address_is_use_of_its_vf_and_the_vlan_alone_is_not(lab: Lab) -> None:
    # 802.1ad, since the card that QEMU emulates refuses its VFs a filter for 802.1Q.
    with done(lab, "ip link add link ens1v0 name vlan7 type vlan proto 802.1ad id 7", "ip link del vlan7"):
        assert cards(lab) == {}
        lab.run("ip addr add 192.0.2.7/24 dev vlan7")
        assert cards(lab) == {VF: ["vlan7 on ens1v0 has the address 192.0.2.7"]}


def test_a_vlan_over_a_bond_in_a_bridge_is_use_of_both_ports(lab: Lab) -> None:
    make = (
        "ip link add bond0 type bond mode active-backup; ip link add br0 type bridge;"
        " for each in ens1 ens2; do ip link set $each down; ip link set $each master bond0; done;"
        " ip link add link bond0 name bond0.7 type vlan id 7; ip link set bond0.7 master br0"
    )
    unmake = "for each in bond0.7 br0 bond0; do ip link del $each; done; ip link set ens1 down; ip link set ens2 down"
    with done(lab, make, unmake):
        assert cards(lab) == {
            address: [f"bond0.7 on {name} is in the bridge br0", f"{name} is in the bond bond0"]
            for address, name in ((PF, "ens1"), (SLOT, "ens2"))
        }


def test_a_macvlans_address_is_use(lab: Lab) -> None:
    macvlan = "ip link add link ens1v0 name mac0 type macvlan mode bridge; ip addr add 192.0.2.7/24 dev mac0"
    with done(lab, macvlan, "ip link del mac0"):
        assert cards(lab) == {VF: ["mac0 on ens1v0 has the address 192.0.2.7"]}


def test_a_drive_is_in_use_while_it_is_mounted_or_swap(lab: Lab) -> None:
    if lab.try_run("command -v mkfs.ext4 mkswap")["code"]:
        pytest.skip("the guest has no mkfs.ext4 or mkswap")
    with _drive(lab) as name:
        lab.run(f"mkfs.ext4 -q /dev/{name}; mkdir -p '/tmp/my disk' /tmp/bound")
        assert cards(lab) == {}
        unmount = "umount /tmp/bound; umount '/tmp/my disk'"
        with done(lab, f"mount /dev/{name} '/tmp/my disk'; mount --bind '/tmp/my disk' /tmp/bound", unmount):
            assert cards(lab) == {SLOT: [f"/tmp/bound is mounted from {name}"]}
        with done(lab, f"mkswap -q /dev/{name}; swapon /dev/{name}", f"swapoff /dev/{name}"):
            assert cards(lab) == {SLOT: [f"{name} is swap"]}


@contextmanager
def _drive(lab: Lab) -> Iterator[str]:
    """Put an NVMe drive into the second card's slot; the lab's own has no namespace. Give the disk's name."""
    lab.unplug(1)
    _plug_drive(lab)
    try:
        found = lab.run("until ls /dev/nvme*n1 2>/dev/null; do sleep 0.2; done; udevadm settle")
        yield found.strip().removeprefix("/dev/")
    finally:
        _unplug_drive(lab)
        lab.plug(1)
        numvfs = f"/sys/bus/pci/devices/{SLOT}/sriov_numvfs"
        lab.run(f"until echo {lab.hardware.vfs} > {numvfs}; do sleep 0.5; done 2>/dev/null; udevadm settle")


def _plug_drive(lab: Lab) -> None:
    file = lab.folder / "spare.raw"
    with file.open("wb") as out:
        out.truncate(64 << 20)
    with Qmp(lab._socket("qmp")) as qmp:
        qmp(
            "blockdev-add", **{"driver": "raw", "node-name": "spare", "file": {"driver": "file", "filename": str(file)}}
        )
        qmp("device_add", driver="nvme", id="spare", bus="port-1", serial="spare", drive="spare")


def _unplug_drive(lab: Lab) -> None:
    with Qmp(lab._socket("qmp")) as qmp:
        qmp.pull("spare")
        qmp("blockdev-del", **{"node-name": "spare"})
