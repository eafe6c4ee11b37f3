"""Values read plainly in a cell, and stay whole for programs."""

from typing import Any

import pytest

from pci_agent.cli.rows import fields, shown, table
from pci_agent.cli.visible import visible


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


@pytest.mark.parametrize(
    "value",
    [
        "a\x1b[2Jb",
        "\u202eb",
        ["\x9b2J"],
        [{"reason": "\x1b"}],
        {"\x1b": "\u2066"},
        ["\r"],
        "\x07",
        "\u2028",
        "\t",
        "\u200b",
    ],
)
def test_what_cannot_be_seen_is_seen_by_people_and_whole_to_machines(value: Any) -> None:
    cell = shown(value)
    for told in (human(cell), human(fields({"it": value})[1][0])):
        assert told.isprintable()
        assert "\\" in told
    assert cell.machine_readable() == value


def test_lines_and_words_of_any_language_stay_as_they_are() -> None:
    assert shown("größer 図\nb") == "größer 図\nb"
    assert visible("a\x1b[2J") == r"a\u{1b}[2J"


def test_where_there_is_room_a_dict_has_a_line_to_each_value() -> None:
    names, (cell, empty) = fields({"tags": {"rack": "7", "row": None}, "none": None})
    assert names == ("tags", "none")
    assert (human(cell), cell.machine_readable(), human(empty)) == ("rack=7\nrow=", {"rack": "7", "row": None}, "")


def test_what_is_not_there_sorts_last_beside_anything() -> None:
    column = [shown(value) for value in (None, 3, None, 1)]
    assert [human(each) for each in sorted(column)] == ["1", "3", "", ""]
    words = [shown(value) for value in (None, "b", "a\t", "a")]
    assert [human(each) for each in sorted(words)] == ["a", r"a\u{9}", "b", ""]


def test_an_item_without_a_column_has_an_empty_cell() -> None:
    titles, ((name, missing),) = table({"Name": "name", "Host": "host"}, [{"name": "a", "more": 1}])
    assert (titles, name, human(missing)) == (("Name", "Host"), "a", "")
