"""libvirt's own test driver, in this process: real bindings, real XML as libvirt formats it, no daemon."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt
import pytest

from machines import CARD, EVERYTHING, VF0, VF1
from pci_agent.discovery.domains import Domain, Holding, How, Pool, Reading
from pci_agent.discovery.libvirt import opened, read
from pci_agent.errors import LibvirtSilent
from pci_agent.model.address import PciAddress

UUID = "00000000-0000-0000-0000-00000000000{}"
OS = "<memory>65536</memory><os><type>hvm</type></os>"
TEST = "xmlns:test='http://libvirt.org/schemas/domain/test/1.0'"
SHUT_OFF = "<test:runstate>5</test:runstate>"
NODE = f"""\
<node>
  <domain type='test'>
    <name>runs</name><uuid>{UUID.format(1)}</uuid>{OS}
    <devices>
      <hostdev mode='subsystem' type='pci' managed='yes'><source><address bus='0x81' slot='0x0'/></source></hostdev>
      <interface type='direct'><source dev='enp4s0f0v1' mode='passthrough'/></interface>
    </devices>
  </domain>
  <domain type='test' {TEST}>
    <name>defined</name><uuid>{UUID.format(2)}</uuid>{OS}{SHUT_OFF}
    <devices>
      <interface type='hostdev'>
        <source><address type='pci' domain='0' bus='4' slot='16' function='0'/></source>
      </interface>
    </devices>
  </domain>
  <domain type='test' {TEST}>
    <name>passing</name><uuid>{UUID.format(3)}</uuid>{OS}<test:transient/>
    <devices>
      <disk type='nvme' device='disk'>
        <source type='pci' managed='yes' namespace='1'><address bus='0x42' slot='0x0' function='0x0'/></source>
        <target dev='vda' bus='virtio'/>
      </disk>
    </devices>
  </domain>
  <domain type='test'><name>plain</name><uuid>{UUID.format(4)}</uuid>{OS}<devices/></domain>
  <network><name>isolated</name><bridge name='virbr0'/></network>
  <network><name>vfs</name><forward mode='hostdev' managed='yes'><pf dev='enp4s0f0'/></forward></network>
  <network>
    <name>named</name>
    <forward mode='hostdev' managed='yes'><address type='pci' domain='0' bus='0x04' slot='0x10' function='4'/></forward>
  </network>
</node>
"""
IN_VF1_AND_CARD = (Holding(VF1.address, How.MACVTAP), Holding(CARD.address, How.HOSTDEV))
IN_VF = (Holding(VF0.address, How.INTERFACE),)
IN_NVME = (Holding(PciAddress(0, 0x42, 0, 0), How.NVME_DISK),)


def a_domain(number: int, name: str, **more: Any) -> Domain:
    usual = {"active": True, "persistent": True, "live": (), "defined": (), "complete": True}
    return Domain(uuid=UUID.format(number), name=name, **{**usual, **more})


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A host of the test driver's with those domains and networks."""
    (tmp_path / "node.xml").write_text(NODE)
    return f"test://{tmp_path}/node.xml"


@pytest.fixture
def writable(uri: str) -> Iterator[Any]:
    """A connection that may change what it shows. Each has its own copy of it."""
    connection = libvirt.open(uri)
    yield connection
    connection.close()


def by_name(reading: Reading) -> dict[str, Domain]:
    return {domain.name: domain for domain in reading.domains}


def test_a_read_only_connection_tells_every_domain_and_pool(uri: str, tmp_path: Path) -> None:
    with opened(uri) as connection:
        assert read(connection, EVERYTHING, str(tmp_path)) == Reading(
            domains=(
                a_domain(2, "defined", active=False, defined=IN_VF),
                a_domain(3, "passing", persistent=False, live=IN_NVME),
                a_domain(4, "plain"),
                a_domain(1, "runs", live=IN_VF1_AND_CARD, defined=IN_VF1_AND_CARD),
            ),
            pools=(
                Pool("named", active=True, addresses=(VF1.address,)),
                Pool("vfs", active=True, addresses=(VF0.address, VF1.address)),
            ),
            problems=(),
        )


def test_what_opened_gives_may_change_nothing(uri: str) -> None:
    with opened(uri) as connection, pytest.raises(libvirt.libvirtError, match="read only access"):
        connection.lookupByName("defined").create()


def test_a_domain_holds_from_its_start_until_it_is_shut_off(writable: Any) -> None:
    writable.lookupByName("defined").create()
    writable.lookupByName("runs").destroy()
    seen = by_name(read(writable, EVERYTHING))
    assert seen["defined"] == a_domain(2, "defined", live=IN_VF, defined=IN_VF)
    assert seen["runs"] == a_domain(1, "runs", active=False, defined=IN_VF1_AND_CARD)


def test_a_running_domain_that_was_defined_anew_holds_what_it_was_started_with(writable: Any) -> None:
    xml = writable.lookupByName("runs").XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    writable.defineXML(xml.replace("enp4s0f0v1", "enp4s0f0v0"))
    runs = by_name(read(writable, EVERYTHING))["runs"]
    assert (runs.live, runs.defined) == (
        IN_VF1_AND_CARD,
        (replace(IN_VF1_AND_CARD[0], address=VF0.address), IN_VF1_AND_CARD[1]),
    )


def test_a_network_that_was_stopped_is_a_pool_still(writable: Any) -> None:
    writable.networkLookupByName("vfs").destroy()
    assert read(writable, EVERYTHING).pools[1] == Pool("vfs", active=False, addresses=(VF0.address, VF1.address))


def test_a_pf_that_is_away_is_a_problem_of_its_network(uri: str) -> None:
    with opened(uri) as connection:
        seen = read(connection, (VF0, VF1))
    assert seen.problems == ("network vfs: its pf 'enp4s0f0' is no netdev of a PF of this host",)
    assert [pool.name for pool in seen.pools] == ["named", "vfs"]


class Between:
    """The connection, with something happening between its answer to a listing and the next question."""

    def __init__(self, connection: Any, happening: str) -> None:
        self._connection = connection
        self._happening = happening

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def listAllDomains(self, flags: int) -> list[Any]:  # noqa: N802 - libvirt's name
        listed: list[Any] = self._connection.listAllDomains(flags)
        domain = self._connection.lookupByName(self._happening)
        domain.destroy()
        if domain.isPersistent():
            domain.undefine()
        return listed


@pytest.mark.parametrize("gone", ["runs", "plain"])
def test_a_domain_that_vanishes_while_it_is_read_is_left_out(writable: Any, gone: str) -> None:
    before = by_name(read(writable, EVERYTHING))
    seen = read(Between(writable, gone), EVERYTHING)
    assert by_name(seen) == {name: domain for name, domain in before.items() if name != gone}
    assert seen.problems == ()


def test_a_broken_connection_tells_nothing(uri: str) -> None:
    with opened(uri) as connection:
        pass
    with pytest.raises(LibvirtSilent, match="libvirt doesn't list its domains"):
        read(connection, EVERYTHING)


def test_a_host_where_nobody_answers_is_silent_on_stderr_too(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(LibvirtSilent, match=r"doesn't answer at .*/nowhere \(Failed to connect socket.*\): see that"),
        opened("qemu+unix:///system?socket=/nowhere"),
    ):
        pass
    assert capfd.readouterr().err == ""
