"""
Whether the tracker's rows are every agent's state: tokens, and digests made anew on both sides from what is there.

Two digests that were made anew are the same only where every field of every device is.
"""

from collections.abc import Mapping
from typing import Any

from pci_agent.tracker.store import Store
from pci_agent.wire.messages import Token, digest
from simulation.agents import sealed

States = Mapping[str, Mapping[str, Any]]
"""Every agent's state by host; see agents.Host.state."""


def tokens_differ(store: Store, states: States) -> list[str]:
    """List the hosts whose row isn't their agent's state by its token; quick."""
    rows = {row["hypervisor_hostname"]: row for row in store.hypervisors()}
    return [host for host, state in states.items() if host not in rows or _token(rows[host]) != state["token"]]


def differences(store: Store, states: States) -> list[str]:
    """Say in what rows and agents differ; reads every device."""
    hosts = {row["hypervisor_hostname"]: row for row in store.hypervisors()}
    hashes: dict[str, list[str]] = {host: [] for host in states}
    for row in store.devices():
        hashes.setdefault(row["hypervisor_hostname"], []).append(sealed(row))
    found = [f"{host}: the tracker knows it, and there is no such agent" for host in hosts.keys() - states.keys()]
    for host, state in states.items():
        found += _of_host(host, hosts.get(host), hashes[host], state)
    return found + [str(each) for each in store.verify()]


def _of_host(host: str, row: Mapping[str, Any] | None, hashes: list[str], state: Mapping[str, Any]) -> list[str]:
    if row is None:
        return [f"{host}: the tracker doesn't know it"]
    found = []
    if row["agent_uuid"] != state["agent_uuid"]:
        found.append(f"{host}: the row is of agent {row['agent_uuid']}, not {state['agent_uuid']}")
    if _token(row) != state["token"]:
        found.append(f"{host}: the row is the state {_token(row)}, the agent's is {state['token']}")
    if not digest(hashes) == state["recomputed"] == state["token"]["digest"]:
        found.append(
            f"{host}: the rows' contents sum up to {digest(hashes)}, the agent's to {state['recomputed']},"
            f" and its token says {state['token']['digest']}"
        )
    return found


def _token(row: Mapping[str, Any]) -> dict[str, Any]:
    return Token(session=row["session"], generation=row["generation"], digest=row["digest"]).model_dump()
