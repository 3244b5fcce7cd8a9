"""The tables. One schema for SQLite and PostgreSQL; docs/decisions/0004-storage.md says why it looks like this.

Every row of an organisation carries `organisation_id`, and every statement of a store names it. Rows of facts
(`directory_user`, `directory_group`, `membership`) say what a directory said; rows of consequences (`member`,
`access_interval`) say what became of it. Only `access_interval` says who holds what: its open rows are the grants.
"""

from sqlalchemy import (
    BigInteger,
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
    UniqueConstraint,
    text,
)

from storage import audit_token_tables, sso_tables, stream_tables
from storage.schema import organisation_column, partial_index
from storage.types import Document, Id, Key, Moment, NameKey, RowNumber

# One schema, of which the tables of single sign-on and of streams are a part.
metadata = sso_tables.metadata
stream = stream_tables.stream
audit_token = audit_token_tables.audit_token


environment = Table(
    "environment",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("catalogue", Text, nullable=False),
    Column("catalogue_sha256", String(64), nullable=False),
    Column("loaded_at", Moment, nullable=False),
)

organisation = Table(
    "organisation",
    metadata,
    Column("id", Id, primary_key=True),
    Column("environment_id", String(64), ForeignKey("environment.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("name_key", String(400), nullable=False, unique=True),
    Column("plan", String(64)),
    Column("seat_limit", Integer),
    Column("seat_policy", String(16), nullable=False),
    Column("resolution", String(16)),
    Column("switches", Document, nullable=False),
    Column("owner_id", Id),
    Column("root_scope_id", Id, nullable=False),
    Column("access_version", RowNumber, nullable=False),
    Column("model_version", RowNumber, nullable=False),
    Column("seated", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
)

scope = Table(
    "scope",
    metadata,
    Column("id", Id, primary_key=True),
    organisation_column(),
    Column("kind", String(64), nullable=False),
    Column("name", String(400), nullable=False),
    Column("host_id", String(400), nullable=False),
    Column("parents", Document, nullable=False),
    Column("removed_at", Moment),
    Index("ix_scope_organisation_id", "organisation_id"),
)

role = Table(
    "role",
    metadata,
    organisation_column(),
    Column("id", String(64), nullable=False),
    Column("label", String(200), nullable=False),
    Column("permissions", Document, nullable=False),
    Column("scope_kinds", Document, nullable=False),
    Column("rank", Integer, nullable=False),
    PrimaryKeyConstraint("organisation_id", "id"),
)

domain = Table(
    "domain",
    metadata,
    organisation_column(),
    Column("domain", String(255), nullable=False),
    # pending, verified, missing (the proof is not found any more; warned), suspended.
    Column("state", String(16), nullable=False),
    Column("challenge", String(200), nullable=False, server_default=""),
    Column("claimed_at", Moment, nullable=False),
    Column("verified_at", Moment),
    Column("checked_at", Moment),
    Column("missing_since", Moment),
    PrimaryKeyConstraint("organisation_id", "domain"),
    # Several may claim a domain; who has proven it has it alone.
    partial_index("uq_domain_held", "domain", where="state <> 'pending'", unique=True),
    partial_index("ix_domain_checked_at", "checked_at", where="challenge <> ''"),
)

directory = Table(
    "directory",
    metadata,
    Column("id", Id, primary_key=True),
    organisation_column(),
    Column("kind", String(16), nullable=False),
    Column("name", String(200), nullable=False),
    Column("settings", Document, nullable=False),
    Column("default_role", String(64)),
    Column("priority", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("interval_seconds", Integer),
    Column("next_run_at", Moment),
    Column("lease_owner", String(200)),
    Column("lease_until", Moment),
    Column("fence", RowNumber, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("last_success_at", Moment),
    # How far the source has been read, and what that is good for: the reader's own words.
    Column("cursor", Document),
    UniqueConstraint("organisation_id", "name"),
    partial_index("ix_directory_due", "next_run_at", where="next_run_at IS NOT NULL"),
)

directory_user = Table(
    "directory_user",
    metadata,
    Column("id", Id, primary_key=True),
    Column("organisation_id", Id, nullable=False),
    Column("directory_id", Id, ForeignKey("directory.id"), nullable=False),
    Column("external_id", String(400), nullable=False),
    # What a SCIM client calls the user (externalId); empty where the external id is the client's own.
    Column("client_id", String(400), nullable=False, server_default=""),
    Column("member_id", Id, nullable=False),
    Column("user_name", String(400), nullable=False),
    Column("user_name_key", NameKey, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("given_name", Text, nullable=False),
    Column("family_name", Text, nullable=False),
    Column("mails", Document, nullable=False),
    Column("mail_key", String(800), nullable=False),
    Column("dn", Text, nullable=False),
    Column("attributes", Document, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("pii_ref", Id, nullable=False),
    Column("absent_runs", Integer, nullable=False, server_default="0"),
    Column("version", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    UniqueConstraint("directory_id", "external_id"),
    Index("ix_directory_user_member_id", "member_id"),
    partial_index("ix_directory_user_client_id", "directory_id", "client_id", where="client_id <> ''"),
    partial_index(
        "ix_directory_user_left",
        "directory_id",
        "updated_at",
        where="deleted_at IS NULL AND NOT active",
        sqlite_where="deleted_at IS NULL AND active = 0",
    ),
    partial_index(
        "ix_directory_user_user_name_key", "directory_id", "user_name_key", where="deleted_at IS NULL"
    ),
    partial_index(
        "ix_directory_user_mail_key",
        "organisation_id",
        "mail_key",
        where="mail_key <> '' AND deleted_at IS NULL",
    ),
)

directory_group = Table(
    "directory_group",
    metadata,
    Column("id", Id, primary_key=True),
    Column("organisation_id", Id, nullable=False),
    Column("directory_id", Id, ForeignKey("directory.id"), nullable=False),
    Column("external_id", String(400), nullable=False),
    Column("client_id", String(400), nullable=False, server_default=""),
    Column("display_name", String(400), nullable=False),
    Column("name_key", NameKey, nullable=False),
    Column("dn", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    UniqueConstraint("directory_id", "external_id"),
    Index("ix_directory_group_name_key", "organisation_id", "name_key"),
    partial_index("ix_directory_group_client_id", "directory_id", "client_id", where="client_id <> ''"),
)

membership = Table(
    "membership",
    metadata,
    Column("group_id", Id, nullable=False),
    Column("user_id", Id, nullable=False),
    PrimaryKeyConstraint("group_id", "user_id"),
    Index("ix_membership_user_id", "user_id"),
    sqlite_with_rowid=False,
)

subgroup = Table(
    "subgroup",
    metadata,
    organisation_column(),
    Column("group_id", Id, nullable=False),
    Column("subgroup_id", Id, nullable=False),
    PrimaryKeyConstraint("group_id", "subgroup_id"),
    Index("ix_subgroup_organisation_id", "organisation_id"),
)

member = Table(
    "member",
    metadata,
    Column("id", Id, primary_key=True),
    Column("organisation_id", Id, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("mail", String(400), nullable=False),
    Column("mail_key", String(800), nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("seat", String(8), nullable=False),
    Column("waiting_priority", Integer),
    # The role's rank negated, so that the waiting list is in ascending order and an index can give it.
    Column("waiting_order", Integer),
    Column("waiting_since", Moment),
    Column("is_held", Boolean, nullable=False, server_default=text("false")),
    Column("invited", Document),
    Column("pii_ref", Id, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("deactivated_at", Moment),
    Column("deleted_at", Moment),
    Index("ix_member_organisation_id", "organisation_id", "id"),
    partial_index(
        "ix_member_waiting",
        "organisation_id",
        "waiting_priority",
        "waiting_order",
        "waiting_since",
        "id",
        where="seat = 'waiting'",
    ),
    partial_index("ix_member_invited", "organisation_id", "invited", where="invited IS NOT NULL"),
    # The column that the condition names again, or SQLite would take another index of the organisation.
    partial_index(
        "ix_member_held", "organisation_id", "is_held", where="is_held", sqlite_where="is_held = 1"
    ),
    partial_index("ix_member_mail_key", "organisation_id", "mail_key", where="mail_key <> ''"),
)

access_interval = Table(
    "access_interval",
    metadata,
    Column("id", RowNumber, Identity(), primary_key=True),
    Column("organisation_id", Id, nullable=False),
    Column("member_id", Id, nullable=False),
    Column("role", String(64), nullable=False),
    Column("scope_id", Id, nullable=False),
    Column("source", String(16), nullable=False),
    Column("rule_id", Id),
    Column("rule_version", Integer, nullable=False),
    Column("group_id", Id),
    Column("override_id", Id),
    Column("opened_at", Moment, nullable=False),
    Column("opened_event", Id, nullable=False),
    Column("closed_at", Moment),
    Column("closed_event", Id),
    partial_index(
        "uq_access_interval_open", "member_id", "role", "scope_id", where="closed_at IS NULL", unique=True
    ),
    partial_index(
        "ix_access_interval_scope_id",
        "organisation_id",
        "scope_id",
        "role",
        "member_id",
        where="closed_at IS NULL",
    ),
    partial_index("ix_access_interval_closed", "member_id", where="closed_at IS NOT NULL"),
    Index("ix_access_interval_opened_at", "organisation_id", "opened_at"),
    sqlite_autoincrement=True,
)

rule = Table(
    "rule",
    metadata,
    Column("id", Id, nullable=False),
    Column("version", Integer, nullable=False),
    organisation_column(),
    Column("priority", Integer, nullable=False),
    Column("match_kind", String(16), nullable=False),
    Column("group_id", Id),
    Column("directory_id", Id),
    Column("expression", Text),
    Column("role", String(64), nullable=False),
    Column("scope_id", Id),
    Column("author", String(200), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("replaced_at", Moment),
    PrimaryKeyConstraint("id", "version"),
    partial_index("ix_rule_current", "organisation_id", where="replaced_at IS NULL"),
)

override = Table(
    "override",
    metadata,
    Column("id", Id, primary_key=True),
    organisation_column(),
    Column("member_id", Id, nullable=False),
    Column("grants", Document, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", String(200), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_event", Id, nullable=False),
    Column("ends_at", Moment, nullable=False),
    Column("ended_at", Moment),
    partial_index("ix_override_member_id", "member_id", where="ended_at IS NULL", unique=True),
    partial_index("ix_override_ends_at", "ends_at", where="ended_at IS NULL"),
    partial_index("ix_override_organisation_id", "organisation_id", "ends_at", where="ended_at IS NULL"),
)

block = Table(
    "block",
    metadata,
    Column("member_id", Id, nullable=False),
    organisation_column(),
    Column("reason", Text, nullable=False),
    Column("author", String(200), nullable=False),
    Column("created_at", Moment, nullable=False),
    PrimaryKeyConstraint("member_id"),
)

invitation = Table(
    "invitation",
    metadata,
    Column("id", Id, primary_key=True),
    organisation_column(),
    Column("mail", String(400), nullable=False),
    Column("mail_key", String(800), nullable=False),
    Column("role", String(64), nullable=False),
    Column("scope_id", Id, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_event", Id, nullable=False),
    Column("ends_at", Moment, nullable=False),
    Column("pii_ref", Id, nullable=False),
    partial_index("ix_invitation_ends_at", "ends_at", where="state = 'pending'"),
    partial_index("ix_invitation_organisation_id", "organisation_id", "ends_at", where="state = 'pending'"),
)

pending_member = Table(
    "pending_member",
    metadata,
    Column("organisation_id", Id, nullable=False),
    Column("member_id", Id, nullable=False),
    Column("cause", Document, nullable=False),
    PrimaryKeyConstraint("organisation_id", "member_id"),
)

run = Table(
    "run",
    metadata,
    Column("id", Id, primary_key=True),
    organisation_column(),
    Column("directory_id", Id, ForeignKey("directory.id"), nullable=False),
    Column("fence", RowNumber, nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("started_event", Id),
    Column("finished_at", Moment),
    Column("counters", Document, nullable=False),
    Column("reason", Text, nullable=False),
    Column("plan_hash", String(64), nullable=False),
    Column("source_hash", String(64), nullable=False),
    Column("plan", Document),
    Column("approved_by", String(200), nullable=False),
    Column("method", String(16), nullable=False, server_default=""),
    Column("method_reason", Text, nullable=False, server_default=""),
    Index("ix_run_directory_id", "directory_id", "started_at"),
    Index("ix_run_organisation_id", "organisation_id", "started_at"),
)

audit_event = Table(
    "audit_event",
    metadata,
    Column("id", RowNumber, Identity(), primary_key=True),
    Column("organisation_id", Id),
    Column("event_id", Id, nullable=False),
    Column("time", Moment, nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject_id", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_audit_event_event_id", "event_id", unique=True),
    Index("ix_audit_event_organisation_id", "organisation_id", "id"),
    sqlite_autoincrement=True,
)

# By which events are found: a number for each term (`storage.event_terms`), the organisation in it, and the rows that
# have it in their order.
audit_term = Table(
    "audit_term",
    metadata,
    Column("term", BigInteger, nullable=False),
    Column("event_row", RowNumber, nullable=False),
    PrimaryKeyConstraint("term", "event_row"),
    sqlite_with_rowid=False,
)

# The lowest and the highest row among an organisation's events that say they happened in an hour. By that a time
# becomes bounds of rows, whatever the clocks did.
audit_hour = Table(
    "audit_hour",
    metadata,
    Column("organisation_id", Id, nullable=False),
    Column("hour", Moment, nullable=False),
    Column("first_row", RowNumber, nullable=False),
    Column("last_row", RowNumber, nullable=False),
    PrimaryKeyConstraint("organisation_id", "hour"),
    sqlite_with_rowid=False,
)

# How far events have been given their terms and hours, in one row: all rows up to this one on SQLite, all
# transactions before this one on PostgreSQL. Later ones are looked through. Rows up to `settled_row` have theirs
# whatever their transaction: they came from another server, which counted its own.
audit_indexed = Table(
    "audit_indexed",
    metadata,
    Column("name", String(16), primary_key=True),
    Column("horizon", RowNumber, nullable=False, server_default="0"),
    Column("settled_row", RowNumber, nullable=False, server_default="0"),
)

audit_pii = Table(
    "audit_pii",
    metadata,
    Column("organisation_id", Id, nullable=False),
    Column("ref", Id, primary_key=True),
    Column("subject_id", Id, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
)

# Mails by which people are found in the log: keyed digests, which go with the names that they are of.
audit_mail = Table(
    "audit_mail",
    metadata,
    Column("ref", Id, nullable=False),
    Column("organisation_id", Id, nullable=False),
    Column("mail_digest", LargeBinary, nullable=False),
    PrimaryKeyConstraint("ref"),
    Index("ix_audit_mail_mail_digest", "organisation_id", "mail_digest"),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", RowNumber, Identity(), primary_key=True),
    Column("organisation_id", Id, nullable=False),
    Column("topic", String(40), nullable=False),
    Column("payload", Document, nullable=False),
    Column("created_at", Moment, nullable=False),
    sqlite_autoincrement=True,
)

# What a SCIM client said about a user, whole, with the keys by which filters and sorting find it. The row has the id
# of its `directory_user`; it goes when the user is deleted. A key is absent where the value is; it is empty where
# the value is the empty text.
scim_user = Table(
    "scim_user",
    metadata,
    Column("id", Id, primary_key=True),
    organisation_column(),
    Column("directory_id", Id, ForeignKey("directory.id"), nullable=False),
    Column("resource", Text, nullable=False),
    *(
        Column(f"{name}_key", Key)
        for name in (
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
    ),
    Index("ix_scim_user_external_id_key", "directory_id", "external_id_key"),
    Index("ix_scim_user_display_name_key", "directory_id", "display_name_key"),
)

# One row for each entry of a multi-valued attribute, so that the terms of a value path meet in one row.
scim_entry = Table(
    "scim_entry",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("attribute", String(20), nullable=False),
    Column("position", Integer, nullable=False),
    Column("directory_id", Id, nullable=False),
    Column("is_primary", Boolean),
    *(
        Column(f"{name}_key", Key)
        for name in (
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
    ),
    PrimaryKeyConstraint("user_id", "attribute", "position"),
    # Addresses alone are matched on; other values (a photo as data, a certificate) may be too long for an index.
    partial_index("ix_scim_entry_email", "directory_id", "value_key", where="attribute = 'emails'"),
    sqlite_with_rowid=False,
)

token = Table(
    "token",
    metadata,
    Column("id", Id, primary_key=True),
    organisation_column(),
    Column("directory_id", Id, ForeignKey("directory.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("prefix", String(24), nullable=False, unique=True),
    Column("sha256", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("last_used_at", Moment),
    Column("last_used_from", String(64), nullable=False, server_default=""),
    # The last notice of its end, in days before it.
    Column("noticed_days", Integer),
    Index("ix_token_directory_id", "directory_id"),
    partial_index("ix_token_expires_at", "expires_at", where="expires_at IS NOT NULL AND revoked_at IS NULL"),
)

# Requests of SCIM clients and their answers, redacted. Written in batches, beside the requests' transactions.
scim_request = Table(
    "scim_request",
    metadata,
    Column("id", Id, primary_key=True),
    organisation_column(),
    Column("directory_id", Id, nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("at", Moment, nullable=False),
    Column("token_prefix", String(24), nullable=False),
    Column("address", String(64), nullable=False),
    Column("method", String(8), nullable=False),
    Column("path", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("headers", Document, nullable=False),
    Column("status", Integer, nullable=False),
    Column("scim_type", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("duration_us", Integer, nullable=False),
    Column("profile", String(16), nullable=False),
    Column("leniencies", Document, nullable=False),
    Column("events", Document, nullable=False),
    Column("request_body", Text),
    Column("answer_body", Text),
    Index("ix_scim_request_directory_id", "directory_id", "id"),
    Index("ix_scim_request_request_id", "organisation_id", "request_id"),
    Index("ix_scim_request_at", "at"),
)

# How much a pushing directory has taken away within the hour. `groups` holds, for each group that lost somebody, its
# size when the hour began and what it has lost.
push_window = Table(
    "push_window",
    metadata,
    Column("directory_id", Id, ForeignKey("directory.id"), primary_key=True),
    organisation_column(),
    Column("started_at", Moment, nullable=False),
    Column("active_users", Integer, nullable=False),
    Column("memberships", Integer, nullable=False),
    Column("users_lost", Integer, nullable=False),
    Column("memberships_lost", Integer, nullable=False),
    Column("groups", Document, nullable=False),
    Column("crossed_at", Moment),
)

# Members for whom the directory's word is stored and its effect waits until an administrator allows or rejects it.
# Without an event it is still to be worked out whether they lose anything.
staged_change = Table(
    "staged_change",
    metadata,
    Column("member_id", Id, primary_key=True),
    organisation_column(),
    Column("directory_id", Id, nullable=False),
    Column("event_id", Id),
    Column("staged_at", Moment, nullable=False),
    Column("is_rejected", Boolean, nullable=False),
    Index("ix_staged_change_organisation_id", "organisation_id", "directory_id"),
)

# What a directory or a connection keeps to itself, such as a password: sealed by the key ring for its very place.
secret = Table(
    "secret",
    metadata,
    organisation_column(),
    Column("holder", Id, nullable=False),
    Column("name", String(40), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("changed_at", Moment, nullable=False),
    PrimaryKeyConstraint("holder", "name"),
    Index("ix_secret_organisation_id", "organisation_id"),
)
