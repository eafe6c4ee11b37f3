"""Narrowing, beside the same words in Python, and beside the matcher: no host that fits is left out."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from test_fit import inventories, request_sets
from test_pools import IN_A_FIXTURE, node, records

from machines import settled
from pci_agent.agent.records import pool_records
from pci_agent.model import fit, stats
from pci_agent.model.device import DevType
from pci_agent.model.fit import ANYWHERE, GuestNuma
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.request import NumaPolicy, PciRequest, Spec
from pci_agent.tracker import narrowing, pools
from pci_agent.tracker.search import Search
from pci_agent.wire.messages import PoolRecord
from shares import examples

typed = records.filter(lambda pool: pool.dev_type is not None)
pool_lists = st.lists(typed, max_size=6, unique_by=lambda pool: pool.kind).map(tuple)
tags = st.dictionaries(
    st.sampled_from(("physical_network", "rack", "remote_managed")),
    st.sampled_from((None, "a", "A", "ß", "x" * 300, "true", "false")),
    max_size=2,
)
specs = st.builds(
    Spec,
    vendor_id=st.sampled_from((None, "8086", "10de")),
    product_id=st.sampled_from((None, "1520", "1521")),
    dev_type=st.sampled_from((None, DevType.PCI, DevType.PF, DevType.VF, DevType.VDPA)),
    tags=tags,
)
asked = st.lists(
    st.builds(
        PciRequest,
        request_id=st.just("r"),
        count=st.integers(1, 4),
        specs=st.lists(specs, min_size=1, max_size=2).map(tuple),
        numa_policy=st.sampled_from(list(NumaPolicy)),
    ),
    min_size=1,
    max_size=2,
)
numas = st.sampled_from((ANYWHERE, GuestNuma(frozenset({0})), GuestNuma(frozenset({0}), {0: 0, 1: 0, 2: 1})))


def serves(pool: PoolRecord, request: PciRequest, numa: GuestNuma) -> bool:
    def tag(name: str) -> str | None:
        value = pool.tags.get(name)
        if value is None and name == "remote_managed" and pool.dev_type != "type-PCI":
            return "false"
        return value and value.lower()

    def meets(spec: Spec) -> bool:
        return (
            spec.vendor_id in (None, pool.vendor_id)
            and spec.product_id in (None, pool.product_id)
            and spec.dev_type in (None, pool.dev_type)
            and all((value and value.lower()) == tag(name) for name, value in spec.tags.items())
        )

    types = {spec.dev_type for spec in request.specs}
    remote = {spec.tags.get("remote_managed") for spec in request.specs}
    return (
        any(meets(spec) for spec in request.specs)
        and (pool.dev_type not in ("type-PF", "vdpa") or pool.dev_type in types)
        and ((pool.tags.get("remote_managed") or "").lower() != "true" or "true" in remote)
        and numa.rank(request.numa_policy, pool.numa_node) is not None
    )


def looked_at(hosts: Sequence[Sequence[PoolRecord]], request: PciRequest, numa: GuestNuma) -> object:
    """Which pools a request looks at, whatever hosts have on which nodes."""
    nodes = (None, 0, 1, 2, 3)
    everywhere = [pool.model_copy(update={"numa_node": node}) for listed in hosts for pool in listed for node in nodes]
    return frozenset(pool.kind for pool in everywhere if serves(pool, request, numa))


def free_of_use(
    hosts: Sequence[Sequence[PoolRecord]], number: int, requests: Sequence[PciRequest], numa: GuestNuma
) -> int | None:
    """How many of a host's free devices are of use; None where they are too few."""
    counts: Counter[object] = Counter()
    free: dict[object, int] = {}
    union: dict[int, int] = {}
    for request in requests:
        useful = {id(pool): pool.free for pool in hosts[number] if serves(pool, request, numa)}
        alike = looked_at(hosts, request, numa)
        counts[alike] += request.count
        free[alike] = sum(useful.values())
        union |= useful
    enough = all(free[alike] >= count for alike, count in counts.items())
    return sum(union.values()) if enough and sum(union.values()) >= counts.total() else None


def named(
    engine: Engine, hosts: Sequence[Sequence[PoolRecord]], requests: Sequence[PciRequest], numa: GuestNuma = ANYWHERE
) -> dict[int, int]:
    """Narrow hosts that have these pools, and nothing else: number and free devices of use of each."""
    with engine.connect() as connection:
        for number, listed in enumerate(hosts, 1):
            connection.execute(node(number))
            pools.write(connection, number, listed)
        query = narrowing.with_enough(Search(connection, requests, numa).demands)
        found = {row.compute_node_id: row.free for row in connection.execute(query)}
        connection.rollback()
    return found


@settings(parent=examples(60, long=1000), suppress_health_check=IN_A_FIXTURE)
@given(hosts=st.lists(pool_lists, min_size=1, max_size=5), requests=asked, numa=numas)
def test_a_host_is_named_where_its_pools_have_enough_for_each_request_and_for_all_together(
    engine: Engine, hosts: list[tuple[PoolRecord, ...]], requests: list[PciRequest], numa: GuestNuma
) -> None:
    found = named(engine, hosts, requests, numa)
    wanted = {number: free_of_use(hosts, number - 1, requests, numa) for number in range(1, len(hosts) + 1)}
    assert found == {number: free for number, free in wanted.items() if free is not None}


@settings(parent=examples(150, long=3000), suppress_health_check=IN_A_FIXTURE)
@given(items=inventories(), requests=request_sets(), numa=numas)
def test_no_host_that_can_serve_is_left_out(
    sqlite: Engine, items: list[TrackedDevice], requests: list[PciRequest], numa: GuestNuma
) -> None:
    items = settled(items)
    found = named(sqlite, [pool_records(stats.pools(items))], requests, numa)
    assert found or not isinstance(fit.fit(items, requests, numa), fit.Assignment)


def test_what_only_placement_is_told_narrows_nothing(sqlite: Engine) -> None:
    pool = PoolRecord(vendor_id="8086", product_id="1520", dev_type="type-VF", free=1, total=1)
    spec = Spec(vendor_id="8086", tags={"resource_class": "CUSTOM_VF"})
    assert named(sqlite, [[pool]], [PciRequest(request_id="r", specs=(spec,))]) == {1: 1}


def test_requests_for_the_same_devices_need_enough_for_all_of_them(engine: Engine) -> None:
    vfs = PoolRecord(vendor_id="8086", product_id="1520", dev_type="type-VF", free=3, total=3)
    others = PoolRecord(vendor_id="8086", product_id="1521", dev_type="type-VF", free=9, total=9)
    a_vf = [PciRequest(request_id=name, count=2, specs=(Spec(product_id="1520"),)) for name in ("first", "second")]
    either = PciRequest(request_id="either", count=2, specs=(Spec(vendor_id="8086"),))
    assert named(engine, [[vfs, others]], a_vf) == {}
    assert named(engine, [[vfs, others]], [a_vf[0], either]) == {1: 12}


def test_a_kind_that_later_versions_may_report_is_passed_over(sqlite: Engine) -> None:
    odd = PoolRecord(vendor_id="8086", product_id="1520", dev_type="type-SF", free=3, total=3)
    request = PciRequest(request_id="r", specs=(Spec(vendor_id="8086"),))
    assert named(sqlite, [[odd]], [request]) == {}
