"""Query parameters: what isn't known is refused by name, never ignored, lest a filter seem to work."""

from typing import Annotated, TypeVar

import falcon
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pci_agent.errors import BadRequest

_WORDS = {"extra_forbidden": "it isn't known", "string_type": "it is given more than once"}


class Nothing(BaseModel):
    """No parameters at all."""

    model_config = ConfigDict(extra="forbid")


class OnHypervisor(BaseModel):
    """Which host is meant, by id or name."""

    model_config = ConfigDict(extra="forbid")

    hypervisor: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")] | None = None


def name(text: str) -> str:
    """
    Check a name from a path.

    Raises:
        BadRequest: it holds a NUL, which no name does and no database takes.
    """
    if "\0" in text:
        raise BadRequest("A name holds no NUL character.")
    return text


_Q = TypeVar("_Q", bound=BaseModel)


def read(kind: type[_Q], request: falcon.Request) -> _Q:
    """
    Read the request's query parameters.

    Raises:
        BadRequest: names the first parameter that can't be used, and those that can.
    """
    try:
        return kind.model_validate(request.params)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        parameter = ".".join(str(part) for part in first["loc"])
        known = ", ".join(kind.model_fields) or "none"
        what = _WORDS.get(first["type"], first["msg"])
        raise BadRequest(f"Query parameter {parameter!r}: {what}. Known here: {known}.") from None
