"""
How tests are shared out where several processes run them: a file at a time, and the whole lab to one of them.

The lab's machine takes a while to start, and two of them would take each other's processor.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

_LAB = "tests/lab/"


class ByFile(LoadFileScheduling):  # type: ignore[misc]
    """Shares tests out."""

    def _split_scope(self, nodeid: str) -> str:
        return _LAB if nodeid.startswith(_LAB) else str(super()._split_scope(nodeid))


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Answer pytest-xdist, which asks how."""
    return ByFile(config, log)
