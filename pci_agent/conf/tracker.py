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
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known."""
    conf.register_opts(OPTIONS, group=GROUP)
