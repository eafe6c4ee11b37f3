"""How many examples a property test tries: a share in every run, all of them where pytest was given --long."""

from dataclasses import dataclass

from hypothesis import settings


@dataclass
class _Run:
    """What conftest.py learns from the command line, before any test is collected."""

    long: bool = False


run = _Run()


def examples(share: int, *, long: int) -> settings:
    """Give the settings of a property test."""
    return settings(max_examples=long if run.long else share, deadline=None)


def seeds(share: int, *, long: int) -> range:
    """Give the seeds of runs that a test makes by itself."""
    return range(long if run.long else share)
