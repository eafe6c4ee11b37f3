"""
Every host's pools as rows of their own.

Filled from what each host reported last: an unchanged host won't report again.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

BYTES: dict[str, Any] = {
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


def upgrade() -> None:
    pools = op.create_table(
        "pci_pools",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("compute_node_id", sa.Integer, sa.ForeignKey("compute_nodes.id"), nullable=False),
        sa.Column("vendor_id", sa.String(4), nullable=False),
        sa.Column("product_id", sa.String(4), nullable=False),
        sa.Column("dev_type", sa.String(255)),
        sa.Column("numa_node", sa.Integer),
        sa.Column("parent_addr", sa.String(255)),
        sa.Column("physical_network", sa.String(255)),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("free", sa.Integer, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
        **BYTES,
    )
    op.create_index("ix_pci_pools_compute_node_id", "pci_pools", ["compute_node_id"])
    by_ids = ["vendor_id", "product_id", "dev_type", "physical_network", "compute_node_id", "free"]
    op.create_index("ix_pci_pools_by_ids", "pci_pools", by_ids)
    op.create_index("ix_pci_pools_by_network", "pci_pools", ["physical_network", "dev_type", "compute_node_id", "free"])
    nodes = sa.table("compute_nodes", sa.column("id"), sa.column("pci_stats", sa.JSON), sa.column("deleted"))
    for node in op.get_bind().execute(sa.select(nodes).where(nodes.c.deleted == 0)).all():
        rows = [row(node.id, pool) for pool in node.pci_stats]
        if rows:
            op.get_bind().execute(sa.insert(pools), rows)


def row(node_id: int, pool: dict[str, Any]) -> dict[str, Any]:
    network = pool["tags"].get("physical_network")
    return {
        **{name: pool[name] for name in ("vendor_id", "product_id", "dev_type", "numa_node", "parent_addr", "tags")},
        "compute_node_id": node_id,
        "physical_network": None if network is None else network.lower()[:255],
        "free": pool["free"],
        "used": pool.get("used", 0),
        "total": pool["total"],
    }
