"""Our side of an agent's work on a host's sysfs: scans, the floor under them, what a look does beside, claims."""

import platform
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from uuid import uuid4

from benches import fleet, floor
from benches.timing import Work, serve
from pci_agent.agent.commands import Commands
from pci_agent.agent.identity import Machine
from pci_agent.agent.senses import Senses
from pci_agent.agent.service import Agent
from pci_agent.agent.store import Store
from pci_agent.discovery import sysfs
from pci_agent.discovery.sysfs import Scan
from pci_agent.model import device_spec
from pci_agent.model.claims import Claim, Wanted
from pci_agent.model.device import DevType
from pci_agent.model.inventory import apply, offered, reconcile, untold
from pci_agent.model.names import identities, names_of, remember
from pci_agent.model.request import PciRequest, Spec
from pci_agent.wire.messages import Answer, Verdict

_OPEN = ExitStack()
_PREPARED = "prepared"
_read = sysfs.scan


def load(asked: dict[str, Any]) -> dict[str, Work]:
    """Take up a host's sysfs, and what the agent knows after its first look at it."""
    root = asked["root"]
    before = _read(root)
    if before.problems:
        raise RuntimeError(f"the scan finds problems: {before.problems[:3]}")
    pfs = frozenset(str(device.address) for device in before.devices if device.dev_type is DevType.PF)
    works = {
        "floor": Work(lambda _: floor.read(root, pfs)),
        "floor with addresses": Work(lambda _: floor.read(root, pfs, addresses=True)),
        "first scan": Work(lambda _: len(_read(root).devices)),
        "later scan": Work(lambda _: len(_read(root, before).devices)),
        **_inventories(root, before, asked["values"]),
        "look": _look(before, asked["values"], asked["folder"]),
    }
    return works | _claims(root, asked["values"], asked["folder"]) if asked["claims"] else works


def _inventories(root: str, before: Scan, values: list[str]) -> dict[str, Work]:
    """Match and reconcile in full, which an agent does where something has changed."""
    whitelist = device_spec.parse(values)
    names = names_of(before.devices, remember(before.devices, {}))
    seen = offered(before.devices, whitelist, names)
    tracked = apply({}, reconcile({}, seen, untold=(), new_uuid=lambda: str(uuid4())))
    changed = replace(before, devices=(*before.devices[:-1], before.devices[-1]._replace(driver="vfio-pci")))

    def decided(scan: Scan) -> int:
        there = identities(scan.devices)
        change = reconcile(
            tracked,
            offered(scan.devices, whitelist, names),
            there={there[device.address]: device for device in scan.devices},
            untold=untold(scan.devices, scan.unreadable),
            new_uuid=lambda: "",
        )
        return len(change.updated)

    def inventory(_: None) -> int:
        scan = _read(root, before)
        return len(tracked) - decided(scan)

    return {"one changed": Work(lambda _: decided(changed)), "later inventory": Work(inventory)}


def _look(known: Scan, values: list[str], folder: str) -> Work:
    """Let an agent look at a host of which its scan says what it said before."""
    store = _OPEN.enter_context(Store.opened(f"{folder}/look", Machine("bench", None)))
    agent = Agent(store, host="bench", whitelist=device_spec.parse(values), senses=Senses(sysfs_root=_PREPARED))

    def same_again(root: str = "/sys", before: Scan | None = None) -> Scan:
        return replace(known) if root == _PREPARED else _read(root, before)

    sysfs.scan = same_again
    agent.start()
    agent.look()

    def look(_: None) -> int:
        looked = agent.look()
        return 0 if looked.changed else looked.offered

    return Work(look)


def _claims(root: str, values: list[str], folder: str) -> dict[str, Work]:
    """Claim a VF of an agent that the tracker has accepted, on its store; what was given is freed untimed."""
    store = _OPEN.enter_context(Store.opened(f"{folder}/claims", Machine("bench", None)))
    agent = Agent(store, host="bench", whitelist=device_spec.parse(values), senses=Senses(sysfs_root=root))
    agent.start()
    agent.look()
    agent.next_message()
    agent.answered(Answer(verdict=Verdict.HOLDS))
    agent.answered(Answer(verdict=Verdict.OK, token=agent.next_message().token))
    commands, uuid, session = Commands(agent), agent.ledger.agent_uuid, agent.ledger.token.session
    given: list[str] = []

    def prepared() -> Claim:
        for request_id in given:
            commands.free(uuid, request_id, 1)
        given[:] = [str(uuid4())]
        request = PciRequest(request_id=given[0], count=1, specs=(Spec(product_id=fleet.VF_PRODUCT),))
        return Claim(instance_uuid=str(uuid4()), wanted=(Wanted(request, 1),))

    def claim(asked: Claim) -> int:
        return sum(len(devices) for devices in commands.claim(uuid, session, asked).outcome.devices.values())

    def claim_and_allocate(asked: Claim) -> int:
        number = claim(asked)
        commands.allocate(uuid, asked.wanted[0].request.request_id, 1)
        return number

    return {"claim": Work(claim, prepared), "claim and allocate": Work(claim_and_allocate, prepared)}


if __name__ == "__main__":
    with _OPEN:
        serve(load, {"Python": platform.python_version()})
