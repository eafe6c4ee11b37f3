"""``[database]``: where the tracker keeps the fleet."""

from oslo_config import cfg

GROUP = "database"
OPTIONS = [
    cfg.StrOpt(
        "connection",
        default="sqlite:////var/lib/pci-tracker/tracker.sqlite",
        secret=True,
        help="The database, as SQLAlchemy writes it. SQLite serves one machine; for several trackers use"
        " postgresql+psycopg://user:password@host/name or mariadb+pymysql://user:password@host/name.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known."""
    conf.register_opts(OPTIONS, group=GROUP)
