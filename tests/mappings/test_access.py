import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.ids import GroupId, OverrideId, RoleId, RuleId, ScopeId
from mappings.access import LAST_PRIORITY, NO_ACCESS, AccessModel, LinkedUser, headline
from mappings.catalogue import Resolution, Role
from mappings.rules import Provenance, Rule, RuleFaultCode, Source
from mappings.scopes import ScopeGraph
from tests.mappings.builders import (
    MINIKAI,
    MINIKAI_SCOPES,
    MINUT_SCOPES,
    NOW,
    ROOT,
    by_filter,
    by_name,
    group,
    held,
    member,
    model,
    override,
    resolve,
    rule,
    scope,
    user,
)

ENGINEERS = by_filter('department eq "Engineering"')


def priority_model(*rules: Rule) -> AccessModel:
    return model(*rules, catalogue=MINIKAI, scopes=MINIKAI_SCOPES, resolution=Resolution.PRIORITY)


# Rules on groups


def test_rule_grants_its_role_at_its_scope() -> None:
    access = resolve(model(rule("r1", "a", "Member", "u1", priority=7)), member(user("a")))

    (grant,) = access.grants
    assert grant.pair == ("Member", "u1")
    assert grant.provenance == Provenance(Source.RULE, RuleId("r1"), 2, GroupId("a"))
    assert (access.is_active, access.priority, access.rank) == (True, 7, 2)


def test_pairs_are_kept_apart() -> None:
    both = model(rule("r1", "a", "Admin", "u1"), rule("r2", "b", "Operator", "u2"))

    assert held(both, member(user("a", "b"))) == [("Admin", "u1"), ("Operator", "u2")]


def test_rule_on_a_group_reaches_the_members_of_nested_groups() -> None:
    nested = model(
        rule("r1", "top", "Member", "u1"),
        groups=[group("top"), group("mid"), group("leaf")],
        nesting=[("top", "mid"), ("mid", "leaf"), ("leaf", "top")],
    )

    (grant,) = resolve(nested, member(user("leaf"))).grants
    assert grant.pair == ("Member", "u1")
    assert grant.provenance.group_id == "leaf"


def test_rule_on_a_group_does_not_reach_the_groups_around_it() -> None:
    nested = model(
        rule("r1", "leaf", "Member", "u1"), groups=[group("top"), group("leaf")], nesting=[("top", "leaf")]
    )

    assert held(nested, member(user("top"))) == []


def test_grants_are_united_over_several_directories() -> None:
    both = model(rule("r1", "a", "Member", "u1"), rule("r2", "b", "Member", "u2"))
    people = member(user("a"), user("b", user_id="second", directory_id="other"))

    assert held(both, people) == [("Member", "u1"), ("Member", "u2")]


def test_inactive_user_gives_nothing() -> None:
    both = model(rule("r1", "a", "Member", "u1"), rule("r2", "b", "Member", "u2"))
    people = member(user("a", active=False), user("b", user_id="second"))

    assert held(both, people) == [("Member", "u2")]


def test_member_without_an_active_user_has_no_access() -> None:
    assert resolve(model(rule("r1", "a", "Member", "u1")), member(user("a", active=False))) == NO_ACCESS


def test_nobody_matched_is_active_without_access() -> None:
    access = resolve(model(rule("r1", "a", "Member", "u1")), member(user()))

    assert (access.is_active, access.grants, access.priority, access.rank) == (True, (), LAST_PRIORITY, 0)


def test_same_pair_twice_is_one_grant_with_the_first_rules_reason() -> None:
    twice = model(
        rule("r3", "a", "Member", "u1", priority=5),
        rule("r2", "b", "Member", "u1", priority=5),
        rule("r1", "a", "Member", "u1", priority=9),
    )

    access = resolve(twice, member(user("a", "b", "a")))
    assert [grant.provenance.rule_id for grant in access.grants] == ["r2"]
    assert access.priority == 5


def test_grants_are_sorted_by_rank_then_scope() -> None:
    several = model(
        rule("r1", "a", "Operator", "u1"), rule("r2", "a", "Admin", "u3"), rule("r3", "a", "Admin", "u2")
    )

    assert held(several, member(user("a"))) == [("Admin", "u2"), ("Admin", "u3"), ("Operator", "u1")]


# Rules on names


def test_name_pattern_takes_the_scope_from_the_group() -> None:
    named = model(
        rule("r1", by_name("minut-{unit}-cleaners"), "Operator"),
        groups=[
            group("a", "Minut-U1-CLEANERS"),
            group("b", "minut-u2-admins"),
            group("c", "minut-u9-cleaners"),
        ],
    )

    assert held(named, member(user("a"))) == [("Operator", "u1")]
    assert held(named, member(user("b"))) == []
    assert held(named, member(user("c"))) == []


def test_name_pattern_is_about_one_directory() -> None:
    named = model(rule("r1", by_name("{unit}", directory_id="other"), "Operator"), groups=[group("a", "u1")])

    assert held(named, member(user("a"))) == []


def test_name_pattern_does_not_reach_a_detached_scope() -> None:
    scopes = ScopeGraph([*MINUT_SCOPES.nodes(), scope("lost", "unit", "gone")], ROOT)
    named = model(rule("r1", by_name("{unit}"), "Operator"), scopes=scopes, groups=[group("a", "lost")])

    assert held(named, member(user("a"))) == []


def test_name_pattern_reaches_nested_groups_at_every_scope_around_them() -> None:
    named = model(
        rule("r1", by_name("{unit}"), "Operator"),
        groups=[group("a", "u1"), group("b", "u2"), group("c")],
        nesting=[("a", "c"), ("b", "c")],
    )

    assert held(named, member(user("c"))) == [("Operator", "u1"), ("Operator", "u2")]


# Rules on attributes


@pytest.mark.parametrize(
    "filter_text",
    [
        'department eq "engineering"',
        'title pr and department eq "ENGINEERING"',
        'department sw "Eng"',
        'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "Engineering"',
    ],
)
@pytest.mark.parametrize("path", ["department", "Department", "department.value"])
def test_filter_matches_whatever_its_form(filter_text: str, path: str) -> None:
    filtered = model(rule("r1", by_filter(filter_text), "Member", "u1"))
    facts = member(user(attributes={path: ("Sales", "Engineering"), "title": ("x",)}))

    (grant,) = resolve(filtered, facts).grants
    assert grant.provenance == Provenance(Source.RULE, RuleId("r1"), 2, None)


def test_filter_does_not_match_other_people() -> None:
    filtered = model(
        rule("r1", ENGINEERS, "Member", "u1"),
        rule("r2", by_filter('department eq "Sales" and title pr'), "Member", "u2"),
        rule("r3", by_filter("not (title pr)"), "Member", "u3"),
        rule("r4", by_filter("title pr"), "Admin", "u3"),
    )

    assert held(filtered, member(user(attributes={"department": ("Sales",)}))) == [("Member", "u3")]
    assert held(filtered, member(user(directory_id="other"))) == []


def test_paths_that_differ_in_case_are_left_to_the_filter() -> None:
    filtered = model(rule("r1", ENGINEERS, "Member", "u1"), rule("r2", by_filter("x pr"), "Member", "u2"))
    facts = member(user(attributes={"department": ("Engineering",), "Department": ("Sales",)}))

    assert held(filtered, facts) == [("Member", "u1")]


def test_filter_that_does_not_parse_grants_nothing() -> None:
    broken = model(rule("r1", by_filter("department eq"), "Member", "u1"))

    assert held(broken, member(user(attributes={"department": ("x",)}))) == []
    assert [fault.code for _, fault in broken.dangling] == [RuleFaultCode.FILTER_INVALID]


# Dangling rules


@pytest.mark.parametrize(
    ("role", "scope_id", "code"),
    [
        ("Member", "gone", RuleFaultCode.SCOPE_UNKNOWN),
        ("gone", "u1", RuleFaultCode.ROLE_UNKNOWN),
        ("auditor", "u1", RuleFaultCode.KIND_REFUSED),
    ],
)
def test_dangling_rule_grants_nothing_and_no_default_takes_its_place(
    role: str, scope_id: str, code: RuleFaultCode
) -> None:
    dangling = model(
        rule("r1", "a", role, scope_id),
        rule("r2", ENGINEERS, role, scope_id),
        default_role="Operator",
    )

    assert held(dangling, member(user("a"))) == []
    assert held(dangling, member(user(attributes={"department": ("Engineering",)}))) == []
    assert [fault.code for _, fault in dangling.dangling] == [code, code]


def test_deleted_group_leaves_the_rule_dangling() -> None:
    dangling = model(rule("r1", "a", "Member", "u1"), groups=[group("b")])

    assert held(dangling, member(user("a"))) == []
    assert [fault.code for _, fault in dangling.dangling] == [RuleFaultCode.GROUP_UNKNOWN]


def test_broken_pattern_leaves_the_rule_dangling() -> None:
    dangling = model(rule("r1", by_name("no capture"), "Member"), groups=[group("a", "no capture")])

    assert held(dangling, member(user("a"))) == []
    assert [fault.code for _, fault in dangling.dangling] == [RuleFaultCode.PATTERN_INVALID]


# Resolution by priority


def test_first_rule_decides_the_role_and_others_of_that_role_add_scopes() -> None:
    ranked = priority_model(
        rule("r1", "a", "Member", "g1", priority=1),
        rule("r2", "b", "Creator", "root", priority=2),
        rule("r3", "c", "Member", "g2", priority=3),
    )

    assert held(ranked, member(user("a", "b", "c"))) == [("Member", "g1"), ("Member", "g2")]
    assert held(ranked, member(user("b", "c"))) == [("Creator", "root")]


def test_equal_priority_is_decided_by_rank_then_rule() -> None:
    ranked = priority_model(
        rule("r1", "a", "Member", "g1"), rule("r2", "a", "Creator", "g1"), rule("r3", "b", "Creator", "g2")
    )

    access = resolve(ranked, member(user("a", "b")))
    assert [grant.pair for grant in access.grants] == [("Creator", "g1"), ("Creator", "g2")]
    assert access.rank == 2


def test_removed_scope_does_not_let_a_greater_role_through() -> None:
    ranked = priority_model(
        rule("r1", "a", "Member", "gone", priority=1), rule("r2", "b", "Admin", "root", priority=2)
    )

    assert held(ranked, member(user("a", "b"))) == []


def test_rule_decides_before_an_invitation() -> None:
    ranked = priority_model(rule("r1", "a", "Member", "g1"))
    facts = member(user("a"), invited=(("Creator", "root"), ("Member", "g2")))

    assert held(ranked, facts) == [("Member", "g1"), ("Member", "g2")]


def test_owner_is_admin_alone_where_everybody_has_one_role() -> None:
    ranked = priority_model(rule("r1", "a", "Member", "g1"))

    assert held(ranked, member(user("a"), is_owner=True)) == [("Admin", "root")]


# Default


def test_default_role_is_for_active_users_whom_no_rule_matches() -> None:
    defaulted = model(rule("r1", "a", "Member", "u1"), default_role="Operator")

    access = resolve(defaulted, member(user()))
    assert [(grant.pair, grant.provenance.source) for grant in access.grants] == [
        (("Operator", ROOT), Source.DEFAULT)
    ]
    assert access.priority == LAST_PRIORITY
    assert held(defaulted, member(user("a"))) == [("Member", "u1")]
    assert held(defaulted, member(user(active=False))) == []
    assert held(defaulted, member(user(directory_id="other"))) == []


@pytest.mark.parametrize("default_role", ["gone", "owner", "Admin", "unit-only"])
def test_default_role_that_cannot_be_one_gives_nothing(default_role: str) -> None:
    unit_only = Role(RoleId("unit-only"), "", 1, ("unit",), {"tasks.view": None})

    assert held(model(default_role=default_role, custom=[unit_only]), member(user())) == []


# Owner, block, override, invitation


def test_owner_is_admin_of_the_organisation_besides_the_rest() -> None:
    owned = model(rule("r1", "a", "Operator", "u1"), rule("r2", "a", "Admin", "root"))

    access = resolve(owned, member(user("a"), is_owner=True))
    assert [(grant.pair, grant.provenance.source) for grant in access.grants] == [
        (("Admin", ROOT), Source.OWNER),
        (("Operator", "u1"), Source.RULE),
    ]
    assert access.priority == 0


def test_owner_needs_no_directory() -> None:
    assert held(model(), member(user(active=False), is_owner=True)) == [("Admin", "root")]
    assert held(model(), member(is_owner=True)) == [("Admin", "root")]


def test_block_beats_everything() -> None:
    blocked = member(
        user("a"),
        is_blocked=True,
        is_owner=True,
        invited=(("Member", "u2"),),
        override=override(("Admin", "root")),
    )

    assert resolve(model(rule("r1", "a", "Member", "u1")), blocked) == NO_ACCESS


def test_override_stands_in_place_of_directories_and_invitations() -> None:
    overridden = member(user("a"), invited=(("Member", "u2"),), override=override(("Operator", "u3")))

    access = resolve(model(rule("r1", "a", "Member", "u1")), overridden)
    (grant,) = access.grants
    assert grant.pair == ("Operator", "u3")
    assert grant.provenance == Provenance(Source.OVERRIDE, override_id=OverrideId("ov"))
    assert access.priority == 0


def test_override_may_give_nothing() -> None:
    assert held(model(rule("r1", "a", "Member", "u1")), member(user("a"), override=override())) == []


def test_override_does_not_touch_the_owners_grant() -> None:
    assert held(model(), member(is_owner=True, override=override(("Operator", "u1")))) == [
        ("Admin", "root"),
        ("Operator", "u1"),
    ]


def test_override_gives_several_roles_even_by_priority() -> None:
    overridden = member(user(), override=override(("Member", "g1"), ("Creator", "g2")))

    assert held(priority_model(), overridden) == [("Creator", "g2"), ("Member", "g1")]


def test_override_that_ends_now_is_over() -> None:
    ended = member(user("a"), override=override(("Operator", "u3"), ends_at=NOW))

    assert held(model(rule("r1", "a", "Member", "u1")), ended) == [("Member", "u1")]


def test_override_does_not_activate() -> None:
    assert resolve(model(), member(user(active=False), override=override(("Member", "u1")))) == NO_ACCESS


def test_override_to_what_is_gone_grants_nothing() -> None:
    gone = override(("gone", "u1"), ("Member", "gone"), ("auditor", "u1"))

    assert held(model(), member(user(), override=gone)) == []


def test_accepted_invitation_counts_without_a_directory() -> None:
    access = resolve(model(), member(invited=(("Member", "u1"),)))

    assert access.is_active
    assert [(grant.pair, grant.provenance.source) for grant in access.grants] == [
        (("Member", "u1"), Source.INVITATION)
    ]


# The model


def test_rules_of_a_group_name_the_scopes_they_lead_to() -> None:
    several = model(
        rule("r2", "top", "Member", "u1"),
        rule("r1", "leaf", "Member", "gone"),
        rule("r0", by_name("x-{unit}"), "Operator"),
        groups=[group("top"), group("leaf", "x-u2")],
        nesting=[("top", "leaf")],
    )

    assert [(found.rule_id, scope_id) for found, scope_id in several.rules_of_group(GroupId("leaf"))] == [
        ("r1", None),
        ("r2", "u1"),
        ("r0", "u2"),
    ]
    assert several.rules_of_group(GroupId("nowhere")) == ()


def test_group_has_rules_when_one_reaches_it_through_nesting() -> None:
    nested = model(
        rule("r1", "top", "Member", "u1"),
        groups=[group("top"), group("leaf"), group("other")],
        nesting=[("top", "leaf")],
    )

    assert nested.groups_with_rules() == {"top", "leaf"}
    assert nested.has_rules(GroupId("leaf"))
    assert not nested.has_rules(GroupId("other"))


def test_groups_of_a_rule_are_the_ones_it_names() -> None:
    named = rule("r1", by_name("{unit}"), "Operator")
    filtered = rule("r2", ENGINEERS, "Operator", "u1")
    grouped = rule("r3", "c", "Operator", "u1")
    several = model(
        named,
        filtered,
        grouped,
        groups=[group("b", "u9"), group("a", "u1"), group("c")],
        nesting=[("a", "d")],
    )

    assert several.groups_of_rule(named) == (("a", "u1"), ("b", None), ("c", None))
    assert several.groups_of_rule(filtered) == ()
    assert several.groups_of_rule(grouped) == (("c", "u1"),)


def test_rules_matching_users_are_found_whether_or_not_they_grant() -> None:
    several = model(rule("r1", "a", "Member", "gone"), rule("r2", ENGINEERS, "Member", "u1"))
    people = [user("a", "a", active=False), user(attributes={"department": ("Engineering",)})]

    assert [found.rule_id for found in several.rules_matching(people)] == ["r1", "r2"]
    assert several.rule("r1") in several.rules
    assert several.rule("r9") is None


# Headline


@pytest.mark.parametrize(
    ("invited", "shown"),
    [
        ((), None),
        ((("Member", "u1"),), ("Member", "unit")),
        ((("Member", "u1"), ("Member", "u2")), ("Member", "unit")),
        ((("Member", "u1"), ("Member", "tower")), ("Member", "mixed")),
        ((("Operator", "u1"), ("Admin", "u2")), ("Admin", "mixed")),
        ((("Operator", "root"),), ("Operator", "organisation")),
    ],
)
def test_headline_shows_one_role_and_kind_only_where_all_agree(
    invited: tuple[tuple[str, str], ...], shown: tuple[str, str] | None
) -> None:
    invitations = model()
    access = resolve(invitations, member(invited=invited))

    assert headline(access, invitations.roles, MINUT_SCOPES) == shown


def test_headline_survives_roles_that_are_gone() -> None:
    invitations = model()
    access = resolve(invitations, member(invited=(("Operator", "u1"), ("Admin", "u2"))))

    assert headline(access, {}, ScopeGraph([], ROOT)) == ("Admin", "mixed")


# Properties

ROLES = ("Admin", "Member", "Operator")
SCOPES = ("root", "north", "tower", "u1", "u2", "u3", "gone")
GROUPS = tuple("abcdef")

rule_lists = st.lists(
    st.tuples(st.sampled_from(GROUPS), st.sampled_from(ROLES), st.sampled_from(SCOPES), st.integers(1, 3)),
    max_size=8,
)
nestings = st.lists(st.tuples(st.sampled_from(GROUPS), st.sampled_from(GROUPS)), max_size=6)
memberships = st.lists(st.sampled_from(GROUPS), max_size=5)


def drawn_model(
    rules: list[tuple[str, str, str, int]], nesting: list[tuple[str, str]], resolution: Resolution
) -> AccessModel:
    return model(
        *(
            rule(f"r{number}", group_id, role, scope_id, priority=priority)
            for number, (group_id, role, scope_id, priority) in enumerate(rules)
        ),
        groups=[group(group_id) for group_id in GROUPS],
        nesting=nesting,
        resolution=resolution,
    )


@given(rule_lists, nestings, memberships, st.sampled_from(GROUPS))
def test_adding_a_group_never_removes_a_grant_under_union(
    rules: list[tuple[str, str, str, int]],
    nesting: list[tuple[str, str]],
    groups: list[str],
    added: str,
) -> None:
    drawn = drawn_model(rules, nesting, Resolution.UNION)

    assert set(held(drawn, member(user(*groups)))) <= set(held(drawn, member(user(*groups, added))))


@given(rule_lists, nestings, memberships, memberships, st.sampled_from(Resolution))
def test_order_of_groups_and_users_does_not_matter(
    rules: list[tuple[str, str, str, int]],
    nesting: list[tuple[str, str]],
    groups: list[str],
    others: list[str],
    resolution: Resolution,
) -> None:
    drawn = drawn_model(rules, nesting, resolution)
    users: list[LinkedUser] = [user(*groups), user(*others, user_id="second")]
    turned = [user(*reversed(others), user_id="second"), user(*reversed(groups))]

    assert resolve(drawn, member(*users)) == resolve(drawn, member(*turned))


@given(rule_lists, memberships, st.sampled_from(Resolution))
def test_every_pair_held_is_the_pair_of_one_rule(
    rules: list[tuple[str, str, str, int]], groups: list[str], resolution: Resolution
) -> None:
    drawn = drawn_model(rules, [], resolution)

    given_pairs = {(role, scope_id) for group_id, role, scope_id, _ in rules if group_id in groups}
    assert set(held(drawn, member(user(*groups)))) <= given_pairs


@given(rule_lists, memberships)
def test_priority_gives_one_role(rules: list[tuple[str, str, str, int]], groups: list[str]) -> None:
    drawn = drawn_model(rules, [], Resolution.PRIORITY)

    assert len({role for role, _ in held(drawn, member(user(*groups)))}) <= 1


def test_admin_here_and_operator_there_is_never_admin_there() -> None:
    for here, there in itertools.permutations(("north", "tower", "u1", "u2", "u3"), 2):
        both = model(rule("r1", "a", "Admin", here), rule("r2", "b", "Operator", there))

        grants = resolve(both, member(user("a", "b"))).grants
        assert (RoleId("Admin"), ScopeId(there)) not in {grant.pair for grant in grants}
