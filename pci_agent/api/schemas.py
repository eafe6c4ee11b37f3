"""
JSON Schema of the models that requests are read by and answers are described by.

A docstring is the only place where a field is explained: what it says under ``Attributes`` becomes the description of
that field, also in the models that inherit it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from inspect import cleandoc
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

Schema = dict[str, Any]
_Model = type[BaseModel]

_WHERE = "#/components/schemas/{model}"
_FIELD = re.compile(r"^    (\S[^:]*): ", re.MULTILINE)


class _Plain(GenerateJsonSchema):
    """Without titles that only repeat the names of fields; and what holds of a dict's keys, all must meet."""

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False

    def dict_schema(self, schema: Any) -> Schema:
        made = super().dict_schema(schema)
        by_pattern = made.pop("patternProperties", None)
        if by_pattern is not None:
            made["propertyNames"] = self.generate_inner(schema["keys_schema"])
            (made["additionalProperties"],) = by_pattern.values()
        return made


def schemas(kinds: Iterable[_Model]) -> dict[str, Schema]:
    """Give the schemas of these models and of all that they are made of, by the models' names."""
    roots = list(dict.fromkeys(kinds))
    _, made = models_json_schema([(kind, "validation") for kind in roots], ref_template=_WHERE, schema_generator=_Plain)
    found: dict[str, Schema] = made.get("$defs", {})
    for kind in {each for root in roots for each in _within(root)}:
        _explain(found[kind.__name__], kind)
    return found


def reference(kind: _Model) -> Schema:
    """Point at the schema of a model."""
    return {"$ref": _WHERE.format(model=kind.__name__)}


def parameters(kind: _Model) -> list[Schema]:
    """Describe the query parameters that a model reads; all of them may be left out."""
    schema = kind.model_json_schema(schema_generator=_Plain)
    _explain(schema, kind)
    listed = [_parameter(name, each) for name, each in schema.get("properties", {}).items()]
    if "patternProperties" in schema:
        names = {"type": "object", "patternProperties": schema["patternProperties"], "additionalProperties": False}
        listed.append({**_parameter("tags", names), "style": "form", "explode": True})
        listed[-1]["description"] = schema.get("x-tags", "")
    return listed


def _parameter(name: str, schema: Schema) -> Schema:
    given = {word: value for word, value in schema.items() if word not in ("default", "description", "anyOf")}
    for one in schema.get("anyOf", ()):
        if one != {"type": "null"}:
            given.update(one)
    words = schema.get("description")
    return {"name": name, "in": "query", **({"description": words} if words else {}), "schema": given}


def _within(kind: Any) -> Iterator[_Model]:
    """Go through the models that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from _within(field.annotation)
    for part in get_args(kind):
        yield from _within(part)


def _explain(schema: Schema, kind: _Model) -> None:
    words, fields = _said(kind)
    schema.pop("title", None)
    schema.pop("description", None)
    if words:
        schema["description"] = words
    for name, each in kind.model_fields.items():
        shown = schema["properties"][each.alias or name]
        if name in fields:
            shown["description"] = fields[name]
        if each.default is None or not each.default:
            shown.pop("default", None)  # it says no more than that the field may be left out


def _said(kind: _Model) -> tuple[str, Mapping[str, str]]:
    """Tell what a model's docstring says, and what it and those of its ancestors say of each field."""
    words, fields = "", {}
    for each in reversed(kind.__mro__):
        if issubclass(each, BaseModel) and each is not BaseModel and "__doc__" in vars(each):
            words, _, rest = cleandoc(each.__doc__ or "").partition("\n\nAttributes:\n")
            _, *told = _FIELD.split(rest)
            for names, text in zip(told[::2], told[1::2], strict=True):
                fields.update(dict.fromkeys(names.split(", "), one_line(text)))
        elif each is kind:
            words = ""
    return one_line(words), fields


def one_line(text: str) -> str:
    """Join the lines of a text."""
    return " ".join(text.split())
