"""The tables of the sealed log: leaves, nodes, checkpoints, and who seals.

A log belongs to an organisation; `provisioning.sealing` names the two that do not.
"""

from typing import Final

from sqlalchemy import Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, String, Table, Text, text

from storage.tables import audit_pii
from storage.tables import metadata as metadata  # noqa: PLC0414 - with these tables it is complete
from storage.types import Document, Id, Moment, RowNumber

SEALER: Final = "sealer"
"""The one row of `audit_sealer`; the migration makes it."""

# A row of `audit_event` that is not here is not sealed. Rows of events are never changed, so the position lies here.
audit_leaf = Table(
    "audit_leaf",
    metadata,
    Column("event_row", RowNumber, primary_key=True, autoincrement=False),
    Column("organisation_id", Id, nullable=False),
    Column("leaf_index", RowNumber, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("sealed_at", Moment, nullable=False),
    Index("ix_audit_leaf_leaf_index", "organisation_id", "leaf_index", unique=True),
)

# Complete subtrees of 256 leaves and more. What is below is put together from the leaves.
audit_node = Table(
    "audit_node",
    metadata,
    Column("organisation_id", Id, nullable=False),
    Column("level", Integer, nullable=False),
    Column("node_index", RowNumber, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("organisation_id", "level", "node_index"),
    sqlite_with_rowid=False,
)

# All that is needed to append to a log: the peaks are hashes of 32 bytes one behind the other.
audit_edge = Table(
    "audit_edge",
    metadata,
    Column("organisation_id", Id, primary_key=True),
    Column("size", RowNumber, nullable=False),
    Column("peaks", LargeBinary, nullable=False),
)

# `head_index` is the checkpoint's leaf in the tree of heads; that tree's own checkpoints have none.
audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("organisation_id", Id, nullable=False),
    Column("size", RowNumber, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("sealed_at", Moment, nullable=False),
    Column("head_index", RowNumber),
    PrimaryKeyConstraint("organisation_id", "size"),
    Index(
        "ix_audit_checkpoint_head_index",
        "head_index",
        unique=True,
        sqlite_where=text("head_index IS NOT NULL"),
        postgresql_where=text("head_index IS NOT NULL"),
    ),
)

# For each hour in which sealed events say that they happened, or in which they were sealed: the lowest leaf among
# them. What lies before the lowest one of all hours from a moment on is older than that moment, whatever clocks did.
audit_mark = Table(
    "audit_mark",
    metadata,
    Column("organisation_id", Id, nullable=False),
    Column("hour", Moment, nullable=False),
    Column("first_leaf", RowNumber, nullable=False),
    PrimaryKeyConstraint("organisation_id", "hour"),
    sqlite_with_rowid=False,
)

# Leaves whose events the retention removes or has removed, both ends included. Triggers let nothing else go.
audit_removal = Table(
    "audit_removal",
    metadata,
    Column("organisation_id", Id, nullable=False),
    Column("first_leaf", RowNumber, nullable=False),
    Column("last_leaf", RowNumber, nullable=False),
    Column("removed_at", Moment, nullable=False),
    PrimaryKeyConstraint("organisation_id", "first_leaf"),
)

# How long an organisation keeps its log (None: as long as is usual), and the hold that keeps everything while it
# stands. Without a row all of it is as usual. Events before `removed_before`, a leaf, are gone.
audit_keeping = Table(
    "audit_keeping",
    metadata,
    Column("organisation_id", Id, primary_key=True),
    Column("days", Integer),
    Column("hold_reason", Text, nullable=False, server_default=""),
    Column("held_at", Moment),
    Column("hold_ends_at", Moment),
    Column("removed_before", RowNumber, nullable=False, server_default="0"),
)

# What the events that were removed made of each member: where a replay of those that are left begins. Event
# `log.retention_applied` names its digest. Ids alone, no names.
audit_baseline = Table(
    "audit_baseline",
    metadata,
    Column("organisation_id", Id, nullable=False),
    Column("member_id", Id, nullable=False),
    Column("state", Document, nullable=False),
    PrimaryKeyConstraint("organisation_id", "member_id"),
    sqlite_with_rowid=False,
)

# One row: who seals until when, and how far. Everything before `horizon` is sealed; a pass that was cut off by its
# limit goes on from `position` up to `target`. They are transactions on PostgreSQL and rows on SQLite.
audit_sealer = Table(
    "audit_sealer",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("log_name", String(400), nullable=False, server_default=""),
    Column("owner", String(200), nullable=False, server_default=""),
    Column("lease_until", Moment),
    Column("fence", RowNumber, nullable=False, server_default="0"),
    Column("horizon", RowNumber, nullable=False, server_default="0"),
    Column("target", RowNumber, nullable=False, server_default="0"),
    Column("position", RowNumber, nullable=False, server_default="0"),
    Column("sealed_at", Moment),
    Column("replayed_at", Moment),
    Column("replay_misfits", Integer, nullable=False, server_default="0"),
)

# Keys that sign or have signed; the private halves lie outside the database. `announced_row` is the last event that
# tells of the key: once it is sealed by the older keys, this one signs too.
log_key = Table(
    "log_key",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("vkey", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("announced_row", RowNumber, nullable=False),
    Column("active_at", Moment),
    Column("retired_at", Moment),
)

# By which everything of one person is found, to be erased.
Index("ix_audit_pii_subject_id", audit_pii.c.organisation_id, audit_pii.c.subject_id)
