"""Each ruling of the two shipped catalogues, by its id. The last test finds the ruling without a test."""

import pytest

from directory.ids import GroupId, RoleId, ScopeId
from mappings.access import headline
from mappings.catalogue import (
    Catalogue,
    Resolution,
    Role,
    TableRow,
    check_custom_role,
    permissions_beyond,
    roles_of,
)
from mappings.decisions import Decision, DecisionIndex, decide
from mappings.rules import RuleFaultCode, check_default_role, check_rule
from mappings.scopes import ScopeGraph, check_scope
from tests.mappings.builders import (
    MINIKAI,
    MINIKAI_SCOPES,
    MINUT,
    MINUT_SCOPES,
    ROOT,
    by_group,
    held,
    member,
    model,
    resolve,
    rule,
    scope,
    user,
)


def ask(
    catalogue: Catalogue,
    permission: str,
    resource: str,
    *invited: tuple[str, str],
    is_owner: bool = False,
    switches: dict[str, bool] | None = None,
    custom: tuple[Role, ...] = (),
    scopes: ScopeGraph | None = None,
) -> Decision:
    """Decide for somebody who holds just these pairs."""
    graph = scopes or (MINUT_SCOPES if catalogue is MINUT else MINIKAI_SCOPES)
    roles = roles_of(catalogue, switches=switches or {}, custom=custom)
    person = member(invited=invited, is_owner=is_owner)
    access = resolve(model(catalogue=catalogue, scopes=graph, roles=roles), person)
    index = DecisionIndex(
        roles=roles,
        permissions=catalogue.permissions,
        owner_permissions=catalogue.owner_permissions,
        owner=person.member_id if is_owner else None,
        scopes=graph,
        grants=[(person.member_id, *grant.pair) for grant in access.grants],
        access_version=1,
        conditions=catalogue.conditions,
    )
    return decide(index, person.member_id, permission, ScopeId(resource))


def may(catalogue: Catalogue, permission: str, resource: str, *invited: tuple[str, str]) -> bool:
    return ask(catalogue, permission, resource, *invited).allowed


def having(catalogue: Catalogue, permission: str) -> set[str]:
    """The catalogue's own roles that hold the permission."""
    return {role.id for role in catalogue.roles.values() if permission in role.permissions}


def custom(*permissions: str, rank: int = 2, scope_kinds: tuple[str, ...] = ("organisation",)) -> Role:
    return Role(RoleId("Helper"), "Helper", rank, scope_kinds, dict.fromkeys(permissions))


# Prose of Minikai


def test_a_r1_everybody_has_one_role() -> None:
    assert MINIKAI.resolution is Resolution.PRIORITY
    several = model(
        rule("r1", "a", "Member", "g1"),
        rule("r2", "a", "Creator", "root"),
        catalogue=MINIKAI,
        scopes=MINIKAI_SCOPES,
        resolution=MINIKAI.resolution,
    )
    assert held(several, member(user("a"))) == [("Creator", "root")]


def test_a_r2_only_admins_invite_and_assign() -> None:
    assert having(MINIKAI, "users.invite") == having(MINIKAI, "users.assign_role") == {"Admin"}


def test_a_r3_no_role_changes_itself() -> None:
    assert not [name for name in MINIKAI.permissions if "own_role" in name]


def test_a_r4_members_use_the_features_through_their_group() -> None:
    assert may(MINIKAI, "minis.chat", "m1", ("Member", "g1"))
    assert not may(MINIKAI, "minis.chat", "m2", ("Member", "g1"))


@pytest.mark.parametrize("permission", ["minis.create", "records.add", "settings.sso.manage"])
def test_a_r5_members_create_and_change_nothing(permission: str) -> None:
    assert "Member" not in having(MINIKAI, permission)


def test_a_r6_no_permission_defines_custom_roles() -> None:
    assert not [name for name in MINIKAI.permissions if name.startswith("roles.")]


# Gaps and contradictions in the document of Minikai


@pytest.mark.parametrize("what", ["minis", "records"])
def test_mk_1_viewing_in_a_group_is_apart_from_viewing_all(what: str) -> None:
    assert having(MINIKAI, f"{what}.view_in_group") == {"Admin", "Creator", "Member"}
    assert having(MINIKAI, f"{what}.view_all") == {"Admin", "Creator"}


def test_mk_2_features_of_a_member_are_for_own_groups() -> None:
    everywhere = ask(MINIKAI, "minis.chat", "m1", ("Member", "root"))
    in_group = ask(MINIKAI, "minis.chat", "m1", ("Member", "g1"))

    assert (everywhere.allowed, everywhere.condition, everywhere.ruling) == (True, "in_own_group", "MK-2")
    assert (in_group.allowed, in_group.condition) == (True, None)
    assert ask(MINIKAI, "minis.chat", "m1", ("Creator", "root")).condition is None


def test_mk_3_creator_deletes_nothing() -> None:
    assert having(MINIKAI, "minis.delete") == having(MINIKAI, "records.delete") == {"Admin"}


def test_mk_4_assigning_is_admin_and_defining_nobodys() -> None:
    assert "users.assign_role" in MINIKAI.roles[RoleId("Admin")].permissions
    assert not [name for name in MINIKAI.permissions if "role" in name and name != "users.assign_role"]


def test_mk_5_attachments_are_deleted_as_records_and_restored_as_archived() -> None:
    assert having(MINIKAI, "attachments.delete") == having(MINIKAI, "records.delete")
    assert having(MINIKAI, "records.restore") == having(MINIKAI, "records.archive")
    assert having(MINIKAI, "attachments.restore") == having(MINIKAI, "attachments.archive")


def test_mk_6_linking_a_mini_to_a_group_is_admin_only() -> None:
    assert having(MINIKAI, "groups.link_mini") == {"Admin"}


def test_mk_7_all_groups_are_for_admins_and_own_ones_for_everybody() -> None:
    everybody = {"Admin", "Creator", "Member"}
    assert having(MINIKAI, "groups.view_all") == {"Admin"}
    assert having(MINIKAI, "groups.view_own") == having(MINIKAI, "users.view_own_profile") == everybody


def test_mk_8_creator_sees_a_count_and_no_names() -> None:
    assert having(MINIKAI, "users.view_all") == {"Admin"}
    assert having(MINIKAI, "users.count_reached") == {"Admin", "Creator"}


def test_mk_9_membership_of_groups_can_be_given_alone() -> None:
    assert check_custom_role(MINIKAI, custom("groups.manage_membership")) == []
    assert set(MINIKAI.table[9].permissions) == {
        "groups.create",
        "groups.update",
        "groups.manage_membership",
    }


def test_mk_10_custom_role_that_assigns_roles_is_an_administrator() -> None:
    role = custom("users.assign_role")

    assert roles_of(MINIKAI, switches={}, custom=[role])[role.id].is_administrator_equivalent
    assert permissions_beyond(MINIKAI.roles[RoleId("Admin")], [role])


def test_mk_11_the_tenant_is_called_organisation() -> None:
    texts = [permission.label for permission in MINIKAI.permissions.values()]
    texts += [kind.label for kind in MINIKAI.scope_kinds.values()]

    assert not [text for text in texts if "workspace" in text.lower()]


def test_mk_12_the_role_whose_last_holder_is_kept_is_known() -> None:
    assert MINIKAI.administrator_role == "Admin"
    assert MINIKAI.roles[MINIKAI.administrator_role].scope_kinds == ("organisation",)


def test_mk_13_a_plan_may_be_missing() -> None:
    assert not MINIKAI.is_plan_required
    assert MINIKAI.owner_permissions == frozenset()


def test_mk_14_auditor_reads_the_log_and_is_nobodys_default() -> None:
    auditor = MINIKAI.presets[RoleId("auditor")]

    assert set(auditor.permissions) == {"settings.audit_logs.read"}
    (fault,) = check_default_role(auditor.id, catalogue=MINIKAI, roles=roles_of(MINIKAI, switches={}))
    assert fault.code is RuleFaultCode.ROLE_RESERVED


@pytest.mark.parametrize(
    "what", ["audit_logs", "log_streams", "domain_verification", "sso", "directory_sync"]
)
def test_mk_15_reading_and_configuring_are_two_permissions(what: str) -> None:
    assert having(MINIKAI, f"settings.{what}.read") == having(MINIKAI, f"settings.{what}.manage") == {"Admin"}


# Prose of Minut


def test_b_r1_role_and_scope_are_both_needed() -> None:
    assert may(MINUT, "stays.add", "u1", ("Admin", "u1"))
    assert not may(MINUT, "stays.add", "u2", ("Admin", "u1"))
    assert not may(MINUT, "stays.add", "u1", ("Member", "u1"))


@pytest.mark.parametrize("row", MINUT.table[:5], ids=lambda row: row.text)
def test_b_r2_organisation_rows_need_admin_at_the_organisation(row: TableRow) -> None:
    for permission in row.permissions:
        assert may(MINUT, permission, "root", ("Admin", "root"))
        assert not may(MINUT, permission, "root", ("Member", "root"))
        assert not may(MINUT, permission, "north", ("Admin", "north"))


def test_b_r3_admin_of_a_unit_has_that_unit_only() -> None:
    admin = MINUT.roles[RoleId("Admin")].permissions
    allowed = {name for name in admin if may(MINUT, name, "u1", ("Admin", "u1"))}

    assert allowed == {name for name in admin if not MINUT.permissions[name].needs_organisation}
    assert not any(may(MINUT, name, "u2", ("Admin", "u1")) for name in admin)


def test_b_r4_a_change_shows_in_the_next_decision() -> None:
    before, after = model(rule("r1", "a", "Admin", "u1")), model(rule("r1", "a", "Operator", "u1"))

    assert held(before, member(user("a"))) == [("Admin", "u1")]
    assert held(after, member(user("a"))) == [("Operator", "u1")]


def test_b_r5_who_is_removed_has_nothing_at_once() -> None:
    assert held(model(rule("r1", "a", "Admin", "u1")), member()) == []


def test_b_r6_organisation_wide_covers_units_added_later() -> None:
    later = ScopeGraph([*MINUT_SCOPES.nodes(), scope("u9", "unit", "north")], ROOT)

    assert ask(MINUT, "stays.add", "u9", ("Admin", "root"), scopes=later).allowed
    assert not may(MINUT, "stays.add", "u9", ("Admin", "root"))


def test_b_r7_nothing_adds_monitoring_to_operators() -> None:
    operator = RoleId("Operator")
    monitoring = {"notifications.monitoring", "sensor_data.view", "security_alarm.manage", "devices.add"}

    assert monitoring <= MINUT.forbidden[operator]
    for switches in ({}, {"member_sees_sensor_data": True}):
        assert not MINUT.forbidden[operator] & roles_of(MINUT, switches=switches)[operator].permissions.keys()
    assert check_custom_role(MINUT, custom("sensor_data.view", rank=1))
    assert check_custom_role(MINUT, custom("sensor_data.view", rank=2)) == []


# Gaps and contradictions in the document of Minut


def test_mt_1_members_see_sensor_data_only_where_it_is_switched_on() -> None:
    denied = ask(MINUT, "sensor_data.view", "u1", ("Member", "u1"))
    switched = ask(
        MINUT, "sensor_data.view", "u1", ("Member", "u1"), switches={"member_sees_sensor_data": True}
    )

    assert not MINUT.switches["member_sees_sensor_data"].default
    assert (denied.allowed, denied.ruling) == (False, "MT-1")
    assert switched.allowed


@pytest.mark.parametrize("permission", sorted(MINUT.owner_permissions))
def test_mt_2_billing_is_the_owners(permission: str) -> None:
    assert having(MINUT, permission) == set()
    assert not may(MINUT, permission, "root", ("Admin", "root"))
    assert ask(MINUT, permission, "root", is_owner=True).allowed
    assert check_custom_role(MINUT, custom(permission))


def test_mt_3_admin_of_a_unit_cannot_invite_for_it() -> None:
    assert not may(MINUT, "members.invite", "u1", ("Admin", "u1"))
    assert may(MINUT, "members.invite", "u1", ("Admin", "root"))


def test_mt_4_units_are_edited_in_scope_and_removed_at_the_organisation() -> None:
    assert having(MINUT, "rental_units.edit") == having(MINUT, "rental_units.remove") == {"Admin"}
    assert may(MINUT, "rental_units.edit", "u1", ("Admin", "u1"))
    assert not may(MINUT, "rental_units.remove", "u1", ("Admin", "u1"))


def test_mt_5_all_five_rows_are_organisation_wide() -> None:
    names = [name for row in MINUT.table[:5] for name in row.permissions]

    assert all(MINUT.permissions[name].needs_organisation for name in names)


def test_mt_6_operator_is_notified_of_tasks_only() -> None:
    assert having(MINUT, "notifications.tasks") == {"Admin", "Member", "Operator"}
    assert having(MINUT, "notifications.monitoring") == {"Admin", "Member"}


@pytest.mark.parametrize("permission", ["tasks.view", "tasks.complete"])
def test_mt_7_operator_has_assigned_tasks_only(permission: str) -> None:
    assert ask(MINUT, permission, "u1", ("Operator", "u1")).condition == "assigned_to_self"
    assert ask(MINUT, permission, "u1", ("Member", "u1")).condition is None
    assert ask(MINUT, permission, "u1", ("Admin", "u1")).condition is None


def test_mt_8_what_no_row_names_is_admin_in_scope() -> None:
    names = ("tasks.create", "tasks.assign", "devices.remove", "stays.edit", "stays.delete")
    for name in (*names, "rental_units.view_details"):
        assert having(MINUT, name) == {"Admin"}
        assert may(MINUT, name, "u1", ("Admin", "u1"))
    assert having(MINUT, "rental_units.view_address") == {"Admin", "Member", "Operator"}


@pytest.mark.parametrize("parent", ["root", "north", "tower"])
def test_mt_9_levels_of_the_tree_may_be_left_out(parent: str) -> None:
    unit = scope("u9", "unit", parent)

    assert check_scope(MINUT_SCOPES, unit, kinds=MINUT.scope_kinds) == []
    assert {"location", "building"} <= set(MINUT.roles[RoleId("Admin")].scope_kinds)


def test_mt_10_scopes_of_any_kinds_are_united() -> None:
    pairs = (("Member", "u3"), ("Member", "tower"))

    assert all(may(MINUT, "devices.add", resource, *pairs) for resource in ("u1", "u2", "u3"))
    assert not may(MINUT, "devices.add", "north", *pairs)


def test_mt_11_admin_here_and_operator_there_is_not_admin_there() -> None:
    pairs = (("Admin", "u1"), ("Operator", "u2"))
    access = resolve(model(), member(invited=pairs))

    assert may(MINUT, "stays.add", "u1", *pairs)
    assert not may(MINUT, "stays.add", "u2", *pairs)
    assert headline(access, MINUT.roles, MINUT_SCOPES) == ("Admin", "mixed")


def test_mt_12_no_role_is_without_a_seat() -> None:
    seated = [held(model(), member(invited=((role, "u1"),))) for role in MINUT.roles]

    assert all(seated)


def test_mt_13_who_is_suspended_has_no_grant_to_take_a_seat() -> None:
    assert held(model(), member(invited=(("Member", "u1"),), is_blocked=True)) == []


def test_mt_14_enterprise_needs_a_number_of_its_own() -> None:
    enterprise = MINUT.plans["Enterprise"]

    assert (enterprise.is_custom, enterprise.seats) == (True, None)


def test_mt_15_adding_a_unit_charges_the_owner() -> None:
    charging = {name for name, permission in MINUT.permissions.items() if permission.charges_owner}

    assert charging == {"rental_units.add"}
    assert "billing.manage" in MINUT.owner_permissions


def test_mt_16_owner_is_admin_of_the_organisation_whatever_a_directory_says() -> None:
    demoted = model(rule("r1", "a", "Operator", "u1"))

    assert ("Admin", "root") in held(demoted, member(user("a"), is_owner=True))
    assert ("Admin", "root") in held(demoted, member(user("a", active=False), is_owner=True))


def test_mt_17_sso_sync_and_audit_are_admin_at_the_organisation() -> None:
    for name in ("sso.read", "sso.manage", "directory_sync.read", "directory_sync.manage", "audit_log.read"):
        assert having(MINUT, name) == {"Admin"}
        assert MINUT.permissions[name].needs_organisation
    assert set(MINUT.presets[RoleId("auditor")].permissions) == {"audit_log.read"}


def test_mt_18_scopes_of_a_rule_can_be_changed() -> None:
    assert held(model(rule("r1", "a", "Member", "u2")), member(user("a"))) == [("Member", "u2")]


def test_mt_19_rule_on_what_is_not_there_is_refused_and_grants_nothing() -> None:
    faults = check_rule(
        match=by_group("a"),
        role=RoleId("Member"),
        scope_id=ScopeId("gone"),
        catalogue=MINUT,
        roles=MINUT.roles,
        scopes=MINUT_SCOPES,
        groups={GroupId("a")},
    )

    assert [fault.code for fault in faults] == [RuleFaultCode.SCOPE_UNKNOWN]
    dangling = model(rule("r1", "a", "Member", "gone"), default_role="Member")
    assert held(dangling, member(user("a"))) == []


def test_mt_20_owner_alone_keeps_the_organisation_open() -> None:
    assert ask(MINUT, "members.invite", "root", is_owner=True).allowed


@pytest.mark.parametrize("role", ["Member", "Operator"])
def test_mt_21_lesser_roles_at_the_organisation_keep_to_their_rows(role: str) -> None:
    for row in MINUT.table:
        for name in row.permissions:
            expected = name in MINUT.roles[RoleId(role)].permissions
            assert may(MINUT, name, "u1", (role, "root")) == expected
    assert not any(
        may(MINUT, name, "root", (role, "root")) for row in MINUT.table[:5] for name in row.permissions
    )


@pytest.mark.parametrize("ruling", [*MINIKAI.rulings, *MINUT.rulings])
def test_every_ruling_has_a_test(ruling: str) -> None:
    prefix = f"test_{ruling.lower().replace('-', '_')}_"

    assert any(name.startswith(prefix) for name in globals())


def test_rulings_are_complete() -> None:
    assert set(MINIKAI.rulings) == {f"A-R{n}" for n in range(1, 7)} | {f"MK-{n}" for n in range(1, 16)}
    assert set(MINUT.rulings) == {f"B-R{n}" for n in range(1, 8)} | {f"MT-{n}" for n in range(1, 22)}
