"""
The tables of the tracker's database, and the database's clock.

Rows are soft-deleted: ``deleted`` is 0 while the row lives and its own id afterwards, so that a name may be
unique among the living. Times are the database's, in UTC: trackers on several machines share that clock.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_TIME = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_DOCUMENT = JSON(none_as_null=True)
_LONG_TEXT = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")

compute_nodes = Table(
    "compute_nodes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hypervisor_hostname", String(255), nullable=False),
    Column("agent_uuid", String(36), nullable=False),
    Column("session", String(36), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("digest", String(32), nullable=False),
    Column("last_seen", _TIME, nullable=False),
    Column("status_counter", Integer, nullable=False),
    Column("agent_status", _DOCUMENT),
    Column("observing", Boolean, nullable=False, server_default="0"),
    Column("pci_stats", _DOCUMENT, nullable=False),
    Column("refused_agent", String(36)),
    Column("refused_session", String(36)),
    Column("refused_at", _TIME),
    Column("created_at", _TIME),
    Column("updated_at", _TIME),
    Column("deleted_at", _TIME),
    Column("deleted", Integer, nullable=False, server_default="0"),
    UniqueConstraint("hypervisor_hostname", "deleted"),
    UniqueConstraint("agent_uuid", "deleted"),
    sqlite_autoincrement=True,
)

pci_devices = Table(
    "pci_devices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", String(36), nullable=False),
    Column("compute_node_id", Integer, ForeignKey("compute_nodes.id"), nullable=False),
    Column("address", String(16), nullable=False),
    Column("vendor_id", String(4), nullable=False),
    Column("product_id", String(4), nullable=False),
    Column("dev_type", String(16), nullable=False),
    Column("dev_id", String(32), nullable=False),
    Column("label", String(32), nullable=False),
    Column("status", String(36), nullable=False),
    Column("status_reason", Text),
    Column("parent_addr", String(16)),
    Column("numa_node", Integer),
    Column("tags", _DOCUMENT, nullable=False),
    Column("extra_info", _DOCUMENT, nullable=False),
    Column("instance_uuid", String(36)),
    Column("request_id", String(36)),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("project_id", String(255)),
    Column("user_id", String(255)),
    Column("hash", String(32), nullable=False),
    Column("document", _LONG_TEXT),
    Column("created_at", _TIME),
    Column("updated_at", _TIME),
    Column("deleted_at", _TIME),
    Column("deleted", Integer, nullable=False, server_default="0"),
    UniqueConstraint("compute_node_id", "uuid"),
    Index("ix_pci_devices_by_host", "deleted", "compute_node_id", "id"),
    Index("ix_pci_devices_by_address", "deleted", "address", "compute_node_id", "id"),
    Index("ix_pci_devices_by_status", "deleted", "status", "compute_node_id", "id"),
    Index("ix_pci_devices_by_ids", "deleted", "vendor_id", "product_id", "compute_node_id", "id"),
    Index(None, "uuid"),
    Index(None, "dev_id"),
    Index(None, "instance_uuid"),
    Index(None, "request_id"),
    sqlite_autoincrement=True,
)

pci_kinds = Table(
    "pci_kinds",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("vendor_id", String(4), nullable=False),
    Column("product_id", String(4), nullable=False),
    Column("dev_type", String(255)),
    Column("tags", _DOCUMENT, nullable=False),
)

pci_pools = Table(
    "pci_pools",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("compute_node_id", Integer, ForeignKey("compute_nodes.id"), nullable=False, index=True),
    Column("kind_id", BigInteger, ForeignKey("pci_kinds.id"), nullable=False),
    Column("vendor_id", String(4), nullable=False),
    Column("product_id", String(4), nullable=False),
    Column("dev_type", String(255)),
    Column("numa_node", Integer),
    Column("parent_addr", String(255)),
    Column("tags", _DOCUMENT, nullable=False),
    Column("free", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Index("ix_pci_pools_by_kind", "kind_id", "compute_node_id", "numa_node", "free"),
    sqlite_autoincrement=True,
)

pci_device_events = Table(
    "pci_device_events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("compute_node_id", Integer, nullable=False),
    Column("device_uuid", String(36), nullable=False, index=True),
    Column("at", _TIME, nullable=False, index=True),
    Column("event", String(16), nullable=False),
    Column("before", _DOCUMENT),
    Column("after", _DOCUMENT),
    Column("instance_uuid", String(36)),
    Column("request_id", String(36)),
    sqlite_autoincrement=True,
)

allocations = Table(
    "allocations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("request_id", String(36), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("agent_uuid", String(36)),
    Column("hypervisor_hostname", String(255)),
    Column("session", String(36)),
    Column("generation", Integer),
    Column("instance_uuid", String(36), nullable=False, index=True),
    Column("project_id", String(255)),
    Column("user_id", String(255)),
    Column("asked", _DOCUMENT),
    Column("devices", _DOCUMENT),
    Column("created_at", _TIME, nullable=False),
    Column("updated_at", _TIME, nullable=False, index=True),
    Column("confirmed_at", _TIME),
    UniqueConstraint("request_id"),
    sqlite_autoincrement=True,
)

pending_frees = Table(
    "pending_frees",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("request_id", String(36), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("agent_uuid", String(36), nullable=False, index=True),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("not_before", _TIME, nullable=False, index=True),
    Column("created_at", _TIME, nullable=False),
    Index(None, "request_id", "agent_uuid"),
    sqlite_autoincrement=True,
)


class utcnow(FunctionElement[Any]):  # noqa: N801 - reads as the SQL function that it is
    """The database's clock, now, in UTC, to the millisecond at least."""

    type = DateTime()
    inherit_cache = True


@compiles(utcnow, "sqlite")
def _sqlite(_element: utcnow, _compiler: Any, **_options: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


@compiles(utcnow, "postgresql")
def _postgresql(_element: utcnow, _compiler: Any, **_options: Any) -> str:
    return "timezone('utc', clock_timestamp())"


@compiles(utcnow, "mysql")
@compiles(utcnow, "mariadb")
def _mysql(_element: utcnow, _compiler: Any, **_options: Any) -> str:
    return "utc_timestamp(6)"
