"""How long the log is kept, what was removed of it, and the names of one person found by whose they are."""

import sqlalchemy as sa
from alembic import op

from storage.types import Document, Id, Moment, RowNumber

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "audit_keeping",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("days", sa.Integer()),
        sa.Column("hold_reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("held_at", Moment()),
        sa.Column("hold_ends_at", Moment()),
        sa.Column("removed_before", RowNumber, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("organisation_id", name="pk_audit_keeping"),
    )
    op.create_table(
        "audit_baseline",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("state", Document, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "member_id", name="pk_audit_baseline"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_audit_pii_subject_id", "audit_pii", ["organisation_id", "subject_id"])
