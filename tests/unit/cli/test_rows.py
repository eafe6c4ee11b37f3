"""Values read plainly in a cell, and stay whole for programs."""

from typing import Any

import pytest

from pci_agent.cli.rows import fields, shown, table


def human(cell: Any) -> str:
    return cell.human_readable() if hasattr(cell, "human_readable") else str(cell)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, ""),
        ("a", "a"),
        (0, "0"),
        ({"b": "1", "a": None}, "a=None, b='1'"),
        (["a", "b"], "a\nb"),
        ([{"id": 1, "none": None}], "id=1"),
    ],
)
def test_a_value_is_plain_to_people_and_whole_to_machines(value: Any, plain: str) -> None:
    cell = shown(value)
    assert human(cell) == plain
    assert (cell.machine_readable() if hasattr(cell, "machine_readable") else cell) == value


def test_where_there_is_room_a_dict_has_a_line_to_each_value() -> None:
    names, (cell, empty) = fields({"tags": {"rack": "7", "row": None}, "none": None})
    assert names == ("tags", "none")
    assert (human(cell), cell.machine_readable(), human(empty)) == ("rack=7\nrow=", {"rack": "7", "row": None}, "")


def test_what_is_not_there_sorts_last_beside_anything() -> None:
    column = [shown(value) for value in (None, 3, None, 1)]
    assert [human(each) for each in sorted(column)] == ["1", "3", "", ""]
    words = [shown(value) for value in (None, "b", "a")]
    assert [human(each) for each in sorted(words)] == ["a", "b", ""]


def test_an_item_without_a_column_has_an_empty_cell() -> None:
    titles, ((name, missing),) = table({"Name": "name", "Host": "host"}, [{"name": "a", "more": 1}])
    assert (titles, name, human(missing)) == (("Name", "Host"), "a", "")
