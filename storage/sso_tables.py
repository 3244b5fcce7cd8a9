"""The tables of single sign-on: connections and logins, and the host applications that people are handed on to.

What a caller may make as long as it likes (a NameID, an assertion's id) is found by its SHA-256: no index has a key
of any length. Secrets and what they open are stored as digests, or sealed by the key ring.
"""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Identity,
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

# A SAML identity provider of an organisation. What its settings mean: `provisioning.logins.ConnectionSettings`.
connection = Table(
    "connection",
    metadata,
    Column("id", Id, primary_key=True),
    organisation_column(),
    Column("name", String(200), nullable=False),
    Column("settings", Document, nullable=False),
    Column("version", Integer, nullable=False),
    # Of the settings, for the look-up of what is to be read anew; and when that was tried last.
    Column("metadata_url", Text, nullable=False),
    Column("metadata_checked_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("removed_at", Moment),
    partial_index("ix_connection_organisation_id", "organisation_id", where="removed_at IS NULL"),
    partial_index(
        "ix_connection_metadata",
        "metadata_checked_at",
        where="metadata_url <> '' AND removed_at IS NULL",
    ),
)

idp_certificate = Table(
    "idp_certificate",
    metadata,
    Column("connection_id", Id, nullable=False),
    Column("sha256", String(64), nullable=False),
    organisation_column(),
    Column("certificate", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("not_before", Moment, nullable=False),
    Column("not_after", Moment, nullable=False),
    Column("added_at", Moment, nullable=False),
    Column("ends_at", Moment),
    # The last notice of its end, in days before it.
    Column("noticed_days", Integer),
    PrimaryKeyConstraint("connection_id", "sha256"),
    partial_index("ix_idp_certificate_not_after", "not_after", where="state <> 'retired'"),
)

sp_key = Table(
    "sp_key",
    metadata,
    Column("connection_id", Id, nullable=False),
    Column("key_id", String(64), nullable=False),
    organisation_column(),
    Column("certificate", LargeBinary, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("not_after", Moment, nullable=False),
    Column("added_at", Moment, nullable=False),
    Column("noticed_days", Integer),
    # Sealed for this organisation, connection and key.
    Column("private_key", LargeBinary),
    PrimaryKeyConstraint("connection_id", "key_id"),
    Index("ix_sp_key_not_after", "not_after"),
)

# The identity provider's metadata that is in force.
connection_metadata = Table(
    "connection_metadata",
    metadata,
    Column("connection_id", Id, primary_key=True),
    organisation_column(),
    Column("document", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("taken_at", Moment, nullable=False),
    Column("valid_until", Moment),
    Column("checked_at", Moment, nullable=False),
    Column("failing_since", Moment),
    Column("failure", Text, nullable=False),
)

# Who signs in with which key over a connection.
login_link = Table(
    "login_link",
    metadata,
    Column("connection_id", Id, nullable=False),
    Column("key_sha256", LargeBinary, nullable=False),
    organisation_column(),
    Column("key", Text, nullable=False),
    Column("member_id", Id, nullable=False),
    Column("linked_by", String(16), nullable=False),
    Column("linked_at", Moment, nullable=False),
    PrimaryKeyConstraint("connection_id", "key_sha256"),
    Index("ix_login_link_member_id", "member_id"),
)

# An AuthnRequest of ours. Its row stays a while after its end, so that a late answer is told from a forged one.
login_request = Table(
    "login_request",
    metadata,
    Column("id", String(80), primary_key=True),
    organisation_column(),
    Column("connection_id", Id, nullable=False),
    Column("relay_state", String(80), nullable=False),
    Column("browser_sha256", LargeBinary, nullable=False),
    Column("return_to", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("force_authn", Boolean, nullable=False),
    Column("test_id", String(64), nullable=False),
    Column("test_actor", String(200), nullable=False),
    Column("used_at", Moment),
    Index("ix_login_request_expires_at", "expires_at"),
)

# Assertions that were presented, for as long as they could be presented again.
used_assertion = Table(
    "used_assertion",
    metadata,
    # Of the connection and the assertion's id.
    Column("assertion_sha256", LargeBinary, primary_key=True),
    organisation_column(),
    Column("kept_until", Moment, nullable=False),
    Index("ix_used_assertion_kept_until", "kept_until"),
)

login_session = Table(
    "login_session",
    metadata,
    Column("id", Id, primary_key=True),
    organisation_column(),
    Column("token_sha256", LargeBinary, nullable=False, unique=True),
    Column("member_id", Id, nullable=False),
    Column("connection_id", Id),
    Column("kind", String(16), nullable=False),
    Column("login_id", String(64), nullable=False),
    Column("auth_time", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("last_used_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("name_id", Text, nullable=False),
    Column("session_index", Text, nullable=False),
    # Of the NameID; None where there is none.
    Column("subject_sha256", LargeBinary),
    Column("address", String(64), nullable=False),
    Column("user_agent", String(400), nullable=False),
    Column("ended_at", Moment),
    Column("end_reason", String(32), nullable=False),
    partial_index("ix_login_session_member_id", "member_id", where="ended_at IS NULL"),
    partial_index(
        "ix_login_session_organisation_id", "organisation_id", "created_at", where="ended_at IS NULL"
    ),
    partial_index("ix_login_session_subject", "connection_id", "subject_sha256", where="ended_at IS NULL"),
    Index("ix_login_session_expires_at", "expires_at"),
)

# A test login on its way, and then its result: sealed, and gone soon.
login_test = Table(
    "login_test",
    metadata,
    Column("id", String(64), primary_key=True),
    organisation_column(),
    Column("connection_id", Id, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("result", LargeBinary),
    Index("ix_login_test_expires_at", "expires_at"),
)

# The newest test of a connection by each person: what enforcement asks for.
sso_test = Table(
    "sso_test",
    metadata,
    Column("connection_id", Id, nullable=False),
    Column("actor", String(200), nullable=False),
    organisation_column(),
    Column("test_id", String(64), nullable=False),
    Column("has_passed", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("connection_id", "actor"),
)

enforcement = Table(
    "enforcement",
    metadata,
    Column("organisation_id", Id, ForeignKey("organisation.id"), primary_key=True),
    Column("connection_id", Id, nullable=False),
    Column("enforced_by", String(200), nullable=False),
    Column("enforced_at", Moment, nullable=False),
    Column("suspended_at", Moment),
    Column("suspended_reason", String(200), nullable=False),
)

recovery_code = Table(
    "recovery_code",
    metadata,
    organisation_column(),
    Column("digest", LargeBinary, nullable=False),
    Column("member_id", Id, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("used_at", Moment),
    PrimaryKeyConstraint("organisation_id", "digest"),
    Index("ix_recovery_code_digest", "digest"),
)

# Host applications (OpenID Connect). They belong to an environment and not to an organisation.
oidc_client = Table(
    "oidc_client",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("environment_id", String(64), ForeignKey("environment.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("secret_sha256", LargeBinary),
    Column("redirect_uris", Document, nullable=False),
    Column("logout_uris", Document, nullable=False),
    Column("backchannel_logout_uri", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("removed_at", Moment),
)

# Codes stay as long as their session: they say which applications it was handed to.
oidc_code = Table(
    "oidc_code",
    metadata,
    Column("code_sha256", LargeBinary, primary_key=True),
    organisation_column(),
    Column("client_id", String(64), nullable=False),
    Column("member_id", Id, nullable=False),
    Column("session_id", Id, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("code_challenge", String(200), nullable=False),
    Column("auth_time", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("used_at", Moment),
    # It was presented twice, or a token of it was: nothing more comes of it.
    Column("revoked_at", Moment),
    Index("ix_oidc_code_session_id", "session_id"),
)

oidc_token = Table(
    "oidc_token",
    metadata,
    Column("access_sha256", LargeBinary, primary_key=True),
    Column("refresh_sha256", LargeBinary, unique=True),
    organisation_column(),
    Column("code_sha256", LargeBinary, nullable=False),
    Column("client_id", String(64), nullable=False),
    Column("member_id", Id, nullable=False),
    Column("session_id", Id, nullable=False),
    Column("scope", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("access_expires_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("refreshed_at", Moment),
    Column("revoked_at", Moment),
    Index("ix_oidc_token_code_sha256", "code_sha256"),
    Index("ix_oidc_token_session_id", "session_id"),
    Index("ix_oidc_token_expires_at", "expires_at"),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("algorithm", String(16), nullable=False),
    Column("public_jwk", Text, nullable=False),
    # Sealed for this key.
    Column("private_jwk", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("gone_at", Moment),
)

# Applications that are still to be told that a session has ended.
logout_notice = Table(
    "logout_notice",
    metadata,
    Column("id", RowNumber, Identity(), primary_key=True),
    organisation_column(),
    Column("client_id", String(64), nullable=False),
    Column("member_id", Id, nullable=False),
    Column("session_id", Id, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Moment, nullable=False),
    Index("ix_logout_notice_due_at", "due_at"),
    sqlite_autoincrement=True,
)
