import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.changes import Match
from directory.facts import name_key
from directory.ids import DirectoryId, GroupId, RoleId, ScopeId
from mappings.catalogue import Role, roles_of
from mappings.errors import PatternError
from mappings.rules import RuleFaultCode, check_default_role, check_rule, parse_pattern
from mappings.scopes import ScopeGraph
from tests.mappings.builders import (
    HQ,
    MINIKAI,
    MINUT,
    MINUT_SCOPES,
    ROOT,
    by_filter,
    by_group,
    by_name,
    scope,
)

MEMBER = RoleId("Member")
CLEANERS = by_name("minut-{unit}-cleaners")


# Patterns


@pytest.mark.parametrize(
    ("name", "captured"),
    [
        ("minut-12-cleaners", "12"),
        ("MINUT-Elm Street/4-Cleaners", "elm street/4"),
        ("minut-a-cleaners-cleaners", "a-cleaners"),
        ("minut--cleaners", None),
        ("minut-cleaners", None),
        ("minut-12-cleaners ", None),
        ("x-minut-12-cleaners", None),
        ("minut-12-owners", None),
    ],
)
def test_pattern_captures_what_stands_between(name: str, captured: str | None) -> None:
    assert parse_pattern("Minut-{unit}-cleaners").capture(name) == captured


def test_pattern_has_no_special_characters() -> None:
    pattern = parse_pattern("a.*(b)[{unit}]$")

    assert (pattern.kind, pattern.capture("a.*(b)[7]$")) == ("unit", "7")
    assert pattern.capture("axx(b)[7]$") is None


@pytest.mark.parametrize("name", ["Straße-7", "STRASSE-7", "strasse-7"])
def test_pattern_compares_names_like_everything_else(name: str) -> None:
    assert parse_pattern("strasse-{unit}").capture(name) == "7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "{}",
        "{unit",
        "unit}",
        "{unit}-{unit}",
        "{{unit}}",
        "{unit}}",
        "}{unit",
        "a}{unit}",
        "{u{nit}",
    ],
)
def test_pattern_needs_exactly_one_capture(text: str) -> None:
    with pytest.raises(PatternError, match="needs one kind of scope in braces"):
        parse_pattern(text)


def test_pattern_has_a_limit() -> None:
    with pytest.raises(PatternError, match="has 257 characters, more than 256"):
        parse_pattern("x" * 251 + "{unit}")


@given(st.text("abÄß-", max_size=5), st.text("abÄß7", min_size=1, max_size=5), st.text("abÄß-", max_size=5))
def test_pattern_finds_what_was_put_in(prefix: str, host_id: str, suffix: str) -> None:
    found = parse_pattern(f"{prefix}{{unit}}{suffix}").capture(f"{prefix}{host_id}{suffix}")

    assert found == name_key(host_id)


# Rules


def faults(
    match: Match = CLEANERS,
    role: str = "Member",
    scope_id: str | None = None,
    *,
    scopes: ScopeGraph = MINUT_SCOPES,
    roles: dict[RoleId, Role] | None = None,
    directories: set[DirectoryId] | None = None,
) -> list[tuple[RuleFaultCode, str]]:
    found = check_rule(
        match=match,
        role=RoleId(role),
        scope_id=None if scope_id is None else ScopeId(scope_id),
        catalogue=MINUT,
        roles=roles_of(MINUT, switches={}) if roles is None else roles,
        scopes=scopes,
        groups={GroupId("a")},
        directories=directories,
    )
    return [(fault.code, str(fault)) for fault in found]


@pytest.mark.parametrize(
    ("match", "role", "scope_id"),
    [
        (by_group("a"), "Admin", "root"),
        (by_group("a"), "auditor", "root"),
        (by_filter("title pr"), "Member", "north"),
        (CLEANERS, "Operator", None),
    ],
)
def test_good_rule_has_no_faults(match: Match, role: str, scope_id: str | None) -> None:
    assert faults(match, role, scope_id) == []
    assert faults(match, role, scope_id, directories={HQ}) == []


@pytest.mark.parametrize(
    ("match", "role", "scope_id", "code", "text"),
    [
        (by_group("a"), "owner", "u1", RuleFaultCode.ROLE_RESERVED, "nobody becomes owner by a rule"),
        (by_group("a"), "Owner", "u1", RuleFaultCode.ROLE_RESERVED, "nobody becomes Owner by a rule"),
        (by_group("a"), "Chief", "u1", RuleFaultCode.ROLE_UNKNOWN, "there is no role 'Chief'"),
        (by_group("a"), "Member", None, RuleFaultCode.SCOPE_MISSING, "does not say at which scope"),
        (by_group("a"), "Member", "gone", RuleFaultCode.SCOPE_UNKNOWN, "there is no scope 'gone'"),
        (by_group("a"), "auditor", "u1", RuleFaultCode.KIND_REFUSED, "it can at organisation"),
        (by_group("b"), "Member", "u1", RuleFaultCode.GROUP_UNKNOWN, "there is no group 'b'"),
        (CLEANERS, "Member", "u1", RuleFaultCode.SCOPE_NOT_WANTED, "cannot have another one"),
        (by_name("cleaners"), "Member", None, RuleFaultCode.PATTERN_INVALID, "needs one kind of scope"),
        (by_name("{room}"), "Member", None, RuleFaultCode.KIND_UNKNOWN, "there is no scope kind 'room'"),
        (by_name("{organisation}"), "Member", None, RuleFaultCode.KIND_REFUSED, "name the scope instead"),
        (by_name("{unit}"), "auditor", None, RuleFaultCode.KIND_REFUSED, "scope of kind unit"),
        (by_filter("title"), "Member", "u1", RuleFaultCode.FILTER_INVALID, "the filter does not parse"),
    ],
)
def test_impossible_rule_is_refused_with_its_reason(
    match: Match, role: str, scope_id: str | None, code: RuleFaultCode, text: str
) -> None:
    ((found, reason),) = faults(match, role, scope_id)

    assert found is code
    assert text in reason


def test_all_faults_of_a_rule_come_together() -> None:
    found = faults(by_filter("title", directory_id="other"), "Chief", "gone", directories={HQ})

    assert [code for code, _ in found] == [
        RuleFaultCode.ROLE_UNKNOWN,
        RuleFaultCode.SCOPE_UNKNOWN,
        RuleFaultCode.DIRECTORY_UNKNOWN,
        RuleFaultCode.FILTER_INVALID,
    ]


def test_pattern_of_an_unknown_directory_is_refused() -> None:
    ((code, _),) = faults(by_name("{unit}", directory_id="other"), directories={HQ})

    assert code is RuleFaultCode.DIRECTORY_UNKNOWN


def test_kind_that_has_no_node_yet_is_refused() -> None:
    ((code, text),) = faults(by_name("{unit}"), scopes=ScopeGraph([scope("root", "organisation")], ROOT))

    assert code is RuleFaultCode.KIND_NOT_CONFIGURED
    assert text == "the organisation has no unit yet; add one before a rule names the kind"


def test_scope_that_does_not_reach_the_organisation_is_refused() -> None:
    scopes = ScopeGraph([*MINUT_SCOPES.nodes(), scope("lost", "unit", "gone")], ROOT)

    ((code, _),) = faults(by_group("a"), "Member", "lost", scopes=scopes)
    assert code is RuleFaultCode.SCOPE_DETACHED


def test_scope_of_a_kind_that_the_catalogue_lost_is_refused() -> None:
    scopes = ScopeGraph([*MINUT_SCOPES.nodes(), scope("odd", "room", "root")], ROOT)

    ((code, _),) = faults(by_group("a"), "Member", "odd", scopes=scopes)
    assert code is RuleFaultCode.KIND_UNKNOWN


def test_role_with_billing_is_refused_however_it_came_about() -> None:
    billing = Role(RoleId("Payer"), "Payer", 1, ("organisation",), {"billing.manage": None})

    ((code, text),) = faults(by_group("a"), "Payer", "root", roles={billing.id: billing})
    assert code is RuleFaultCode.ROLE_RESERVED
    assert "billing.manage, which belongs to the owner" in text


# Default roles


@pytest.mark.parametrize(
    ("role", "code"),
    [
        ("owner", RuleFaultCode.ROLE_RESERVED),
        ("Chief", RuleFaultCode.ROLE_UNKNOWN),
        ("Admin", RuleFaultCode.ROLE_RESERVED),
        ("auditor", RuleFaultCode.ROLE_RESERVED),
        ("unit-only", RuleFaultCode.KIND_REFUSED),
    ],
)
def test_default_role_must_be_an_ordinary_one(role: str, code: RuleFaultCode) -> None:
    unit_only = Role(RoleId("unit-only"), "", 1, ("unit",), {"tasks.view": None})
    roles = roles_of(MINUT, switches={}, custom=[unit_only])

    assert [fault.code for fault in check_default_role(RoleId(role), catalogue=MINUT, roles=roles)] == [code]


def test_default_of_the_catalogue_may_be_a_default() -> None:
    assert check_default_role(MEMBER, catalogue=MINIKAI, roles=roles_of(MINIKAI, switches={})) == []
