"""``[agent]``: the daemon on each hypervisor."""

from oslo_config import cfg

GROUP = "agent"
OPTIONS = [
    cfg.StrOpt(
        "state_dir",
        default="/var/lib/pci-agent",
        help="Where the agent keeps its own state, on a local disk. One process at a time has it. What is lost"
        " with it are the uuids of this host's devices.",
    ),
    cfg.IntOpt(
        "look_interval_s",
        default=60,
        min=1,
        help="Seconds between two looks at the host's PCI devices. A look that finds nothing new writes nothing"
        " and tells nothing.",
    ),
    cfg.IntOpt(
        "heartbeat_interval_s",
        default=30,
        min=1,
        help="Seconds between two signs of life, give or take a fifth. Keep it well below the trackers'"
        " [tracker] host_down_s.",
    ),
    cfg.IntOpt("rpc_timeout_s", default=15, min=1, help="Seconds to wait for a tracker's answer before telling again."),
    cfg.StrOpt("sysfs_root", default="/sys", help="Where sysfs is mounted."),
    cfg.StrOpt(
        "libvirt_uri",
        default="qemu:///system",
        help="Where to ask which domains hold which devices; empty where libvirt isn't to be asked. Nothing is offered"
        " until its first answer of a boot; when it is away later, what it said last holds. Without libvirt-python it"
        " isn't asked.",
    ),
    cfg.BoolOpt(
        "observe",
        default=False,
        help="Show everything and hand out nothing: for a host whose devices nova hands out.",
    ),
    cfg.StrOpt(
        "repair",
        default="report",
        choices=[
            ("report", "show that an allocation is leaked"),
            ("free", "free it"),
        ],
        help="What to do about a device that is allocated to an instance of which no domain is there, running or"
        " defined, for leak_grace_s.",
    ),
    cfg.IntOpt("leak_grace_s", default=600, min=1, help="How long, in seconds."),
    cfg.IntOpt(
        "claim_lifetime_s",
        default=300,
        min=1,
        help="How long a claim lasts in seconds unless it is allocated, where who claims doesn't say.",
    ),
    cfg.StrOpt("proc_root", default="/proc", help="Where proc is mounted; it tells what the host itself uses."),
]
CLI_OPTIONS = [
    cfg.MultiStrOpt(
        "nova-config",
        default=[],
        metavar="FILE",
        help="Take the whitelist from the [pci] group of nova's file, instead of from a file of pci-agent's own;"
        " nothing else of it is read. May be given several times, as --config-file may.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known."""
    conf.register_opts(OPTIONS, group=GROUP)
    conf.register_cli_opts(CLI_OPTIONS)
