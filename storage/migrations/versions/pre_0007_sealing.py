"""The sealed log: leaves, nodes, checkpoints and who seals; events go by declared removal alone."""

import sqlalchemy as sa
from alembic import op

from storage.types import Id, Moment, RowNumber

revision = "0007"
down_revision = "0006"

_APPEND_ONLY = ("audit_leaf", "audit_node", "audit_checkpoint", "audit_removal")
_IS_REMOVED = (
    "EXISTS (SELECT 1 FROM audit_leaf JOIN audit_removal "
    "ON audit_removal.organisation_id = audit_leaf.organisation_id "
    "AND audit_leaf.leaf_index BETWEEN audit_removal.first_leaf AND audit_removal.last_leaf "
    "WHERE audit_leaf.event_row = OLD.id)"
)


def upgrade() -> None:
    _create_tree()
    _create_marks()
    _create_sealer()
    op.execute("INSERT INTO audit_sealer (name) VALUES ('sealer')")
    if op.get_bind().dialect.name == "sqlite":
        _make_append_only_on_sqlite()
    else:
        # By which the sealer finds what was written since the last horizon.
        op.execute("CREATE INDEX ix_audit_event_xid ON audit_event (xid)")
        _make_append_only_on_postgresql()


def _create_tree() -> None:
    op.create_table(
        "audit_leaf",
        sa.Column("event_row", RowNumber, autoincrement=False, nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("leaf_index", RowNumber, nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("event_row", name="pk_audit_leaf"),
    )
    op.create_index("ix_audit_leaf_leaf_index", "audit_leaf", ["organisation_id", "leaf_index"], unique=True)
    op.create_table(
        "audit_node",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("node_index", RowNumber, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "level", "node_index", name="pk_audit_node"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_edge",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("size", RowNumber, nullable=False),
        sa.Column("peaks", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", name="pk_audit_edge"),
    )
    op.create_table(
        "audit_checkpoint",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("size", RowNumber, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("sealed_at", Moment(), nullable=False),
        sa.Column("head_index", RowNumber),
        sa.PrimaryKeyConstraint("organisation_id", "size", name="pk_audit_checkpoint"),
    )
    op.create_index(
        "ix_audit_checkpoint_head_index",
        "audit_checkpoint",
        ["head_index"],
        unique=True,
        sqlite_where=sa.text("head_index IS NOT NULL"),
        postgresql_where=sa.text("head_index IS NOT NULL"),
    )


def _create_marks() -> None:
    op.create_table(
        "audit_mark",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("hour", Moment(), nullable=False),
        sa.Column("first_leaf", RowNumber, nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "hour", name="pk_audit_mark"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_removal",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("first_leaf", RowNumber, nullable=False),
        sa.Column("last_leaf", RowNumber, nullable=False),
        sa.Column("removed_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "first_leaf", name="pk_audit_removal"),
    )


def _create_sealer() -> None:
    op.create_table(
        "audit_sealer",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("log_name", sa.String(400), nullable=False, server_default=""),
        sa.Column("owner", sa.String(200), nullable=False, server_default=""),
        sa.Column("lease_until", Moment()),
        sa.Column("fence", RowNumber, nullable=False, server_default="0"),
        sa.Column("horizon", RowNumber, nullable=False, server_default="0"),
        sa.Column("target", RowNumber, nullable=False, server_default="0"),
        sa.Column("position", RowNumber, nullable=False, server_default="0"),
        sa.Column("sealed_at", Moment()),
        sa.Column("replayed_at", Moment()),
        sa.Column("replay_misfits", sa.Integer(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("name", name="pk_audit_sealer"),
    )
    op.create_table(
        "log_key",
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("vkey", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("announced_row", RowNumber, nullable=False),
        sa.Column("active_at", Moment()),
        sa.Column("retired_at", Moment()),
        sa.PrimaryKeyConstraint("key_id", name="pk_log_key"),
    )


def _make_append_only_on_sqlite() -> None:
    """A safety net, as the one for events: whoever owns the database can take it away, and then the proofs tell."""
    for table in _APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    op.execute("DROP TRIGGER audit_event_no_delete")
    op.execute(
        f"CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event WHEN NOT {_IS_REMOVED} "
        "BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END"
    )


def _make_append_only_on_postgresql() -> None:
    op.execute(
        "CREATE OR REPLACE FUNCTION refuse_change_of_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$"
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_log()"
        )
    op.execute("DROP TRIGGER audit_event_append_only ON audit_event")
    op.execute(
        "CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR TRUNCATE ON audit_event "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_log()"
    )
    op.execute(
        "CREATE FUNCTION refuse_undeclared_removal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NOT {_IS_REMOVED} THEN "
        "RAISE EXCEPTION 'audit_event is append-only' USING ERRCODE = 'restrict_violation'; END IF; "
        "RETURN OLD; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event "
        "FOR EACH ROW EXECUTE FUNCTION refuse_undeclared_removal()"
    )
