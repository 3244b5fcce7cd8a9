"""Tokens that read one organisation's record, and pages that were opened with them."""

import sqlalchemy as sa
from alembic import op

from storage.types import Id, Moment

revision = "0012"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "audit_token",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("prefix", sa.String(24), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("expires_at", Moment()),
        sa.Column("revoked_at", Moment()),
        sa.Column("last_used_at", Moment()),
        sa.Column("last_used_from", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_token"),
        sa.UniqueConstraint("prefix", name="uq_audit_token_prefix"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_audit_token_organisation_id"
        ),
    )
    op.create_index("ix_audit_token_organisation_id", "audit_token", ["organisation_id"])
    op.create_table(
        "audit_session",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("token_id", Id(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_audit_session"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_audit_session_organisation_id"
        ),
        sa.ForeignKeyConstraint(["token_id"], ["audit_token.id"], name="fk_audit_session_token_id"),
    )
    op.create_index("ix_audit_session_expires_at", "audit_session", ["expires_at"])
