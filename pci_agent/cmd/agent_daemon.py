"""The daemon that ``pci-agent`` is without a command."""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from oslo_config import cfg

from pci_agent.agent.daemon import Daemon
from pci_agent.agent.reporter import Reporter, Tell
from pci_agent.agent.service import Agent
from pci_agent.agent.store import Machine, Store
from pci_agent.bell import Bell
from pci_agent.cmd import process
from pci_agent.conf import agent, host, pci
from pci_agent.discovery import hostuse
from pci_agent.discovery.hostnet import Addresses, net_addresses
from pci_agent.discovery.hostuse import HostUse
from pci_agent.model import device_spec
from pci_agent.model.device import Device
from pci_agent.model.whitelist import Whitelist
from pci_agent.wire import rpc

LOG = logging.getLogger(__name__)

PROJECT = "pci-agent"
GROUPS = (host, agent, pci)

_PATIENCE_S = 0.5


def whitelist(conf: cfg.ConfigOpts) -> Whitelist:
    """Read the whitelist that a configuration holds, or that of nova's file where it names one."""
    read = device_spec.parse(process.device_specs(conf))
    if not read.entries:
        LOG.warning("[pci] device_spec has no entry: nothing is offered")
    return read


def _configuration(arguments: Sequence[str], commands: Iterable[str] = ()) -> cfg.ConfigOpts:
    return process.configuration(
        PROJECT,
        GROUPS,
        arguments,
        description="Tracks this host's PCI and SR-IOV devices and reports them to the central tracker.",
        epilog="Commands on the host, which need no daemon and no bus:"
        f" pci-agent {' | '.join(commands)}, each with --help",
    )


def serve(arguments: Sequence[str], commands: Iterable[str]) -> None:
    """Run until a signal says to stop; *commands* are named in --help."""
    conf = _configuration(arguments, commands)
    process.set_up_logging(conf, PROJECT)
    offered = whitelist(conf)
    with Store.opened(conf.agent.state_dir, Machine.read()) as store:
        bus = rpc.transport(conf)
        client = rpc.TrackerClient(bus, timeout_s=conf.agent.rpc_timeout_s)
        speaking = started(conf, store, offered, client.tell)
        watch(conf, *speaking, configured=lambda: whitelist(_configuration(arguments)))
        rpc.close(bus, patience_s=_PATIENCE_S)


def started(conf: cfg.ConfigOpts, store: Store, offered: Whitelist, tell: Tell) -> tuple[Agent, Reporter, Bell]:
    """Build an agent on its store, the reporter that it wakes, and the bell that both ring; nothing runs yet."""
    bell = Bell()
    device_agent = Agent(
        store,
        host=conf.host,
        whitelist=offered,
        sysfs_root=conf.agent.sysfs_root,
        host_use=uses(conf.agent.sysfs_root, conf.agent.proc_root),
    )
    reporter = Reporter(device_agent, tell, heartbeat_s=conf.agent.heartbeat_interval_s, told=bell.ring)
    device_agent.start(changed=reporter.wake)
    return device_agent, reporter, bell


def uses(sysfs_root: str, proc_root: str) -> Callable[[Sequence[Device]], HostUse]:
    """
    Give what tells the host's own use of its devices.

    The running system's addresses and /proc say nothing of another machine's tree; that is a problem then.
    """
    here = process.is_running_systems(sysfs_root)
    if not here and proc_root == "/proc":
        unknown = HostUse({}, (f"{sysfs_root} isn't the running system's sysfs: set [agent] proc_root beside it",))
        return lambda _: unknown
    if not here:
        LOG.warning("%s isn't the running system's sysfs: addresses are not seen as use", sysfs_root)
    addresses: Addresses = net_addresses if here else dict
    return partial(hostuse.host_use, sysfs_root=sysfs_root, proc_root=proc_root, addresses=addresses)


def watch(
    conf: cfg.ConfigOpts, device_agent: Agent, reporter: Reporter, bell: Bell, *, configured: Callable[[], Whitelist]
) -> None:
    """Look and report until a signal says to stop; *configured* reads the whitelist anew on SIGHUP."""
    daemon = Daemon(
        device_agent,
        reporter,
        bell,
        notify=process.notifier(),
        configured=configured,
        look_interval_s=conf.agent.look_interval_s,
        watchdog_s=process.watchdog_s(),
    )
    process.on_signals(daemon.stop, daemon.reload)
    daemon.run()
