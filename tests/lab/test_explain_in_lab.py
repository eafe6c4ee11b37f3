"""What explain, check-config and plan tell on a real kernel, in the words that an operator reads."""

import json
from collections.abc import Iterator

import pytest

from labs.guest import Lab

PF, VF, OTHER, FAR = "0000:21:00.0", "0000:21:10.0", "0000:21:10.2", "0000:41:10.0"
SPECS = (
    f'{{"address": "{OTHER}", "exclude": true}}',
    '{"devname": "ens1", "physical_network": "physnet1"}',
    '{"address": "*:41:00.*", "physical_network": "physnet2"}',
)


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[Lab]:
    """The lab with a whitelist in its usual place, and libvirtd answering."""
    lines = "\n".join(f"device_spec = {spec}" for spec in SPECS)
    lab.run(f"mkdir -p /etc/pci-agent; cat >/etc/pci-agent/pci-agent.conf <<'END'\n[pci]\n{lines}\nEND")
    lab.run("until virsh -q list >/dev/null 2>&1; do sleep 0.2; done")
    yield lab
    lab.run("rm -r /etc/pci-agent")


def explained(lab: Lab, *addresses: str) -> dict[str, str]:
    """What explain tells of each function, all asked for at once."""
    text = str(lab.try_run(f"pci-agent explain {' '.join(addresses)}")["stdout"])
    starts = [text.index(f"{address}  8086:") for address in addresses]
    return {
        address: text[start:end] for address, start, end in zip(addresses, starts, [*starts[1:], None], strict=True)
    }


def test_why_a_vf_is_offered_excluded_or_left_behind(host: Lab) -> None:
    told = explained(host, VF, OTHER, FAR)
    by_its_pfs_devname = told[VF]
    assert f"no: its address {VF} isn't {OTHER}" in by_its_pfs_devname
    assert (
        'entry 2  {"devname": "ens1", "physical_network": "physnet1"}\n    matches, and decides' in by_its_pfs_devname
    )
    assert "outcome: offered by entry 2, with tags physical_network=physnet1" in by_its_pfs_devname
    assert f"dev_type=type-VF parent_addr={PF} physical_network=physnet1" in by_its_pfs_devname
    assert "host use: none seen" in by_its_pfs_devname
    assert "status: available" in by_its_pfs_devname
    excluded = told[OTHER]
    assert "would match, but entry 1 comes first" in excluded
    assert "outcome: not offered, for entry 1 excludes it" in excluded
    assert f'cure: to offer it, narrow entry 1, or put {{"address": "{OTHER}"}} with its tags above it' in excluded
    assert "its PF's is, but an address with wildcards takes no VFs along" in told[FAR]


def test_the_pf_with_the_default_route(host: Lab) -> None:
    host.run("ip link set ens1 up; ip addr add 192.0.2.7/24 dev ens1; ip route add default via 192.0.2.1 metric 99")
    try:
        told = explained(host, PF, VF)
    finally:
        host.run("ip route del default via 192.0.2.1; ip addr del 192.0.2.7/24 dev ens1; ip link set ens1 down")
    assert "outcome: offered by entry 2" in told[PF]
    assert "status: unavailable, the host uses it: " in told[PF]
    assert "the default route goes through ens1" in told[PF]
    assert 'add "allow_host_use": true to entry 2' in told[PF]
    assert "status: available" in told[VF]  # a PF must be up for its VFs


def test_a_vf_that_a_domain_holds_is_named_by_explain_and_by_plan(host: Lab) -> None:
    domain = (
        "<domain type='qemu'><name>guest</name><memory unit='MiB'>48</memory>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><controller type='usb' model='none'/>"
        "<memballoon model='none'/><hostdev mode='subsystem' type='pci' managed='yes'><source>"
        "<address bus='0x21' slot='0x10' function='0x0'/></source></hostdev></devices></domain>"
    )
    host.run(f"cat >/tmp/guest.xml <<'END'\n{domain}\nEND\nvirsh create --paused /tmp/guest.xml")
    try:
        uuid = host.run("virsh domuuid guest").strip()
        assert f"held by: {uuid} (libvirt: guest, running, as hostdev)" in explained(host, VF)[VF]
        host.run('printf \'[pci]\\ndevice_spec = {"vendor_id": "ffff"}\\n\' >/tmp/new.conf')
        planned = host.try_run("pci-agent plan --new-config /tmp/new.conf -f json")
        assert planned["code"] == 1
        lost = {each["address"]: each["holders"] for each in json.loads(planned["stdout"])["lost"]}
        assert [holder["instance_uuid"] for holder in lost[VF]] == [uuid]
    finally:
        host.run("virsh destroy guest; udevadm settle")
