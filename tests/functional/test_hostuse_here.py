"""What host_use tells of the machine that the tests run on is what ip, findmnt, lsblk and swapon tell of it."""

import ipaddress
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pci_agent.discovery.hostuse import HostUse, host_use
from pci_agent.discovery.sysfs import scan

TOOLS = ("ip", "findmnt", "lsblk", "swapon")
FUNCTION = re.compile(r"/([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=/)")


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} isn't installed")
    if not Path("/sys/bus/pci/devices").is_dir():
        pytest.skip("this machine has no PCI bus")


@pytest.fixture(scope="module")
def seen() -> HostUse:
    return host_use(scan().devices)


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def told(*command: str) -> Any:
    return json.loads(run(*command))


def function(place: str) -> str | None:
    found = FUNCTION.findall(f"{os.path.realpath(place)}/")
    return str(found[-1]) if found else None


def mine(seen: HostUse, *marks: str) -> set[tuple[str, str]]:
    return {
        (str(address), reason)
        for address, reasons in seen.reasons.items()
        for reason in reasons
        if any(mark in reason for mark in marks)
    }


def hardware() -> list[tuple[str, str, str]]:
    """Give (function, netdev that counts, its words): those of functions, and whatever stands on them."""
    links = told("ip", "-j", "-d", "link")
    standing = [(link["ifname"], link["master"]) for link in links if "master" in link]
    kinds = {link["ifname"]: link.get("linkinfo", {}).get("info_kind") for link in links}
    standing += [(link["link"], name) for link in links if "link" in link and kinds[name := link["ifname"]] != "veth"]
    found = []
    for link in links:
        lowest = link["ifname"]
        address = function(f"/sys/class/net/{lowest}/device")
        above = {lowest} if address else set()
        while more := {upper for lower, upper in standing if lower in above} - above:
            above |= more
        found += [(str(address), name, name if name == lowest else f"{name} on {lowest}") for name in above]
    return found


def test_default_routes_are_as_ip_tells_them(seen: HostUse) -> None:
    routes = [*told("ip", "-j", "route", "show", "default"), *told("ip", "-j", "-6", "route", "show", "default")]
    through = {route["dev"] for route in routes if "dev" in route and route.get("type", "unicast") == "unicast"}
    assert mine(seen, "default route") == {
        (address, f"the default route goes through {words}") for address, name, words in hardware() if name in through
    }


def test_addresses_are_as_ip_tells_them(seen: HostUse) -> None:
    held = {
        link["ifname"]: {
            each["local"]
            for each in link["addr_info"]
            if each["scope"] not in ("link", "host") and not ipaddress.ip_address(each["local"]).is_link_local
        }
        for link in told("ip", "-j", "addr")
    }
    expected = {(address, words): held[name] for address, name, words in hardware() if held[name]}
    sentences = mine(seen, " has the address")
    assert {(address, reason.partition(" has ")[0]) for address, reason in sentences} == set(expected)
    for address, reason in sentences:
        words, _, listed = reason.partition(" has the address")
        first = set(re.split(", | and ", listed.removeprefix("es").strip()))
        assert {each for each in first if not each.endswith("more")} <= expected[address, words]


def test_ports_are_as_ip_tells_them(seen: HostUse) -> None:
    masters = {link["ifname"]: link["master"] for link in told("ip", "-j", "link") if "master" in link}
    sentences = mine(seen, " is in ", " is enslaved to ")
    assert {(address, re.split(" is in | is enslaved to ", reason)[0]) for address, reason in sentences} == {
        (address, words) for address, name, words in hardware() if name in masters
    }


def disks(device: str) -> set[str]:
    """Give the functions that a block device lies on, by lsblk's way down."""
    waiting, found = told("lsblk", "-J", "-s", "-o", "NAME,KNAME", os.path.realpath(device))["blockdevices"], set()
    while waiting:
        each = waiting.pop()
        waiting += each.get("children", [])
        place = os.path.realpath(f"/sys/class/block/{each['kname']}")
        if "/virtual/nvme-subsystem/" in place:
            pytest.skip("this machine has NVMe multipath, whose controllers lsblk doesn't tell")
        found |= {function(place)} - {None}
    return {str(address) for address in found}


def test_mounted_disks_are_as_findmnt_tells_them(seen: HostUse) -> None:
    mounts = told("findmnt", "--list", "-J", "-o", "SOURCE,FSTYPE")["filesystems"]
    sources = {each["source"].partition("[")[0] for each in mounts if not each["fstype"].startswith("fuse")}
    blocks = {source for source in sources if source.startswith("/dev/") and Path(source).is_block_device()}
    expected = {address for source in blocks for address in disks(source)}
    assert {address for address, _ in mine(seen, " mounted from ")} == expected


def test_swap_is_as_swapon_tells_it(seen: HostUse) -> None:
    rows = [line.split() for line in run("swapon", "--noheadings", "--raw", "--show=NAME,TYPE").splitlines()]
    expected = {address for name, kind in rows if kind == "partition" for address in disks(name)}
    assert {address for address, _ in mine(seen, " is swap")} == expected


def test_nothing_is_a_problem_but_what_cannot_be_told(seen: HostUse) -> None:
    assert [problem for problem in seen.problems if "ZFS" not in problem] == []
