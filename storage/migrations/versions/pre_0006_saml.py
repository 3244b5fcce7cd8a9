"""Single sign-on: connections, logins and sessions, claimed domains, and host applications that log people in."""

import sqlalchemy as sa
from alembic import op

from storage.types import Document, Id, Moment, RowNumber

revision = "0006"
down_revision = "0005"


def _create_partial_index(
    name: str, table: str, columns: list[str], *, where: str, unique: bool = False
) -> None:
    op.create_index(
        name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )


def upgrade() -> None:
    _let_domains_be_claimed()
    _create_connections()
    _create_logins()
    _create_enforcement()
    _create_clients()


def _let_domains_be_claimed() -> None:
    """What organisations have is verified. Of several that have the same domain, who had it first keeps it."""
    with op.batch_alter_table("domain") as batch:
        batch.add_column(sa.Column("state", sa.String(16), nullable=False, server_default="verified"))
        batch.add_column(sa.Column("challenge", sa.String(200), nullable=False, server_default=""))
        batch.add_column(sa.Column("claimed_at", Moment()))
        batch.add_column(sa.Column("checked_at", Moment()))
        batch.add_column(sa.Column("missing_since", Moment()))
        batch.alter_column("verified_at", existing_type=Moment(), nullable=True)
    op.execute("UPDATE domain SET claimed_at = verified_at")
    op.execute(
        "UPDATE domain SET state = 'pending', verified_at = NULL WHERE EXISTS ("
        "SELECT 1 FROM domain AS other WHERE other.domain = domain.domain"
        " AND (other.claimed_at < domain.claimed_at OR other.claimed_at = domain.claimed_at"
        " AND other.organisation_id < domain.organisation_id))"
    )
    with op.batch_alter_table("domain") as batch:
        batch.alter_column("state", existing_type=sa.String(16), nullable=False, server_default=None)
        batch.alter_column("claimed_at", existing_type=Moment(), nullable=False)
    _create_partial_index("uq_domain_held", "domain", ["domain"], where="state <> 'pending'", unique=True)
    _create_partial_index("ix_domain_checked_at", "domain", ["checked_at"], where="challenge <> ''")


def _create_connections() -> None:
    op.create_table(
        "connection",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("settings", Document, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("metadata_url", sa.Text(), nullable=False),
        sa.Column("metadata_checked_at", Moment()),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("removed_at", Moment()),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_connection_organisation_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_connection"),
    )
    _create_partial_index(
        "ix_connection_metadata",
        "connection",
        ["metadata_checked_at"],
        where="metadata_url <> '' AND removed_at IS NULL",
    )
    _create_partial_index(
        "ix_connection_organisation_id", "connection", ["organisation_id"], where="removed_at IS NULL"
    )
    op.create_table(
        "idp_certificate",
        sa.Column("connection_id", Id(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("not_before", Moment(), nullable=False),
        sa.Column("not_after", Moment(), nullable=False),
        sa.Column("added_at", Moment(), nullable=False),
        sa.Column("ends_at", Moment()),
        sa.Column("noticed_days", sa.Integer()),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_idp_certificate_organisation_id"
        ),
        sa.PrimaryKeyConstraint("connection_id", "sha256", name="pk_idp_certificate"),
    )
    _create_partial_index(
        "ix_idp_certificate_not_after", "idp_certificate", ["not_after"], where="state <> 'retired'"
    )
    op.create_table(
        "sp_key",
        sa.Column("connection_id", Id(), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("not_after", Moment(), nullable=False),
        sa.Column("added_at", Moment(), nullable=False),
        sa.Column("noticed_days", sa.Integer()),
        sa.Column("private_key", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_sp_key_organisation_id"),
        sa.PrimaryKeyConstraint("connection_id", "key_id", name="pk_sp_key"),
    )
    op.create_index("ix_sp_key_not_after", "sp_key", ["not_after"])
    op.create_table(
        "connection_metadata",
        sa.Column("connection_id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("taken_at", Moment(), nullable=False),
        sa.Column("valid_until", Moment()),
        sa.Column("checked_at", Moment(), nullable=False),
        sa.Column("failing_since", Moment()),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_connection_metadata_organisation_id"
        ),
        sa.PrimaryKeyConstraint("connection_id", name="pk_connection_metadata"),
    )
    op.create_table(
        "login_link",
        sa.Column("connection_id", Id(), nullable=False),
        sa.Column("key_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("linked_by", sa.String(16), nullable=False),
        sa.Column("linked_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_login_link_organisation_id"
        ),
        sa.PrimaryKeyConstraint("connection_id", "key_sha256", name="pk_login_link"),
    )
    op.create_index("ix_login_link_member_id", "login_link", ["member_id"])


def _create_logins() -> None:
    op.create_table(
        "login_request",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("connection_id", Id(), nullable=False),
        sa.Column("relay_state", sa.String(80), nullable=False),
        sa.Column("browser_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("return_to", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("force_authn", sa.Boolean(), nullable=False),
        sa.Column("test_id", sa.String(64), nullable=False),
        sa.Column("test_actor", sa.String(200), nullable=False),
        sa.Column("used_at", Moment()),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_login_request_organisation_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_login_request"),
    )
    op.create_index("ix_login_request_expires_at", "login_request", ["expires_at"])
    op.create_table(
        "used_assertion",
        sa.Column("assertion_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("kept_until", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_used_assertion_organisation_id"
        ),
        sa.PrimaryKeyConstraint("assertion_sha256", name="pk_used_assertion"),
    )
    op.create_index("ix_used_assertion_kept_until", "used_assertion", ["kept_until"])
    op.create_table(
        "login_session",
        sa.Column("id", Id(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("connection_id", Id()),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("login_id", sa.String(64), nullable=False),
        sa.Column("auth_time", Moment(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("last_used_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("name_id", sa.Text(), nullable=False),
        sa.Column("session_index", sa.Text(), nullable=False),
        sa.Column("subject_sha256", sa.LargeBinary()),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("user_agent", sa.String(400), nullable=False),
        sa.Column("ended_at", Moment()),
        sa.Column("end_reason", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_login_session_organisation_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_login_session"),
        sa.UniqueConstraint("token_sha256", name="uq_login_session_token_sha256"),
    )
    op.create_index("ix_login_session_expires_at", "login_session", ["expires_at"])
    _create_partial_index(
        "ix_login_session_member_id", "login_session", ["member_id"], where="ended_at IS NULL"
    )
    _create_partial_index(
        "ix_login_session_organisation_id",
        "login_session",
        ["organisation_id", "created_at"],
        where="ended_at IS NULL",
    )
    _create_partial_index(
        "ix_login_session_subject",
        "login_session",
        ["connection_id", "subject_sha256"],
        where="ended_at IS NULL",
    )
    op.create_table(
        "login_test",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("connection_id", Id(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("result", sa.LargeBinary()),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_login_test_organisation_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_login_test"),
    )
    op.create_index("ix_login_test_expires_at", "login_test", ["expires_at"])


def _create_enforcement() -> None:
    op.create_table(
        "sso_test",
        sa.Column("connection_id", Id(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("test_id", sa.String(64), nullable=False),
        sa.Column("has_passed", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["organisation_id"], ["organisation.id"], name="fk_sso_test_organisation_id"),
        sa.PrimaryKeyConstraint("connection_id", "actor", name="pk_sso_test"),
    )
    op.create_table(
        "enforcement",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("connection_id", Id(), nullable=False),
        sa.Column("enforced_by", sa.String(200), nullable=False),
        sa.Column("enforced_at", Moment(), nullable=False),
        sa.Column("suspended_at", Moment()),
        sa.Column("suspended_reason", sa.String(200), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_enforcement_organisation_id"
        ),
        sa.PrimaryKeyConstraint("organisation_id", name="pk_enforcement"),
    )
    op.create_table(
        "recovery_code",
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("used_at", Moment()),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_recovery_code_organisation_id"
        ),
        sa.PrimaryKeyConstraint("organisation_id", "digest", name="pk_recovery_code"),
    )
    op.create_index("ix_recovery_code_digest", "recovery_code", ["digest"])


def _create_clients() -> None:
    op.create_table(
        "oidc_client",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("environment_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary()),
        sa.Column("redirect_uris", Document, nullable=False),
        sa.Column("logout_uris", Document, nullable=False),
        sa.Column("backchannel_logout_uri", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("removed_at", Moment()),
        sa.ForeignKeyConstraint(["environment_id"], ["environment.id"], name="fk_oidc_client_environment_id"),
        sa.PrimaryKeyConstraint("id", name="pk_oidc_client"),
    )
    op.create_table(
        "oidc_code",
        sa.Column("code_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("session_id", Id(), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("code_challenge", sa.String(200), nullable=False),
        sa.Column("auth_time", Moment(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("used_at", Moment()),
        sa.Column("revoked_at", Moment()),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_oidc_code_organisation_id"
        ),
        sa.PrimaryKeyConstraint("code_sha256", name="pk_oidc_code"),
    )
    op.create_index("ix_oidc_code_session_id", "oidc_code", ["session_id"])
    op.create_table(
        "oidc_token",
        sa.Column("access_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("refresh_sha256", sa.LargeBinary()),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("code_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("session_id", Id(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("access_expires_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("refreshed_at", Moment()),
        sa.Column("revoked_at", Moment()),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_oidc_token_organisation_id"
        ),
        sa.PrimaryKeyConstraint("access_sha256", name="pk_oidc_token"),
        sa.UniqueConstraint("refresh_sha256", name="uq_oidc_token_refresh_sha256"),
    )
    op.create_index("ix_oidc_token_code_sha256", "oidc_token", ["code_sha256"])
    op.create_index("ix_oidc_token_expires_at", "oidc_token", ["expires_at"])
    op.create_index("ix_oidc_token_session_id", "oidc_token", ["session_id"])
    op.create_table(
        "signing_key",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("algorithm", sa.String(16), nullable=False),
        sa.Column("public_jwk", sa.Text(), nullable=False),
        sa.Column("private_jwk", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("gone_at", Moment()),
        sa.PrimaryKeyConstraint("id", name="pk_signing_key"),
    )
    op.create_table(
        "logout_notice",
        sa.Column("id", RowNumber, sa.Identity(), nullable=False),
        sa.Column("organisation_id", Id(), nullable=False),
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("member_id", Id(), nullable=False),
        sa.Column("session_id", Id(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisation.id"], name="fk_logout_notice_organisation_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_logout_notice"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_logout_notice_due_at", "logout_notice", ["due_at"])
