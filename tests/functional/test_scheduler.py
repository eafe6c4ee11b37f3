"""Which hosts fit: agents on real directories, a tracker's database, and the agents' own word on the same requests."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event
from test_databases import device, report
from test_fit import asks, request_sets
from test_narrowing import numas
from test_pools import IN_A_FIXTURE
from test_reports import other_machine, silence

from hosts import Host
from pci_agent.agent.commands import Commands
from pci_agent.model import fit
from pci_agent.model.claims import Claim, Verdict, Wanted
from pci_agent.model.device import DevType
from pci_agent.model.fit import Assignment, GuestNuma
from pci_agent.model.reality import Habits
from pci_agent.model.request import NumaPolicy, PciRequest, Spec
from pci_agent.model.state import Disabled
from pci_agent.tracker import inventories, search
from pci_agent.tracker.explaining import FILTERS
from pci_agent.tracker.scheduler import Candidates, Scheduler
from pci_agent.tracker.store import Store
from pci_agent.wire.messages import PoolRecord
from shares import examples
from sysfs import FakeSysfs

A_VF = Spec(vendor_id="8086", product_id="1520")
A_PF = Spec(vendor_id="8086", product_id="1521", dev_type=DevType.PF)
GUEST = "6b9a6e2c-4f0b-4f0e-9c5e-0d6a3a1b7c11"
PF = "0000:04:00.0"


@pytest.fixture
def scheduler(engine: Engine) -> Scheduler:
    return Scheduler(engine, host_down_s=75)


@pytest.fixture
def fleet(tmp_path: Path, store: Store) -> Iterator[Callable[..., Host]]:
    """Starts hosts by name, with a PF and so many VFs, and lets them report."""
    hosts: list[Host] = []

    def start(name: str, vfs: int = 2, *specs: str, habits: Habits | None = None, **pf: object) -> Host:
        sysfs = FakeSysfs(tmp_path / name / "sys")
        addresses = [f"0000:04:10.{number}" for number in range(vfs)]
        pf.setdefault("numa_node", 0)
        sysfs.add_pf(PF, vfs=addresses, **pf)  # type: ignore[arg-type]
        host = Host(name, sysfs, tmp_path / name / "agent", *specs)
        hosts.append(host)
        host.habits = habits or host.habits
        host.start()
        host.report(store)
        return host

    yield start
    for host in hosts:
        host.stop()


def names(found: Candidates) -> list[str]:
    return [host.hypervisor_hostname for host in found.hosts]


def claim(host: Host, request: PciRequest, guest: str = GUEST) -> Verdict:
    ledger = host.agent.ledger
    asked = Claim(instance_uuid=guest, wanted=(Wanted(request, 1),))
    return Commands(host.agent).claim(ledger.agent_uuid, ledger.token.session, asked).outcome.verdict


def disable(host: Host) -> None:
    Commands(host.agent).disable(host.agent.ledger.agent_uuid, None, Disabled(reason="fan", actor="me"))


# Which hosts


def test_the_host_with_the_fewest_free_devices_comes_first_then_the_name(
    scheduler: Scheduler, store: Store, fleet: Callable[..., Host]
) -> None:
    fleet("b", 2), fleet("a", 3), fleet("Z", 2)
    used = fleet("c", 4)
    assert claim(used, asks(A_VF, 3)) is Verdict.OK
    used.report(store)
    found = scheduler.candidates([asks(A_VF)])
    assert [(host.hypervisor_hostname, host.free) for host in found.hosts] == [("c", 1), ("Z", 2), ("b", 2), ("a", 3)]
    assert found.cut is None
    assert names(scheduler.candidates([asks(A_VF, 2)])) == ["Z", "b", "a"]


def test_a_candidate_says_whom_to_ask(scheduler: Scheduler, store: Store, fleet: Callable[..., Host]) -> None:
    host = fleet("compute-1")
    host.restart()
    host.report(store)
    (row,) = store.hypervisors()
    (found,) = scheduler.candidates([asks(A_VF)]).hosts
    assert (found.agent_uuid, found.session) == (host.agent.ledger.agent_uuid, host.agent.ledger.token.session)
    assert (found.hypervisor_hostname, found.node_id) == ("compute-1", row["id"])


def test_as_many_hosts_as_are_enough_are_found(scheduler: Scheduler, fleet: Callable[..., Host]) -> None:
    for number in range(4):
        fleet(f"compute-{number}")
    found = scheduler.candidates([asks(A_VF)], limit=2)
    assert (names(found), found.cut) == (["compute-0", "compute-1"], None)


def test_one_host_may_be_asked_for_by_name_or_id_and_others_passed_over(
    scheduler: Scheduler, store: Store, fleet: Callable[..., Host]
) -> None:
    first, _ = fleet("compute-1"), fleet("compute-2")
    ids = {row["hypervisor_hostname"]: str(row["id"]) for row in store.hypervisors()}
    fleet(ids["compute-1"])
    wanted = [asks(A_VF)]
    assert names(scheduler.candidates(wanted, only="compute-1")) == ["compute-1"]
    assert names(scheduler.candidates(wanted, only=ids["compute-2"])) == ["compute-2"]
    assert names(scheduler.candidates(wanted, only=ids["compute-1"])) == [ids["compute-1"]], "a name goes before an id"
    for nobody in ("compute-9", "0", "", "99999999999999999999"):
        assert names(scheduler.candidates(wanted, only=nobody)) == []
    others = scheduler.candidates(wanted, limit=1, without={first.agent.ledger.agent_uuid}, only="compute-1")
    assert (names(others), others.cut) == ([], None)
    assert "compute-1" not in names(scheduler.candidates(wanted, without={first.agent.ledger.agent_uuid}))


def test_a_host_that_is_down_disabled_or_only_observed_is_no_candidate(
    scheduler: Scheduler, store: Store, engine: Engine, fleet: Callable[..., Host]
) -> None:
    fleet("down"), fleet("observed", habits=Habits(observe=True)), fleet("good")
    disabled = fleet("disabled")
    disable(disabled)
    disabled.report(store)
    silence(engine, "down")
    assert names(scheduler.candidates([asks(A_VF)])) == ["good"]


def test_a_host_that_another_agent_took_over_is_a_candidate_under_that_agent(
    scheduler: Scheduler, store: Store, engine: Engine, tmp_path: Path, fleet: Callable[..., Host]
) -> None:
    fleet("compute-1")
    silence(engine, "compute-1")
    other = other_machine(tmp_path)
    other.start()
    other.report(store)
    assert names(scheduler.candidates([asks(A_VF)])) == []
    (found,) = scheduler.candidates([asks(Spec(vendor_id="10de"))]).hosts
    assert found.agent_uuid == other.agent.ledger.agent_uuid
    other.stop()


def test_an_agent_that_was_refused_changes_nothing_about_the_host_that_it_asked_for(
    scheduler: Scheduler, store: Store, tmp_path: Path, fleet: Callable[..., Host]
) -> None:
    host = fleet("compute-1")
    twin = other_machine(tmp_path)
    twin.start()
    twin.report(store)
    (found,) = scheduler.candidates([asks(A_VF)]).hosts
    assert found.session == host.agent.ledger.token.session
    assert names(scheduler.candidates([asks(Spec(vendor_id="10de"))])) == []
    twin.stop()


# What fit decides, where pools can't tell


def test_a_pf_and_its_vfs_are_not_counted_on_together(scheduler: Scheduler, fleet: Callable[..., Host]) -> None:
    fleet("compute-1")
    requests = [asks(A_PF, name="pf"), asks(A_VF, name="vf")]
    assert names(scheduler.candidates(requests)) == []
    assert names(scheduler.candidates(requests[:1])) == names(scheduler.candidates(requests[1:])) == ["compute-1"]


def test_a_port_takes_network_cards_alone(scheduler: Scheduler, store: Store, fleet: Callable[..., Host]) -> None:
    host = fleet("compute-1", 0)
    host.sysfs.add("0000:81:00.0", "8086:1520", pci_class="0b4000")
    host.agent.look()
    host.report(store)
    assert names(scheduler.candidates([asks(A_VF)])) == ["compute-1"]
    assert names(scheduler.candidates([replace(asks(A_VF), for_port=True)])) == []


def test_a_device_that_has_no_node_serves_as_its_policy_says(scheduler: Scheduler, fleet: Callable[..., Host]) -> None:
    fleet("nowhere", numa_node=-1), fleet("zero", numa_node=0), fleet("one", numa_node=1)
    expected = {
        NumaPolicy.REQUIRED: ["zero"],
        NumaPolicy.LEGACY: ["nowhere", "zero"],
        NumaPolicy.PREFERRED: ["nowhere", "one", "zero"],
        NumaPolicy.SOCKET: ["one", "zero"],
    }
    for policy, hosts in expected.items():
        numa = GuestNuma(frozenset({0}), {0: 0, 1: 0})
        assert names(scheduler.candidates([asks(A_VF, policy=policy)], numa)) == hosts, policy


def test_a_set_that_fit_would_not_decide_says_so_and_asks_no_host(scheduler: Scheduler) -> None:
    found = scheduler.candidates([asks(A_VF, 65)])
    assert (found.hosts, found.cut) == ((), "the set asks for 65 devices, up to 64 are decided")


def test_a_search_that_was_cut_off_says_so(
    scheduler: Scheduler, fleet: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_HOSTS", 2)
    monkeypatch.setattr("pci_agent.tracker.scheduler.MOST_HOSTS", 2)
    both = [asks(A_PF, name="pf"), asks(A_VF, name="vf")]
    for number in range(3):
        assert scheduler.candidates(both).cut is None
        fleet(f"compute-{number}")
    found = scheduler.candidates(both)
    cut = "more than 2 hosts may fit: the 2 with the fewest free devices were tried"
    assert (found.hosts, found.cut) == ((), cut)
    assert scheduler.candidates([asks(A_VF)], limit=2).cut is None, "enough were found"
    assert scheduler.candidates([asks(A_VF)], limit=3).cut == cut


def test_devices_are_read_for_a_page_of_hosts_at_a_time(
    scheduler: Scheduler, engine: Engine, fleet: Callable[..., Host]
) -> None:
    for number in range(5):
        fleet(f"compute-{number}")
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    both = [asks(A_PF, name="pf"), asks(A_VF, name="vf")]
    assert scheduler.candidates(both, limit=3).hosts == ()
    assert sum("FROM pci_devices" in each for each in statements) == 2


def test_of_devices_that_are_alike_no_more_are_read_than_a_set_can_take(
    engine: Engine, fleet: Callable[..., Host]
) -> None:
    fleet("compute-1")
    with engine.connect() as connection:
        (every,) = inventories.read(connection).values()
        (some,) = inventories.read_some(connection, 1).values()
    pfs = [item for item in every if item.device.dev_type is DevType.PF]
    assert [item for item in some if item.device.dev_type is DevType.PF] == pfs
    vfs = [str(item.device.parent_addr) for item in some if item.device.dev_type is DevType.VF]
    assert sorted(vfs) == sorted(str(pf.device.address) for pf in pfs)
    assert len(some) < len(every)


def test_a_row_that_can_not_be_understood_is_passed_over(scheduler: Scheduler, store: Store) -> None:
    pools = (PoolRecord(vendor_id="8086", product_id="1520", dev_type="type-VF", free=2, total=2),)
    odd, good = device("odd", address="somewhere"), device("good")
    store.accept(report("a", "compute-1", 1, odd, good).model_copy(update={"pools": pools}))
    store.accept(report("b", "compute-2", 1, device("alien", dev_type="type-SF")).model_copy(update={"pools": pools}))
    assert names(scheduler.candidates([asks(A_VF)])) == ["compute-1"]
    assert names(scheduler.candidates([asks(A_VF, 2)])) == []


# The agent's word and the tracker's

TAGS = ("{}", '{"physical_network": "a"}', '{"physical_network": "A", "rack": "1"}', '{"remote_managed": "true"}')


@dataclass(frozen=True)
class Card:
    """A PF with VFs, or without one a function by itself; which tags the whitelist gives it, which groups it is in."""

    vfs: int
    node: int
    tags: str
    grouped: bool
    network: bool
    vfs_alone: bool


cards = st.builds(
    Card,
    vfs=st.integers(0, 3),
    node=st.integers(-1, 2),
    tags=st.sampled_from(TAGS),
    grouped=st.booleans(),
    network=st.booleans(),
    vfs_alone=st.booleans(),
)


@dataclass(frozen=True)
class Machine:
    """A host: its cards, how many requests of which kind are claimed on it, what the host itself uses."""

    cards: tuple[Card, ...]
    claims: tuple[PciRequest, ...]
    used: bool
    standing: str


machines = st.builds(
    Machine,
    cards=st.lists(cards, max_size=3).map(tuple),
    claims=st.lists(
        st.sampled_from((asks(A_VF), asks(A_PF), asks(Spec(vendor_id="8086", tags={"rack": "1"})))), max_size=2
    ).map(tuple),
    used=st.booleans(),
    standing=st.sampled_from(("good", "good", "good", "good", "disabled", "observed")),
)


def whitelist(machine: Machine) -> list[str]:
    """An entry a card, by its bus; only for its VFs where the PF isn't offered."""
    return [
        '{"address": "0000:%02x:%s.*", "vendor_id": "8086"%s}'  # noqa: UP031 - braces
        % (number, "10" if card.vfs_alone else "*", "".join(f", {tags}" for tags in [card.tags[1:-1]] if tags))
        for number, card in enumerate(machine.cards, 4)
    ]


def put(sysfs: FakeSysfs, bus: str, card: Card) -> None:
    """Put a card on a bus. Where it is grouped, all grouped cards of the host are in one group, but for some VFs."""
    pci_class = "20000" if card.network else "b4000"
    group = 1 if card.grouped else None
    pf, ids, total = f"{bus}:00.0", "8086:1521" if card.vfs else "8086:1520", 7 if card.vfs else None
    sysfs.add(pf, ids, pci_class=pci_class, numa_node=card.node, iommu_group=group, totalvfs=total)
    for index in range(card.vfs):
        vf, own = f"{bus}:10.{index}", group if index else None
        home = sysfs.add(vf, "8086:1520", pci_class=pci_class, numa_node=card.node, iommu_group=own)
        (home / "physfn").symlink_to(f"../{pf}")
        (sysfs.place(pf) / f"virtfn{index}").symlink_to(f"../{vf}")


def built(machine: Machine, name: str, folder: Path) -> Host:
    sysfs = FakeSysfs(folder / "sys")
    for number, card in enumerate(machine.cards, 4):
        put(sysfs, f"0000:{number:02x}", card)
    host = Host(name, sysfs, folder / "agent", *(whitelist(machine) or ['{"vendor_id": "ffff"}']))
    if machine.used and machine.cards:
        host.uses = {PF: "a default route"}
    host.habits = Habits(observe=machine.standing == "observed")
    host.start()
    return host


def agents_own_word(host: Host, machine: Machine, requests: list[PciRequest], numa: GuestNuma) -> bool:
    state = host.agent.ledger.state
    answer = fit.fit(host.agent.ledger.tracked, requests, numa, elsewhere=state.elsewhere)
    return isinstance(answer, Assignment) and state.obstacle is None and machine.standing != "observed"


@settings(parent=examples(25, long=1000), suppress_health_check=IN_A_FIXTURE)
@given(
    fleet=st.lists(machines, min_size=1, max_size=4),
    asked=st.lists(st.tuples(request_sets(), numas), min_size=1, max_size=6),
)
def test_a_host_is_a_candidate_exactly_where_its_own_agent_would_say_yes(
    sqlite: Engine, fleet: list[Machine], asked: list[tuple[list[PciRequest], GuestNuma]]
) -> None:
    agree(sqlite, fleet, asked)


@settings(parent=examples(3, long=100), suppress_health_check=IN_A_FIXTURE)
@given(
    fleet=st.lists(machines, min_size=1, max_size=4),
    asked=st.lists(st.tuples(request_sets(), numas), min_size=1, max_size=6),
)
def test_that_holds_on_every_database(
    engine: Engine, fleet: list[Machine], asked: list[tuple[list[PciRequest], GuestNuma]]
) -> None:
    agree(engine, fleet, asked)


def agree(engine: Engine, fleet: list[Machine], asked: list[tuple[list[PciRequest], GuestNuma]]) -> None:
    """Let the hosts report, ask tracker and agents, and leave the database as it was."""
    store, scheduler = Store(engine, host_down_s=75), Scheduler(engine, host_down_s=75)
    with tempfile.TemporaryDirectory() as folder:
        hosts = [built(machine, f"compute-{number}", Path(folder, str(number))) for number, machine in enumerate(fleet)]
        try:
            for host, machine in zip(hosts, fleet, strict=True):
                host.report(store)
                for number, request in enumerate(machine.claims):
                    claim(host, replace(request, request_id=f"r{number}"), f"guest-{number}")
                if machine.standing == "disabled":
                    disable(host)
                host.report(store)
            for requests, numa in asked:
                wanted = {
                    host.name
                    for host, machine in zip(hosts, fleet, strict=True)
                    if agents_own_word(host, machine, requests, numa)
                }
                found = scheduler.candidates(requests, numa)
                assert {*names(found)} == wanted
                free = [host.free for host in found.hosts]
                assert free == sorted(free)
                explained = scheduler.explain(requests, numa)
                assert explained.left["fit"] == len(wanted)
                counts = [explained.left[name] for name in FILTERS]
                assert counts == sorted(counts, reverse=True)
        finally:
            for host in hosts:
                store.forget(host.name)
                host.stop()


# Why


def test_an_explanation_counts_the_hosts_that_each_filter_leaves(
    scheduler: Scheduler, store: Store, engine: Engine, fleet: Callable[..., Host]
) -> None:
    fleet("down"), fleet("observed", habits=Habits(observe=True))
    fleet("other", ids="15b3:1017", vf_ids="15b3:1018")
    fleet("untagged", 2)
    tagged = '{"vendor_id": "8086", "rack": "7"}'
    fleet("pf-alone", 0, tagged), fleet("far", 4, tagged, numa_node=1), fleet("one-vf", 1, tagged)
    for name in ("fits", "held"):
        host = fleet(name, 3, tagged)
    claim(host, asks(A_VF, 2))
    host.report(store)
    silence(engine, "down")
    wanted = [asks(Spec(vendor_id="8086", tags={"rack": "7"}), 2, policy=NumaPolicy.REQUIRED)]
    told = scheduler.explain(wanted, GuestNuma(frozenset({0})))
    assert told.left == {
        "all": 9,
        "up": 8,
        "giving": 7,
        "ids": 6,
        "type": 5,
        "tags": 4,
        "numa": 3,
        "free": 1,
        "fit": 1,
    }
    assert [(miss.hypervisor_hostname, miss.failed) for miss in told.misses] == [
        ("held", "free"),
        ("one-vf", "free"),
        ("far", "numa"),
    ]
    assert told.misses[0].why == (
        "request r: not met; asks for 2, devices left by each filter: spec 4, type 3, numa 3, free 1",
    )
    assert told.misses[2].why[0].endswith("spec 5, type 4, numa 0, free 0")


def test_an_explanation_tells_what_stands_in_the_way_of_each_request(
    scheduler: Scheduler, fleet: Callable[..., Host]
) -> None:
    fleet("compute-1"), fleet("compute-2", 1)
    told = scheduler.explain([asks(A_PF, name="pf"), asks(A_VF, name="vf")])
    assert (told.left["free"], told.left["fit"], told.cut) == (2, 0, None)
    assert [(miss.hypervisor_hostname, miss.failed) for miss in told.misses] == [
        ("compute-1", "fit"),
        ("compute-2", "fit"),
    ]
    assert told.misses[0].why == (
        "request pf: met; asks for 1, devices left by each filter: spec 1, type 1, numa 1, free 1",
        "request vf: not met, starved by pf; asks for 1, devices left by each filter: spec 2, type 2, numa 2, free 2",
    )


def test_hosts_that_are_not_asked_say_why(scheduler: Scheduler, engine: Engine, fleet: Callable[..., Host]) -> None:
    fleet("down"), fleet("observed", habits=Habits(observe=True))
    silence(engine, "down")
    told = scheduler.explain([asks(A_VF)])
    assert [miss.failed for miss in told.misses] == ["giving", "up"]
    assert told.misses[0].why == ("the host's agent only observes",)
    assert told.misses[1].why[0].startswith("the host is down: last seen 20")


def test_a_device_that_can_not_be_given_is_seen_in_an_explanation(
    scheduler: Scheduler, store: Store, fleet: Callable[..., Host]
) -> None:
    host = fleet("compute-1", 1)
    disable(host)
    host.report(store)
    (miss,) = scheduler.explain([asks(A_VF)]).misses
    assert (miss.failed, miss.why[0].rpartition("devices ")[2]) == (
        "free",
        "left by each filter: spec 1, type 1, numa 1, free 0",
    )


def test_nothing_is_explained_about_a_fleet_without_hosts(scheduler: Scheduler) -> None:
    told = scheduler.explain([asks(A_VF)])
    assert (set(told.left.values()), told.misses, told.cut) == ({0}, (), None)
