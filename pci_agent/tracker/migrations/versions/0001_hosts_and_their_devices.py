"""Hosts and their devices."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "compute_nodes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("hypervisor_hostname", sa.String(255), nullable=False),
        sa.Column("agent_uuid", sa.String(36), nullable=False),
        sa.Column("session", sa.String(36), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(32), nullable=False),
        sa.Column("last_seen", TIME, nullable=False),
        sa.Column("status_counter", sa.Integer, nullable=False),
        sa.Column("agent_status", sa.JSON),
        sa.Column("pci_stats", sa.JSON, nullable=False),
        sa.Column("created_at", TIME),
        sa.Column("updated_at", TIME),
        sa.Column("deleted_at", TIME),
        sa.Column("deleted", sa.Integer, nullable=False, server_default="0"),
        sa.UniqueConstraint("hypervisor_hostname", "deleted"),
        sa.UniqueConstraint("agent_uuid", "deleted"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "pci_devices",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("compute_node_id", sa.Integer, sa.ForeignKey("compute_nodes.id"), nullable=False),
        sa.Column("address", sa.String(16), nullable=False),
        sa.Column("vendor_id", sa.String(4), nullable=False),
        sa.Column("product_id", sa.String(4), nullable=False),
        sa.Column("dev_type", sa.String(16), nullable=False),
        sa.Column("dev_id", sa.String(32), nullable=False),
        sa.Column("label", sa.String(32), nullable=False),
        sa.Column("status", sa.String(36), nullable=False),
        sa.Column("status_reason", sa.Text),
        sa.Column("parent_addr", sa.String(16)),
        sa.Column("numa_node", sa.Integer),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("extra_info", sa.JSON, nullable=False),
        sa.Column("instance_uuid", sa.String(36)),
        sa.Column("request_id", sa.String(36)),
        sa.Column("project_id", sa.String(255)),
        sa.Column("user_id", sa.String(255)),
        sa.Column("hash", sa.String(32), nullable=False),
        sa.Column("created_at", TIME),
        sa.Column("updated_at", TIME),
        sa.Column("deleted_at", TIME),
        sa.Column("deleted", sa.Integer, nullable=False, server_default="0"),
        sa.UniqueConstraint("compute_node_id", "uuid"),
        sqlite_autoincrement=True,
    )
    for column in ("uuid", "dev_id", "instance_uuid"):
        op.create_index(op.f(f"ix_pci_devices_{column}"), "pci_devices", [column])
