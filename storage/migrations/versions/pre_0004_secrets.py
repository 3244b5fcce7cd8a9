"""Secrets of directories and connections, sealed."""

import sqlalchemy as sa
from alembic import op

from storage.types import Id, Moment

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "secret",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("holder", Id(), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_secret_organisation_id"),
        sa.PrimaryKeyConstraint("holder", "name", name="pk_secret"),
    )
    op.create_index("ix_secret_organisation_id", "secret", ["organisation_id"])
