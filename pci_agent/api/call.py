"""
One request as a handler sees it: its parts, read by models that refuse what they don't know by name.

What isn't known is never ignored, lest a filter or a field seem to work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import falcon
from pydantic import BaseModel, ConfigDict, ValidationError

from pci_agent.api.access import EVERYBODY, Caller
from pci_agent.api.view import View
from pci_agent.errors import BadRequest, TooBig

MOST_BYTES = 1024 * 1024
"""The longest body that is read."""

_WORDS = {"extra_forbidden": "it isn't known", "missing": "it is missing"}
_TWICE = "it is given more than once"

_M = TypeVar("_M", bound=BaseModel)


class Nothing(BaseModel):
    """No parameters, or no fields, at all."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Call:
    """
    One request.

    Attributes:
        request: falcon's
        response: falcon's; its status is 200 unless the handler says otherwise
        view: of the version that was asked
        path: the names in the path
        caller: who sent it
    """

    request: falcon.Request
    response: falcon.Response
    view: View
    path: Mapping[str, str]
    caller: Caller = EVERYBODY

    def name(self, part: str) -> str:
        """
        Read a name from the path.

        Raises:
            BadRequest: it holds a NUL, which no name does and no database takes.
        """
        if "\0" in self.path[part]:
            raise BadRequest("A name holds no NUL character.")
        return self.path[part]

    def query(self, kind: type[_M], params: Mapping[str, Any] | None = None, *, also: str = "") -> _M:
        """
        Read the query parameters, or these of them; *also* says in words what else is known.

        Raises:
            BadRequest: names the first parameter that can't be used; where it isn't known, those that are.
        """
        given = self.request.params if params is None else params
        try:
            return kind.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            parameter = ".".join(str(part) for part in first["loc"])
            known = ", ".join(kind.model_fields) or "none"
            what = _TWICE if isinstance(first["input"], list) else _what(first)
            others = f" Known here: {known}{also}." if first["type"] == "extra_forbidden" else ""
            raise BadRequest(f"Query parameter {parameter!r}: {what}.{others}") from None

    def body(self, kind: type[_M]) -> _M:
        """Read the body; see read_body."""
        return read_body(self.request, kind)


def read_body(request: falcon.Request, kind: type[_M]) -> _M:
    """
    Read the body, a JSON object; an empty one has no fields.

    Raises:
        TooBig: it is longer than MOST_BYTES.
        BadRequest: it is no JSON, or names the first field that can't be used.
    """
    try:
        return kind.model_validate_json(_text(request).strip() or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        where = f"Field {place!r}" if place else "The body"
        raise BadRequest(f"{where}: {_what(first)}.") from None


class Lengths:
    """
    A falcon middleware that refuses a body whose length isn't told beforehand: it would be taken for none.

    The server must close the connection then, lest the body be read as the next request; see serving.py.
    """

    def process_request(self, request: falcon.Request, _response: falcon.Response) -> None:
        """Refuse it."""
        if request.get_header("Transfer-Encoding") is not None:
            what = "A body with Transfer-Encoding isn't read here: send it with its Content-Length."
            raise falcon.HTTPLengthRequired(description=what)


def _text(request: falcon.Request) -> bytes:
    length = request.content_length or 0
    text: bytes = b"" if length > MOST_BYTES else request.bounded_stream.read(MOST_BYTES + 1)
    if length > MOST_BYTES or len(text) > MOST_BYTES:
        raise TooBig(f"The body is longer than {MOST_BYTES} bytes, which is all that is read.")
    return text


def _what(error: Any) -> str:
    told = _WORDS.get(error["type"], error["msg"])
    return str(told).removeprefix("Value error, ").rstrip(".")
