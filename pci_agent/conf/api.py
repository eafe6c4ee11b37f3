"""``[api]``: where REST is served, and to whom."""

from oslo_config import cfg

GROUP = "api"
OPTIONS = [
    cfg.StrOpt(
        "bind_host",
        default="127.0.0.1",
        help="The address to serve REST on. Without authentication any but a loopback address is refused.",
    ),
    cfg.PortOpt("bind_port", default=8799, help="The port to serve REST on."),
    cfg.PortOpt(
        "metrics_port",
        default=0,
        help="The port on 127.0.0.1 where pci-api serves /metrics, for Prometheus, and /healthcheck without asking who"
        " is calling; 0 for none. With keystone /metrics at bind_port is for administrators.",
    ),
    cfg.StrOpt(
        "auth_strategy",
        default="noauth",
        choices=[
            ("keystone", "callers are asked for a token of keystone's, and may do what the rules let them"),
            ("noauth", "everybody who connects may do everything, so bind_host must be a loopback address"),
        ],
        help="How callers are known. With keystone set [keystone_authtoken] too. The rules are listed in"
        " conf/policy.yaml; [oslo_policy] policy_file names those that are to be others.",
    ),
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
