"""
Claims, allocates and frees without end, and says on stdout what is begun and what was answered.

Run as a process of its own that is killed at any moment: ``claim_load.py STATE_DIR SYSFS_ROOT SEED``.
"""

import json
import random
import sys

from pci_agent.agent.commands import Commands, Done
from pci_agent.agent.identity import Machine
from pci_agent.agent.senses import Senses
from pci_agent.agent.service import Agent
from pci_agent.agent.store import Store
from pci_agent.model import device_spec
from pci_agent.model.claims import Claim, Wanted
from pci_agent.model.request import PciRequest, Spec

INSTANCE = "00000000-0000-4000-8000-000000000001"
REQUESTS = [f"10000000-0000-4000-8000-{number:012}" for number in range(6)]


def tell(word: str, verb: str, request: str, attempt: int, done: Done | None = None) -> None:
    """Say a line; it is out of this process when this returns."""
    devices = [] if done is None else sorted(done.outcome.devices.get(request, ()))
    verdict = None if done is None else str(done.outcome.verdict)
    line = {"word": word, "verb": verb, "request": request, "attempt": attempt, "verdict": verdict, "devices": devices}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main(state_dir: str, sysfs_root: str, seed: str) -> None:
    """Go on until killed."""
    chance = random.Random(seed)
    with Store.opened(state_dir, Machine("machine", None, "boot")) as store:
        whitelist = device_spec.parse(['{"vendor_id": "8086"}'])
        agent = Agent(store, host="compute-1", whitelist=whitelist, senses=Senses(sysfs_root=sysfs_root))
        agent.start()
        agent.look()
        agent.ledger._conversation.accepted = True
        commands = Commands(agent)
        attempts = {
            item.owner.request_id: item.owner.attempt
            for item in agent.ledger.tracked.values()
            if item.owner is not None and item.owner.request_id is not None
        }
        uuid, session = agent.ledger.agent_uuid, agent.ledger.token.session
        while True:
            request = chance.choice(REQUESTS)
            verb = chance.choice(("claim", "claim", "allocate", "free"))
            attempt = attempts.get(request, 0) + (verb == "claim")
            tell("begins", verb, request, attempt)
            if verb == "claim":
                attempts[request] = attempt
                spec = Spec(product_id="1520")
                wanted = Wanted(PciRequest(request_id=request, count=chance.randint(1, 2), specs=(spec,)), attempt)
                done = commands.claim(uuid, session, Claim(instance_uuid=INSTANCE, wanted=(wanted,)))
            elif verb == "allocate":
                done = commands.allocate(uuid, request, attempt)
            else:
                done = commands.free(uuid, request, attempt)
            tell("answered", verb, request, attempt, done)


if __name__ == "__main__":
    main(*sys.argv[1:])
