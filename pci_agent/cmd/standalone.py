"""
Agent, tracker and REST in one process, for one machine: what ``tools/run`` starts.

The same parts as in a fleet, on embedded defaults: SQLite in one directory, ``fake://`` as the bus. Of a
configuration file only the whitelist and the aliases are taken; without a file everything is offered. Another machine
that is looked at has a state of its own.
"""

import argparse
import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from oslo_config import cfg

from pci_agent.agent.identity import Machine
from pci_agent.agent.reporter import Reporter
from pci_agent.agent.service import Agent
from pci_agent.agent.store import Store as AgentStore
from pci_agent.api.app import application
from pci_agent.api.routes import Parts
from pci_agent.api.serving import ONLY_HOST, http_server
from pci_agent.cli.shell import Shell
from pci_agent.cmd import agent_daemon, process, tracker
from pci_agent.cmd.centre import Centre, centre
from pci_agent.conf import alias
from pci_agent.errors import ConfigurationRefused, Refusal, TrackerSilent
from pci_agent.inspect.capture import replayed
from pci_agent.model import device_spec
from pci_agent.model.request import Aliases, parse_aliases
from pci_agent.model.whitelist import Whitelist
from pci_agent.tracker.control import ControlEndpoint
from pci_agent.tracker.database import connect, upgrade
from pci_agent.tracker.endpoint import Endpoint
from pci_agent.wire import rpc

_EVERYTHING = '{"address": "*:*:*.*"}'
_AGREED_WITHIN_S = 120
_PORT, _LAST_PORT = 8799, 65535


def main() -> int:
    """Run everything until Ctrl-C, or once."""
    return process.run(lambda: _main(sys.argv[1:]))


def _main(arguments: Sequence[str]) -> int:
    asked = _parser().parse_args(arguments)
    conf = _configuration(asked)
    process.set_up_logging(conf, "pci-agent")
    offered, state_dir = _whitelist(asked), _state_dir(asked)
    with (
        _machine(conf, asked.sysfs_root) as here,
        AgentStore.opened(os.path.join(state_dir, "agent"), Machine.read()) as store,
        _tracker(conf, state_dir) as (bus, made, answering),
        _served(
            made.parts(_aliases(asked), most=conf.api.max_limit, messages=answering.answered), _port_of(asked)
        ) as url,
    ):
        client = rpc.TrackerClient(bus, timeout_s=conf.agent.rpc_timeout_s)
        parts = agent_daemon.started(conf, store, offered, client.tell, sees_use=here)
        if asked.once:
            looked = parts.agent.look()
            _agree(parts.agent, parts.reporter)
            logging.getLogger("pci_agent.cli").setLevel(logging.INFO)
            print(f"{looked.offered} of {looked.functions} PCI functions offered", file=sys.stderr)  # noqa: T201
            return Shell().run(["--os-auth-type", "none", "--os-endpoint", url, "device", "list"])
        print(f"REST is at {url}/v3/os-pci, the page at {url}/ui/; Ctrl-C ends", flush=True)  # noqa: T201 - where to look
        told = agent_daemon.endpoints(conf, parts)
        with _serving(bus, rpc.AGENT_TOPIC, conf.host, *told):
            agent_daemon.watch(conf, parts, configured=lambda: _whitelist(asked))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/run", description="Run agent, tracker and REST in one process for this machine's own PCI devices."
    )
    parser.add_argument("--once", action="store_true", help="do the whole job once, print the devices, and end")
    parser.add_argument("--config-file", metavar="PATH", help="take the whitelist ([pci] device_spec) from this file")
    parser.add_argument(
        "--port", type=_port, help="where to serve REST on 127.0.0.1 (default: 8799, with --once any that is free)"
    )
    parser.add_argument("--state-home", default=".run", help=argparse.SUPPRESS)  # whoever starts us knows where it is
    parser.add_argument(
        "--state-dir",
        metavar="DIR",
        help="where to keep state (default: .run in the checkout; of another machine, a directory of its own in there)",
    )
    parser.add_argument(
        "--sysfs-root",
        metavar="PATH",
        default="/sys",
        help="look at another machine: a file that pci-agent capture made, or a directory (default: %(default)s)",
    )
    parser.add_argument("--host", metavar="NAME", help="what the machine is called (default: its own name)")
    parser.add_argument("--debug", action="store_true", help="log more")
    return parser


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text} is no port: write a number from 0 to {_LAST_PORT}")
    return int(text)


def _port_of(asked: argparse.Namespace) -> int:
    if asked.port is not None:
        return int(asked.port)
    return 0 if asked.once else _PORT


def _configuration(asked: argparse.Namespace) -> cfg.ConfigOpts:
    """Give the defaults of all options: no file in the usual places has a say in a trial run."""
    conf = process.configuration(
        "pci-agent-standalone", (*agent_daemon.GROUPS, *tracker.GROUPS[1:]), [], description="one process"
    )
    conf.set_override("debug", asked.debug)
    if asked.host is not None:
        conf.set_override("host", asked.host)
    return conf


@contextmanager
def _machine(conf: cfg.ConfigOpts, sysfs_root: str) -> Iterator[bool]:
    """
    Look at a machine meanwhile: at this one, or at one that was captured; yields whether it is this one.

    Raises:
        ConfigurationRefused: there is none.
    """
    with replayed(sysfs_root) as root:
        if not os.path.isdir(os.path.join(root, "bus/pci/devices")):
            raise ConfigurationRefused(
                [
                    Refusal(
                        option="--sysfs-root",
                        entry=None,
                        key=None,
                        value=sysfs_root,
                        what="no sysfs is there, for it has no bus/pci/devices",
                        cure="name where one is mounted, or a file that pci-agent capture made",
                    )
                ]
            )
        conf.set_override("sysfs_root", root, group="agent")
        yield process.is_running_systems(root)


def _state_dir(asked: argparse.Namespace) -> str:
    """Give where the state of the machine is that is looked at: of each its own."""
    if asked.state_dir is not None:
        return str(asked.state_dir)
    if process.is_running_systems(asked.sysfs_root):
        return str(asked.state_home)
    machine = os.path.realpath(asked.sysfs_root)
    number = hashlib.sha256(f"{machine} {asked.host}".encode()).hexdigest()[:8]
    return os.path.join(asked.state_home, f"{os.path.basename(machine).partition('.')[0]}-{number}")


def _whitelist(asked: argparse.Namespace) -> Whitelist:
    if asked.config_file is None:
        return device_spec.parse([_EVERYTHING])
    files = ["--config-file", asked.config_file]
    return agent_daemon.whitelist(
        process.configuration("pci-agent", agent_daemon.GROUPS, files, description="whitelist")
    )


def _aliases(asked: argparse.Namespace) -> Aliases:
    files = [] if asked.config_file is None else [asked.config_file]
    return parse_aliases(process.pci_group(files, alias).pci.alias)


@contextmanager
def _tracker(conf: cfg.ConfigOpts, state_dir: str) -> Iterator[tuple[Any, Centre, Endpoint]]:
    os.makedirs(state_dir, exist_ok=True)
    engine = connect(f"sqlite:///{os.path.abspath(state_dir)}/tracker.sqlite")
    upgrade(engine)
    bus = rpc.transport(conf, "fake://")
    made = centre(conf, engine, bus)
    answering = Endpoint(made.store)
    endpoints = (answering, ControlEndpoint(made.allocations, made.scheduler, made.store))
    made.settler.start()
    try:
        with _serving(bus, rpc.TRACKER_TOPIC, conf.host, *endpoints):
            yield bus, made, answering
    finally:
        made.settler.stop()
        bus.cleanup()
        engine.dispose()


@contextmanager
def _serving(bus: Any, topic: str, host: str, *endpoints: object) -> Iterator[None]:
    server = rpc.server(bus, topic, host, *endpoints)
    server.start()
    try:
        yield
    finally:
        server.stop()
        server.wait()


@contextmanager
def _served(parts: Parts, port: int) -> Iterator[str]:
    server = http_server(application(parts), ONLY_HOST, port)
    thread = threading.Thread(target=server.serve, name="http", daemon=True)
    thread.start()
    try:
        yield f"http://{server.bind_addr[0]}:{server.bind_addr[1]}"
    finally:
        server.stop()
        thread.join()


def _agree(device_agent: Agent, reporter: Reporter) -> None:
    deadline = time.monotonic() + _AGREED_WITHIN_S
    while True:
        reporter.speak()
        if device_agent.agreed and reporter.trouble is None:
            return
        if time.monotonic() > deadline:
            raise TrackerSilent(f"the tracker didn't take the report in {_AGREED_WITHIN_S} s: {reporter.trouble}")
        if reporter.trouble is not None:
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
