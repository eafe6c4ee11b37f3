"""
How a repeatable option whose values are JSON dicts is read: nothing is guessed, every error is told at once.

What is inside one dict is the caller's part; here is what surrounds it: values that aren't JSON, keys that stand
twice, the number of an entry in the order of the file, and the way from what is wrong to a Refusal.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pci_agent.errors import ConfigurationRefused, Refusal

_MOST_SHOWN = 200

T = TypeVar("T")


class Wrong(Exception):
    """What is wrong with one key of one entry (or with the whole entry: None), and the cure."""

    def __init__(self, key: str | None, value: object, what: str, cure: str) -> None:
        super().__init__(what)
        self.key, self.value, self.what, self.cure = key, value, what, cure


class Wrongs:
    """All that is wrong with one entry."""

    def __init__(self) -> None:
        self._found: list[Wrong] = []

    def attempt(self, read: Callable[..., T], *arguments: Any) -> T | None:
        """Call *read*; None where it raises Wrong, which is kept for *settle*."""
        try:
            return read(*arguments)
        except Wrong as wrong:
            self._found.append(wrong)
            return None

    def __bool__(self) -> bool:
        return bool(self._found)

    def settle(self) -> None:
        """Raise all that was wrong, as one ExceptionGroup; return where nothing was."""
        if self._found:
            raise ExceptionGroup("entry", self._found)


def read(
    option: str, values: Iterable[object], entry: Callable[[int, Mapping[str, Any]], T], *, example: str, lists: bool
) -> list[T]:
    """
    Read the option's values, in file order.

    Args:
        option: its name with its group, for the refusals
        values: the raw values; text, but anything is refused rather than stumbled over
        entry: reads one dict, given its number from 1; raises Wrong, or an ExceptionGroup of them
        example: a dict as it should be
        lists: whether a value may be a list of dicts

    Raises:
        ConfigurationRefused: with every error of every entry; nothing of the option should be used then.
    """
    entries: list[T] = []
    refusals: list[Refusal] = []
    cure = f"write a JSON dict, as in {example}" + (", or a list of them" if lists else ", one a value")
    number = 0
    for value in values:
        for item in _items(value, cure, lists=lists):
            number += 1
            try:
                if isinstance(item, Wrong):
                    raise item
                _printable(item)
                entries.append(entry(number, item))
            except ExceptionGroup as wrongs:
                refusals += [_refusal(option, number, each) for each in wrongs.exceptions if isinstance(each, Wrong)]
            except Wrong as wrong:
                refusals.append(_refusal(option, number, wrong))
    if refusals:
        raise ConfigurationRefused(refusals)
    return entries


def _refusal(option: str, number: int, wrong: Wrong) -> Refusal:
    value = str(wrong.value) if wrong.key is None else written(wrong.value)
    return Refusal(option=option, entry=number, key=wrong.key, value=short(value), what=wrong.what, cure=wrong.cure)


def written(value: object) -> str:
    """Write a value as JSON, for a message; what is nested too deeply is not."""
    try:
        return json.dumps(value, default=str)
    except RecursionError:
        return "…"


def short(text: str) -> str:
    """Cut a long text for a message."""
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}… ({len(text)} characters)"


def _items(value: object, cure: str, *, lists: bool) -> list[dict[str, Any] | Wrong]:
    """List the entries of one value, or the one thing that is wrong with it."""
    if not isinstance(value, str):
        return [Wrong(None, repr(value), "this is no text", cure)]
    try:
        read = json.loads(value, object_pairs_hook=_without_repeats)
    except Wrong as wrong:
        return [wrong]
    except (ValueError, RecursionError) as error:
        return [Wrong(None, value, f"this is not JSON ({error})", cure)]
    if isinstance(read, list) and lists:
        return [
            item if isinstance(item, dict) else Wrong(None, written(item), "an entry is a JSON dict", cure)
            for item in read
        ]
    return [read if isinstance(read, dict) else Wrong(None, value, "an entry is a JSON dict", cure)]


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for key, value in pairs:
        if key in read:
            raise Wrong(key, value, "the key stands twice in one entry", "keep one of the two")
        read[key] = value
    return read


def _printable(item: Mapping[str, Any]) -> None:
    try:
        json.dumps(item, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Wrong(None, written(item), "half a surrogate pair is no text", "write the whole character") from None
    except RecursionError:
        raise Wrong(None, "…", "it is nested too deeply", "write a plain dict") from None
