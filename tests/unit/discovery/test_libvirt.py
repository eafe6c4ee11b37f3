"""Text to values, with no libvirt: who holds what, what a network hands out, what a node device is."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import CAPTURES
from machines import CARD, EVERYTHING, PF, VF0, VF1
from pci_agent.discovery.children import vhost_vdpa
from pci_agent.discovery.domain_xml import Bearers, Held, Pooled, holdings, node_device, pooled
from pci_agent.model.address import PciAddress
from pci_agent.model.device import Netdev

BEARERS = Bearers.of(EVERYTHING, {"vhost-vdpa-0": VF0.address, "vhost-vdpa-1": None})
NODEDEV = CAPTURES / "nodedev"
VF0_PARTS = "domain='0x0000' bus='0x04' slot='0x10' function='0x0'"


def domain(devices: str, attributes: str = "") -> str:
    return f"<domain type='kvm' {attributes}><name>guest</name><devices>{devices}</devices></domain>"


def network(forward: str, mode: str = "hostdev") -> str:
    return f"<network><name>pool</name><forward mode='{mode}' managed='yes'>{forward}</forward></network>"


def held(devices: str) -> list[tuple[str, str]]:
    """Address and means of each holding, where nothing is a problem."""
    told = holdings(domain(devices), BEARERS)
    assert told.problems == ()
    return [(str(holding.address), holding.how.value) for holding in told.holdings]


def hostdev(address: str) -> str:
    return f"<hostdev mode='subsystem' type='pci' managed='yes'><source><address {address}/></source></hostdev>"


def macvtap(dev: str, mode: str) -> str:
    return f"<interface type='direct'><source dev='{dev}' mode='{mode}'/></interface>"


def problems(devices: str) -> tuple[str, ...]:
    return holdings(domain(devices), BEARERS).problems


# What holds


def test_a_hostdev_holds_its_source_not_the_address_that_the_guest_sees() -> None:
    xml = hostdev(VF0_PARTS).replace("</hostdev>", "<address type='pci' domain='0' bus='9' slot='1'/></hostdev>")
    assert held(xml) == [("0000:04:10.0", "hostdev")]


def test_an_interface_of_type_hostdev_holds_its_source() -> None:
    source = f"<source><address type='pci' {VF0_PARTS}/></source>"
    interface = f"<interface type='hostdev' managed='yes'><mac address='52:54:00:00:00:01'/>{source}</interface>"
    assert held(interface) == [("0000:04:10.0", "interface")]


@pytest.mark.parametrize("mode", ["passthrough", "bridge", "vepa", "private"])
def test_macvtap_holds_a_vf_in_any_mode(mode: str) -> None:
    assert held(macvtap("enp4s0f0v1", mode)) == [("0000:04:10.4", "macvtap")]


def test_macvtap_holds_a_pf_in_passthrough_mode_alone() -> None:
    assert held(macvtap("enp4s0f0", "passthrough")) == [("0000:04:00.0", "macvtap")]
    assert held(macvtap("enp4s0f0", "bridge") + "<interface type='direct'><source dev='enp4s0f0'/></interface>") == []


def test_macvtap_on_what_is_no_pci_function_holds_nothing() -> None:
    assert held(macvtap("bond0", "passthrough") + "<interface type='direct'/>") == []


def test_a_vhost_vdpa_device_holds_the_function_below_it() -> None:
    interface = "<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>"
    disk = "<disk type='vhostvdpa' device='disk'><source dev='/dev/vhost-vdpa-0'/></disk>"
    assert held(interface) == held(disk) == [("0000:04:10.0", "vdpa")]


def test_a_vhost_vdpa_device_of_a_simulator_holds_nothing() -> None:
    assert held("<interface type='vdpa'><source dev='/dev/vhost-vdpa-1'/></interface>") == []


def test_an_nvme_drive_is_held_as_a_disk_and_below_one() -> None:
    source = (
        "<source type='pci' managed='yes' namespace='1'><address domain='0' bus='{}' slot='0' function='0'/></source>"
    )
    overlay = f"<disk type='file'><backingStore type='nvme'>{source.format('0x43')}</backingStore></disk>"
    copied = f"<disk type='file'><mirror type='nvme'>{source.format('0x44')}</mirror></disk>"
    assert held(f"<disk type='nvme' device='disk'>{source.format('0x42')}</disk>{overlay}{copied}") == [
        ("0000:42:00.0", "nvme-disk"),
        ("0000:43:00.0", "nvme-disk"),
        ("0000:44:00.0", "nvme-disk"),
    ]


def test_mediated_usb_and_scsi_devices_and_plain_interfaces_are_no_pci_functions() -> None:
    others = (
        "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='c2177883'/></source></hostdev>"
        "<hostdev mode='subsystem' type='usb'><source><address bus='3' device='2'/></source></hostdev>"
        "<hostdev mode='subsystem' type='scsi'><source><address bus='0' target='0' unit='0'/></source></hostdev>"
        "<hostdev mode='capabilities' type='net'><source><interface>enp4s0f0</interface></source></hostdev>"
        "<interface type='network'><source network='pool'/></interface>"
        "<interface type='bridge'><source bridge='enp4s0f0'/></interface>"
        "<disk type='block'><source dev='/dev/nvme0n1'/></disk>"
        f"<controller type='pci'><address type='pci' {VF0_PARTS}/></controller>"
    )
    assert held(others) == []


def test_what_the_owner_wrote_into_the_metadata_holds_nothing() -> None:
    xml = f"<domain><metadata><devices>{hostdev(VF0_PARTS)}</devices></metadata></domain>"
    assert holdings(xml, BEARERS) == Held(active=False, holdings=())


def test_a_function_named_twice_is_held_once() -> None:
    assert held(hostdev(VF0_PARTS) * 2) == [("0000:04:10.0", "hostdev")]


def test_only_a_domain_with_an_id_runs() -> None:
    assert holdings(domain("", "id='7'"), BEARERS).active is True
    assert holdings(domain(""), BEARERS).active is False


# Addresses


@pytest.mark.parametrize(
    ("parts", "address"),
    [
        ("domain='0x0000' bus='0x81' slot='0x1f' function='0x7'", "0000:81:1f.7"),
        ("domain='0' bus='129' slot='31' function='7'", "0000:81:1f.7"),
        ("domain='00' bus='0201' slot='037' function='07'", "0000:81:1f.7"),
        ("domain='0X10000' bus='0X0' slot='0X4' function='0'", "10000:00:04.0"),
        ("domain='4294967295' bus='0' slot='0' function='0'", "ffffffff:00:00.0"),
        ("bus='0x81' slot='0'", "0000:81:00.0"),
        ("domain='0' bus='0' slot='0' function='0'", "0000:00:00.0"),
    ],
)
def test_numbers_are_those_of_c(parts: str, address: str) -> None:
    assert held(hostdev(parts)) == [(address, "hostdev")]


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ("bus='0x100' slot='0'", "hostdev: its address has '0x100' as bus, not a number from 0 to 0xff"),
        ("bus='4' slot='32'", "hostdev: its address has '32' as slot, not a number from 0 to 0x1f"),
        ("bus='4' function='8'", "hostdev: its address has '8' as function, not a number from 0 to 0x7"),
        ("bus='08'", "hostdev: its address has '08' as bus, not a number from 0 to 0xff"),
        ("bus='-1'", "hostdev: its address has '-1' as bus, not a number from 0 to 0xff"),
        ("bus='1_0'", "hostdev: its address has '1_0' as bus, not a number from 0 to 0xff"),
        ("bus='٤'", "hostdev: its address has '٤' as bus, not a number from 0 to 0xff"),
        ("domain='0x100000000'", "hostdev: its address has '0x100000000' as domain, not a number from 0 to 0xffffffff"),
        ("uuid='c2177883'", "hostdev: its address is no PCI address"),
        ("type='usb' bus='4'", "hostdev: its address is no PCI address"),
    ],
)
def test_an_address_that_cannot_be_read_is_a_problem_and_the_others_are_told(parts: str, problem: str) -> None:
    told = holdings(domain(hostdev(parts) + hostdev(VF0_PARTS)), BEARERS)
    assert [str(holding.address) for holding in told.holdings] == ["0000:04:10.0"]
    assert told.problems == (problem,)


def test_a_device_without_a_source_is_a_problem() -> None:
    assert problems("<interface type='hostdev'/>") == ("interface: it has no source address",)
    assert problems("<interface type='vdpa'><source dev='/dev/vhost-vdpa-9'/></interface>") == (
        "interface: '/dev/vhost-vdpa-9' is no vhost-vdpa device of this host",
    )


# Text that isn't to be trusted


def test_text_that_is_no_xml_is_a_problem() -> None:
    assert problems("<hostdev>")[0].startswith("its XML can't be read: mismatched tag")
    assert holdings("<network/>", BEARERS).problems == ("its XML is a 'network', not a 'domain'",)


def test_a_document_type_is_refused_before_its_entities_are_expanded() -> None:
    bomb = "".join(f"<!ENTITY e{step + 1} '{f'&e{step};' * 10}'>" for step in range(12))
    xml = f"<!DOCTYPE domain [<!ENTITY e0 'ha'>{bomb}]><domain><name>&e12;</name></domain>"
    assert holdings(xml, BEARERS).problems == ("its XML has a document type, which libvirt never writes",)


def test_a_document_type_that_is_only_text_is_none() -> None:
    xml = f"<domain><metadata><![CDATA[<!DOCTYPE html>]]></metadata><devices>{hostdev(VF0_PARTS)}</devices></domain>"
    assert len(holdings(xml, BEARERS).holdings) == 1


def test_text_that_is_larger_than_libvirt_would_send_is_refused() -> None:
    assert problems("<disk/>" * 10**6)[0].startswith("its XML has 7000")


def test_an_xml_that_cannot_be_read_leaves_open_whether_the_domain_runs() -> None:
    assert holdings("", BEARERS).active is None


_SHAPES = (
    domain(hostdev("domain='#' bus='#' slot='#' function='#'"), "id='#'"),
    domain("<interface type='$'><source dev='$' mode='$'><address type='$' bus='#'/></source></interface>"),
    domain("<disk type='$'><source dev='$'/><mirror type='$'><source><address bus='#'/></source></mirror></disk>"),
    network("<pf dev='$'/><address type='pci' domain='#' bus='#' slot='#' function='#'/>"),
    "<device><name>$</name><capability type='pci'><domain>#</domain><bus>#</bus><slot>#</slot></capability></device>",
)
_WORDS = "hostdev pci nvme direct vdpa vhostvdpa passthrough enp4s0f0 enp4s0f0v0 bond0 /dev/vhost-vdpa-0".split()
_NUMBERS = "0 4 0x10 0x1f 07 0XA 08 -1 1_0 4294967295 4294967296 99999999999999999999".split()
_ANYTHING = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=8)


@st.composite
def shaped(draw: st.DrawFn) -> str:
    """One of the shapes with any values in it, perhaps with a part cut out or doubled."""
    words = {"$": st.sampled_from(_WORDS) | _ANYTHING, "#": st.sampled_from(_NUMBERS[:6]) | st.sampled_from(_NUMBERS)}
    shape = draw(st.sampled_from(_SHAPES))
    xml = re.sub(r"[$#]", lambda found: escape(draw(words[found[0]]), {"'": "&apos;"}), shape)
    first, second = draw(st.just((len(xml), len(xml))) | st.tuples(*[st.integers(0, len(xml))] * 2))
    return xml[:first] + xml[second:]


@given(st.text() | st.text("<>/!&;'=[] \x00\ud800aé").map("<domain>{}".format) | shaped())
def test_no_text_raises_anything(xml: str) -> None:
    told, shared, node = holdings(xml, BEARERS), pooled(xml, BEARERS), node_device(xml)
    assert told.active is not None or told.problems
    assert all(isinstance(problem, str) for problem in told.problems + shared.problems)
    assert node is None or isinstance(node[1], PciAddress)


# Networks


def test_a_hostdev_network_hands_out_the_addresses_that_it_names() -> None:
    assert pooled(network(f"<driver name='vfio'/><address type='pci' {VF0_PARTS}/>"), BEARERS) == Pooled((VF0.address,))


def test_a_hostdev_network_hands_out_every_vf_of_the_pf_that_it_names() -> None:
    forward = f"<pf dev='enp4s0f0'/><address type='pci' {VF0_PARTS}/>"
    assert pooled(network(forward), BEARERS) == Pooled((VF0.address, VF1.address))


def test_another_network_hands_out_no_functions() -> None:
    for mode in ("nat", "bridge", "passthrough", "private"):
        assert pooled(network("<interface dev='enp4s0f0v0'/>", mode), BEARERS) == Pooled(None)
    assert pooled("<network><name>isolated</name></network>", BEARERS) == Pooled(None)


@pytest.mark.parametrize("dev", ["eth3", "enp4s0f0v0", ""])
def test_a_pf_that_is_none_is_a_problem_and_the_addresses_are_told(dev: str) -> None:
    told = pooled(network(f"<pf dev='{dev}'/><address type='pci' {VF0_PARTS}/><address type='pci'/>"), BEARERS)
    assert told.addresses == (VF0.address,)
    assert told.problems == (
        f"its pf '{dev}' is no netdev of a PF of this host",
        "its address is no PCI address",
    )


# Names


def test_a_netdev_is_found_by_any_name_of_its_function() -> None:
    assert {name: device.address for name, device in BEARERS.netdevs.items()} == {
        "enp4s0f0": PF.address,
        "enp4s0f0v0": VF0.address,
        "enp4s0f0v1": VF1.address,
    }
    assert CARD.netdevs == ()
    assert Netdev("enp4s0f0", "02:00:00:00:00:01") in PF.netdevs


def test_vhost_vdpa_devices_are_found_below_their_functions(tmp_path: Path) -> None:
    bus = tmp_path / "bus/vdpa/devices"
    bus.mkdir(parents=True)
    for number, parent in enumerate(("0000:04:10.0", "vdpasim", "0000:04:00.0/mlx5_core.sf.2")):
        (tmp_path / f"devices/{parent}/vdpa{number}/vhost-vdpa-{number}").mkdir(parents=True)
        (bus / f"vdpa{number}").symlink_to(f"../../../devices/{parent}/vdpa{number}")
    (tmp_path / "devices/0000:04:10.0/vdpa0/driver").mkdir()
    (bus / "vdpa9").symlink_to("../../../devices/0000:04:10.4/vdpa9")
    noted: list[str] = []
    assert vhost_vdpa(str(tmp_path), noted.append) == {
        "vhost-vdpa-0": PciAddress(0, 4, 0x10, 0),
        "vhost-vdpa-1": None,
        "vhost-vdpa-2": None,
    }
    assert noted == []


def test_a_host_without_vdpa_has_no_vhost_vdpa_devices(tmp_path: Path) -> None:
    noted: list[str] = []
    assert vhost_vdpa(str(tmp_path), noted.append) == {}
    assert noted == []


def test_a_vdpa_bus_that_cannot_be_listed_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "bus/vdpa").mkdir(parents=True)
    (tmp_path / "bus/vdpa/devices").write_text("")
    noted: list[str] = []
    assert vhost_vdpa(str(tmp_path), noted.append) == {}
    assert noted == [f"{tmp_path}/bus/vdpa/devices: not a directory"]


def test_the_module_loads_without_the_bindings_and_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['libvirt'] = None\n"
        "from pci_agent.discovery.libvirt import opened\n"
        "from pci_agent.errors import LibvirtSilent\n"
        "try:\n    opened('test:///default').__enter__()\nexcept LibvirtSilent as error:\n    print(error)"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "install python3-libvirt, or the extra pci-agent[libvirt]" in told.stdout


# Captured


def captured(pattern: str) -> Iterator[Path]:
    if not NODEDEV.is_dir():
        pytest.skip("the captured node devices (shared/captures/nodedev) are not beside the project")
    yield from sorted(NODEDEV.glob(pattern))


def test_every_captured_pci_function_has_the_address_that_its_xml_states() -> None:
    told = {path.stem: node_device(path.read_text()) for path in captured("pci_*.xml")}
    stated = {
        "pci_0000_00_1c_0_header_type": ("pci_0000_00_1c_0", "0000:00:1c.0"),
        "pci_0000_02_10_7_mdev_types": ("pci_0000_02_10_7", "0000:02:10.7"),
        "pci_0000_02_10_7_sriov": ("pci_0000_02_10_7", "0000:02:10.7"),
        "pci_0000_02_10_7_sriov_pf_vfs_all": ("pci_0000_02_10_7", "0000:02:10.7"),
        "pci_0000_02_10_7_sriov_pf_vfs_all_header_type": ("pci_0000_02_10_7", "0000:02:10.7"),
        "pci_0000_02_10_7_sriov_vfs": ("pci_0000_02_10_7", "0000:02:10.7"),
        "pci_0000_02_10_7_sriov_zero_vfs_max_count": ("pci_0000_02_10_7", "0000:02:10.7"),
        "pci_0000_42_00_0_vpd": ("pci_0000_42_00_0", "0000:42:00.0"),
        "pci_1002_71c4": ("pci_1002_71c4", "0000:01:00.0"),
        "pci_8086_0c0c_snd_hda_intel": ("pci_0000_00_03_0", "0000:00:03.0"),
        "pci_8086_10c9_sriov_pf": ("pci_0000_02_00_0", "0000:02:00.0"),
        "pci_8086_4238_pcie_wireless": ("pci_0000_03_00_0", "0000:03:00.0"),
        "pci_82579LM_network_adapter": ("pci_0000_00_19_0", "0000:00:19.0"),
    }
    assert {name: (node[0], str(node[1])) for name, node in told.items() if node} == stated
    # SCSI hosts and disks named after the function that they hang at; and one that states bus 4294967295.
    assert {name for name in set(told) - set(stated) if "_scsi_host" not in name} == {"pci_0000_00_02_0_header_type"}
    assert len(told) == len(stated) + 6


def test_every_other_captured_node_device_is_no_pci_function() -> None:
    others = [path for path in captured("*.xml") if not path.name.startswith(("pci_", "virt-manager"))]
    assert len(others) == 9
    assert {node_device(path.read_text()) for path in others} == {None}


@pytest.fixture(scope="module")
def driver() -> ET.Element:
    """What virt-manager's tests feed to libvirt's test driver: whole domains, networks and node devices."""
    (path,) = captured("virt-manager-testdriver.xml")
    return ET.parse(path).getroot()


def texts(driver: ET.Element, tag: str) -> dict[str, str]:
    return {each.findtext("name", ""): ET.tostring(each, "unicode") for each in driver.iterfind(tag)}


def test_virt_managers_domains_hold_two_functions(driver: ET.Element) -> None:
    told = {name: holdings(xml, BEARERS) for name, xml in texts(driver, "domain").items()}
    assert {name: [str(each.address) for each in held.holdings] for name, held in told.items() if held.holdings} == {
        "test-many-devices": ["0000:00:19.0", "0003:00:19.0"]
    }
    assert len(told) == 14
    assert all(held.problems == () for held in told.values())


def test_virt_managers_networks_have_one_pool_of_a_pf_that_is_not_here(driver: ET.Element) -> None:
    told = {name: pooled(xml, BEARERS) for name, xml in texts(driver, "network").items()}
    assert len(told) == 16
    assert {name: each for name, each in told.items() if each.addresses is not None} == {
        "passthrough": Pooled((), ("its pf 'eth3' is no netdev of a PF of this host",))
    }


def test_virt_managers_node_devices_have_35_functions_and_2_that_no_bus_can_have(driver: ET.Element) -> None:
    nodes = texts(driver, "device")
    functions = [name for name, xml in nodes.items() if ET.fromstring(xml).find("capability[@type='pci']") is not None]
    told = {name for name, xml in nodes.items() if node_device(xml)}
    assert len(told) == 35
    assert sorted(set(functions) - told) == ["pci_1180_476", "pci_8086_2a00"]  # functions 50 and 15
    assert node_device(nodes["pci_8086_10fb"]) == ("pci_8086_10fb", PciAddress(0, 0x81, 0, 1))
