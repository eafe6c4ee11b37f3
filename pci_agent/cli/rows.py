"""How values read in a cell: plain to people, whole to machines."""

from typing import Any

from cliff.columns import FormattableColumn


class Mapped(FormattableColumn[dict[str, Any]]):
    """A dict: ``key='value'`` to people, itself to machines."""

    def human_readable(self) -> str:
        """Write it on one line."""
        return ", ".join(f"{name}={value!r}" for name, value in sorted(self._value.items()))


class Listed(FormattableColumn[list[Any]]):
    """A list: a line each to people, itself to machines."""

    def human_readable(self) -> str:
        """Write each item on a line."""
        return "\n".join(_line(item) for item in self._value)


def shown(value: Any) -> Any:
    """Give a value as a cell; what is not there is empty to people and null to machines."""
    if isinstance(value, dict):
        return Mapped(value)
    if isinstance(value, list):
        return Listed(value)
    return value


def _line(item: Any) -> str:
    if isinstance(item, dict):
        return ", ".join(f"{name}={value}" for name, value in item.items() if value is not None)
    return str(item)
