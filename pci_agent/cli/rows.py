"""How values read in a cell: plain to people, whole to machines."""

from collections.abc import Iterable, Mapping
from typing import Any

from cliff.columns import FormattableColumn

from pci_agent.cli.visible import visible

Table = tuple[tuple[str, ...], list[tuple[Any, ...]]]
Fields = tuple[tuple[str, ...], tuple[Any, ...]]


class Worded(FormattableColumn[str]):
    """A text with characters that can't be seen: by number to people, itself to machines."""

    def human_readable(self) -> str:
        """Write it so that all of it is seen."""
        return visible(self._value)

    def __lt__(self, other: object) -> bool:
        return self._value < _text(other)

    def __gt__(self, other: object) -> bool:
        return not isinstance(other, Absent) and self._value > _text(other)


class Mapped(FormattableColumn[dict[str, Any]]):
    """A dict: ``key='value'`` to people, itself to machines."""

    def human_readable(self) -> str:
        """Write it on one line."""
        return visible(", ".join(f"{name}={value!r}" for name, value in sorted(self._value.items())))

    def __lt__(self, other: object) -> bool:
        return isinstance(other, Mapped) and self.human_readable() < other.human_readable()


class Facts(Mapped):
    """A dict where there is room: a line each to people, itself to machines."""

    def human_readable(self) -> str:
        """Write each of its values on a line."""
        return visible("\n".join(f"{name}={'' if value is None else value}" for name, value in self._value.items()))


class Absent(FormattableColumn[None]):
    """What is not there: empty to people, null to machines; it comes last where a column is sorted."""

    def human_readable(self) -> str:
        """Write nothing."""
        return ""

    def __lt__(self, _other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return not isinstance(other, Absent)


class Listed(FormattableColumn[list[Any]]):
    """A list: a line each to people, itself to machines."""

    def human_readable(self) -> str:
        """Write each item on a line."""
        return visible("\n".join(_line(item) for item in self._value))

    def __lt__(self, other: object) -> bool:
        return isinstance(other, Listed) and self.human_readable() < other.human_readable()


def table(columns: Mapping[str, str], items: Iterable[Mapping[str, Any]]) -> Table:
    """
    Give items as a list has them.

    Args:
        columns: which key of an item stands under which title
        items: each has what is shown, or nothing for it
    """
    return tuple(columns), [tuple(shown(item.get(key)) for key in columns.values()) for item in items]


def fields(item: Mapping[str, Any]) -> Fields:
    """Give one item with all that it has, under REST's own names."""
    return tuple(item), tuple(Facts(value) if isinstance(value, dict) else shown(value) for value in item.values())


def shown(value: Any) -> Any:
    """Give a value as a cell."""
    if value is None:
        return Absent(None)
    if isinstance(value, dict):
        return Mapped(value)
    if isinstance(value, list):
        return Listed(value)
    if isinstance(value, str) and visible(value) != value:
        return Worded(value)
    return value


def pci_id(device: Mapping[str, Any]) -> str:
    """Give vendor and product as people write them."""
    return f"{device['vendor_id']}:{device['product_id']}"


def _text(cell: object) -> str:
    return str(cell.machine_readable() if isinstance(cell, Worded) else cell)


def _line(item: Any) -> str:
    if isinstance(item, dict):
        return ", ".join(f"{name}={value}" for name, value in item.items() if value is not None)
    return str(item)
