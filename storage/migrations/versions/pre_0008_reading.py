"""What the log is searched by: terms of events, hours of rows, digests of mails."""

import sqlalchemy as sa
from alembic import op

from storage.event_rows import index_waiting_events
from storage.types import Id, Moment, RowNumber

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "audit_term",
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("event_row", RowNumber, nullable=False),
        sa.PrimaryKeyConstraint("term", "event_row", name="pk_audit_term"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_hour",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("hour", Moment(), nullable=False),
        sa.Column("first_row", RowNumber, nullable=False),
        sa.Column("last_row", RowNumber, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "hour", name="pk_audit_hour"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_indexed",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("horizon", RowNumber, nullable=False, server_default="0"),
        sa.Column("settled_row", RowNumber, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("name", name="pk_audit_indexed"),
    )
    op.create_table(
        "audit_mail",
        sa.Column("ref", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("mail_digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("ref", name="pk_audit_mail"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_audit_mail_mail_digest", "audit_mail", ["organisation_id", "mail_digest"])
    op.drop_index("ix_audit_event_subject", "audit_event")
    op.execute("INSERT INTO audit_indexed (name) VALUES ('events')")
    while index_waiting_events(op.get_bind()):
        pass
