"""Which other agent asked last to speak for a host, and was refused."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    with op.batch_alter_table("compute_nodes") as nodes:
        nodes.add_column(sa.Column("refused_agent", sa.String(36)))
        nodes.add_column(sa.Column("refused_session", sa.String(36)))
        nodes.add_column(sa.Column("refused_at", TIME))
