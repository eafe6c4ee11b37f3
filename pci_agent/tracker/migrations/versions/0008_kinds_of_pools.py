"""
The kinds of pools, which hosts are narrowed by.

Pools are made anew from what each host reported last.
"""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

BYTES: dict[str, Any] = {
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
WORDS = ("vendor_id", "product_id", "dev_type", "tags")


def upgrade() -> None:
    op.drop_table("pci_pools")
    kinds = op.create_table(
        "pci_kinds",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("vendor_id", sa.String(4), nullable=False),
        sa.Column("product_id", sa.String(4), nullable=False),
        sa.Column("dev_type", sa.String(255)),
        sa.Column("tags", sa.JSON, nullable=False),
        **BYTES,
    )
    pools = op.create_table(
        "pci_pools",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("compute_node_id", sa.Integer, sa.ForeignKey("compute_nodes.id"), nullable=False),
        sa.Column("kind_id", sa.BigInteger, sa.ForeignKey("pci_kinds.id"), nullable=False),
        sa.Column("vendor_id", sa.String(4), nullable=False),
        sa.Column("product_id", sa.String(4), nullable=False),
        sa.Column("dev_type", sa.String(255)),
        sa.Column("numa_node", sa.Integer),
        sa.Column("parent_addr", sa.String(255)),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("free", sa.Integer, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
        **BYTES,
    )
    op.create_index("ix_pci_pools_compute_node_id", "pci_pools", ["compute_node_id"])
    op.create_index("ix_pci_pools_by_kind", "pci_pools", ["kind_id", "compute_node_id", "numa_node", "free"])
    nodes = sa.table("compute_nodes", sa.column("id"), sa.column("pci_stats", sa.JSON), sa.column("deleted"))
    known: set[int] = set()
    for node in op.get_bind().execute(sa.select(nodes).where(nodes.c.deleted == 0)).all():
        rows = [row(node.id, pool) for pool in node.pci_stats]
        new = {each["kind_id"]: {name: each[name] for name in WORDS} for each in rows if each["kind_id"] not in known}
        if new:
            op.get_bind().execute(sa.insert(kinds), [{"id": kind, **words} for kind, words in new.items()])
            known.update(new)
        if rows:
            op.get_bind().execute(sa.insert(pools), rows)


def row(node_id: int, pool: dict[str, Any]) -> dict[str, Any]:
    words = [pool["vendor_id"], pool["product_id"], pool["dev_type"], sorted(pool["tags"].items())]
    return {
        **{name: pool[name] for name in (*WORDS, "numa_node", "parent_addr", "free", "total")},
        "compute_node_id": node_id,
        "kind_id": int.from_bytes(hashlib.sha256(json.dumps(words).encode()).digest()[:8]) >> 1,
        "used": pool.get("used", 0),
    }
