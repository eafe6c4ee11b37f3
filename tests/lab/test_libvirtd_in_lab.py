"""Real libvirtd, real domains with VFs: what is followed is what virsh has just done, though libvirtd dies or hangs."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from labs.guest import Lab

FOLLOW = """\
import json, os, signal, subprocess, time
from pci_agent.discovery.domain_xml import parsed
from pci_agent.discovery.libvirtd import Libvirtd
from pci_agent.discovery.sysfs import scan

QUICK = {"first_retry_s": 0.2, "last_retry_s": 1, "keepalive_s": 1}
devices = scan().devices
changes = []
libvirtd = Libvirtd("qemu:///system", lambda: changes.append(libvirtd.trouble), **QUICK)

def held():
    said = libvirtd.said
    reading = parsed(said, devices)
    assert not reading.problems, reading.problems
    return {domain.name: [domain.active, [str(each.address) for each in domain.live]] for domain in reading.domains}

def until(condition):
    since = time.monotonic()
    while not condition():
        assert time.monotonic() - since < 20, ("waited in vain", libvirtd.trouble, held())
        time.sleep(0.005)
    return time.monotonic() - since

def done(command):
    subprocess.run(command, shell=True, check=True, capture_output=True, timeout=30)

def pid():
    return int(subprocess.run(["pidof", "libvirtd"], capture_output=True, text=True, check=True).stdout)

def tell(**what):
    print(json.dumps(what), flush=True)

libvirtd.start()
until(lambda: libvirtd.trouble is None)
"""
DOMAIN = """\
<domain type='qemu'>
  <name>followed</name><memory unit='MiB'>48</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <controller type='usb' model='none'/><memballoon model='none'/>
    <controller type='pci' model='pcie-root'/>{ports}{device}
  </devices>
</domain>
"""
HOSTDEV = "<hostdev mode='subsystem' type='pci' managed='yes'><source><address {}/></source></hostdev>"
VFS = [f"0000:{bus}:10.{function}" for bus in (21, 41) for function in (0, 2, 4, 6)]


def hostdev(vf: str) -> str:
    return HOSTDEV.format(f"bus='0x{vf[5:7]}' slot='0x10' function='{vf[-1]}'")


@pytest.fixture
def guest(lab: Lab) -> Iterator[Lab]:
    """The lab with the domain's XML, which has the first VF, and one of each VF, in /tmp."""
    files = {
        "domain": DOMAIN.format(ports="<controller type='pci' model='pcie-root-port'/>" * 9, device=hostdev(VFS[0]))
    }
    files |= {f"vf{number}": hostdev(vf) for number, vf in enumerate(VFS)}
    lab.run("".join(f"cat >/tmp/{name}.xml <<'END'\n{xml}\nEND\n" for name, xml in files.items()))
    lab.run("until virsh -q list >/dev/null 2>&1; do sleep 0.2; done")
    yield lab
    lab.run(
        "kill -CONT $(pidof libvirtd) || libvirtd --daemon; until virsh -q list >/dev/null 2>&1; do sleep 0.2; done;"
        " for name in $(virsh -q list --name); do virsh destroy $name; done;"
        " for name in $(virsh -q list --name --all); do virsh undefine $name; done; udevadm settle"
    )


def told(lab: Lab, script: str) -> list[dict[str, Any]]:
    """What the script tells, run in the guest after the lines above."""
    asked = f"cat >/tmp/follow.py <<'END'\n{FOLLOW}\n{script}\nEND\nPYTHONPATH=/project:/site python3 /tmp/follow.py"
    lines = lab.run(asked, timeout_s=180).splitlines()
    return [json.loads(line) for line in lines]


def test_what_virsh_does_is_followed_within_a_moment(guest: Lab) -> None:
    steps = told(
        guest,
        """\
def step(command, expected):
    done(command)
    tell(command=command, late_s=until(lambda: held() == expected))
first, second = "0000:21:10.0", "0000:41:10.6"
step("virsh define /tmp/domain.xml", {"followed": [False, []]})
step("virsh start --paused followed", {"followed": [True, [first]]})
step("virsh attach-device followed /tmp/vf7.xml --live", {"followed": [True, [first, second]]})
done("virsh detach-device-alias followed hostdev1 --live")
step("virsh reset followed", {"followed": [True, [first]]})  # an unplugged device goes when the guest lets go of it
step("virsh destroy followed", {"followed": [False, []]})
step("virsh undefine followed", {})
libvirtd.stop()
""",
    )
    assert len(steps) == 6
    assert max(step["late_s"] for step in steps) < 5


def test_after_a_refresh_each_vf_that_was_just_taken_shows(guest: Lab) -> None:
    takes = told(
        guest,
        """\
def take(command, vf):
    done(command)
    since = time.monotonic()
    fresh = libvirtd.refresh(10)
    tell(fresh=fresh, shown=vf in held()["followed"][1], took_s=time.monotonic() - since)
vfs = [f"0000:{bus}:10.{function}" for bus in (21, 41) for function in (0, 2, 4, 6)]
done("virsh define /tmp/domain.xml")
for _ in range(3):
    take("virsh start --paused followed", vfs[0])
    for number in range(1, 7):
        take(f"virsh attach-device followed /tmp/vf{number}.xml --live", vfs[number])
    done("virsh destroy followed")
before = libvirtd.refresh(10) and libvirtd.said
tell(fresh=True, shown=libvirtd.refresh(10) and libvirtd.said is before, took_s=0)
libvirtd.stop()
""",
    )
    assert len(takes) == 22
    assert all(take["fresh"] and take["shown"] for take in takes)
    assert max(take["took_s"] for take in takes) < 5


def test_a_libvirtd_that_is_killed_is_found_again_with_all_that_it_had(guest: Lab) -> None:
    (seen,) = told(
        guest,
        """\
done("virsh define /tmp/domain.xml; virsh start --paused followed")
assert libvirtd.refresh(10)
before = held()
os.kill(pid(), signal.SIGKILL)
noticed_s = until(lambda: libvirtd.trouble is not None)
kept, fresh = held(), libvirtd.refresh(10)
done("libvirtd --daemon")
mended_s = until(lambda: libvirtd.trouble is None)
after = held()
done("virsh destroy followed")
until(lambda: held() == {"followed": [False, []]})
tell(noticed_s=noticed_s, mended_s=mended_s, before=before, kept=kept, fresh=fresh, after=after, changes=changes)
libvirtd.stop()
""",
    )
    assert seen["before"] == {"followed": [True, [VFS[0]]]}
    assert seen["kept"] == seen["after"] == seen["before"]
    assert seen["fresh"] is False
    assert "libvirt's connection is closed: libvirtd has ended it" in seen["changes"]
    assert seen["noticed_s"] < 2


def test_a_libvirtd_that_is_stopped_still_is_noticed_and_holds_nobody_up(guest: Lab) -> None:
    (seen,) = told(
        guest,
        """\
process = pid()
before = libvirtd.said
os.kill(process, signal.SIGSTOP)
since = time.monotonic()
fresh = libvirtd.refresh(0.5)
refused_s = time.monotonic() - since
until(lambda: libvirtd.trouble is not None)
noticed_s = time.monotonic() - since
other = Libvirtd("qemu:///system", lambda: None, **QUICK)
other.start()
again = other.refresh(0.5)
since = time.monotonic()
other.stop()
stopped_s = time.monotonic() - since
os.kill(process, signal.SIGCONT)
done("sleep 1; pidof libvirtd || libvirtd --daemon")  # it has been seen to end when its clients had gone meanwhile
mended_s = until(lambda: libvirtd.trouble is None)
same = libvirtd.said is before
done("virsh define /tmp/domain.xml")
until(lambda: held() == {"followed": [False, []]})
tell(fresh=fresh, again=again, refused_s=refused_s, noticed_s=noticed_s, stopped_s=stopped_s, mended_s=mended_s,
     same=same, changes=changes)
libvirtd.stop()
""",
    )
    assert (seen["fresh"], seen["again"], seen["same"]) == (False, False, True)
    assert seen["refused_s"] < 1.5
    assert 2 < seen["noticed_s"] < 8
    assert seen["stopped_s"] < 2
    assert seen["mended_s"] < 10
