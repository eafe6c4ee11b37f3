"""Domains with VFs, started in the guest by its own libvirtd: what read tells of them is what virsh tells."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest

from labs.guest import Lab

ASK = """\
import json
from pci_agent.discovery.libvirt import opened, read
from pci_agent.discovery.sysfs import scan
with opened("qemu:///system") as connection:
    told = read(connection, scan().devices)
def shown(holdings):
    return [[str(holding.address), holding.how] for holding in holdings]
domains = {
    domain.name: {
        "uuid": domain.uuid,
        "active": domain.active,
        "persistent": domain.persistent,
        "complete": domain.complete,
        "live": shown(domain.live),
        "defined": shown(domain.defined),
    }
    for domain in told.domains
}
pools = {pool.name: [pool.active, *map(str, pool.addresses)] for pool in told.pools}
print(json.dumps({"domains": domains, "pools": pools, "problems": told.problems}))
"""
DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>48</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/>{device}</devices>
</domain>
"""
HOSTDEV = "<hostdev mode='subsystem' type='pci' managed='yes'><source><address {}/></source></hostdev>"
DEVICES = {
    "card": HOSTDEV.format("bus='0x21' slot='0x10' function='0x0'"),
    "port": "<interface type='hostdev' managed='yes'><source><address type='pci' bus='0x21' slot='0x10' function='2'/>"
    "</source></interface>",
    "tap": "<interface type='direct'><source dev='ens1v2' mode='passthrough'/></interface>",
    "pooled": "<interface type='network'><source network='vfs'/></interface>",
    "asleep": HOSTDEV.format("bus='65' slot='16' function='6'"),
}
NETWORK = "<network><name>vfs</name><forward mode='hostdev' managed='yes'><pf dev='ens2'/></forward></network>"
POOL = ["0000:41:10.0", "0000:41:10.2", "0000:41:10.4", "0000:41:10.6"]


@pytest.fixture(scope="module")
def guests(lab: Lab) -> Iterator[Lab]:
    """The lab with those domains: all but the last run, paused; the macvtap one isn't defined."""
    lab.run("until virsh -q list >/dev/null 2>&1; do sleep 0.2; done; ip link set ens1 up; ip link set ens2 up")
    try:
        virsh(lab, "net-define", NETWORK)
        lab.run("virsh net-start vfs")
        for name, device in DEVICES.items():
            virsh(lab, "create --paused" if name == "tap" else "define", DOMAIN.format(name=name, device=device))
        lab.run("for name in card port pooled; do virsh start --paused $name; done")
        yield lab
    finally:
        lab.run(
            "for name in $(virsh -q list --name); do virsh destroy $name; done;"
            " for name in $(virsh -q list --name --all); do virsh undefine $name; done;"
            " virsh net-destroy vfs; virsh net-undefine vfs;"
            " ip link set ens1 down; ip link set ens2 down; udevadm settle"
        )


def virsh(lab: Lab, command: str, xml: str) -> None:
    lab.run(f"cat >/tmp/virsh.xml <<'END'\n{xml}\nEND\nvirsh {command} /tmp/virsh.xml")


def asked(lab: Lab) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(lab.run(f"PYTHONPATH=/project:/site python3 - <<'END'\n{ASK}\nEND"))
    assert told["problems"] == []
    return told


def as_virsh_tells(lab: Lab, name: str, options: str = "") -> list[list[str]]:
    """What a domain holds, by dumpxml; a netdev's function by the link that its driver made."""
    found = []
    for device in ET.fromstring(lab.run(f"virsh dumpxml {options} {name}")).iterfind("devices/*"):
        address, source = device.find("source/address"), device.find("source")
        if device.get("type") == "direct" and source is not None:
            target = lab.run(f"readlink /sys/class/net/{source.get('dev')}/device")
            found.append([target.strip().rpartition("/")[2], "macvtap"])
        elif address is not None:
            parts = [int(address.get(part, ""), 16) for part in ("domain", "bus", "slot", "function")]
            found.append(["{:04x}:{:02x}:{:02x}.{:x}".format(*parts), device.tag])
    return found


def test_each_domain_holds_what_virsh_tells(guests: Lab) -> None:
    running = guests.run("virsh -q list --name").split()
    assert sorted(running) == ["card", "pooled", "port", "tap"]
    persistent = guests.run("virsh -q list --name --all --persistent").split()
    assert asked(guests)["domains"] == {
        name: {
            "uuid": guests.run(f"virsh domuuid {name}").strip(),
            "active": name in running,
            "persistent": name in persistent,
            "complete": True,
            "live": as_virsh_tells(guests, name) if name in running else [],
            "defined": as_virsh_tells(guests, name, "--inactive") if name in persistent else [],
        }
        for name in DEVICES
    }


def test_each_domain_holds_the_vf_that_it_was_given(guests: Lab) -> None:
    told = asked(guests)["domains"]
    pooled = told["pooled"]["live"]
    assert {name: (domain["live"], domain["defined"]) for name, domain in told.items()} == {
        "card": ([["0000:21:10.0", "hostdev"]], [["0000:21:10.0", "hostdev"]]),
        "port": ([["0000:21:10.2", "interface"]], [["0000:21:10.2", "interface"]]),
        "tap": ([["0000:21:10.4", "macvtap"]], []),
        "pooled": (pooled, []),
        "asleep": ([], [["0000:41:10.6", "hostdev"]]),
    }
    assert [how for _, how in pooled] == ["interface"]
    assert pooled[0][0] in POOL


def test_a_hostdev_network_hands_out_the_vfs_of_its_pf(guests: Lab) -> None:
    assert asked(guests)["pools"] == {"vfs": [True, *POOL]}


def test_what_a_domain_held_is_free_when_it_is_shut_off(guests: Lab) -> None:
    guests.run("virsh destroy card; virsh destroy tap")
    told = asked(guests)["domains"]
    assert sorted(told) == ["asleep", "card", "pooled", "port"]
    assert (told["card"]["active"], told["card"]["live"]) == (False, [])
    assert told["card"]["defined"] == [["0000:21:10.0", "hostdev"]]
