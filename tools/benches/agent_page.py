"""Tells in Markdown what ``tools/bench agent`` found."""

from benches.agent import COUNTS, HOSTS, PLAIN, VFS, Host, Limit, Result, limits
from benches.document import machine

_ROWS = (
    ("floor", "floor"),
    ("floor with addresses", "floor with addresses"),
    ("first scan", "first scan"),
    ("later scan", "later scan"),
    ("match and reconcile in full, one device changed", "one changed"),
    ("the rest of a look at an unchanged host", "look"),
)
_BESIDE_NOVA = (
    ("first scan / nova's discovery", "first scan", "discovery"),
    ("later scan / nova's discovery", "later scan", "discovery"),
    ("later scan, match and reconcile / nova's discovery and sync", "later inventory", "discovery and sync"),
)


def section(result: Result) -> str:
    """Write a result as Markdown."""
    parts = [_INTRODUCTION.format(**machine(), **result.about)]
    for vfs in VFS:
        parts += [f"### {vfs} VFs a PF", _times(result, vfs), _beside_nova(result, vfs)]
    return "\n\n".join([*parts, _calls(result), _claims(result), _memory(result), _limits(limits(result))])


_INTRODUCTION = """\
## An agent on its host

`tools/bench agent`, {date}: {cpu}, {cores} cores, {memory} GiB; our Python {Python}; nova {nova} in Python
{nova's Python}. The hosts are trees of files in memory (tmpfs), every function with a netdev. The two sides read the
same tree, each in a process of its own, and take turns.

* *floor*: the same files opened, read and closed by `os.open` and the like, and nothing understood: of each function
  `uevent`, the `iommu_group` link and its own link, of a PF `numa_node`, `sriov_totalvfs` and `sriov_numvfs`, of each
  netdev its link in `class/net`. It leaves out what a scan reads too: each netdev's `address` (in the *floor with
  addresses*), the PFs' `virtfn` links, revisions and serial numbers.
* A scan reads `modalias` and the `driver` link in place of `uevent`, and counts VFs by their links: `uevent` and
  `sriov_numvfs` wait for the device's lock, which whoever switches VFs off may hold for long.
* *first scan* knows of nothing before; a *later scan* finds nothing changed and hands back the same objects.
* *nova's discovery*: its libvirt driver's `_get_pci_passthrough_devices`, on node devices that answer at once; neither
  libvirt nor its wire is counted. Nova 34 does it once in its life, for it is too slow to be done again; ours is done
  at each look. *sync* is `PciDevTracker.update_devices_from_hypervisor_resources`, where nothing has changed.
* A look at an unchanged host neither matches nor reconciles; in full that is done where anything has changed.
* A claim looks at the host once more before it gives a VF, and is on the disk before it is answered. Both sides keep
  SQLite files on the same file system, and wait for the disk at each commit.

Milliseconds, medians of 7 runs (3 of what takes over a second). Rubbish is collected before each run and not during
one, on both sides."""


def _table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(titles)} |", f"|---|{'---:|' * (len(titles) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _times(result: Result, vfs: int) -> str:
    hosts = [Host(count, vfs) for count in COUNTS]
    rows = [[title, *(_ms(result.ours(host, work)) for host in hosts)] for title, work in _ROWS]
    for work in ("first scan", "later scan"):
        for floor in ("floor", "floor with addresses"):
            times = [f"{result.of_the_floor(host, work, floor):.2f}x" for host in hosts]
            rows.append([f"{work}, times the {floor}", *times])
    for title, work in _ROWS[-2:]:
        rows.append([f"{title}, of a later scan", *(f"{result.beside(host, work):.1%}" for host in hosts)])
    return _table(["functions", *map(str, COUNTS)], rows)


def _beside_nova(result: Result, vfs: int) -> str:
    hosts = [Host(count, vfs) for count in COUNTS]
    rows = [
        [title, *(_beside(result.ours(host, own), result.novas(host, theirs)) for host in hosts)]
        for title, own, theirs in _BESIDE_NOVA
    ]
    return _table(["functions", *map(str, COUNTS)], rows)


def _beside(own: float, theirs: float) -> str:
    return f"{_ms(own)} / {_ms(theirs)} **{theirs / own:.0f}x**"


def _calls(result: Result) -> str:
    rows = []
    for vfs in (*VFS, PLAIN):
        hosts = [Host(count, vfs) for count in COUNTS]
        cells = [" / ".join(f"{calls / host.count:.2f}" for calls in result.calls[host]) for host in hosts]
        rows.append([f"{vfs} VFs a PF" if vfs != PLAIN else "no SR-IOV", *cells])
    return (
        "### System calls a function\n\nA first scan's / a later one's, by strace, of a host without netdevs (each"
        " costs four more); those for memory aren't counted.\n\n" + _table(["functions", *map(str, COUNTS)], rows)
    )


def _claims(result: Result) -> str:
    host = next(host for host in HOSTS if ("nova", "claim") in result.seconds[host])
    rows = [
        [work, _ms(result.ours(host, work)), _ms(result.novas(host, work)), f"{result.faster(host, work):.1f}x"]
        for work in ("claim", "claim and allocate")
    ]
    return f"### A durable claim of one VF, of {host.count} functions\n\n" + _table(
        ["", "ours", "nova's, with its save", "faster"], rows
    )


def _memory(result: Result) -> str:
    now, most = result.memory
    return (
        f"### Memory\n\nThe agent as systemd runs it (oslo.messaging on `fake://`, no libvirt), on {COUNTS[-1]}"
        f" functions, after two looks: {now:.1f} MB resident, {most:.1f} MB at most."
    )


def _limits(held: list[Limit]) -> str:
    lines = ["### Limits", "", "`tools/bench agent` fails where one of these is missed.", ""]
    lines += [f"* {each.wanted}: {each.measured}.{'' if each.met else ' **Missed.**'}" for each in held]
    return "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g}" if seconds < 1 else f"{seconds * 1000:,.0f}"
