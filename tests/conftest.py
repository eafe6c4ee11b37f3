"""Fixtures that every test may use. Each is the real thing made small."""

import subprocess
import sys
from pathlib import Path

import pytest

from sysfs import FakeSysfs

CAPTURES = Path(__file__).resolve().parents[2] / "shared/captures"


@pytest.fixture
def sysfs(tmp_path: Path) -> FakeSysfs:
    """An empty PCI bus in a directory."""
    return FakeSysfs(tmp_path / "sys")


@pytest.fixture(scope="session")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight real machines' sysfs trees, by name; skips where they are not beside the project."""
    if not CAPTURES.is_dir():
        pytest.skip(f"the captured machines are not at {CAPTURES.parent.name}/captures beside the project")
    trees = tmp_path_factory.mktemp("captures") / "trees"
    subprocess.run([sys.executable, CAPTURES / "build.py", trees], check=True)
    return trees
