"""Pools as rows: always those of the last report, and what the scheduler narrows hosts with."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Insert, insert, select, update
from test_databases import report
from test_reports import silence

from hosts import Host
from pci_agent.agent.records import pool_records
from pci_agent.model import stats
from pci_agent.tracker import pools
from pci_agent.tracker.store import Store
from pci_agent.tracker.tables import compute_nodes, pci_kinds, pci_pools, utcnow
from pci_agent.wire.messages import PoolRecord, Report, Token, Verdict, digest

PF = "0000:04:00.0"
OF_A_KIND = ("vendor_id", "product_id", "dev_type", "tags")
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
        connection.execute(insert(pci_kinds).values(id=77, vendor_id="", product_id="", tags={}))
        connection.execute(update(pci_pools).values(kind_id=77))
    host.sysfs.set_numvfs(PF, ["0000:04:10.0"])
    host.agent.look()
    host.report(store)
    with engine.connect() as connection:
        rows = connection.execute(select(pci_pools)).all()
    assert {row.product_id: row.id for row in rows} == before
    assert {row.kind_id for row in rows} == {77}
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
            joined = select(pci_pools, *(pci_kinds.c[name].label(f"its_{name}") for name in OF_A_KIND)).join(pci_kinds)
            for row in connection.execute(joined):
                assert [getattr(row, name) for name in OF_A_KIND] == [getattr(row, f"its_{name}") for name in OF_A_KIND]
        connection.rollback()


def test_a_report_with_one_pool_twice_is_refused() -> None:
    pool = PoolRecord(vendor_id="8086", product_id="1520", free=1, total=1)
    token = Token(session="s", generation=1, digest=digest(()))
    with pytest.raises(ValueError, match="a pool stands in it twice"):
        Report(agent_uuid="a", host="h", session="s", over=None, token=token, full=True, pools=(pool, pool))


def test_pools_of_one_kind_share_its_row_and_kinds_outlive_their_pools(engine: Engine) -> None:
    here = PoolRecord(vendor_id="8086", product_id="1520", numa_node=0, parent_addr=PF, free=1, total=1)
    there = here.model_copy(update={"numa_node": 1, "parent_addr": None, "free": 0})
    tagged = here.model_copy(update={"tags": {"rack": "7"}})
    with engine.connect() as connection:
        for number in (7, 8):
            connection.execute(node(number))
            pools.write(connection, number, (here, there, tagged))
        for expected in (2, 2):
            assert len(connection.execute(select(pci_kinds)).all()) == expected
            pools.write(connection, 7, ())
        connection.rollback()


def test_hosts_that_report_a_new_kind_at_the_same_time_all_have_it(store: Store, engine: Engine) -> None:
    at_once = threading.Barrier(6)
    kinds = [PoolRecord(vendor_id="8086", product_id=f"{number:04x}", free=1, total=1) for number in range(20)]

    def tell(number: int) -> Verdict:
        listed = tuple(kinds if number % 2 else kinds[::-1])
        first = report(f"agent-{number}", f"compute-{number}", 1).model_copy(update={"pools": listed})
        at_once.wait()
        return store.accept(first).verdict

    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(tell, range(6))) == {Verdict.OK}
    with engine.connect() as connection:
        assert len(connection.execute(select(pci_kinds)).all()) == 20
        assert len(connection.execute(select(pci_pools)).all()) == 120
