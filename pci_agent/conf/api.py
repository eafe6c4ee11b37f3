"""``[api]``: where REST is served."""

from oslo_config import cfg

GROUP = "api"
OPTIONS = [
    cfg.StrOpt(
        "bind_host",
        default="127.0.0.1",
        help="The address to serve REST on. Whoever can connect may read everything, so any other than 127.0.0.1"
        " is refused for now.",
    ),
    cfg.PortOpt("bind_port", default=8799, help="The port to serve REST on."),
    cfg.IntOpt(
        "max_limit",
        default=1000,
        min=1,
        help="At most so many items stand on one page of a list, whatever limit is asked for. Each page links to the"
        " next.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known."""
    conf.register_opts(OPTIONS, group=GROUP)
