"""Which attempt of its request holds a device."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("pci_devices") as devices:
        devices.add_column(sa.Column("attempt", sa.Integer, nullable=False, server_default="0"))
