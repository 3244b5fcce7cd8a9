"""The tables of log streams: destinations, how far each delivery is, and what a destination did not take."""

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from storage import schema
from storage.schema import organisation_column, partial_index
from storage.types import Document, Id, Moment, RowNumber

metadata = schema.metadata

# What settings mean: `provisioning.stream_settings`. Secrets are rows of `secret`, whose holder is the stream.
stream = Table(
    "stream",
    metadata,
    Column("id", Id, primary_key=True),
    organisation_column(),
    Column("name", String(200), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("settings", Document, nullable=False),
    Column("host", String(300), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("version", Integer, nullable=False),
    # For each secret the last four characters of its SHA-256.
    Column("fingerprints", Document, nullable=False),
    # Of the token that a stream is fetched with.
    Column("token_sha256", LargeBinary, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("removed_at", Moment),
    partial_index("ix_stream_organisation_id", "organisation_id", where="removed_at IS NULL"),
)

# One delivery. `batch_last` is stored before the first attempt; whoever holds the lease makes them.
stream_lane = Table(
    "stream_lane",
    metadata,
    Column("stream_id", Id, nullable=False),
    Column("track", String(8), nullable=False),
    organisation_column(),
    Column("position", RowNumber, nullable=False),
    Column("until", RowNumber),
    Column("batch_last", RowNumber),
    Column("size", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("dead_in_row", Integer, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("acknowledged_at", Moment),
    Column("trouble", Text, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("lease_until", Moment),
    Column("fence", RowNumber, nullable=False),
    PrimaryKeyConstraint("stream_id", "track"),
    Index("ix_stream_lane_due_at", "due_at"),
)

# The event itself lies in the log.
stream_dead_letter = Table(
    "stream_dead_letter",
    metadata,
    Column("stream_id", Id, nullable=False),
    Column("leaf_index", RowNumber, nullable=False),
    organisation_column(),
    Column("event_id", Id, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("stream_id", "leaf_index"),
)

# A webhook to the host application is the environment's. `secrets` is sealed by the key ring.
host_webhook = Table(
    "host_webhook",
    metadata,
    Column("id", Id, primary_key=True),
    Column("environment_id", String(64), ForeignKey("environment.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("host", String(300), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("fingerprints", Document, nullable=False),
    Column("secrets", LargeBinary),
    Column("token_sha256", LargeBinary, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("removed_at", Moment),
)

# Its deliveries: one for each organisation of the environment, so that each has an order of its own.
host_lane = Table(
    "host_lane",
    metadata,
    Column("stream_id", Id, nullable=False),
    organisation_column(),
    Column("track", String(8), nullable=False),
    Column("position", RowNumber, nullable=False),
    Column("until", RowNumber),
    Column("batch_last", RowNumber),
    Column("size", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("dead_in_row", Integer, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("acknowledged_at", Moment),
    Column("trouble", Text, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("lease_until", Moment),
    Column("fence", RowNumber, nullable=False),
    # When the host last asked for this organisation's events by itself.
    Column("fetched_at", Moment),
    PrimaryKeyConstraint("stream_id", "organisation_id", "track"),
    Index("ix_host_lane_due_at", "due_at"),
)

host_dead_letter = Table(
    "host_dead_letter",
    metadata,
    Column("stream_id", Id, nullable=False),
    organisation_column(),
    Column("leaf_index", RowNumber, nullable=False),
    Column("event_id", Id, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("stream_id", "organisation_id", "leaf_index"),
)
