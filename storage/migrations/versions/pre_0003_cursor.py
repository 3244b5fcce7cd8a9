"""How far a pulled directory has been read, and by which method each run read it."""

import sqlalchemy as sa
from alembic import op

from storage.types import Document

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("directory", sa.Column("cursor", Document))
    op.add_column("run", sa.Column("method", sa.String(16), nullable=False, server_default=""))
    op.add_column("run", sa.Column("method_reason", sa.Text(), nullable=False, server_default=""))
