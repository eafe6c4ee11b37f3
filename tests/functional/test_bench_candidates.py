"""The bench of finding hosts asks what it means to, of a fleet that the tracker understands."""

from pathlib import Path

import pytest

from benches import candidates
from pci_agent.tracker import database
from pci_agent.tracker.store import Store


def test_every_question_is_asked_of_every_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "_RUNS", 1)
    result = candidates.measured(f"sqlite:///{tmp_path}/bench.sqlite", hosts=3)
    assert [len(asked) for asked in result.seconds.values()] == [7] * 3
    assert all(len(spent) == 1 for asked in result.seconds.values() for spent in asked.values())


def test_its_fleet_is_one_that_verify_finds_no_fault_with(tmp_path: Path) -> None:
    engine = database.connect(f"sqlite:///{tmp_path}/bench.sqlite")
    database.upgrade(engine)
    for shape, pools in zip(candidates.SHAPES, (2, 10, 65), strict=True):
        candidates.fill(engine, shape, 2)
        store = Store(engine, host_down_s=75)
        assert len(store.devices()) == 2 * (candidates.VFS + shape.pfs)
        assert [len(row["pci_stats"]) for row in store.hypervisors()] == [pools, pools]
        assert [str(each) for each in store.verify()] == []
    engine.dispose()
