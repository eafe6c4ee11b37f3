"""
Which attempt of each request is where, and which attempts are still to be freed.

Both begin empty: who holds what is in the hosts' rows already, and is found there by its request.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0010"
down_revision = "0008"

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
BYTES: dict[str, Any] = {
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    op.create_table(
        "allocations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("agent_uuid", sa.String(36)),
        sa.Column("hypervisor_hostname", sa.String(255)),
        sa.Column("session", sa.String(36)),
        sa.Column("generation", sa.Integer),
        sa.Column("instance_uuid", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255)),
        sa.Column("user_id", sa.String(255)),
        sa.Column("asked", sa.JSON),
        sa.Column("devices", sa.JSON),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("confirmed_at", TIME),
        sa.UniqueConstraint("request_id", name="uq_allocations_request_id"),
        sqlite_autoincrement=True,
        **BYTES,
    )
    for column in ("instance_uuid", "updated_at"):
        op.create_index(f"ix_allocations_{column}", "allocations", [column])
    op.create_table(
        "pending_frees",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("agent_uuid", sa.String(36), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("not_before", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sqlite_autoincrement=True,
        **BYTES,
    )
    op.create_index("ix_pending_frees_request_id_agent_uuid", "pending_frees", ["request_id", "agent_uuid"])
    for column in ("agent_uuid", "not_before"):
        op.create_index(f"ix_pending_frees_{column}", "pending_frees", [column])
    op.create_index("ix_pci_devices_request_id", "pci_devices", ["request_id"])
