"""
Agents and the tracker keep their promises, whatever the bus, kills and operators do; and each rule is needed for that.

A share of the runs in every run of the tests, 10,000 where pytest was given --long. What fails says how to see it
again.
"""

import pytest

from adversary.ablations import ABLATIONS
from adversary.runs import play, replay, shortest, told
from adversary.scenarios import SCENARIOS
from shares import seeds

_SHARE, _LONG = 750, 10_000
_MOST_TRIED = 1000


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_was_promised_is_kept(name: str) -> None:
    for seed in seeds(_SHARE // len(SCENARIOS), long=_LONG // len(SCENARIOS)):
        run = play(SCENARIOS[name], seed)
        if run.violation is not None:
            pytest.fail(told(name, seed, shortest(SCENARIOS[name], run)), pytrace=False)


@pytest.mark.parametrize(
    ("rule", "name", "broken"),
    [
        ("4", "two-trackers", "I4"),
        ("9", "same-name", "I7"),
        ("11", "commands-restore", "I1 I2 I6"),
        ("12", "commands-restore", "I1 I2 I6"),
        ("14", "commands-late", "I2"),
        ("15", "commands-late", "I2 I6"),
        ("18", "elsewhere", "I2 I6 I8"),
        ("19", "elsewhere", "I2 I5"),
    ],
)
def test_without_a_rule_a_promise_is_broken(rule: str, name: str, broken: str) -> None:
    with ABLATIONS[rule]():
        assert any(play(SCENARIOS[name], seed).kind in broken.split() for seed in range(_MOST_TRIED))


def test_a_run_plays_the_same_way_from_its_seed_and_from_its_trace() -> None:
    scenario = SCENARIOS["commands-of-two"]
    run = play(scenario, 3)
    assert play(scenario, 3) == run
    assert replay(scenario, run.trace) == run


def test_a_failing_run_is_shortened_to_what_fails_alike() -> None:
    scenario = SCENARIOS["commands-late"]
    with ABLATIONS["14"]():
        run = next(run for run in (play(scenario, seed) for seed in range(_MOST_TRIED)) if run.violation)
        short = shortest(scenario, run)
        assert len(short.trace) < len(run.trace) / 2
        assert short.kind == run.kind
        assert replay(scenario, short.trace).violation == short.violation
