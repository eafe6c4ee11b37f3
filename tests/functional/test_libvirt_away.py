"""While libvirt is away what it said last holds, and that it is away is a problem that is told."""

from pathlib import Path

from pci_agent.cmd import agent_daemon, process
from pci_agent.discovery.domain_xml import DomainTexts, Texts
from pci_agent.discovery.libvirtd import Libvirtd
from pci_agent.discovery.sysfs import scan
from sysfs import FakeSysfs

VF, INSTANCE = "0000:04:10.0", "00000000-0000-4000-8000-000000000001"
XML = (
    f"<domain type='kvm' id='1'><name>guest</name><uuid>{INSTANCE}</uuid><devices><hostdev mode='subsystem' type='pci'>"
    "<source><address domain='0x0000' bus='0x04' slot='0x10' function='0x0'/></source></hostdev></devices></domain>"
)
SAID = Texts((DomainTexts(uuid=INSTANCE, name="guest", now=XML, defined=None),), ())


def test_what_libvirt_said_last_holds_while_it_is_away_with_a_problem_more(tmp_path: Path, sysfs: FakeSysfs) -> None:
    sysfs.add_pf("0000:04:00.0", vfs=[VF])
    file = tmp_path / "pci-agent.conf"
    file.write_text(f"[agent]\nsysfs_root = {sysfs}\n")
    conf = process.configuration("pci-agent", agent_daemon.GROUPS, ["--config-file", str(file)], description="")
    libvirtd, devices = Libvirtd("qemu:///system", lambda: None), scan(str(sysfs)).devices
    reading = agent_daemon.senses(conf, libvirtd).reading
    assert reading is not None
    assert reading(devices) is None, "libvirt hasn't answered yet"
    libvirtd.said, libvirtd.trouble = SAID, None
    there = reading(devices)
    assert there is not None
    assert there.problems == ()
    assert [str(held.address) for domain in there.domains for held in domain.live] == [VF]
    libvirtd.trouble = "libvirt doesn't answer"
    away = reading(devices)
    assert away is not None
    assert (away.domains, away.problems) == (there.domains, ("libvirt doesn't answer",))
    assert reading(devices) is away, "unchanged, and handed back as the same object"
    libvirtd.trouble = None
    assert reading(devices) == there
