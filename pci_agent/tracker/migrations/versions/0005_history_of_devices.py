"""What became of each device, report by report. It begins empty: nobody knows what was before."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
BYTES: dict[str, Any] = {
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    op.create_table(
        "pci_device_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("compute_node_id", sa.Integer, nullable=False),
        sa.Column("device_uuid", sa.String(36), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("before", sa.JSON),
        sa.Column("after", sa.JSON),
        sa.Column("instance_uuid", sa.String(36)),
        sa.Column("request_id", sa.String(36)),
        sqlite_autoincrement=True,
        **BYTES,
    )
    for column in ("device_uuid", "at"):
        op.create_index(f"ix_pci_device_events_{column}", "pci_device_events", [column])
