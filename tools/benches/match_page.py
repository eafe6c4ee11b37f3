"""Tells in Markdown what ``tools/bench match`` found."""

from itertools import product

from benches import fleet
from benches.document import machine
from benches.match import COUNTS, FASTER, MOST_GROWTH, ROWS, VFS, Host, Result, missed

_ROUND = 10


def section(result: Result) -> str:
    """Write a result as Markdown."""
    tables = [_table(result, vfs, entries) for vfs, entries in product(VFS, fleet.ENTRIES)]
    return "\n\n".join(
        [_INTRODUCTION.format(**machine(), **result.about), *tables, _limits(result), _every_run(result)]
    )


_INTRODUCTION = """\
## Our core beside nova's

`tools/bench match`, {date}: {cpu}, {cores} cores, {memory} GiB; our Python {Python}; nova {nova} in Python
{nova's Python}. Both sides have the same devices, each in a process of its own, and take turns.

Milliseconds, the median of 7 runs (3 of nova's where one takes over a second): nova's / ours, and how many times
ours is faster. *growth* is how many times longer ours takes on 4096 devices than on 64, by the fastest runs.

* *match all*: which whitelist entry each device meets. Ours includes reading the entries from JSON, nova's doesn't.
* *build pools*: nova's matches each device anew when it counts it, ours counts devices that carry their tags. By
  nova's keys ours gives nova's own pools, one for each PF's VFs and one for each other function.
* *fit*: nova asks whether the requests are supported (on a copy of all pools and devices) and then takes devices;
  its taking alone is shown as well. Ours is one function that chooses devices, and finds a choice wherever there
  is one; it takes nothing. The eight mixed requests ask for 13 devices by id, by type, by physical network and by
  alternatives, a PF among them where the host has several.
* *unchanged*: nova's is `PciDevTracker._set_hvdevs` on the devices that it has, its matching not counted;
  ours is `reconcile`, and once more with the matching that it follows. The agent's whole look is what it does once
  sysfs has been read: a function that hasn't changed comes back as the same object, so that it sees at once that
  nothing has.

Rubbish is collected before each run and not during one, on both sides."""


def _table(result: Result, vfs: int, entries: str) -> str:
    lines = [
        f"### {vfs} VFs a PF, {entries}",
        "",
        f"| | {' | '.join(str(count) for count in COUNTS)} | growth |",
        f"|---|{'---:|' * (len(COUNTS) + 1)}",
    ]
    for row in ROWS:
        cells = [_cell(*result.medians(Host(count, vfs, entries), row)) for count in COUNTS]
        lines.append(f"| {row[0]} | {' | '.join(cells)} | {result.growth(vfs, entries, row):.0f} |")
    return "\n".join(lines)


def _cell(theirs: float, own: float) -> str:
    return f"{_ms(theirs)} / {_ms(own)} **{_times(theirs / own)}**"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g}" if seconds < 1 else f"{seconds * 1000:,.0f}"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}x" if ratio >= _ROUND else f"{ratio:.2g}x"


def _limits(result: Result) -> str:
    strict = Host(COUNTS[-1], VFS[0], fleet.ENTRIES[1])
    lines = ["### Limits", "", "`tools/bench match` fails where one of these is missed.", ""]
    for row in ROWS:
        if row[0] in FASTER:
            theirs, own = result.medians(strict, row)
            lines.append(
                f"* {row[0]}, {strict.count} devices, {strict.vfs} VFs a PF, {strict.entries}: at least"
                f" {FASTER[row[0]]:,} times faster than nova; it is {theirs / own:,.0f} times."
            )
    most = max(result.growth(vfs, entries, row) for vfs, entries, row in product(VFS, fleet.ENTRIES, ROWS))
    lines.append(
        f"* Everything of ours takes at most {MOST_GROWTH} times longer on {COUNTS[-1]} devices than on {COUNTS[0]};"
        f" the most is {most:.0f} times."
    )
    return "\n".join([*lines, "", *(f"**Missed: {each}.**" for each in missed(result))]).rstrip()


def _every_run(result: Result) -> str:
    lines = [
        "<details><summary>Fastest runs and medians, in milliseconds</summary>",
        "",
        "| VFs a PF | entries | devices | | nova, fastest | nova, median | ours, fastest | ours, median |",
        "|---:|---|---:|---|---:|---:|---:|---:|",
    ]
    for vfs, entries, count, row in product(VFS, fleet.ENTRIES, COUNTS, ROWS):
        host = Host(count, vfs, entries)
        theirs, own = result.medians(host, row)
        fastest = (min(result.novas[host][row[1]]), min(result.ours[host][row[2]]))
        times = " | ".join(_ms(each) for each in (fastest[0], theirs, fastest[1], own))
        lines.append(f"| {vfs} | {entries} | {count} | {row[0]} | {times} |")
    return "\n".join([*lines, "", "</details>"])
