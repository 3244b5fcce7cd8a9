"""Minut, roles and access levels: the permission table, the quick reference and the plans, in their order."""

ALLOW = "✓"
DENY = ""

ROLES = ("Admin", "Member", "Operator")

ORGANISATION = "Organisation-wide permission"
ANYWHERE = "Location, Building or Unit Permissions"

# Section, permission, Admin, Member, Operator.
ROWS = (
    (ORGANISATION, "Add rental units", "✓", "", ""),
    (ORGANISATION, "Manage locations & buildings", "✓", "", ""),
    (ORGANISATION, "Invite and manage members", "✓", "", ""),
    (ORGANISATION, "Noise presets & messaging settings", "✓", "", ""),
    (ORGANISATION, "Manage integrations", "✓", "", ""),
    (ANYWHERE, "Receive notifications", "✓", "✓", "Tasks-related only"),
    (ANYWHERE, "Turn on/off noise monitor", "✓", "", ""),
    (ANYWHERE, "Security alarm", "✓", "✓", ""),
    (ANYWHERE, "Turn on/off crowd detect", "✓", "", ""),
    (ANYWHERE, "Add device", "✓", "✓", ""),
    (ANYWHERE, "View sensor & device data", "✓", "", ""),
    (ANYWHERE, "Add Stay details", "✓", "", ""),
    (ANYWHERE, "Edit thresholds", "✓", "", ""),
    (ANYWHERE, "Access Tasks", "✓", "✓", "✓"),
)

# What each row is about, one checkable action each.
PERMISSIONS = (
    {"rental_units.add"},
    {"locations.manage", "buildings.manage"},
    {"members.invite", "members.change", "members.remove"},
    {"noise_presets.edit", "messaging_settings.edit"},
    {"integrations.manage"},
    {"notifications.monitoring", "notifications.tasks"},
    {"noise_monitor.toggle"},
    {"security_alarm.manage"},
    {"crowd_detect.toggle"},
    {"devices.add"},
    {"sensor_data.view", "device_data.view"},
    {"stays.add"},
    {"thresholds.edit"},
    {"tasks.view", "tasks.complete"},
)

# The one cell that is neither a mark nor empty.
PARTIAL = {"Tasks-related only": {"notifications.tasks"}}

# Team member type, recommended role, recommended access.
RECOMMENDED = (
    ("Account owner", "Admin", {"organisation"}),
    ("Senior property manager", "Admin", {"organisation", "location"}),
    ("Regional manager", "Admin", {"location"}),
    ("On-site operations staff", "Member", {"building", "unit"}),
    ("Co-host", "Member", {"unit"}),
    ("Maintenance staff", "Member", {"unit", "building"}),
    ("Cleaner / housekeeper", "Operator", {"unit"}),
    ("Maintenance contractor", "Operator", {"unit"}),
)

# Plan, maximum team seats.
PLANS = (
    ("Starter", "1 seat for Account Owner only", 1),
    ("Standard", "5 members (including the account owner)", 5),
    ("Pro", "20 members (including the account owner)", 20),
    ("Enterprise", "Custom", None),
)
