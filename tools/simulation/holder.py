"""
A process that holds agents: ``holder.py SETTINGS``, which are JSON. It may be killed at any moment.

It reads a word a line and answers with JSON a line; see agents.Agents.ask. It ends where its stdin does, so that it
never outlives whoever started it.
"""

import json
import logging
import os
import sys
from typing import Any

from oslo_config import cfg

from pci_agent.wire import rpc
from simulation.agents import Agents, Held, Settings
from simulation.unreliable import Trouble


def main(text: str) -> None:
    """Hold agents until stdin ends."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    settings = _settings(json.loads(text))
    conf = cfg.ConfigOpts()
    conf([], project="pci-fleet", default_config_files=[])
    agents = Agents(settings, rpc.transport(conf, settings.url))
    agents.start()
    _say("ready")
    for line in sys.stdin:
        _say(agents.ask(line.strip()))
    os._exit(0)


def _settings(said: dict[str, Any]) -> Settings:
    hosts = tuple(Held(each["name"], each["sysfs_root"], tuple(each["specs"])) for each in said["hosts"])
    return Settings(**{**said, "hosts": hosts, "trouble": Trouble(**said["trouble"])})


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
