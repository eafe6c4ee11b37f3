"""What an unchanged host costs: counted statements and messages, not a stopwatch."""

from pathlib import Path

from conftest import CAPTURES
from hosts import Host
from pci_agent.tracker.store import Store
from pci_agent.wire.messages import Heartbeat
from sysfs import FakeSysfs

FUNCTIONS = 300


def big_host(tmp_path: Path) -> Host:
    sysfs = FakeSysfs(tmp_path / "big")
    vfs = [f"0000:04:{n >> 3:02x}.{n & 7}" for n in range(8, 72)]
    sysfs.add_pf("0000:04:00.0", vfs=vfs, numa_node=1)
    for n in range(FUNCTIONS - len(vfs) - 1):
        sysfs.add(f"0000:{0x20 + (n >> 8):02x}:{n >> 3 & 31:02x}.{n & 7}")
    return Host("big", sysfs, tmp_path / "big-agent")


def test_an_unchanged_look_writes_nothing_and_says_nothing(tmp_path: Path, store: Store) -> None:
    host = big_host(tmp_path)
    host.start()
    host.report(store)
    assert len(host.agent.records()) == FUNCTIONS
    woken: list[None] = []
    statements: list[str] = []
    host.agent._changed = lambda: woken.append(None)
    host.store._database.set_trace_callback(statements.append)
    for _ in range(3):
        looked = host.agent.look()
        assert (looked.functions, looked.changed) == (FUNCTIONS, False)
        assert host.agent.agreed
        message = host.agent.next_message()
        assert isinstance(message, Heartbeat)
        assert message.status is None
    assert statements == []
    assert woken == []
    host.stop()


def test_the_counters_do_count(tmp_path: Path, store: Store) -> None:
    host = big_host(tmp_path)
    host.start()
    host.report(store)
    statements: list[str] = []
    host.store._database.set_trace_callback(statements.append)
    host.sysfs.remove("0000:20:00.0")
    assert host.agent.look().changed
    assert not host.agent.agreed
    assert any(statement.startswith("INSERT INTO device") for statement in statements)
    host.stop()


def test_a_restart_of_an_unchanged_host_writes_no_device(tmp_path: Path, store: Store) -> None:
    host = big_host(tmp_path)
    host.start()
    host.report(store)
    host.restart()
    statements: list[str] = []
    host.store._database.set_trace_callback(statements.append)
    host.agent.look()
    host.report(store)
    assert not [statement for statement in statements if "INTO device" in statement]
    assert not [statement for statement in statements if "acknowledged_device" in statement]
    host.stop()


def test_the_300_functions_of_a_real_machine_cost_nothing_either(tmp_path: Path, captures: Path, store: Store) -> None:
    assert CAPTURES.is_dir()
    host = Host("openshift", captures / "openshift-master.internal" / "sys", tmp_path / "agent-300")  # type: ignore[arg-type]
    host.start()
    host.report(store)
    statements: list[str] = []
    host.store._database.set_trace_callback(statements.append)
    assert host.agent.look().functions == FUNCTIONS
    assert host.agent.agreed
    assert statements == []
    host.stop()
