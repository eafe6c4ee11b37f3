"""
``python -m pages.rest``: writes the reference of REST into docs/rest.md, from what ``/openapi.json`` says of version 3.

Version 2 has the same calls with shorter answers, so it is told there in a sentence.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from buses import parts
from pci_agent.api.openapi import document
from pci_agent.api.routes import routes
from pci_agent.tracker import database
from pci_agent.tracker.store import Store

PAGE = Path(__file__).resolve().parents[2] / "docs/rest.md"
_BEGIN, _END = "<!-- tools/samples: begin -->", "<!-- tools/samples: end -->"
_VERSION = "/v3"
_REF = "$ref"

Schema = Mapping[str, Any]


def reference(described: Schema) -> str:
    """Write every call of version 3, and what its bodies and answers hold, as Markdown."""
    calls = [
        (method.upper(), path, each)
        for path, at_it in described["paths"].items()
        if path.startswith(_VERSION) and path != _VERSION
        for method, each in at_it.items()
    ]
    schemas = described["components"]["schemas"]
    shown = list(dict.fromkeys(name for _, _, each in calls for name in _named(each, described)))
    return "\n".join(
        [
            *(line for call in calls for line in _call(*call)),
            "### What bodies and answers hold",
            "",
            *(line for name in shown for line in _model(name, schemas[name])),
        ]
    ).strip()


def _call(method: str, path: str, told: Schema) -> Iterator[str]:
    yield from (f"### {method} {path.removeprefix(_VERSION)}", "", f"{told['summary']}.", "")
    if told["parameters"]:
        yield from ("| parameter | in | type | |", "|---|---|---|---|")
        for each in told["parameters"]:
            name = "`tag:NAME`" if each.get("explode") else f"`{each['name']}`"
            kind = "text" if each.get("explode") else _kind(each["schema"])
            yield f"| {name} | {each['in']} | {kind} | {_cell(each.get('description', ''))} |"
        yield ""
    if "requestBody" in told:
        needed = "" if told["requestBody"]["required"] else ", which may be left out"
        yield from (f"Body: {_kind(_of(told['requestBody']))}{needed}.", "")
    answers = {code: each for code, each in told["responses"].items() if _REF not in each}
    faults = [code for code in told["responses"] if code not in answers]
    said = ", ".join(f"{code} {_kind(_of(each))}" for code, each in answers.items())
    yield from (f"Answers {said}. Faults: {', '.join(faults)}.", "")


def _model(name: str, told: Schema) -> Iterator[str]:
    words = told.get("description", "")
    yield from (f"#### {name}", "", *([words, ""] if words else []))
    fields = told.get("properties", {})
    if not fields:
        return
    yield from ("| field | type | |", "|---|---|---|")
    required = told.get("required", ())
    for field, each in fields.items():
        optional = "" if field in required else " (may be left out)"
        yield f"| `{field}`{optional} | {_kind(each)} | {_cell(each.get('description', ''))} |"
    yield ""


def _named(told: Any, described: Schema) -> Iterator[str]:
    """Go through the models that something points at; faults are told elsewhere on the page."""
    if isinstance(told, Mapping):
        where = told.get(_REF, "")
        if where.startswith("#/components/schemas/"):
            name = where.rpartition("/")[2]
            yield name
            yield from _named(described["components"]["schemas"][name], described)
    inner = told.values() if isinstance(told, Mapping) else told if isinstance(told, list) else ()
    for each in inner:
        yield from _named(each, described)


def _of(told: Schema) -> Schema:
    content: Schema = told["content"]["application/json"]["schema"]
    return content


def _kind(told: Schema) -> str:
    if _REF in told:
        name = told[_REF].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in told:
        return " or ".join(_kind(each) for each in told["anyOf"])
    if "enum" in told:
        return ", ".join(f"`{each}`" for each in told["enum"])
    if told.get("type") == "array":
        return f"list of {_kind(told.get('items', {}))}{_bounds(told, 'Items')}"
    if told.get("type") == "object":
        values = told.get("additionalProperties", {})
        return f"dict of {_kind(values if isinstance(values, Mapping) else {})}"
    names = {"string": "text", "null": "null", "integer": "integer", "number": "number", "boolean": "true or false"}
    name = told.get("format") or names.get(told.get("type", ""), "anything")
    return f"{name}{_bounds(told, 'Length')}{_bounds(told, '')}"


def _bounds(told: Schema, of: str) -> str:
    words = ("minimum", "maximum") if not of else (f"min{of}", f"max{of}")
    least = told.get(words[0], told.get("exclusiveMinimum") if not of else None)
    most = told.get(words[1], told.get("exclusiveMaximum") if not of else None)
    if least is None and most is None:
        return ""
    unit = {"Items": " items", "Length": " characters"}.get(of, "")
    if most is not None:
        return f", {least or 0} to {most:,}{unit}"
    return f", {least}{unit} at least" if least > 1 else ""


def _cell(text: str) -> str:
    return re.sub("`+", "`", text).replace("|", "\\|")


def main() -> None:
    """Replace the part of the page between the two marks."""
    engine = database.connect("sqlite://")
    made = reference(document(routes(parts(Store(engine, host_down_s=1)))))
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{made}\n\n{_END}{after}")


if __name__ == "__main__":
    main()
