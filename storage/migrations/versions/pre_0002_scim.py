"""What a SCIM endpoint keeps: resources as said, tokens, the request log, and the guard of pushed changes."""

import sqlalchemy as sa
from alembic import op

from storage.types import Document, Id, Key, Moment, NameKey

revision = "0002"
down_revision = "0001"

_USER_KEYS = (
    "external_id",
    "display_name",
    "nick_name",
    "profile_url",
    "title",
    "user_type",
    "preferred_language",
    "locale",
    "timezone",
    "name_formatted",
    "name_family_name",
    "name_given_name",
    "name_middle_name",
    "name_honorific_prefix",
    "name_honorific_suffix",
    "employee_number",
    "cost_center",
    "organization",
    "division",
    "department",
    "manager_value",
    "manager_ref",
    "manager_display_name",
)
_ENTRY_KEYS = (
    "value",
    "display",
    "type",
    "formatted",
    "street_address",
    "locality",
    "region",
    "postal_code",
    "country",
)


def _create_partial_index(name: str, table: str, columns: list[str], *, where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def upgrade() -> None:
    _add_client_ids()
    _create_resources()
    _create_tokens()
    _create_request_log()
    _create_guard()


def _add_client_ids() -> None:
    keys = {"directory_user": "user_name_key", "directory_group": "name_key"}
    for table, key in keys.items():
        op.add_column(table, sa.Column("client_id", sa.String(400), nullable=False, server_default=""))
        _create_partial_index(
            f"ix_{table}_client_id", table, ["directory_id", "client_id"], where="client_id <> ''"
        )
        if op.get_bind().dialect.name == "postgresql":
            # SQLite compares text by its code points already.
            op.alter_column(table, key, type_=NameKey, existing_nullable=False)


def _create_resources() -> None:
    op.create_table(
        "scim_user",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("directory_id", Id(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        *(sa.Column(f"{name}_key", Key) for name in _USER_KEYS),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_scim_user_organisation_id"
        ),
        sa.ForeignKeyConstraint(["directory_id"], ["directory.id"], name="fk_scim_user_directory_id"),
        sa.PrimaryKeyConstraint("id", name="pk_scim_user"),
    )
    for name in ("external_id_key", "display_name_key"):
        op.create_index(f"ix_scim_user_{name}", "scim_user", ["directory_id", name])
    op.create_table(
        "scim_entry",
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("attribute", sa.String(20), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("directory_id", Id(), nullable=False),
        sa.Column("is_primary", sa.Boolean()),
        *(sa.Column(f"{name}_key", Key) for name in _ENTRY_KEYS),
        sa.PrimaryKeyConstraint("user_id", "attribute", "position", name="pk_scim_entry"),
        sqlite_with_rowid=False,
    )
    _create_partial_index(
        "ix_scim_entry_email", "scim_entry", ["directory_id", "value_key"], where="attribute = 'emails'"
    )


def _create_tokens() -> None:
    op.create_table(
        "token",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("directory_id", Id(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("prefix", sa.String(24), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("expires_at", Moment()),
        sa.Column("revoked_at", Moment()),
        sa.Column("last_used_at", Moment()),
        sa.Column("last_used_from", sa.String(64), nullable=False, server_default=""),
        sa.Column("noticed_days", sa.Integer()),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_token_organisation_id"),
        sa.ForeignKeyConstraint(["directory_id"], ["directory.id"], name="fk_token_directory_id"),
        sa.PrimaryKeyConstraint("id", name="pk_token"),
        sa.UniqueConstraint("prefix", name="uq_token_prefix"),
    )
    op.create_index("ix_token_directory_id", "token", ["directory_id"])
    _create_partial_index(
        "ix_token_expires_at",
        "token",
        ["expires_at"],
        where="expires_at IS NOT NULL AND revoked_at IS NULL",
    )


def _create_request_log() -> None:
    op.create_table(
        "scim_request",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("directory_id", Id(), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("token_prefix", sa.String(24), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("method", sa.String(8), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("headers", Document, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("scim_type", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("duration_us", sa.Integer(), nullable=False),
        sa.Column("profile", sa.String(16), nullable=False),
        sa.Column("leniencies", Document, nullable=False),
        sa.Column("events", Document, nullable=False),
        sa.Column("request_body", sa.Text()),
        sa.Column("answer_body", sa.Text()),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_scim_request_organisation_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_scim_request"),
    )
    op.create_index("ix_scim_request_directory_id", "scim_request", ["directory_id", "id"])
    op.create_index("ix_scim_request_request_id", "scim_request", ["organisation_id", "request_id"])
    op.create_index("ix_scim_request_at", "scim_request", ["at"])


def _create_guard() -> None:
    op.create_table(
        "push_window",
        sa.Column("directory_id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("active_users", sa.Integer(), nullable=False),
        sa.Column("memberships", sa.Integer(), nullable=False),
        sa.Column("users_lost", sa.Integer(), nullable=False),
        sa.Column("memberships_lost", sa.Integer(), nullable=False),
        sa.Column("groups", Document, nullable=False),
        sa.Column("crossed_at", Moment()),
        sa.ForeignKeyConstraint(["directory_id"], ["directory.id"], name="fk_push_window_directory_id"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_push_window_organisation_id"
        ),
        sa.PrimaryKeyConstraint("directory_id", name="pk_push_window"),
    )
    op.create_table(
        "staged_change",
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("directory_id", Id(), nullable=False),
        sa.Column("event_id", Id()),
        sa.Column("staged_at", Moment(), nullable=False),
        sa.Column("is_rejected", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_staged_change_organisation_id"
        ),
        sa.PrimaryKeyConstraint("member_id", name="pk_staged_change"),
    )
    op.create_index("ix_staged_change_organisation_id", "staged_change", ["organisation_id", "directory_id"])
