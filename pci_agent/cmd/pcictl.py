"""``pcictl``: commands over REST."""

import sys

from pci_agent.cli.shell import Shell


def main() -> int:
    """Run the command that the arguments name."""
    return Shell().run(sys.argv[1:])
