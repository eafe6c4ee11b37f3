"""The bench of REST measures what it means to, however few devices there are."""

from dataclasses import replace

import pytest

from benches import asking, rest, rest_page
from benches.side import ROOT
from services import PostgreSQL, missing

_TINY = rest.Sizes(hosts=1, seconds=0.1, turns=1, beside=False)


def test_every_side_is_asked_and_told(postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "CONNECTIONS", 2)
    result = rest.measured(_TINY, postgresql, lambda _: None)
    assert list(result.a_second) == [*rest.OURS, rest.BARE]
    assert all(result.median(side) > 0 for side in result.a_second)
    assert len(set(result.bytes.values())) == 1, "all tell the same devices"
    told = rest_page.section(replace(result, a_second={**result.a_second, "SQLite": [1.0], rest.BARE: [5.0]}))
    assert "## A page of 100 devices over REST" in told
    assert "| ours, SQLite | 1.0 | 20% |" in told
    assert "on SQLite at least 25% of the bare application's requests a second are answered: 20%. **Missed.**" in told


def test_placement_lists_as_many_providers_as_there_are_devices(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (ROOT / ".placement/bin/cheroot").exists():
        missing("OpenStack placement")
    monkeypatch.setattr(asking, "CONNECTIONS", 1)
    result = rest.measured(replace(_TINY, beside=True), postgresql, lambda _: None)
    assert list(result.a_second) == [*rest.OURS, rest.BARE, rest.PLACEMENT]
    wanted = [
        each.wanted for each in rest.limits(replace(result, a_second={**result.a_second, rest.PLACEMENT: [1e-9]}))
    ]
    assert [each for each in wanted if "placement" in each] == [
        f"on {own} at least 10 times as many requests a second are answered as by placement" for own in rest.OURS
    ]
    assert "| placement |" in rest_page.section(result)
