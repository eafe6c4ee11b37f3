"""Tells in Markdown what ``tools/bench rest`` found."""

import platform
from collections.abc import Iterator

from benches.asking import CONNECTIONS
from benches.document import machine
from benches.rest import BARE, OURS, PLACEMENT, Limit, Result, limits
from pci_agent.api.serving import THREADS


def section(result: Result) -> str:
    """Write a result as Markdown."""
    sizes, about = result.sizes, result.about
    told = {
        **machine(),
        **about,
        "Python": platform.python_version(),
        "threads": str(THREADS),
        "connections": str(CONNECTIONS),
        "devices": f"{sizes.devices:,}",
        "limit": str(sizes.devices),
        "seconds": f"{sizes.seconds:g}",
        "turns": str(sizes.turns),
    }
    parts = [_INTRODUCTION, *([_PLACEMENT] if PLACEMENT in result.a_second else [])]
    words = "\n".join(each.format_map(told) for each in parts)
    return "\n".join([words, "", *_table(result), "", *_limits(list(limits(result)))])


_INTRODUCTION = """\
## A page of {devices} devices over REST

`tools/bench rest`, {date}: {cpu}, {cores} cores, {memory} GiB; Python {Python}, Falcon {falcon}, orjson {orjson}. Each
side is one process that cheroot {cheroot} serves on loopback with {threads} threads. {connections} connections ask it,
again as soon as they are answered; whoever asks runs on the same machine. The sides take turns of {seconds} s, and the
median of {turns} counts.

* *ours*: `pci-api` itself, asked `GET /v3/os-pci/detail?limit={limit}`. At each request it asks its database which
  devices there are and whether they are as they were; the JSON of those that are it keeps.
* *bare*: a Falcon application with the same rows as dicts in memory, which writes them with orjson at each request."""

_PLACEMENT = """\
* *placement*: OpenStack placement {placement} (Python {placement's Python}), asked `GET /resource_providers` of as many
  providers, in a database on the same PostgreSQL server as ours. Nobody logs in, to either."""


def _table(result: Result) -> Iterator[str]:
    yield from ("| | requests a second | of the bare one | times placement | bytes |", "|---|---:|---:|---:|---:|")
    for side in result.a_second:
        name = f"ours, {side}" if side in OURS else side
        times = f"{result.times(side, PLACEMENT):.1f}x" if PLACEMENT in result.a_second else ""
        row = [f"{result.median(side):,.1f}", f"{result.times(side, BARE):.0%}", times, f"{result.bytes[side]:,}"]
        yield f"| {name} | {' | '.join(row)} |"


def _limits(held: list[Limit]) -> Iterator[str]:
    yield from ("### Limits", "", "`tools/bench rest` fails where one of these is missed.", "")
    for each in held:
        yield f"* {each.wanted}: {each.measured}.{'' if each.met else ' **Missed.**'}"
