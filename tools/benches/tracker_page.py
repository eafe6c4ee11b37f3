"""Tells in Markdown what ``tools/bench tracker`` found."""

import platform
from collections.abc import Sequence
from statistics import median, quantiles

from benches.beside_placement import Beside
from benches.busy import Found
from benches.callers import TRACKERS
from benches.callers import Result as Given
from benches.document import machine
from benches.heartbeats import Steady
from benches.storm import AT_ONCE
from benches.tracker import Limit, Result, Sizes, Storms, limits


def section(result: Result) -> str:
    """Write a result as Markdown."""
    return "\n\n".join(
        [
            _INTRODUCTION.format(**machine(), Python=platform.python_version()),
            _storm(result.storms, result.sizes),
            _steady(result.steady),
            *(_found(each) for each in result.found),
            *([] if result.beside is None else [_beside(result.beside)]),
            _given(result.given),
            _limits(limits(result)),
        ]
    )


_INTRODUCTION = """\
## The tracker of a fleet

`tools/bench tracker`, {date}: {cpu}, {cores} cores, {memory} GiB; Python {Python}. PostgreSQL and RabbitMQ run on
loopback with their own settings, and PostgreSQL waits for the disk at each commit. All that a part names runs on this
one machine: servers, trackers, and whoever asks them."""


def _storm(storms: Storms, sizes: Sizes) -> str:
    rows = [
        ["the bare rows", f"{storms.devices:,}", *_rate(storms.bare, storms.devices, storms.bare)],
        [
            f"full reports handled, {AT_ONCE} at once",
            f"{storms.devices:,}",
            *_rate(storms.handled, storms.devices, storms.bare),
        ],
        [
            "told by real agents over RabbitMQ",
            f"{storms.devices_of_agents:,}",
            *_rate(storms.by_agents, storms.devices_of_agents, storms.bare * storms.devices_of_agents / storms.devices),
        ],
    ]
    return f"""\
### A storm: {sizes.agents:,} hosts tell all of their devices at once

* *the bare rows*: an upsert of the same devices, by `executemany`, a transaction a host, on one connection; nothing
  else that a report changes.
* *full reports handled*: what the tracker does with each, from the text that crosses the bus to the commit: hosts,
  devices, pools and history. No broker. The bare rows and this take turns, a tenth of the hosts at a time.
* *told by real agents*: as `tools/fleet storm`: {sizes.agents:,} agents, one `pci-tracker`, a real broker; from the
  first word until every host's row is its agent's state. The agents' own work is in it.

{_table(["", "devices", "seconds", "devices a second", "times the bare rows"], rows)}"""


def _rate(spent: float, devices: int, bare: float) -> list[str]:
    return [f"{spent:.1f}", f"{devices / spent:,.0f}", f"{spent / bare:.2f}"]


def _steady(steady: Steady) -> str:
    row = [f"{each:.2f}" for each in (steady.tracker, steady.database, steady.broker)]
    late = f"; the last one went out {steady.behind_s:.1f} s late" if steady.behind_s >= 1 else ""
    return f"""\
### Quiet: {steady.hosts:,} hosts that only say they are alive

{steady.a_second:.0f} heartbeats a second, which is the default interval's rate, over RabbitMQ to one
`pci-tracker`{late}. Processor seconds a second:

{_table(["", "tracker", "PostgreSQL", "RabbitMQ"], [["heartbeats", *row]])}"""


def _found(found: Found) -> str:
    rows = [[name, *_spread(spent), *_spread(found.stormy[name])] for name, spent in found.quiet.items()]
    return f"""\
### Finding ten of {found.hosts:,} hosts: {found.shape.name}

Milliseconds, while nothing else happens, and while a tracker of its own applies {found.reports_a_second:.0f} full
reports of 300 devices a second.

{_table(["", "quiet, median", "p99", "during a storm, median", "p99"], rows)}"""


def _beside(beside: Beside) -> str:
    rows = []
    for limit in beside.seconds:
        own, theirs = beside.medians(limit)
        a_provider = " / ".join(f"{1e6 * each / beside.providers:.2f}" for each in (own, theirs))
        rows.append([f"{limit} hosts", _ms(own), _ms(theirs), a_provider, f"{beside.faster(limit):.1f}x"])
    about = beside.about
    return f"""\
### Finding hosts, beside placement

Both have {beside.providers:,} PFs with VFs on as many hosts as above, each in a database of its own on one server, and
are asked for one VF of a kind: ours by a message to the tracker's endpoint, placement {about["placement"]} (Python
{about["placement's Python"]}) by `GET /allocation_candidates?resources=CUSTOM_PCI_8086_1520:1&limit=…` to its WSGI
application; neither with its bus, web server or log-in. Placement's providers are nested, as nova makes them: a root
for each host, and a child for each PF. They were made by SQL, and the roots have no inventory. Ours also tries on the
devices of each host that it names whether they fit; placement counts.

{_table(["", "ours, ms", "placement's, ms", "µs a provider, ours / placement's", "faster"], rows)}"""


def _given(given: Given) -> str:
    rows = []
    for each in given.rounds:
        spent = sorted(one.seconds for one in each.given)
        again = sum(one.again for one in each.given)
        hosts = {one.host for one in each.given}
        row = [
            f"{len(each.given):,}",
            f"{each.a_second:.1f}",
            *_spread(spent),
            f"{len(hosts)}",
            f"{again}",
        ]
        rows.append([f"{each.callers}", *row])
    titles = ["callers", "allocations", "a second", "median ms", "p99 ms", "hosts", "asked again"]
    return f"""\
### Giving devices out: {given.fleet.agents} hosts with {given.fleet.vfs:,} VFs

{TRACKERS} trackers, RabbitMQ with quorum queues, and real agents with their stores, as in `tools/fleet`. Each
allocation is a claim of one VF wherever there is one, and its confirmation, for an instance of its own: two calls to a
tracker, and two of the tracker's to an agent, each durable on both sides before it is answered. Nothing is freed, and
hosts are filled one after the other, so that callers meet. Afterwards what callers were told is compared with what
agents and rows say.

{_table(titles, rows)}"""


def _limits(held: list[Limit]) -> str:
    lines = ["### Limits", "", "`tools/bench tracker` fails where one of these is missed.", ""]
    lines += [f"* {each.wanted}: {each.measured}.{'' if each.met else ' **Missed.**'}" for each in held]
    return "\n".join(lines)


def _spread(spent: Sequence[float]) -> list[str]:
    """Give the median and the 99th percentile, in milliseconds."""
    worst = quantiles(spent, n=100, method="inclusive")[-1] if len(spent) > 1 else spent[0]
    return [_ms(median(spent)), _ms(worst)]


def _table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(titles)} |", f"|---|{'---:|' * (len(titles) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if seconds < 1 else f"{seconds * 1000:,.0f}"
