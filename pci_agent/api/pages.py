"""
Pages of lists, as OpenStack has them: ``limit``, ``marker``, ``sort_key``, ``sort_dir``, and a link to the next page.

A page never holds more than the API's own limit, whatever was asked for. The link stands only where another page
follows; it carries all that was asked, so whoever goes by links needs to know none of this.
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from pci_agent.api.call import Call
from pci_agent.tracker.ids import MOST_ID
from pci_agent.tracker.lists import HOST_SORT_KEYS, SORT_KEYS, Page

_DIGITS = r"^[0-9]{1,9}$"
Text = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
Direction = Literal["asc", "desc"]


def _within(text: str) -> str:
    if int(text) > MOST_ID:
        raise ValueError("no id is so great")
    return text


def _from_one(text: str) -> str:
    if int(text) < 1:
        raise ValueError("it must be 1 at least")
    return text


def _number(least: int, most: int) -> WithJsonSchema:
    """Describe a number, which comes as text like every parameter."""
    return WithJsonSchema({"type": "integer", "minimum": least, "maximum": most})


Id = Annotated[str, Field(pattern=r"^[0-9]{1,10}$"), AfterValidator(_within), _number(0, MOST_ID)]
Limit = Annotated[str, Field(pattern=_DIGITS), AfterValidator(_from_one), _number(1, 10**9 - 1)]


class Paged(BaseModel):
    """
    Which page, in the one order that there is.

    Attributes:
        limit: so many items at most; never more than the API's own limit
        marker: the last item of the page before; a page's link to the next one names it
    """

    model_config = ConfigDict(extra="forbid")

    limit: Limit | None = None
    marker: Text | None = None


class SortedHosts(Paged):
    """
    Which page of hosts, in which order.

    Attributes:
        sort_key: ``hypervisor_hostname`` where none is named
        sort_dir: ``asc`` where none is named
    """

    sort_key: Literal[HOST_SORT_KEYS] | None = None  # type: ignore[valid-type]
    sort_dir: Direction | None = None


class SortedDevices(Paged):
    """
    Which page of devices, in which order.

    Attributes:
        sort_key: ``compute_node_id`` where none is named
        sort_dir: ``asc`` where none is named
    """

    sort_key: Literal[SORT_KEYS] | None = None  # type: ignore[valid-type]
    sort_dir: Direction | None = None


def page(asked: Paged, most: int) -> Page:
    """Tell which part of a list is asked for; *most* items at most."""
    return Page(
        limit=min(most, int(asked.limit or most)),
        marker=asked.marker,
        sort_key=getattr(asked, "sort_key", None),
        descending=getattr(asked, "sort_dir", None) == "desc",
    )


def links(call: Call, name: str, last: object) -> dict[str, Any]:
    """Give what stands beside a list where another page follows: ``{name}_links``."""
    params: dict[str, Any] = {**call.request.params, "marker": str(last)}
    href = f"{call.request.forwarded_prefix}{call.request.path}?{urlencode(params, doseq=True)}"
    return {f"{name}_links": [{"rel": "next", "href": href}]}
