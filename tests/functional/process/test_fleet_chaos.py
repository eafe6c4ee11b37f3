"""tools/fleet chaos, for less than a minute of it: all that can fail fails, no promise is broken."""

from pathlib import Path

from simulation.chaos import chaos
from simulation.machines import generated
from simulation.world import Plan


def test_no_answer_is_broken_whatever_fails(tmp_path: Path) -> None:
    plan = Plan(agents=12, a_process=4, trackers=2, postgresql=True, steppable=True)
    told = chaos(tmp_path, plan, generated(tmp_path, 6, 32), seconds=40, seed=20261120)
    assert told.failures == (), "\n".join((*told.lines, f"logs and journal are in {tmp_path}"))
    assert "the broker stopped 1 times, the database" in told.lines[0]
    assert not any(f"{what} 0 times" in told.lines[0] for what in ("database", "wrong", "gone"))
