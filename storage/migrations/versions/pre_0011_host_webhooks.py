"""Webhooks to host applications: one for an environment, with a delivery for each of its organisations."""

import sqlalchemy as sa
from alembic import op

from storage.types import Document, Id, Moment, RowNumber

revision = "0011"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "host_webhook",
        sa.Column("id", Id(), nullable=False),
        sa.Column("environment_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("host", sa.String(300), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fingerprints", Document, nullable=False),
        sa.Column("secrets", sa.LargeBinary()),
        sa.Column("token_sha256", sa.LargeBinary()),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("removed_at", Moment()),
        sa.PrimaryKeyConstraint("id", name="pk_host_webhook"),
        sa.UniqueConstraint("token_sha256", name="uq_host_webhook_token_sha256"),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environment.id"], name="fk_host_webhook_environment_id"
        ),
    )
    op.create_table(
        "host_lane",
        sa.Column("stream_id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("track", sa.String(8), nullable=False),
        sa.Column("position", RowNumber, nullable=False),
        sa.Column("until", RowNumber),
        sa.Column("batch_last", RowNumber),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("dead_in_row", sa.Integer(), nullable=False),
        sa.Column("due_at", Moment(), nullable=False),
        sa.Column("acknowledged_at", Moment()),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("lease_until", Moment()),
        sa.Column("fence", RowNumber, nullable=False),
        sa.Column("fetched_at", Moment()),
        sa.PrimaryKeyConstraint("stream_id", "organisation_id", "track", name="pk_host_lane"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_host_lane_organisation_id"
        ),
    )
    op.create_index("ix_host_lane_due_at", "host_lane", ["due_at"])
    op.create_table(
        "host_dead_letter",
        sa.Column("stream_id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("leaf_index", RowNumber, nullable=False),
        sa.Column("event_id", Id(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "organisation_id", "leaf_index", name="pk_host_dead_letter"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_host_dead_letter_organisation_id"
        ),
    )
