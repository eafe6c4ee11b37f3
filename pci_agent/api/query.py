"""Query parameters: what isn't known is refused by name, never ignored, lest a filter seem to work."""

from typing import Annotated, TypeVar

import falcon
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pci_agent.errors import BadRequest


class Nothing(BaseModel):
    """No parameters at all."""

    model_config = ConfigDict(extra="forbid")


class OnHypervisor(BaseModel):
    """Which host is meant, by id or name."""

    model_config = ConfigDict(extra="forbid")

    hypervisor: Annotated[str, Field(min_length=1, max_length=255)] | None = None


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
        name = ".".join(str(part) for part in first["loc"])
        known = ", ".join(kind.model_fields) or "none"
        raise BadRequest(f"Query parameter {name!r}: {first['msg']}. Known here: {known}.") from None
