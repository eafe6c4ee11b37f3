"""Writes what a bench found into docs/benchmarks.md: its own section, and nothing else of the page."""

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/benchmarks.md"
_NEW_PAGE = """# Benchmarks

Written by `tools/bench`, each section by its own command.
"""


def put(bench: str, section: str) -> None:
    """Replace a bench's section on the page, which is made where it is missing."""
    begin, end = (f"<!-- tools/bench {bench}: {word} -->" for word in ("begin", "end"))
    page = PAGE.read_text() if PAGE.exists() else _NEW_PAGE
    if begin not in page:
        page = f"{page.rstrip()}\n\n{begin}\n{end}\n"
    before, rest = page.split(begin)
    _, after = rest.split(end)
    PAGE.write_text(f"{before}{begin}\n\n{section.strip()}\n\n{end}{after}")


def machine() -> dict[str, str]:
    """Describe this machine, and the day."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cpu": found[1] if found else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f}",
    }
