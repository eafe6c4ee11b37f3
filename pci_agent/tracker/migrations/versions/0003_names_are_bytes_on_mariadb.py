"""
On MariaDB names are compared byte by byte, as the other databases do, whatever the server's default is.

Elsewhere there is nothing to do.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

BYTES = "CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"


def upgrade() -> None:
    if op.get_bind().dialect.name == "mariadb":
        for table in ("compute_nodes", "pci_devices", "alembic_version"):
            op.execute(f"ALTER TABLE {table} ENGINE = InnoDB")
            op.execute(f"ALTER TABLE {table} CONVERT TO {BYTES}")
        op.execute(f"ALTER TABLE pci_devices MODIFY status_reason TEXT {BYTES}")  # or it stays grown by the conversion
