"""The tables of auditors: tokens that read one organisation's record, and pages that were opened with them."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table

from storage import schema
from storage.schema import organisation_column
from storage.types import Id, Moment

metadata = schema.metadata

audit_token = Table(
    "audit_token",
    metadata,
    Column("id", Id, primary_key=True),
    organisation_column(),
    Column("name", String(200), nullable=False),
    Column("prefix", String(24), nullable=False, unique=True),
    Column("sha256", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("last_used_at", Moment),
    Column("last_used_from", String(64), nullable=False),
    Index("ix_audit_token_organisation_id", "organisation_id"),
)

# By the digest of what the browser holds.
audit_session = Table(
    "audit_session",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    organisation_column(),
    Column("token_id", Id, ForeignKey("audit_token.id"), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Index("ix_audit_session_expires_at", "expires_at"),
)
