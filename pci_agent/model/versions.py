"""
Which of two versions of pci-agent is the older one, as far as that matters to those who run both.

Only major and minor count: a patch changes nothing that travels. What isn't two numbers is no older than anything.
"""

import re

_NUMBERS = re.compile(r"(\d{1,9})\.(\d{1,9})(?!\d)")


def is_older(version: str, than: str) -> bool:
    """Tell whether a version is of an earlier minor or major one than another: ``0.9.3`` than ``0.10.0``."""
    mine, other = _NUMBERS.match(version), _NUMBERS.match(than)
    if mine is None or other is None:
        return False
    return tuple(map(int, mine.groups())) < tuple(map(int, other.groups()))
