"""
Each device's document, which lists are made of, and the orders that lists are read in.

Documents are made from the rows here: an unchanged device won't be reported again.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0011"
down_revision = "0010"

WORDS = (
    "uuid",
    "address",
    "vendor_id",
    "product_id",
    "status",
    "status_reason",
    "dev_id",
    "dev_type",
    "parent_addr",
    "numa_node",
    "tags",
    "request_id",
    "label",
)
ORDERS = {
    "by_host": ("deleted", "compute_node_id", "id"),
    "by_address": ("deleted", "address", "compute_node_id", "id"),
    "by_status": ("deleted", "status", "compute_node_id", "id"),
    "by_ids": ("deleted", "vendor_id", "product_id", "compute_node_id", "id"),
}
AT_ONCE = 1000


def upgrade() -> None:
    text = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    with op.batch_alter_table("pci_devices") as table:
        table.add_column(sa.Column("document", text))
    for name, columns in ORDERS.items():
        op.create_index(f"ix_pci_devices_{name}", "pci_devices", list(columns))
    devices = sa.table(
        "pci_devices",
        *(sa.column(name) for name in ("id", "hash", "instance_uuid", "document")),
        *(sa.column(name) for name in WORDS if name != "tags"),
        sa.column("tags", sa.JSON),
        sa.column("extra_info", sa.JSON),
    )
    done = 0
    while True:
        query = sa.select(devices).where(devices.c.id > done).order_by(devices.c.id).limit(AT_ONCE)
        rows = op.get_bind().execute(query).mappings().all()
        if not rows:
            return
        one = sa.update(devices).where(devices.c.id == sa.bindparam("row")).values(document=sa.bindparam("made"))
        op.get_bind().execute(one, [{"row": row["id"], "made": document(row)} for row in rows])
        done = rows[-1]["id"]


def document(row: Any) -> str:
    tags = {name: value for name, value in row["tags"].items() if value is not None}
    shown = {name: row[name] for name in WORDS}
    shown |= {"extra_info": {**row["extra_info"], **tags}, "server_uuid": row["instance_uuid"]}
    return str(row["hash"]) + json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
