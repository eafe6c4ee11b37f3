"""Which hosts' agents only observe. Until one says so itself, it counts as giving devices."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    with op.batch_alter_table("compute_nodes") as hosts:
        hosts.add_column(sa.Column("observing", sa.Boolean, nullable=False, server_default="0"))
