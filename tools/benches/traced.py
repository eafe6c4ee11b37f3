"""
Counts the system calls of a scan, under strace: those that name a file or a descriptor, none of the memory's.

Run as a module it is what strace follows: a first scan and a later one, between three calls that nobody else makes.
"""

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benches.side import PATH

_MARKS = ("/first scan", "/later scan", "/end")
_STRACE = ("strace", "-f", "-qq", "-s", "16", "-e", "trace=!brk,mmap,munmap,mremap,madvise")


def calls(root: str) -> tuple[int, int]:
    """Give how many calls a first scan makes, and a later one."""
    with tempfile.NamedTemporaryFile(prefix="pci-bench-", mode="r", errors="replace") as trace:
        subprocess.run(
            [*_STRACE, "-o", trace.name, sys.executable, "-P", "-m", "benches.traced", root],
            env={**os.environ, "PYTHONPATH": PATH},
            check=True,
        )
        lines = Path(trace.name).read_text(errors="replace").splitlines()
    first, later, end = (next(at for at, line in enumerate(lines) if f'"{mark}"' in line) for mark in _MARKS)
    return later - first - 1, end - later - 1


def _scans(root: str) -> None:
    from pci_agent.discovery.sysfs import scan  # noqa: PLC0415 - the bench itself needn't have it

    gc.disable()
    os.access(_MARKS[0], os.F_OK)
    before = scan(root)
    os.access(_MARKS[1], os.F_OK)
    scan(root, before)
    os.access(_MARKS[2], os.F_OK)


if __name__ == "__main__":
    _scans(sys.argv[1])
