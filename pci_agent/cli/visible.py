"""Text of others on a terminal: what can't be seen, and may turn round or hide the rest, is shown by its number."""

import re
import unicodedata

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_MAY_BE = re.compile(r"[^\n -~]")


def visible(text: str) -> str:
    """Write a character that can't be seen by its number, as the page does; lines stay lines."""
    return _MAY_BE.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    sign = found[0]
    return f"\\u{{{ord(sign):x}}}" if unicodedata.category(sign) in _UNSEEN else sign
