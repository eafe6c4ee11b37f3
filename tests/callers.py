"""Commands to an agent over a real bus, as a tracker gives them."""

from dataclasses import dataclass

from pci_agent.wire import rpc
from pci_agent.wire.commands import (
    AskCommand,
    AttemptCommand,
    ClaimCommand,
    CommandAnswer,
    Listing,
    RequestRecord,
    SpecRecord,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Gives commands to one agent; each names it, and a claim its session too. Any thread may."""

    client: rpc.AgentClient
    host: str
    agent_uuid: str

    def listing(self) -> Listing:
        """What the agent has now."""
        return self.client.call(self.host, "list_devices", AskCommand(agent_uuid=self.agent_uuid), Listing)

    def claim(self, request: str, instance: str, spec: SpecRecord, count: int = 1) -> CommandAnswer:
        command = ClaimCommand(
            agent_uuid=self.agent_uuid,
            session=self.listing().token.session,
            instance_uuid=instance,
            requests=(RequestRecord(request_id=request, attempt=1, count=count, specs=(spec,)),),
        )
        return self.client.call(self.host, "claim", command, CommandAnswer)

    def allocate(self, request: str) -> CommandAnswer:
        return self._of_attempt("allocate", request)

    def free(self, request: str) -> CommandAnswer:
        return self._of_attempt("free", request)

    def rescan(self) -> CommandAnswer:
        return self.client.call(self.host, "rescan", AskCommand(agent_uuid=self.agent_uuid), CommandAnswer)

    def _of_attempt(self, verb: str, request: str) -> CommandAnswer:
        command = AttemptCommand(agent_uuid=self.agent_uuid, request_id=request, attempt=1)
        return self.client.call(self.host, verb, command, CommandAnswer)
