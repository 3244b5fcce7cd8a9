"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

from storage.types import Document, Id, Moment, RowNumber

revision = "0001"
down_revision = None


def _create_partial_index(
    name: str, table: str, columns: list[str], *, where: str, sqlite_where: str = "", unique: bool = False
) -> None:
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        sqlite_where=sa.text(sqlite_where or where),
        postgresql_where=sa.text(where),
    )


def upgrade() -> None:  # noqa: PLR0915 - a list of tables
    op.create_table(
        "access_interval",
        sa.Column("id", RowNumber, sa.Identity(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("scope_id", Id(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("rule_id", Id()),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("group_id", Id()),
        sa.Column("override_id", Id()),
        sa.Column("opened_at", Moment(), nullable=False),
        sa.Column("opened_event", Id(), nullable=False),
        sa.Column("closed_at", Moment()),
        sa.Column("closed_event", Id()),
        sa.PrimaryKeyConstraint("id", name="pk_access_interval"),
        sqlite_autoincrement=True,
    )
    _create_partial_index(
        "ix_access_interval_closed", "access_interval", ["member_id"], where="closed_at IS NOT NULL"
    )
    op.create_index("ix_access_interval_opened_at", "access_interval", ["organisation_id", "opened_at"])
    _create_partial_index(
        "ix_access_interval_scope_id",
        "access_interval",
        ["organisation_id", "scope_id", "role", "member_id"],
        where="closed_at IS NULL",
    )
    _create_partial_index(
        "uq_access_interval_open",
        "access_interval",
        ["member_id", "role", "scope_id"],
        where="closed_at IS NULL",
        unique=True,
    )
    op.create_table(
        "audit_event",
        sa.Column("id", RowNumber, sa.Identity(), nullable=False),
        sa.Column("organisation_id", Id()),
        sa.Column("event_id", Id(), nullable=False),
        sa.Column("time", Moment(), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_event_event_id", "audit_event", ["event_id"], unique=True)
    op.create_index("ix_audit_event_organisation_id", "audit_event", ["organisation_id", "id"])
    op.create_index("ix_audit_event_subject", "audit_event", ["organisation_id", "subject_id", "id"])
    op.create_table(
        "audit_pii",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("ref", Id(), nullable=False),
        sa.Column("subject_id", Id(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("ref", name="pk_audit_pii"),
    )
    op.create_table(
        "environment",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("catalogue", sa.Text(), nullable=False),
        sa.Column("catalogue_sha256", sa.String(length=64), nullable=False),
        sa.Column("loaded_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_environment"),
    )
    op.create_table(
        "member",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("mail", sa.String(length=400), nullable=False),
        sa.Column("mail_key", sa.String(length=800), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("seat", sa.String(length=8), nullable=False),
        sa.Column("waiting_priority", sa.Integer()),
        sa.Column("waiting_order", sa.Integer()),
        sa.Column("waiting_since", Moment()),
        sa.Column("is_held", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("invited", Document),
        sa.Column("pii_ref", Id(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("deactivated_at", Moment()),
        sa.Column("deleted_at", Moment()),
        sa.PrimaryKeyConstraint("id", name="pk_member"),
    )
    _create_partial_index(
        "ix_member_invited", "member", ["organisation_id", "invited"], where="invited IS NOT NULL"
    )
    _create_partial_index(
        "ix_member_held",
        "member",
        ["organisation_id", "is_held"],
        where="is_held",
        sqlite_where="is_held = 1",
    )
    _create_partial_index(
        "ix_member_mail_key", "member", ["organisation_id", "mail_key"], where="mail_key <> ''"
    )
    op.create_index("ix_member_organisation_id", "member", ["organisation_id", "id"])
    _create_partial_index(
        "ix_member_waiting",
        "member",
        ["organisation_id", "waiting_priority", "waiting_order", "waiting_since", "id"],
        where="seat = 'waiting'",
    )
    op.create_table(
        "membership",
        sa.Column("group_id", Id(), nullable=False),
        sa.Column("user_id", Id(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "user_id", name="pk_membership"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_membership_user_id", "membership", ["user_id"])
    op.create_table(
        "outbox",
        sa.Column("id", RowNumber, sa.Identity(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("topic", sa.String(length=40), nullable=False),
        sa.Column("payload", Document, nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "pending_member",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("cause", Document, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "member_id", name="pk_pending_member"),
    )
    op.create_table(
        "organisation",
        sa.Column("id", Id(), nullable=False),
        sa.Column("environment_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("name_key", sa.String(length=400), nullable=False),
        sa.Column("plan", sa.String(length=64)),
        sa.Column("seat_limit", sa.Integer()),
        sa.Column("seat_policy", sa.String(length=16), nullable=False),
        sa.Column("resolution", sa.String(length=16)),
        sa.Column("switches", Document, nullable=False),
        sa.Column("owner_id", Id()),
        sa.Column("root_scope_id", Id(), nullable=False),
        sa.Column("access_version", RowNumber, nullable=False),
        sa.Column("model_version", RowNumber, nullable=False),
        sa.Column("seated", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environment.id"], name="fk_organisation_environment_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_organisation"),
        sa.UniqueConstraint("name_key", name="uq_organisation_name_key"),
    )
    op.create_table(
        "block",
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_block_organisation_id"),
        sa.PrimaryKeyConstraint("member_id", name="pk_block"),
    )
    op.create_table(
        "directory",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("settings", Document, nullable=False),
        sa.Column("default_role", sa.String(length=64)),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("interval_seconds", sa.Integer()),
        sa.Column("next_run_at", Moment()),
        sa.Column("lease_owner", sa.String(length=200)),
        sa.Column("lease_until", Moment()),
        sa.Column("fence", RowNumber, server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_success_at", Moment()),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_directory_organisation_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_directory"),
        sa.UniqueConstraint("organisation_id", "name", name="uq_directory_organisation_id_name"),
    )
    _create_partial_index("ix_directory_due", "directory", ["next_run_at"], where="next_run_at IS NOT NULL")
    op.create_table(
        "domain",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("domain", sa.String(length=255), nullable=False),
        sa.Column("verified_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_domain_organisation_id"),
        sa.PrimaryKeyConstraint("organisation_id", "domain", name="pk_domain"),
    )
    op.create_table(
        "invitation",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("mail", sa.String(length=400), nullable=False),
        sa.Column("mail_key", sa.String(length=800), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("scope_id", Id(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("created_event", Id(), nullable=False),
        sa.Column("ends_at", Moment(), nullable=False),
        sa.Column("pii_ref", Id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_invitation_organisation_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_invitation"),
    )
    _create_partial_index("ix_invitation_ends_at", "invitation", ["ends_at"], where="state = 'pending'")
    _create_partial_index(
        "ix_invitation_organisation_id",
        "invitation",
        ["organisation_id", "ends_at"],
        where="state = 'pending'",
    )
    op.create_table(
        "override",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("grants", Document, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("created_event", Id(), nullable=False),
        sa.Column("ends_at", Moment(), nullable=False),
        sa.Column("ended_at", Moment()),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_override_organisation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_override"),
    )
    _create_partial_index("ix_override_ends_at", "override", ["ends_at"], where="ended_at IS NULL")
    _create_partial_index(
        "ix_override_organisation_id", "override", ["organisation_id", "ends_at"], where="ended_at IS NULL"
    )
    _create_partial_index(
        "ix_override_member_id", "override", ["member_id"], where="ended_at IS NULL", unique=True
    )
    op.create_table(
        "role",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("permissions", Document, nullable=False),
        sa.Column("scope_kinds", Document, nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_role_organisation_id"),
        sa.PrimaryKeyConstraint("organisation_id", "id", name="pk_role"),
    )
    op.create_table(
        "rule",
        sa.Column("id", Id(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("match_kind", sa.String(length=16), nullable=False),
        sa.Column("group_id", Id()),
        sa.Column("directory_id", Id()),
        sa.Column("expression", sa.Text()),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("scope_id", Id()),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("replaced_at", Moment()),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_rule_organisation_id"),
        sa.PrimaryKeyConstraint("id", "version", name="pk_rule"),
    )
    _create_partial_index("ix_rule_current", "rule", ["organisation_id"], where="replaced_at IS NULL")
    op.create_table(
        "scope",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=400), nullable=False),
        sa.Column("host_id", sa.String(length=400), nullable=False),
        sa.Column("parents", Document, nullable=False),
        sa.Column("removed_at", Moment()),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_scope_organisation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_scope"),
    )
    op.create_index("ix_scope_organisation_id", "scope", ["organisation_id"])
    op.create_table(
        "subgroup",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("group_id", Id(), nullable=False),
        sa.Column("subgroup_id", Id(), nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_subgroup_organisation_id"),
        sa.PrimaryKeyConstraint("group_id", "subgroup_id", name="pk_subgroup"),
    )
    op.create_index("ix_subgroup_organisation_id", "subgroup", ["organisation_id"])
    op.create_table(
        "directory_group",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("directory_id", Id(), nullable=False),
        sa.Column("external_id", sa.String(length=400), nullable=False),
        sa.Column("display_name", sa.String(length=400), nullable=False),
        sa.Column("name_key", sa.String(length=800), nullable=False),
        sa.Column("dn", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("deleted_at", Moment()),
        sa.ForeignKeyConstraint(["directory_id"], ["directory.id"], name="fk_directory_group_directory_id"),
        sa.PrimaryKeyConstraint("id", name="pk_directory_group"),
        sa.UniqueConstraint(
            "directory_id", "external_id", name="uq_directory_group_directory_id_external_id"
        ),
    )
    op.create_index("ix_directory_group_name_key", "directory_group", ["organisation_id", "name_key"])
    op.create_table(
        "directory_user",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("directory_id", Id(), nullable=False),
        sa.Column("external_id", sa.String(length=400), nullable=False),
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("user_name", sa.String(length=400), nullable=False),
        sa.Column("user_name_key", sa.String(length=800), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("given_name", sa.Text(), nullable=False),
        sa.Column("family_name", sa.Text(), nullable=False),
        sa.Column("mails", Document, nullable=False),
        sa.Column("mail_key", sa.String(length=800), nullable=False),
        sa.Column("dn", sa.Text(), nullable=False),
        sa.Column("attributes", Document, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("pii_ref", Id(), nullable=False),
        sa.Column("absent_runs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("deleted_at", Moment()),
        sa.ForeignKeyConstraint(["directory_id"], ["directory.id"], name="fk_directory_user_directory_id"),
        sa.PrimaryKeyConstraint("id", name="pk_directory_user"),
        sa.UniqueConstraint("directory_id", "external_id", name="uq_directory_user_directory_id_external_id"),
    )
    _create_partial_index(
        "ix_directory_user_left",
        "directory_user",
        ["directory_id", "updated_at"],
        where="deleted_at IS NULL AND NOT active",
        sqlite_where="deleted_at IS NULL AND active = 0",
    )
    _create_partial_index(
        "ix_directory_user_mail_key",
        "directory_user",
        ["organisation_id", "mail_key"],
        where="mail_key <> '' AND deleted_at IS NULL",
    )
    op.create_index("ix_directory_user_member_id", "directory_user", ["member_id"])
    _create_partial_index(
        "ix_directory_user_user_name_key",
        "directory_user",
        ["directory_id", "user_name_key"],
        where="deleted_at IS NULL",
    )
    op.create_table(
        "run",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("directory_id", Id(), nullable=False),
        sa.Column("fence", RowNumber, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("started_event", Id()),
        sa.Column("finished_at", Moment()),
        sa.Column("counters", Document, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("plan_hash", sa.String(length=64), nullable=False),
        sa.Column("source_hash", sa.String(length=64), nullable=False),
        sa.Column("plan", Document),
        sa.Column("approved_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["directory_id"], ["directory.id"], name="fk_run_directory_id"),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_run_organisation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
    )
    op.create_index("ix_run_directory_id", "run", ["directory_id", "started_at"])
    op.create_index("ix_run_organisation_id", "run", ["organisation_id", "started_at"])

    _make_log_append_only()


def _make_log_append_only() -> None:
    """A safety net: whoever owns the database can take it away, and then the proofs tell."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_event_no_{verb.lower()} BEFORE {verb} ON audit_event "
                "BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END"
            )
        return
    # The transaction that wrote the row: ids become visible out of order, and the sealer must know who is behind.
    op.execute("ALTER TABLE audit_event ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id()")
    op.execute(
        "CREATE FUNCTION refuse_change_of_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'audit_event is append-only' USING ERRCODE = 'restrict_violation'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_log()"
    )
