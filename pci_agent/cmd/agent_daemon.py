"""The daemon that ``pci-agent`` is without a command."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from oslo_config import cfg

from pci_agent.agent.daemon import Daemon
from pci_agent.agent.endpoint import Endpoint
from pci_agent.agent.identity import Machine
from pci_agent.agent.reporter import Reporter, Tell
from pci_agent.agent.senses import Senses
from pci_agent.agent.service import Agent
from pci_agent.agent.store import Store
from pci_agent.bell import Bell
from pci_agent.cmd import process
from pci_agent.conf import agent, host, pci
from pci_agent.discovery import hostuse, libvirt
from pci_agent.discovery.domain_xml import Texts, parsed
from pci_agent.discovery.domains import Reading
from pci_agent.discovery.hostnet import Addresses, net_addresses
from pci_agent.discovery.hostuse import HostUse
from pci_agent.discovery.libvirtd import Libvirtd
from pci_agent.discovery.udev import Uevents
from pci_agent.inspect.host import Kept
from pci_agent.inspect.host import host as looked_at
from pci_agent.inspect.inquiries import Inquiries, Known
from pci_agent.model import device_spec
from pci_agent.model.device import Device
from pci_agent.model.reality import Habits
from pci_agent.model.whitelist import Whitelist
from pci_agent.wire import rpc
from pci_agent.wire.refused import Refused

LOG = logging.getLogger(__name__)

PROJECT = "pci-agent"
GROUPS = (host, agent, pci)

_PATIENCE_S = 0.5
_STOPPED_WITHIN_S = 1.5
_LIBVIRT_ANSWERS_WITHIN_S = 5.0


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
        speaking = started(conf, store, offered, client.tell, libvirt_uri=conf.agent.libvirt_uri)
        rpc.count_unreadable(speaking.refused)
        server = rpc.server(bus, rpc.AGENT_TOPIC, conf.host, *endpoints(conf, speaking), refused=speaking.refused)
        # Where the broker is away this waits for it, which is no reason not to look.
        threading.Thread(target=server.start, name="starting", daemon=True).start()
        watch(conf, speaking, configured=lambda: whitelist(_configuration(arguments)))
        rpc.close(bus, server, patience_s=_PATIENCE_S)


def endpoints(conf: cfg.ConfigOpts, parts: "Started") -> tuple[Endpoint, Inquiries]:
    """Give what answers on the bus: an agent's commands, and who only asks."""
    commands = Endpoint(parts.agent, lifetime_s=conf.agent.claim_lifetime_s, refused=parts.refused)
    return commands, inquiries(parts.agent, parts.libvirtd, parts.refused)


def inquiries(device_agent: Agent, libvirtd: Libvirtd | None, refused: Refused | None = None) -> Inquiries:
    """Give what answers who only asks, from what the running agent knows; its lock is held for a moment alone."""

    def known() -> Known | None:
        view = device_agent.view
        if view is None:
            return None
        kept = Kept(view.tracked, view.remembered)
        unknown = _unknown(libvirtd, answered=view.reading is not None)
        return view.whitelist, looked_at(view.scan, kept, view.use, view.reading, unknown=unknown)

    return Inquiries(device_agent.ledger.agent_uuid, known, refused)


def _unknown(libvirtd: Libvirtd | None, *, answered: bool) -> list[str]:
    """Say what the agent doesn't know of who holds what."""
    trouble = "libvirt isn't asked" if libvirtd is None else libvirtd.trouble
    if answered and (libvirtd is None or trouble is None):
        return []
    return [f"which domains hold what: {trouble or 'the next look takes in what libvirt says'}"]


@dataclass(frozen=True, slots=True)
class Started:
    """
    The parts of a running agent.

    Attributes:
        agent: on its store
        reporter: tells the tracker; not started yet
        bell: rung where something has changed
        asked: set where a look is wanted soon
        libvirtd: keeps libvirt's word newest; None where it isn't asked; not started yet
        refused: counts the messages to the agent that can't be read
    """

    agent: Agent
    reporter: Reporter
    bell: Bell
    asked: threading.Event
    libvirtd: Libvirtd | None
    refused: Refused = field(default_factory=Refused)

    def look_soon(self) -> None:
        """Ask for a look; any thread may."""
        self.asked.set()
        self.bell.ring()


def started(
    conf: cfg.ConfigOpts,
    store: Store,
    offered: Whitelist,
    tell: Tell,
    *,
    libvirt_uri: str | None = None,
    sees_use: bool = True,
) -> Started:
    """
    Build an agent on its store, and what wakes it and speaks for it; nothing runs yet.

    Without *sees_use* what the host itself uses isn't looked for, as where another machine's tree is looked at.
    """
    bell, asked = Bell(), threading.Event()

    def look_soon() -> None:
        asked.set()
        bell.ring()

    libvirtd = Libvirtd(libvirt_uri, look_soon) if libvirt_uri and libvirt.is_installed() else None
    device_agent = Agent(
        store,
        host=conf.host,
        whitelist=offered,
        senses=senses(conf, libvirtd) if sees_use else Senses(sysfs_root=conf.agent.sysfs_root),
        habits=Habits(observe=conf.agent.observe, free_leaked=conf.agent.repair == "free"),
        leak_grace_s=conf.agent.leak_grace_s,
        lifetime_s=conf.agent.claim_lifetime_s,
    )
    reporter = Reporter(device_agent, tell, heartbeat_s=conf.agent.heartbeat_interval_s, told=bell.ring)
    device_agent.start(changed=reporter.wake)
    return Started(device_agent, reporter, bell, asked, libvirtd)


def senses(conf: cfg.ConfigOpts, libvirtd: Libvirtd | None) -> Senses:
    """Give what the agent sees the host with."""
    root = conf.agent.sysfs_root
    use = uses(root, conf.agent.proc_root)
    use_of = uses(root, conf.agent.proc_root, alone=True)
    if libvirtd is None:
        return Senses(sysfs_root=root, host_use=use, use_of=use_of)
    word = libvirtd
    last: list[tuple[Texts, str | None, Sequence[Device], Reading]] = []

    def reading(devices: Sequence[Device]) -> Reading | None:
        """
        Read libvirt's newest texts; while it is away those of before, with a problem more.

        What is the same as the last time is handed back as the same object.
        """
        said, trouble = word.said, word.trouble
        if said is None:
            return None
        if not last or last[0][0] is not said or last[0][1] != trouble or not _are_same(last[0][2], devices):
            read = parsed(said, devices, root)
            if trouble is not None:
                read = replace(read, problems=(trouble, *read.problems), fresh=False)
            last[:] = [(said, trouble, devices, read)]
        return last[0][3]

    return Senses(
        sysfs_root=root,
        host_use=use,
        use_of=use_of,
        reading=reading,
        refresh=lambda: word.refresh(_LIBVIRT_ANSWERS_WITHIN_S),
    )


def _are_same(before: Sequence[Device], now: Sequence[Device]) -> bool:
    return len(before) == len(now) and all(old is new for old, new in zip(before, now, strict=True))


def uses(sysfs_root: str, proc_root: str, *, alone: bool = False) -> Callable[[Sequence[Device]], HostUse]:
    """
    Give what tells the host's own use of its devices; *alone*: of those that it is asked about, and no more.

    The running system's addresses and /proc say nothing of another machine's tree; that is a problem then.
    """
    here = process.is_running_systems(sysfs_root)
    if not here and proc_root == "/proc":
        unknown = HostUse({}, (f"{sysfs_root} isn't the running system's sysfs: set [agent] proc_root beside it",))
        return lambda _: unknown
    if not here:
        LOG.warning("%s isn't the running system's sysfs: addresses are not seen as use", sysfs_root)
    addresses: Addresses = net_addresses if here else dict
    return partial(hostuse.host_use, sysfs_root=sysfs_root, proc_root=proc_root, addresses=addresses, alone=alone)


def watch(conf: cfg.ConfigOpts, parts: Started, *, configured: Callable[[], Whitelist]) -> None:
    """Look and report until a signal says to stop; *configured* reads the whitelist anew on SIGHUP."""
    notify = process.notifier()
    daemon = Daemon(
        parts.agent,
        parts.reporter,
        parts.bell,
        notify=notify,
        configured=configured,
        asked=parts.asked,
        look_interval_s=conf.agent.look_interval_s,
        watchdog_s=process.watchdog_s(),
        libvirtd=parts.libvirtd,
        refused=parts.refused,
    )
    uevents = Uevents(parts.look_soon) if process.is_running_systems(conf.agent.sysfs_root) else None

    def listening_and_looking() -> None:
        for listener in (parts.libvirtd, uevents):
            if listener is not None:
                listener.start()
        try:
            daemon.run()
        finally:
            for listener in (parts.libvirtd, uevents):
                if listener is not None:
                    listener.stop()

    process.run_until_stopped(
        listening_and_looking, daemon.stop, daemon.reload, notify=notify, within_s=_STOPPED_WITHIN_S
    )
