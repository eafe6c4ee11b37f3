"""``[DEFAULT]``: who this process is."""

import socket

from oslo_config import cfg

OPTIONS = [
    cfg.StrOpt(
        "host",
        default=socket.gethostname(),
        sample_default="<this machine's name>",
        help="The name that this process speaks for: the agent's hypervisor, as operators see it"
        " (hypervisor_hostname), or the tracker's machine. Unique in the fleet.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known."""
    conf.register_opts(OPTIONS)
