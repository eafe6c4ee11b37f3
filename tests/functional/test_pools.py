"""Pools as rows: always those of the last report, and what the scheduler narrows hosts with."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Insert, insert, select, text
from test_databases import report
from test_fit import inventories, request_sets
from test_reports import silence

from hosts import Host
from machines import settled
from pci_agent.agent.records import pool_records
from pci_agent.model import fit, stats
from pci_agent.model.device import DevType
from pci_agent.model.inventory import TrackedDevice
from pci_agent.model.request import PciRequest, Spec
from pci_agent.tracker import pools
from pci_agent.tracker.store import Store
from pci_agent.tracker.tables import compute_nodes, pci_pools, utcnow
from pci_agent.wire.messages import PoolRecord, Report, Token, Verdict, digest

PF = "0000:04:00.0"
IN_A_FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]

records = st.builds(
    PoolRecord,
    vendor_id=st.sampled_from(("8086", "10de")),
    product_id=st.sampled_from(("1520", "1521")),
    numa_node=st.sampled_from((None, 0, 1)),
    dev_type=st.sampled_from((None, "type-PCI", "type-PF", "type-VF", "vdpa")),
    parent_addr=st.sampled_from((None, PF)),
    tags=st.dictionaries(
        st.sampled_from(("physical_network", "rack")), st.sampled_from((None, "a", "A", "ß", "x" * 300))
    ),
    free=st.integers(0, 3),
    used=st.integers(0, 3),
    total=st.integers(0, 9),
)
pool_lists = st.lists(records, max_size=6, unique_by=lambda pool: pool.kind).map(tuple)


def as_set(pools: Sequence[PoolRecord]) -> Counter[tuple[object, ...]]:
    return Counter((*pool.kind, pool.free, pool.used, pool.total) for pool in pools)


def held(engine: Engine, host: str) -> Counter[tuple[object, ...]]:
    with engine.connect() as connection:
        query = select(compute_nodes.c.id).where(compute_nodes.c.hypervisor_hostname == host)
        return as_set(pools.of_host(connection, connection.execute(query.order_by("id")).scalars().all()[-1]))


def test_the_rows_are_the_pools_that_the_host_reported(store: Store, engine: Engine, host: Host) -> None:
    host.start()
    host.report(store)
    for vfs in (["0000:04:10.0"], [], ["0000:04:10.0", "0000:04:10.4"]):
        host.sysfs.set_numvfs(PF, vfs)
        host.agent.look()
        host.report(store)
        (row,) = store.hypervisors()
        assert held(engine, "compute-1") == as_set(pool_records(stats.pools(host.agent.ledger.tracked.values())))
        assert held(engine, "compute-1") == as_set([PoolRecord(**pool) for pool in row["pci_stats"]])


def test_only_what_changed_is_written(store: Store, engine: Engine, host: Host) -> None:
    host.start()
    host.report(store)
    with engine.begin() as connection:
        before = {row.product_id: row.id for row in connection.execute(select(pci_pools))}
        connection.execute(text("UPDATE pci_pools SET physical_network = 'by hand'"))
    host.sysfs.set_numvfs(PF, ["0000:04:10.0"])
    host.agent.look()
    host.report(store)
    with engine.connect() as connection:
        rows = connection.execute(select(pci_pools)).all()
    assert {row.product_id: row.id for row in rows} == before
    assert {row.physical_network for row in rows} == {"by hand"}
    assert sorted(row.total for row in rows) == [1, 1]


def test_a_host_that_is_superseded_has_no_pools(store: Store, engine: Engine) -> None:
    pool = PoolRecord(vendor_id="8086", product_id="1520", free=1, total=1)
    store.accept(report("a", "compute-1", 1).model_copy(update={"pools": (pool,)}))
    silence(engine, "compute-1")
    assert store.accept(report("b", "compute-1", 1)).verdict is Verdict.OK
    with engine.connect() as connection:
        assert connection.execute(select(pci_pools)).all() == []


def node(number: int) -> Insert:
    """A host for pools to hang on; these tests never commit."""
    return insert(compute_nodes).values(
        id=number,
        hypervisor_hostname=f"compute-{number}",
        agent_uuid=f"agent-{number}",
        session="session",
        generation=1,
        digest="0" * 32,
        last_seen=utcnow(),
        status_counter=0,
        pci_stats=[],
    )


@settings(max_examples=40, deadline=None, suppress_health_check=IN_A_FIXTURE)
@given(reports=st.lists(pool_lists, max_size=4))
def test_whatever_is_reported_after_whatever_the_rows_are_its_pools(
    engine: Engine, reports: list[tuple[PoolRecord, ...]]
) -> None:
    with engine.connect() as connection:
        connection.execute(node(7))
        for listed in reports:
            pools.write(connection, 7, listed)
            assert as_set(pools.of_host(connection, 7)) == as_set(listed)
            networks = {row.physical_network for row in connection.execute(select(pci_pools))}
            assert networks == {pools.folded(pool.tags.get("physical_network")) for pool in listed}
        connection.rollback()


def test_a_report_with_one_pool_twice_is_refused() -> None:
    pool = PoolRecord(vendor_id="8086", product_id="1520", free=1, total=1)
    token = Token(session="s", generation=1, digest=digest(()))
    with pytest.raises(ValueError, match="a pool stands in it twice"):
        Report(agent_uuid="a", host="h", session="s", over=None, token=token, full=True, pools=(pool, pool))


# Narrowing, beside the same words in Python, and beside the matcher

specs = st.builds(
    Spec,
    vendor_id=st.sampled_from((None, "8086", "10de")),
    product_id=st.sampled_from((None, "1520", "1521")),
    dev_type=st.sampled_from((None, DevType.PCI, DevType.PF, DevType.VF, DevType.VDPA)),
    tags=st.dictionaries(st.just("physical_network"), st.sampled_from((None, "a", "A", "ß", "x" * 300))),
)
asked = st.lists(
    st.builds(
        PciRequest,
        request_id=st.just("r"),
        count=st.integers(1, 4),
        specs=st.lists(specs, min_size=1, max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=2,
)


def may_serve(listed: Sequence[PoolRecord], request: PciRequest) -> bool:
    def meets(pool: PoolRecord, spec: Spec) -> bool:
        network = pool.tags.get("physical_network")
        wanted = spec.tags.get("physical_network")
        return (
            spec.vendor_id in (None, pool.vendor_id)
            and spec.product_id in (None, pool.product_id)
            and spec.dev_type in (None, pool.dev_type)
            and ("physical_network" not in spec.tags or (wanted and wanted.lower()) == (network and network.lower()))
        )

    types = {spec.dev_type for spec in request.specs}
    return request.count <= sum(
        pool.free
        for pool in listed
        if any(meets(pool, spec) for spec in request.specs)
        and (pool.dev_type not in ("type-PF", "vdpa") or pool.dev_type in types)
    )


@settings(max_examples=60, deadline=None, suppress_health_check=IN_A_FIXTURE)
@given(hosts=st.lists(pool_lists, min_size=1, max_size=5), requests=asked)
def test_a_host_is_named_exactly_where_its_pools_have_enough_for_each_request(
    engine: Engine, hosts: list[tuple[PoolRecord, ...]], requests: list[PciRequest]
) -> None:
    with engine.connect() as connection:
        for number, listed in enumerate(hosts, 1):
            connection.execute(node(number))
            pools.write(connection, number, listed)
        named = connection.execute(pools.that_may_serve(requests)).scalars().all()
        connection.rollback()
    assert sorted(named) == [
        number for number, listed in enumerate(hosts, 1) if all(may_serve(listed, request) for request in requests)
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=IN_A_FIXTURE)
@given(items=inventories(), requests=request_sets())
def test_no_host_that_can_serve_is_left_out(
    sqlite: Engine, items: list[TrackedDevice], requests: list[PciRequest]
) -> None:
    items = settled(items)
    with sqlite.connect() as connection:
        connection.execute(node(1))
        pools.write(connection, 1, pool_records(stats.pools(items)))
        named = connection.execute(pools.that_may_serve(requests)).scalars().all()
        connection.rollback()
    assert named == [1] or not isinstance(fit.fit(items, requests), fit.Assignment)


def test_a_host_that_is_down_or_gone_is_not_offered(store: Store, engine: Engine) -> None:
    pool = PoolRecord(vendor_id="8086", product_id="1520", dev_type="type-VF", free=2, total=2)
    for name in ("compute-1", "compute-2", "compute-3"):
        store.accept(report(name, name, 1).model_copy(update={"pools": (pool,)}))
    wanted = [PciRequest(request_id="r", count=2, specs=(Spec(vendor_id="8086", product_id="1520"),))]
    assert len(store.hosts_for(wanted)) == 3
    silence(engine, "compute-1")
    silence(engine, "compute-2")
    store.accept(report("other", "compute-2", 1))
    (host,) = store.hosts_for(wanted)
    assert (host["hypervisor_hostname"], host["agent_uuid"], host["session"]) == ("compute-3",) * 3
