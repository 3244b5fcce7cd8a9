from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.ids import RoleId
from mappings.catalogue import (
    Catalogue,
    Resolution,
    Role,
    check_custom_role,
    load_catalogue,
    makes_administrator,
    permissions_beyond,
    roles_of,
    shipped_catalogues,
)
from mappings.errors import CatalogueError
from mappings.yaml_nodes import LARGEST_TEXT
from tests.mappings.builders import MINIKAI, MINUT, catalogue_text
from tests.mappings.tables import minikai, minut

SMALL = """\
id: small
name: Small
version: 3
resolution: union
administrator_role: Boss
plan_required: false
scope_kinds:
  organisation: {label: All, parents: []}
  room: {label: Room, parents: [organisation]}
permissions:
  doors.open: {label: Open doors}
  people.invite: {label: Invite people, needs_organisation: true, makes_administrator: true}
roles:
  Boss: {label: Boss, rank: 2, scope_kinds: [organisation], permissions: [doors.open, people.invite]}
  Guest: {label: Guest, rank: 1, scope_kinds: [organisation, room], permissions: [doors.open]}
plans:
  Free: {label: Free, seats: 3}
"""


def faults_of(text: str) -> list[str]:
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(text, source="small.yaml")
    assert str(caught.value) == "\n".join(str(fault) for fault in caught.value.faults)
    return [str(fault).removeprefix("small.yaml:") for fault in caught.value.faults]


def with_line(old: str, new: str) -> str:
    assert SMALL.count(old) == 1
    return SMALL.replace(old, new)


# The documents' own tables


def cells(
    catalogue: Catalogue,
    roles: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    permissions: Sequence[set[str]],
    allowed: Mapping[str, set[str] | None],
) -> Iterator[object]:
    """One case for each row and role: what the document's mark says of the row's permissions."""
    for number, (row, about) in enumerate(zip(rows, permissions, strict=True), 1):
        for role, mark in zip(roles, row[2:], strict=True):
            expected = allowed[mark]
            case = (catalogue, number, row[:2], role, mark, about, about if expected is None else expected)
            yield pytest.param(*case, id=f"{catalogue.id}-{number}-{role}")


CELLS = chain(
    cells(
        MINIKAI,
        minikai.ROLES,
        minikai.ROWS,
        minikai.PERMISSIONS,
        {minikai.ALLOW: None, minikai.DENY: set()},
    ),
    cells(
        MINUT,
        minut.ROLES,
        minut.ROWS,
        minut.PERMISSIONS,
        {minut.ALLOW: None, minut.DENY: set(), **minut.PARTIAL},
    ),
)


@pytest.mark.parametrize(
    ("catalogue", "number", "words", "role", "mark", "permissions", "allowed"), list(CELLS)
)
def test_row_is_reproduced(
    catalogue: Catalogue,
    number: int,
    words: tuple[str, str],
    role: str,
    mark: str,
    permissions: set[str],
    allowed: set[str],
) -> None:
    row = catalogue.table[number - 1]
    assert (row.number, row.category, row.text) == (number, *words)
    assert set(row.permissions) == permissions
    assert row.cells[RoleId(role)].mark == mark
    assert row.cells[RoleId(role)].allows == allowed
    assert permissions & roles_of(catalogue, switches={})[RoleId(role)].permissions.keys() == allowed


@pytest.mark.parametrize(("catalogue", "rows"), [(MINIKAI, minikai.ROWS), (MINUT, minut.ROWS)])
def test_table_has_no_further_rows(catalogue: Catalogue, rows: Sequence[object]) -> None:
    assert len(catalogue.table) == len(rows) == 14


def test_organisation_wide_rows_need_the_organisation_and_the_others_do_not() -> None:
    for row in MINUT.table:
        needs = {MINUT.permissions[name].needs_organisation for name in row.permissions}
        assert needs == {row.category == minut.ORGANISATION}


def test_recommended_assignments_are_those_of_the_document() -> None:
    found = tuple((item.who, item.role, set(item.scope_kinds)) for item in MINUT.recommendations)

    assert found == minut.RECOMMENDED


def test_plans_are_those_of_the_document() -> None:
    assert tuple((plan.id, plan.label, plan.seats) for plan in MINUT.plans.values()) == minut.PLANS
    assert [plan.id for plan in MINUT.plans.values() if plan.is_custom] == ["Enterprise"]


# What ships


@pytest.mark.parametrize("name", shipped_catalogues())
def test_shipped_catalogue_bears_its_name(name: str) -> None:
    assert load_catalogue(catalogue_text(name), source=name).id == name


def test_shipped_catalogues_resolve_as_the_documents_imply() -> None:
    assert MINIKAI.resolution is Resolution.PRIORITY
    assert MINUT.resolution is Resolution.UNION
    assert (MINIKAI.default_role, MINUT.default_role) == ("Member", None)


def test_condition_is_met_where_the_catalogue_says_so() -> None:
    role = MINIKAI.roles[RoleId("Member")]

    assert MINIKAI.condition_at(role, "minis.chat", "organisation") == "in_own_group"
    assert MINIKAI.condition_at(role, "minis.chat", "group") is None
    assert MINIKAI.condition_at(role, "groups.view_own", "organisation") is None


# Roles of an organisation


def custom(
    *permissions: str, role: str = "Helper", rank: int = 2, scope_kinds: tuple[str, ...] = ("organisation",)
) -> Role:
    return Role(RoleId(role), role, rank, scope_kinds, dict.fromkeys(permissions))


def test_switch_adds_its_permissions_while_it_is_on() -> None:
    member = RoleId("Member")
    added = {"sensor_data.view", "device_data.view"}

    plain = roles_of(MINUT, switches={"seat_policy": True})[member].permissions
    widened = roles_of(MINUT, switches={"member_sees_sensor_data": True})[member].permissions
    assert widened.keys() - plain.keys() == added
    assert roles_of(MINUT, switches={"member_sees_sensor_data": False})[member].permissions == plain


def test_custom_role_joins_the_catalogues_roles_and_presets() -> None:
    roles = roles_of(MINUT, switches={}, custom=[custom("tasks.view")])

    assert list(roles) == ["Admin", "Member", "Operator", "auditor", "Helper"]
    assert [role.id for role in roles.values() if role.is_preset] == ["auditor"]
    assert [role.id for role in roles.values() if role.is_custom] == ["Helper"]


def test_custom_role_is_left_out_under_a_name_of_the_catalogue() -> None:
    named = [custom("tasks.view", role="operator"), custom("tasks.view", role="Owner")]

    assert set(roles_of(MINUT, switches={}, custom=named)) == {"Admin", "Member", "Operator", "auditor"}


def test_custom_role_loses_what_it_may_not_hold() -> None:
    wide = custom("tasks.view", "billing.manage", "gone.gone", "sensor_data.view", rank=1)

    assert set(roles_of(MINUT, switches={}, custom=[wide])[wide.id].permissions) == {"tasks.view"}


def test_custom_role_that_makes_administrators_is_marked() -> None:
    roles = roles_of(
        MINIKAI, switches={}, custom=[custom("users.assign_role"), custom("minis.chat", role="Other")]
    )

    assert [role.id for role in roles.values() if role.is_administrator_equivalent] == ["Admin", "Helper"]
    assert not makes_administrator(MINIKAI, ["gone.gone"])


def test_permissions_beyond_are_those_nobody_held_has() -> None:
    admin, member, operator = (MINUT.roles[RoleId(name)] for name in ("Admin", "Member", "Operator"))

    assert permissions_beyond(member, [admin]) == ()
    assert permissions_beyond(operator, [operator]) == ()
    assert permissions_beyond(operator, [member]) == ()
    assert permissions_beyond(custom("tasks.view", "stays.add"), [operator, member]) == ("stays.add",)
    assert permissions_beyond(custom("tasks.view"), [operator]) == ("tasks.view",)


def test_good_custom_role_has_no_faults() -> None:
    assert check_custom_role(MINIKAI, custom("groups.update", "groups.manage_membership")) == []
    assert check_custom_role(MINUT, replace(custom(), permissions={"tasks.view": "assigned_to_self"})) == []


@pytest.mark.parametrize(
    ("role", "reason"),
    [
        (custom("tasks.view", role="1st"), "'1st' must be a letter"),
        (custom("tasks.view", role="OWNER"), "'owner' cannot be a role"),
        (custom("tasks.view", role="admin"), "has a role 'admin' already"),
        (custom("tasks.view", role="Auditor"), "has a role 'Auditor' already"),
        (custom("tasks.view", rank=4), "rank 4 must be between 0 and 3"),
        (custom("tasks.view", rank=-1), "rank -1 must be between 0 and 3"),
        (custom(), "no permissions"),
        (custom("tasks.view", scope_kinds=()), "no scope kinds"),
        (custom("tasks.view", scope_kinds=("room",)), "no scope kind 'room'"),
        (custom("gone.gone"), "no permission 'gone.gone'"),
        (custom("billing.view_invoices"), "belongs to the owner"),
        (custom("sensor_data.view", rank=1), "ranks no higher than Operator"),
        (custom("members.invite", scope_kinds=("unit",)), "held at the organisation only"),
        (replace(custom(), permissions={"tasks.view": "raining"}), "unknown condition 'raining'"),
    ],
)
def test_custom_role_is_refused_with_its_reason(role: Role, reason: str) -> None:
    (found,) = check_custom_role(MINUT, role)

    assert reason in found


# Reading


def test_small_catalogue_loads() -> None:
    small = load_catalogue(SMALL, source="small.yaml")

    assert (small.id, small.version, small.plans["Free"].seats) == ("small", 3, 3)
    assert small.roles[RoleId("Boss")].is_administrator_equivalent
    assert not small.roles[RoleId("Guest")].is_administrator_equivalent
    assert (small.table, small.recommendations, small.owner_permissions) == ((), (), frozenset())


def test_administrator_role_is_one_even_without_telling_permissions() -> None:
    text = with_line(", needs_organisation: true, makes_administrator: true", "")

    small = load_catalogue(text, source="small.yaml")
    assert small.roles[RoleId("Boss")].is_administrator_equivalent


def test_all_faults_come_together_in_the_order_of_lines() -> None:
    text = SMALL.replace("union", "sum").replace("seats: 3", "seat: 3").replace("rank: 2", "rank: two")

    assert faults_of(text) == [
        "4: resolution must be one of union, priority",
        "14: rank of role Boss must be a whole number",
        "17: plan Free lacks 'seats'",
        "17: unknown key 'seat' in plan Free; known are label, seats",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1: the file is empty"),
        ("# nothing\n", "1: the file is empty"),
        ("just text", "1: the catalogue must be a mapping"),
        ("a: [1\nb", "2: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n\tb: 2", "2: not YAML: found character '\\t' that cannot start any token"),
        ("a: 1\nb: \x00", "2: not YAML: special characters are not allowed"),
        ("--- a\n--- b\n", "2: not YAML: but found another document"),
        ("a: &x 1", "1: anchors are refused: write the value out"),
        ("a: *x", "1: aliases are refused: write the value out"),
        ("a: !!python/name:os.system 1", "1: the tag 'tag:yaml.org,2002:python/name:os.system' is refused"),
        ("[" * 5000, "1: nested deeper than 12 levels"),
        ("x" * (LARGEST_TEXT + 1), "1: the file has 262145 characters, more than 262144"),
    ],
)
def test_what_is_no_plain_document_is_refused(text: str, fault: str) -> None:
    assert faults_of(text)[0] == fault


def test_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]

    assert all("refused" in fault for fault in faults_of("\n".join(lines)))


def test_missing_sections_are_all_named() -> None:
    missing = faults_of("id: small\nname: Small\n")

    assert missing == [
        f"1: the catalogue lacks '{key}'"
        for key in sorted(
            (
                "version",
                "resolution",
                "administrator_role",
                "plan_required",
                "scope_kinds",
                "permissions",
                "roles",
                "plans",
            )
        )
    ]


ROOM = "  room: {label: Room, parents: [organisation]}\n"
DOORS = "  doors.open: {label: Open doors}\n"
GUEST = "  Guest: {label: Guest, rank: 1, scope_kinds: [organisation, room], permissions: [doors.open]}\n"
FREE = "  Free: {label: Free, seats: 3}\n"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("id: small", "id: Small!", "1: id 'Small!' must match [a-z][a-z0-9-]{0,62}"),
        ("id: small", "id: 7", "1: id must be text; put it in quotes if it looks like a number or a yes"),
        ("name: Small", "name: ' '", "2: name must not be empty"),
        (
            "name: Small",
            "name: [Small]",
            "2: name must be text; put it in quotes if it looks like a number or a yes",
        ),
        ("version: 3", "version: 03", "3: version must be a whole number"),
        ("version: 3", "version: 0", "3: version counts from 1"),
        ("version: 3", "version: '3'", "3: version must be a whole number"),
        ("union", "[]", "4: resolution must be text; put it in quotes if it looks like a number or a yes"),
        ("role: Boss", "role: Chief", "5: administrator_role 'Chief' is none of the roles"),
        ("role: Boss", "role: Boss\ndefault_role: Chief", "6: default_role 'Chief' is none of the roles"),
        (
            "role: Boss",
            "role: Boss\ndefault_role: Boss",
            "6: default_role 'Boss' is an administrator; nobody is one by default",
        ),
        (
            "role: Boss",
            "role: Boss\naudit_permission: log.read",
            "6: audit_permission 'log.read' is none of the permissions",
        ),
        (
            "role: Boss",
            "role: Boss\naudit_permission: doors.open",
            "6: audit_permission 'doors.open' must be one that is held at the organisation",
        ),
        ("plan_required: false", "plan_required: no", "6: plan_required must be true or false"),
        ("plan_required: false", "plan_required: 'true'", "6: plan_required must be true or false"),
        ("id: small", "id: small\nid: large", "2: 'id' is given twice in the catalogue, first on line 1"),
        ("id: small", "id: small\nextra: 1", "2: unknown key 'extra' in the catalogue; known are"),
        ("id: small", "id: small\n3: 1", "2: a key of the catalogue must be text"),
        (
            "organisation: {label: All",
            "all: {label: All",
            "8: scope_kinds lacks 'organisation', the organisation itself",
        ),
        ("All, parents: []", "All, parents: [room]", "8: organisation is the root and can have no parents"),
        ("All, parents: []", "All, parents: [room]", "8: scope kind organisation stands above itself"),
        (
            ROOM,
            ROOM.replace("[organisation]", "[]"),
            "9: scope kind room has no parents; only organisation may have none",
        ),
        (ROOM, ROOM.replace("[organisation]", "[hall]"), "9: scope kind room has the unknown parent 'hall'"),
        (
            ROOM,
            ROOM.replace("[organisation]", "[organisation, room]"),
            "9: scope kind room stands above itself",
        ),
        (
            ROOM,
            ROOM.replace("[organisation]", "organisation"),
            "9: parents of scope kind room must be a list",
        ),
        (
            ROOM,
            ROOM.replace("]", ", organisation]"),
            "9: 'organisation' stands twice in parents of scope kind room",
        ),
        (ROOM, ROOM.replace("]", ", 3]"), "9: an item of parents of scope kind room must be text"),
        (ROOM, ROOM.replace("room", "Room"), "9: 'Room' is no name for an entry of scope_kinds"),
        (DOORS, "  doors: {label: Open doors}\n", "11: 'doors' is no name for an entry of permissions"),
        (DOORS, "  doors.open: {}\n", "11: permission doors.open lacks 'label'"),
        (DOORS, "  doors.open: {label: x, ruling: R-1}\n", "11: there is no ruling 'R-1'"),
        (DOORS, "  doors.open: {label: x, ruling: 1}\n", "11: ruling must be text"),
        (DOORS, "  doors.open: text\n", "11: permission doors.open must be a mapping"),
        (GUEST, GUEST.replace("Guest:", "boss:"), "14: the role name 'boss' is taken by 'Boss'"),
        (GUEST, GUEST.replace("Guest:", "Owner:"), "14: 'Owner' cannot be a role: no rule may give it"),
        (GUEST, GUEST.replace("rank: 1", "rank: 2"), "15: role Guest has the rank 2 of role Boss"),
        (GUEST, GUEST.replace("rank: 1, ", ""), "15: role Guest lacks 'rank'"),
        (GUEST, GUEST.replace("[organisation, room]", "[]"), "15: role Guest can be granted nowhere"),
        (
            GUEST,
            GUEST.replace("room", "hall"),
            "15: scope_kinds of role Guest names the unknown scope kind 'hall'",
        ),
        (
            GUEST,
            GUEST.replace("doors.open", "gone.gone"),
            "15: role Guest has the unknown permission 'gone.gone'",
        ),
        (GUEST, GUEST.replace("doors.open", "doors.open, doors.open"), "15: role Guest has doors.open twice"),
        (GUEST, GUEST.replace("doors.open", "3"), "15: a permission of role Guest must be text"),
        (
            GUEST,
            GUEST.replace("doors.open", "doors.open: raining"),
            "15: role Guest has doors.open under the unknown condition 'raining'",
        ),
        (GUEST, GUEST.replace("doors.open", "doors.open: 3"), "15: the condition of doors.open must be text"),
        (GUEST, GUEST.replace(", permissions: [doors.open]", ""), "15: role Guest lacks 'permissions'"),
        (
            GUEST,
            GUEST.replace("[organisation, room]", "[room]").replace("doors.open", "people.invite"),
            "15: role Guest has people.invite but cannot be granted at the organisation",
        ),
        (FREE, FREE.replace("3", "0"), "17: plan Free must have a seat for the owner at least"),
        (
            FREE,
            FREE.replace("3", "many"),
            "17: seats of plan Free, if not 'custom' or 'unlimited', must be a whole number",
        ),
        (FREE, FREE.replace(", seats: 3", ""), "17: plan Free lacks 'seats'"),
        (FREE, FREE.replace("Free:", "Free!:"), "17: 'Free!' is no name for an entry of plans"),
        (
            "scope_kinds: [organisation], ",
            "scope_kinds: [room], ",
            "5: administrator_role 'Boss' cannot be granted",
        ),
    ],
)
def test_wrong_value_is_refused_with_line_and_reason(old: str, new: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in faults_of(with_line(old, new)))


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("rulings: {R-1: 3}", "18: ruling R-1 must be text"),
        ("rulings: {first: text}", "18: 'first' is no name for an entry of rulings"),
        (
            "conditions: {late: {label: late, met_at: [hall]}}",
            "18: met_at of condition late names the unknown",
        ),
        ("owner_permissions: [gone.gone]", "18: owner_permissions names the unknown permission 'gone.gone'"),
        ("owner_permissions: [doors.open]", "14: role Boss has doors.open, which belongs to the owner"),
        (
            "presets: {Guest: {label: x, rank: 0, scope_kinds: [room], permissions: []}}",
            "18: the role name 'Guest' is taken by 'Guest'",
        ),
        (
            "presets: {guest: {label: x, rank: 0, scope_kinds: [room], permissions: []}}",
            "18: the role name 'guest' is taken by 'Guest'",
        ),
        (
            "forbidden: {Guest: {permissions: [doors.open]}}",
            "18: role Guest has doors.open, which is forbidden to it",
        ),
        ("forbidden: {Chief: {permissions: [doors.open]}}", "18: forbidden of Chief: there is no such role"),
        (
            "forbidden: {Guest: {permissions: [people.invite], ruling: R-1}}",
            "18: there is no ruling 'R-1'",
        ),
        (
            "switches: {s: {label: x, default: maybe, adds: {}}}",
            "18: default of switch s must be true or false",
        ),
        ("switches: {s: {label: x, default: true}}", "18: switch s lacks 'adds'"),
        (
            "switches: {s: {label: x, default: true, adds: {Chief: [doors.open]}}}",
            "18: switch s adds to the unknown role 'Chief'",
        ),
        (
            "switches: {s: {label: x, default: true, adds: {Guest: [people.invite]}}}\n"
            "forbidden: {Guest: {permissions: [people.invite]}}",
            "18: switch s adds people.invite to Guest, which may never have it",
        ),
        ("marks: {allow: x}", "18: marks lacks 'deny'"),
        ("table: {}", "18: table must be a list"),
        (
            "table: [{category: a, text: b, permissions: [doors.open], cells: {Boss: allow}}]",
            "18: table row 1 lacks a cell for role Guest",
        ),
        (
            "table: [{category: a, text: b, permissions: [doors.open], cells: {Boss: allow, Guest: deny}}]",
            "18: table row 1 denies doors.open to Guest; the role does not",
        ),
        (
            "table: [{category: a, text: b, permissions: [people.invite], cells: {Boss: allow, Guest: allow}}]",
            "18: table row 1 allows people.invite to Guest; the role does not",
        ),
        (
            "table: [{category: a, text: b, permissions: [doors.open], cells: {Chief: allow}}]",
            "18: table row 1 speaks of the unknown role 'Chief'",
        ),
        (
            "table: [{category: a, text: b, permissions: [doors.open], cells: {Boss: maybe}}]",
            "18: cell Boss of table row 1 must be allow, deny, or a text",
        ),
        (
            "table: [{category: a, text: b, permissions: [], cells: {Boss: {text: x, allows: [doors.open]}}}]",
            "18: cell Boss of table row 1 allows doors.open, which the row is not about",
        ),
        ("table: [{category: a, text: b, permissions: []}]", "18: table row 1 lacks 'cells'"),
        (
            "recommendations: [{who: x, role: Chief, scope_kinds: [room]}]",
            "18: a recommendation names the unknown role 'Chief'",
        ),
        (
            "recommendations: [{who: x, role: Boss, scope_kinds: [room]}]",
            "18: a recommendation gives Boss where it cannot be granted",
        ),
        ("recommendations: [{who: x}]", "18: a recommendation lacks 'role'"),
    ],
)
def test_wrong_section_is_refused_with_line_and_reason(section: str, fault: str) -> None:
    assert any(found.startswith(fault) for found in faults_of(f"{SMALL}{section}\n"))


def test_catalogue_without_roles_is_refused() -> None:
    text = SMALL[: SMALL.index("roles:")] + "roles: {}\nplans: {}\n"

    assert "13: the catalogue has no roles" in faults_of(text)


def test_role_with_a_wrong_name_is_left_out_and_named() -> None:
    found = faults_of(with_line("  Boss: {", "  1st: {"))

    assert "14: '1st' is no name for an entry of roles" in found


@pytest.mark.parametrize(
    ("seats", "number", "is_custom"), [("custom", None, True), ("unlimited", None, False), ("7", 7, False)]
)
def test_seats_are_a_number_or_said_in_words(seats: str, number: int | None, is_custom: bool) -> None:
    plan = load_catalogue(with_line("seats: 3", f"seats: {seats}"), source="x").plans["Free"]

    assert (plan.seats, plan.is_custom) == (number, is_custom)


def test_default_role_may_be_left_out_or_an_ordinary_role() -> None:
    named = load_catalogue(with_line("role: Boss", "role: Boss\ndefault_role: Guest"), source="x")

    assert (load_catalogue(SMALL, source="x").default_role, named.default_role) == (None, "Guest")


def test_who_reads_the_record_is_said_by_a_permission_or_it_is_the_owner_alone() -> None:
    named = load_catalogue(with_line("role: Boss", "role: Boss\naudit_permission: people.invite"), source="x")

    assert (load_catalogue(SMALL, source="x").audit_permission, named.audit_permission) == (
        None,
        "people.invite",
    )
    assert (MINIKAI.audit_permission, MINUT.audit_permission) == (
        "settings.audit_logs.read",
        "audit_log.read",
    )


def test_marks_are_the_words_themselves_when_not_given() -> None:
    row = "table: [{category: a, text: b, permissions: [doors.open], cells: {Boss: allow, Guest: allow}}]"

    small = load_catalogue(f"{SMALL}{row}\n", source="x")
    assert [cell.mark for cell in small.table[0].cells.values()] == ["allow", "allow"]


@given(st.data())
def test_damaged_file_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([SMALL, catalogue_text("minut")]))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    damage = data.draw(st.text("abc:{}[]&*!|>'\"#-,\n\t 019\x00\u00e9", max_size=12))

    with suppress(CatalogueError):
        load_catalogue(text[:start] + damage + text[end:], source="damaged.yaml")
