"""
What must hold after chaos, beyond rows that are the agents' states.

No device was ever held twice, and no answered allocation is missing: see journal.py. No host's row ever went back:
see watch.py. Every tracker and agent still answers on the bus, and no process has grown without end.
"""

import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pci_agent.errors import AgentSilent, MessageRefused
from pci_agent.tracker.store import Store
from pci_agent.wire import rpc
from pci_agent.wire.commands import AskCommand, Listing
from simulation.agents import LIFETIME_S
from simulation.children import Silent, Usage
from simulation.instances import Caller
from simulation.journal import Entry, Journal, broken_promises
from simulation.watch import Watch
from simulation.world import World, until

_MOST_GROWTH_MB = 100
_GIVEN_UP_S = 75


@dataclass
class Seen:
    """
    What was seen while all went wrong.

    Attributes:
        before: what each process used at the beginning
        journal: what was asked, and answered
        callers: who asked, until *stop*
        watch: who looked at the rows
        troubles: what failed that should not have
    """

    before: Mapping[str, Usage]
    journal: Journal = field(default_factory=Journal)
    callers: list[Caller] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    watch: Watch | None = None
    troubles: list[str] = field(default_factory=list)


def failures(world: World, seen: Seen) -> Iterator[str]:
    """Say what isn't as it should be."""
    yield from seen.troubles
    yield from (each.trouble for each in seen.callers if each.trouble is not None)
    if seen.watch is None or not seen.watch.looks or seen.watch.trouble is not None:
        yield f"nobody has watched the rows: {seen.watch and seen.watch.trouble}"
    else:
        yield from seen.watch.found
    entries, states = seen.journal.entries(), world.states()
    if not any(entry.verb == "allocate" and entry.verdict == "ok" for entry in entries):
        yield "no allocation was answered at all: this shows nothing"
    owned = {host: state["owned"] for host, state in states.items()}
    yield from broken_promises(entries, owned, _relatives(world.store), LIFETIME_S)
    yield from (f"{name} answers no more" for name in world.trackers if not _answers(world, name))
    yield from _silent_agents(world, states)
    for name, now in world.usages().items():
        if now.rss_mb > seen.before[name].rss_mb + _MOST_GROWTH_MB:
            yield f"{name} grew from {seen.before[name].rss_mb:.0f} to {now.rss_mb:.0f} MB"


def lines(world: World, seen: Seen) -> Iterator[str]:
    """Tell what there was."""
    lived_on = sum(len(each.lives) for each in seen.callers)
    yield f"  commands: {_commands(seen.journal.entries())}; {lived_on} allocations lived on"
    for name, now in world.usages().items():
        yield (
            f"  {name}: {seen.before[name].rss_mb:.0f} MB at the start, {now.rss_mb:.0f} MB at the end,"
            f" {now.threads} threads, {now.files} files"
        )


def _answers(world: World, tracker: str) -> bool:
    """Tell whether a tracker answers us, if not at once: who was given up is answered again after a minute."""
    with suppress(Silent):
        until(lambda: world.answers(tracker), tracker, _GIVEN_UP_S)
        return True
    return False


def _silent_agents(world: World, states: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Ask each agent over the bus for its state."""
    client = rpc.AgentClient(world.transport, timeout_s=5)
    for host, state in states.items():
        try:
            told = client.call(host, "get_stats", AskCommand(agent_uuid=state["agent_uuid"]), Listing)
        except (AgentSilent, MessageRefused) as error:
            yield f"the agent answers no more on the bus: {error}"
        else:
            token = state["token"]  # a claim may have ended since
            if told.token.session != token["session"] or told.token.generation < token["generation"]:
                yield f"{host}: answers on the bus with {told.token}, it has {token}"


def _relatives(store: Store) -> dict[str, list[str]]:
    """Tell each PF's VFs, by uuid."""
    rows = store.devices()
    pfs = {(row["hypervisor_hostname"], row["address"]): row["uuid"] for row in rows}
    relatives: dict[str, list[str]] = {}
    for row in rows:
        parent = pfs.get((row["hypervisor_hostname"], row["parent_addr"]))
        if parent is not None:
            relatives.setdefault(parent, []).append(row["uuid"])
    return relatives


def _commands(entries: Sequence[Entry]) -> str:
    counts = Counter((entry.verb, entry.verdict or "no answer") for entry in entries)
    longest = max((entry.over_s - entry.sent_s for entry in entries), default=math.nan)
    told = ", ".join(f"{verb} {verdict} {number}" for (verb, verdict), number in sorted(counts.items()))
    return f"{told}; the longest took {longest:.1f} s"
