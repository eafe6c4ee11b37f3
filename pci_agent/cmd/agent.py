"""``pci-agent``: the daemon, and what an operator asks on the host (``pci-agent discover``)."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence

from oslo_config import cfg

from pci_agent import conf as options
from pci_agent.agent.daemon import Daemon
from pci_agent.agent.reporter import Reporter, Tell
from pci_agent.agent.service import Agent
from pci_agent.agent.store import Machine, Store
from pci_agent.cmd import process
from pci_agent.conf import agent, host, pci
from pci_agent.discovery import sysfs
from pci_agent.inspect import discover
from pci_agent.model import device_spec
from pci_agent.model.whitelist import Whitelist

LOG = logging.getLogger(__name__)

PROJECT = "pci-agent"
GROUPS = (host, agent, pci)

_PATIENCE_S = 0.5


def main() -> int:
    """Run the daemon, or the command that the first argument names."""
    arguments = sys.argv[1:]
    if arguments[:1] != ["discover"]:
        process.serve(lambda: _serve(arguments))
    return process.run(lambda: _discover(arguments[1:]))


def whitelist(conf: cfg.ConfigOpts) -> Whitelist:
    """Read the whitelist that a configuration holds."""
    read = device_spec.parse(conf.pci.device_spec)
    if not read.entries:
        LOG.warning("there is no [pci] device_spec in the configuration: nothing is offered")
    return read


def _configuration(arguments: Sequence[str]) -> cfg.ConfigOpts:
    return process.configuration(
        PROJECT,
        GROUPS,
        arguments,
        description="Tracks this host's PCI and SR-IOV devices and reports them to the central tracker.",
        epilog="Commands on the host, which need no daemon and no bus: pci-agent discover [--help]",
    )


def _serve(arguments: Sequence[str]) -> None:
    conf = _configuration(arguments)
    process.set_up_logging(conf, PROJECT)
    offered = whitelist(conf)
    from pci_agent.wire import rpc  # noqa: PLC0415 - 20 MB that no command on the host needs

    with Store.opened(conf.agent.state_dir, Machine.read()) as store:
        bus = rpc.transport(conf)
        client = rpc.TrackerClient(bus, timeout_s=conf.agent.rpc_timeout_s)
        speaking = started(conf, store, offered, client.tell)
        watch(conf, *speaking, configured=lambda: whitelist(_configuration(arguments)))
        rpc.close(bus, patience_s=_PATIENCE_S)


def started(conf: cfg.ConfigOpts, store: Store, offered: Whitelist, tell: Tell) -> tuple[Agent, Reporter]:
    """Build an agent on its store, and the reporter that it wakes; the reporter isn't running yet."""
    device_agent = Agent(store, host=conf.host, whitelist=offered, sysfs_root=conf.agent.sysfs_root)
    reporter = Reporter(device_agent, tell, heartbeat_s=conf.agent.heartbeat_interval_s)
    device_agent.start(changed=reporter.wake)
    return device_agent, reporter


def watch(
    conf: cfg.ConfigOpts, device_agent: Agent, reporter: Reporter, *, configured: Callable[[], Whitelist]
) -> None:
    """Look and report until a signal says to stop; *configured* reads the whitelist anew on SIGHUP."""
    daemon = Daemon(
        device_agent,
        reporter,
        notify=process.notifier(),
        configured=configured,
        look_interval_s=conf.agent.look_interval_s,
        watchdog_s=process.watchdog_s(),
    )
    process.on_signals(daemon.stop, daemon.reload)
    daemon.run()


def _discover(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="pci-agent discover", description="Show every PCI function of this host as the agent sees it."
    )
    parser.add_argument("--sysfs-root", metavar="DIR", default=agent_default("sysfs_root"), help="default: %(default)s")
    parser.add_argument("-f", "--format", choices=("table", "json"), default="table")
    asked = parser.parse_args(arguments)
    seen = sysfs.scan(asked.sysfs_root)
    write = discover.as_json if asked.format == "json" else discover.as_table
    print(write(seen))  # noqa: T201 - the command's answer
    return 0 if seen.complete else 1


def agent_default(name: str) -> str:
    """Give the default of an option of the group [agent]."""
    groups = dict(options.agent_opts())
    return str(next(option.default for option in groups[agent.GROUP] if option.name == name))
