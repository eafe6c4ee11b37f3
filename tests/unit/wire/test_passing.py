"""Trouble that passes fills no log."""

import pytest

from pci_agent.wire.passing import Passing


def test_it_is_told_at_once_and_then_once_in_ten_seconds_with_the_number_of_calls(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    passing = Passing(OSError, clock=lambda: now[0])
    for _ in range(100):
        passing.add("report", OSError("the database is away\nand much more"))
        now[0] += 0.25
    told = [record.getMessage() for record in caplog.records]
    assert [line.split()[0] for line in told] == ["1", "40", "40"]
    assert all(line.endswith("the last, report: the database is away") for line in told)
