"""Minikai, "User roles and permissions": the table "Permissions overview", in its order."""

ALLOW = "✅"
DENY = "—"

ROLES = ("Admin", "Creator", "Member")

# Category, permission, Admin, Creator, Member.
ROWS = (
    ("Users", "Invite, assign roles, or remove users", "✅", "—", "—"),
    ("Users", "View all users", "✅", "—", "—"),
    ("Minis", "Create or update Minis", "✅", "✅", "—"),
    ("Minis", "View all Minis and records", "✅", "✅", "—"),
    ("Minis", "Delete a Mini", "✅", "—", "—"),
    ("Minis", "Import records (from spreadsheets or documents)", "✅", "✅", "—"),
    ("Records", "Add, edit, or archive records and attachments", "✅", "✅", "—"),
    ("Records", "Delete a record", "✅", "—", "—"),
    (
        "Mini features",
        "Chat, prompt recommendations, citations, email drafting, speech-to-text",
        "✅",
        "✅",
        "✅",
    ),
    ("Groups", "Create, update, or manage group membership", "✅", "—", "—"),
    ("Groups", "Delete a group", "✅", "—", "—"),
    ("Settings", "Audit logs and log streams", "✅", "—", "—"),
    ("Settings", "Domain verification", "✅", "—", "—"),
    ("Settings", "SSO and directory sync", "✅", "—", "—"),
)

# What each row is about, one checkable action each.
PERMISSIONS = (
    {"users.invite", "users.assign_role", "users.remove"},
    {"users.view_all"},
    {"minis.create", "minis.update"},
    {"minis.view_all", "records.view_all"},
    {"minis.delete"},
    {"records.import"},
    {
        "records.add",
        "records.edit",
        "records.archive",
        "attachments.add",
        "attachments.edit",
        "attachments.archive",
    },
    {"records.delete"},
    {
        "minis.chat",
        "minis.prompt_recommendations",
        "minis.citations",
        "minis.email_drafting",
        "minis.speech_to_text",
    },
    {"groups.create", "groups.update", "groups.manage_membership"},
    {"groups.delete"},
    {
        "settings.audit_logs.read",
        "settings.audit_logs.manage",
        "settings.log_streams.read",
        "settings.log_streams.manage",
    },
    {"settings.domain_verification.read", "settings.domain_verification.manage"},
    {
        "settings.sso.read",
        "settings.sso.manage",
        "settings.directory_sync.read",
        "settings.directory_sync.manage",
    },
)
