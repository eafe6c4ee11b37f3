"""
How tests are shared out where several processes run them: a file at a time, and the whole lab to one of them.

The lab's machine takes a while to start, and two of them would take each other's processor. The lab comes first: it
takes longer than any file, and left to the end it would run alone.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

_LAB = "tests/lab/"


class ByFile(LoadFileScheduling):  # type: ignore[misc]
    """Shares tests out."""

    def _split_scope(self, nodeid: str) -> str:
        return _LAB if nodeid.startswith(_LAB) else str(super()._split_scope(nodeid))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the lab first where tests are shared out."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(_LAB))


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Answer pytest-xdist, which asks how."""
    return ByFile(config, log)
