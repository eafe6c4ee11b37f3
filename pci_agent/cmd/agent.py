"""``pci-agent``: the daemon, or the command that the first argument names."""

import sys

from pci_agent.cmd.host_commands import COMMANDS, run
from pci_agent.errors import PciAgentError


def main() -> int:
    """Run the daemon or a command."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in COMMANDS:
        from pci_agent.cmd import agent_daemon, process  # noqa: PLC0415 - what no command needs to load

        process.serve(lambda: agent_daemon.serve(arguments, COMMANDS))
    try:
        return run(arguments[0], arguments[1:])
    except PciAgentError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command's last word
        return 1
