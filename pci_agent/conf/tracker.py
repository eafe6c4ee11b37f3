"""``[tracker]``: the centre."""

from oslo_config import cfg

GROUP = "tracker"
OPTIONS = [
    cfg.IntOpt(
        "host_down_s",
        default=75,
        min=1,
        help="After this many seconds without a sign of life a host is down, and another agent may speak for it."
        " Two missed heartbeats and a half.",
    ),
    cfg.FloatOpt(
        "rpc_timeout_s",
        default=10,
        min=0.1,
        help="How long to wait for an agent's answer to a command. A claim goes on to another host after that.",
    ),
    cfg.FloatOpt(
        "settle_interval_s",
        default=10,
        min=0.1,
        help="How long between two rounds in which frees are sent that agents haven't answered yet.",
    ),
    cfg.PortOpt(
        "metrics_port",
        default=0,
        help="The port on 127.0.0.1 where pci-tracker serves /metrics, for Prometheus, and /healthcheck; 0 for none."
        " pci-api serves both too, but only a tracker knows what it answered agents.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known."""
    conf.register_opts(OPTIONS, group=GROUP)
