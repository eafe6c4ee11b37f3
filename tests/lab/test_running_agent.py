"""
A running agent on a real kernel with a real libvirtd: claims, domains, and VFs that come and go.

What was answered holds and nothing is given twice, libvirtd may go and return, and nobody waits for anybody.
"""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from statistics import median
from uuid import UUID, uuid4

import pytest
from callers import Caller

import shares
from fleets import Fleet
from labs.guest import Lab
from pci_agent.api.serving import http_server
from pci_agent.wire.commands import SpecRecord
from pci_agent.wire.messages import DeviceRecord
from services import wait_for

HOST = "running"
PFS = "0000:21:00.0", "0000:41:00.0"
VFS = [f"0000:{bus}:10.{function}" for bus in (21, 41) for function in (0, 2, 4, 6)]
A_VF, A_PF = SpecRecord(product_id="10ca"), SpecRecord(product_id="10c9", dev_type="type-PF")
GONE = "retiring: it is gone from the host"
SLOW_TIMER_S, SOON_S = 600, 20
CLIENTS, LONGEST_HOLD_S, WATCHED = 3, 4.0, 3
DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>48</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/>
    <hostdev mode='subsystem' type='pci' managed='yes'><source>
      <address bus='0x{bus}' slot='0x10' function='{function}'/>
    </source></hostdev>
  </devices>
</domain>
"""


@pytest.fixture(scope="module")
def caller(lab: Lab, fleet: Fleet) -> Iterator[Caller]:
    """An agent that looks every ten minutes, and who gives it commands."""
    lab.run("until virsh -q list >/dev/null 2>&1; do sleep 0.2; done")
    fleet.start_agent(lab, host=HOST, look_interval_s=SLOW_TIMER_S)
    fleet.wait_until(HOST, lambda seen: len(seen) == 10, "2 PFs and 8 VFs")
    with fleet.caller(HOST) as made:
        yield made
    fleet.stop_agent(lab, HOST)


@pytest.fixture(autouse=True)
def _put_back(lab: Lab, fleet: Fleet, caller: Caller) -> Iterator[None]:
    """libvirtd runs, without domains, and all is free after a test."""
    yield
    lab.run(
        "pidof libvirtd || libvirtd --daemon; until virsh -q list >/dev/null 2>&1; do sleep 0.2; done;"
        " for name in $(virsh -q list --name); do virsh destroy $name; done;"
        " for name in $(virsh -q list --name --all); do virsh undefine $name; done; udevadm settle"
    )
    for request in {device["request_id"] for device in fleet.devices(HOST).values()} - {None}:
        assert caller.free(request).verdict == "ok"
    wait_until_all_is_free(fleet)


def numvfs(pf: str) -> str:
    return f"/sys/bus/pci/devices/{pf}/sriov_numvfs"


def define(lab: Lab, name: str, vf: str) -> str:
    """Define a domain with a VF; give its UUID."""
    xml = DOMAIN.format(name=name, bus=vf[5:7], function=vf[-1])
    return lab.run(
        f"cat >/tmp/{name}.xml <<'END'\n{xml}\nEND\nvirsh -q define /tmp/{name}.xml; virsh domuuid {name}"
    ).strip()


def standing(fleet: Fleet) -> dict[str, tuple[str, str | None, str | None]]:
    """Whose each device is."""
    return {
        address: (device["status"], device["server_uuid"], device["request_id"])
        for address, device in fleet.devices(HOST).items()
    }


def wait_until_all_is_free(fleet: Fleet) -> None:
    wait_for(lambda: {each[0] for each in standing(fleet).values()} == {"available"}, "all of it free", SOON_S)


def wait_until_allocated(fleet: Fleet, vf: str, uuid: str) -> None:
    wait_for(lambda: standing(fleet)[vf] == ("allocated", uuid, None), f"{vf} with its domain", SOON_S)


class Book:
    """What the answers promise: the devices of each request, from its claim's answer until its free is sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, frozenset[str]] = {}

    @property
    def held(self) -> dict[str, frozenset[str]]:
        with self._lock:
            return dict(self._held)

    def answered(self, request: str, devices: frozenset[str]) -> None:
        with self._lock:
            twice = [other for other, theirs in self._held.items() if theirs & devices]
            assert not twice, f"{request} was given {sorted(devices)}, of which {twice} has some"
            self._held[request] = devices

    def ends(self, request: str) -> None:
        with self._lock:
            del self._held[request]


def load(caller: Caller, book: Book, chance: Random, over: threading.Event) -> int:
    """Claim, allocate and free until it is over; some stays held then. Give how many claims were met."""
    met = 0
    while not over.is_set():
        request, instance = (str(UUID(int=chance.getrandbits(128))) for _ in range(2))
        count = chance.randint(1, 2)
        answer = caller.claim(request, instance, A_VF, count)
        if answer.verdict != "ok":
            assert answer.verdict in ("no_fit", "unavailable"), answer
            over.wait(0.05)
            continue
        devices = frozenset(answer.devices[request])
        assert len(devices) == count
        book.answered(request, devices)
        met += 1
        if chance.random() < 0.5:
            allocated = caller.allocate(request)
            assert (allocated.verdict, frozenset(allocated.devices[request])) == ("ok", devices)
        if over.wait(chance.uniform(0, LONGEST_HOLD_S)):
            break
        book.ends(request)
        assert caller.free(request).verdict == "ok"
    return met


class Watch:
    """Holds what the agent lists to what the answers promised."""

    def __init__(self, caller: Caller, book: Book) -> None:
        self._caller = caller
        self._book = book
        self.uuids: dict[str, str] = {}
        self.retiring: set[str] = set()

    def look(self) -> dict[str, DeviceRecord]:
        """List the devices by address, with all that was promised all the while among them."""
        before = self._book.held
        listed = self._caller.listing().devices
        after = self._book.held
        by_uuid = {device.uuid: device for device in listed}
        for request, devices in before.items():
            if after.get(request) == devices:
                told = [(by_uuid[uuid].request_id, by_uuid[uuid].status) for uuid in devices if uuid in by_uuid]
                assert len(told) == len(devices), f"{request} holds {devices}, which aren't all listed: {listed}"
                assert {each for each, _ in told} == {request}
                assert {status for _, status in told} <= {"claimed", "allocated"}
        for device in listed:
            assert self.uuids.setdefault(device.address, device.uuid) == device.uuid
            assert device.request_id is not None or device.status_reason != GONE
            if device.status_reason == GONE:
                self.retiring.add(device.uuid)
        return {device.address: device for device in listed}

    def wait_until(self, condition: Callable[[list[str | None]], bool], what: str) -> None:
        """Wait until it holds for the VFs' reasons."""
        wait_for(lambda: condition([each.status_reason for each in self.look().values() if each.parent_addr]), what)


def switching(number: int) -> str:
    """Give both PFs so many VFs at once."""
    writes = [f"echo {number} >{numvfs(pf)}" for pf in PFS]
    return f"{' & '.join(writes)}; wait"


def test_vfs_made_and_unmade_under_claims_are_never_given_twice_nor_lost(
    lab: Lab, fleet: Fleet, caller: Caller
) -> None:
    cycles = 50 if shares.run.long else 3
    book, over, chance = Book(), threading.Event(), Random(7)
    watch = Watch(caller, book)
    kept = str(uuid4())
    book.answered(kept, frozenset(caller.claim(kept, str(uuid4()), A_VF, 1).devices[kept]))
    assert caller.allocate(kept).verdict == "ok"  # fifty cycles take longer than a claim lives
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(load, caller, book, Random(seed), over) for seed in range(CLIENTS)]
        try:
            for cycle in range(cycles):
                lab.run(switching(0))
                if cycle % WATCHED == 0:
                    watch.wait_until(lambda reasons: set(reasons) <= {GONE}, "no VF but those that are held")
                watch.look()
                lab.run(f"sleep {chance.uniform(0, 0.3)}; {switching(4)}")
                if cycle % WATCHED == 0:
                    watch.wait_until(lambda reasons: reasons == [None] * 8, "the VFs again")
                watch.look()
        finally:
            over.set()
    assert sum(client.result() for client in clients) > cycles
    assert watch.retiring >= book.held[kept], "what was held all the while was shown as gone"
    for request in book.held:
        book.ends(request)
        assert caller.free(request).verdict == "ok"
    wait_until_all_is_free(fleet)
    listed, shown = watch.look(), fleet.devices(HOST)
    assert {address: each.uuid for address, each in listed.items()} == watch.uuids
    assert {address: each["uuid"] for address, each in shown.items()} == watch.uuids
    assert sorted(shown) == sorted(lab.run("lspci -D -n -d 8086: | grep -o '^[^ ]*:[24]1:[^ ]*'").split())


def test_a_libvirtd_that_is_away_for_a_while_changes_no_allocation_and_is_told(
    lab: Lab, fleet: Fleet, caller: Caller
) -> None:
    kept, request = define(lab, "kept", VFS[0]), str(uuid4())
    lab.run("virsh start --paused kept")
    wait_until_allocated(fleet, VFS[0], kept)
    assert caller.claim(request, str(uuid4()), A_VF, count=2).verdict == "ok"
    wait_for(lambda: sum(each[2] == request for each in standing(fleet).values()) == 2, "the claim")
    before = standing(fleet)
    lab.run("kill $(pidof libvirtd); while pidof libvirtd >/dev/null; do sleep 0.1; done")
    wait_for(lambda: any("libvirt" in each for each in fleet.problems(HOST)), "word that libvirt is away", SOON_S)
    lab.run("sleep 2")
    assert caller.rescan().verdict == "ok"
    assert standing(fleet) == before
    lab.run("libvirtd --daemon")
    wait_for(lambda: fleet.problems(HOST) == [], "word that libvirt answers", SOON_S)
    assert standing(fleet) == before
    later = define(lab, "later", VFS[7])
    lab.run("virsh start --paused later; virsh destroy kept")
    wait_until_allocated(fleet, VFS[7], later)
    wait_for(lambda: standing(fleet)[VFS[0]] == ("allocated", kept, None), "the defined one's", SOON_S)


def test_a_domain_started_after_each_restart_of_libvirtd_shows_without_waiting_for_the_timer(
    lab: Lab,
    fleet: Fleet,
    caller: Caller,  # noqa: ARG001
) -> None:
    restarts = 3 if shares.run.long else 1
    uuids = [define(lab, f"guest{number}", vf) for number, vf in enumerate(VFS[:restarts])]
    for number, (vf, uuid) in enumerate(zip(VFS, uuids, strict=False)):
        lab.run(
            "kill $(pidof libvirtd); while pidof libvirtd >/dev/null; do sleep 0.1; done; libvirtd --daemon;"
            f" until virsh -q list >/dev/null 2>&1; do sleep 0.1; done; virsh start --paused guest{number}"
        )
        wait_until_allocated(fleet, vf, uuid)
        assert [standing(fleet)[each] for each in VFS[:number]] == [
            ("allocated", each, None) for each in uuids[:number]
        ]


def test_vfs_that_cannot_be_switched_off_while_a_guest_has_one_hold_nobody_up(
    lab: Lab, fleet: Fleet, caller: Caller
) -> None:
    kept, request, instance = define(lab, "kept", VFS[0]), str(uuid4()), str(uuid4())
    lab.run("virsh start --paused kept")
    wait_until_allocated(fleet, VFS[0], kept)
    lab.run(f"setsid sh -c 'echo 0 >{numvfs(PFS[0])}; touch /tmp/off' >/dev/null 2>&1 & sleep 2; [ ! -e /tmp/off ]")
    try:
        assert caller.rescan().verdict == "ok"
        claimed = caller.claim(request, instance, A_VF, count=4)
        assert claimed.verdict == "ok", claimed.reason
        assert standing(fleet)[VFS[0]] == ("allocated", kept, None)
        lab.run("pci-agent discover >/dev/null; pci-agent capture /tmp/meanwhile.tar >/dev/null")
        assert caller.free(request).verdict == "ok"
    finally:
        lab.run("virsh destroy kept; virsh undefine kept; until [ -e /tmp/off ]; do sleep 0.2; done; rm /tmp/off")
    fleet.wait_until(HOST, lambda seen: not {*VFS[:4]} & {*seen}, "the VFs to go")
    lab.run(f"echo 4 >{numvfs(PFS[0])}; udevadm settle")
    fleet.wait_until(HOST, lambda seen: {*VFS} <= {*seen}, "the VFs again")


def test_a_claim_begun_after_virsh_start_never_gets_that_vf_nor_its_pf(lab: Lab, fleet: Fleet, caller: Caller) -> None:
    for number in range(10 if shares.run.long else 3):
        vf = VFS[number % 4]
        uuid, request, instance = define(lab, "byhand", vf), str(uuid4()), str(uuid4())
        lab.run("virsh start --paused byhand")
        both_pfs = caller.claim(str(uuid4()), instance, A_PF, count=len(PFS))
        assert both_pfs.verdict == "no_fit", both_pfs.reason
        all_the_others = caller.claim(request, instance, A_VF, count=len(VFS) - 1)
        assert all_the_others.verdict == "ok", all_the_others.reason
        devices = {device.uuid: device.address for device in caller.listing().devices}
        assert sorted(devices[each] for each in all_the_others.devices[request]) == sorted(set(VFS) - {vf})
        one_more = caller.claim(str(uuid4()), instance, A_VF)
        assert one_more.verdict == "no_fit"
        wait_until_allocated(fleet, vf, uuid)
        assert standing(fleet)[PFS[0]][0] == "unavailable"
        assert caller.free(request).verdict == "ok"
        lab.run("virsh destroy byhand; virsh undefine byhand; udevadm settle")
        wait_until_all_is_free(fleet)


@pytest.fixture
def port(fleet: Fleet) -> Iterator[int]:
    """Where ``GET /PF/NUMBER`` is answered when REST shows so many VFs of that PF, all of them available."""

    def answer(environ: dict[str, str], start_response: Callable[..., object]) -> list[bytes]:
        _, pf, number = environ["PATH_INFO"].split("/")
        wanted = ["available"] * int(number)
        fleet.wait_until(
            HOST, lambda seen: [each["status"] for each in seen.values() if each["parent_addr"] == pf] == wanted, "them"
        )
        start_response("200 OK", [("Content-Length", "0")])
        return []

    server = http_server(answer, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server.bind_addr[1]
    server.stop()
    thread.join()


def test_new_vfs_show_as_soon_after_their_last_uevent_as_that_came_after_the_write(
    lab: Lab,
    caller: Caller,  # noqa: ARG001
    port: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The uevents that count are those that udevd passes on: until then it is busy on the guest's only CPU."""
    rounds = 10 if shares.run.long else 3
    told = lab.run(f"python3 /project/tests/lab/vf_latency.py 10.0.2.2 {port} {PFS[0]} {rounds} 4")
    times = [json.loads(line) for line in told.splitlines()]
    last, shown = (median(each[name] for each in times) for name in ("udev", "shown"))
    with capsys.disabled():
        print("", *times, f"last uevent after {last:.2f} s, in REST after {shown:.2f} s", sep="\n")  # noqa: T201
    assert len(times) == rounds
    assert shown - last <= last
