from datetime import UTC, datetime

import pytest

from directory.ids import ScopeId
from mappings.access import AccessModel, MemberFacts, resolve_access
from mappings.catalogue import Resolution
from mappings.explain import (
    AnswerStep,
    Explanation,
    GrantStep,
    GroupStep,
    HeldStep,
    Obstacle,
    ObstacleStep,
    RuleStep,
    explain,
)
from mappings.rules import Rule
from tests.mappings.builders import (
    MINIKAI,
    MINIKAI_SCOPES,
    NOW,
    by_filter,
    by_name,
    group,
    member,
    model,
    override,
    rule,
    user,
)

ENGINEERS = by_filter('department eq "Engineering"')


def why(
    found: AccessModel, facts: MemberFacts, permission: str, resource: str, *, is_waiting: bool = False
) -> Explanation:
    return explain(
        found, facts, permission, ScopeId(resource), now=NOW, access_version=5, is_waiting=is_waiting
    )


def obstacles(explanation: Explanation) -> list[Obstacle]:
    return [step.obstacle for step in explanation.steps if isinstance(step, ObstacleStep)]


def by_priority(*rules: Rule) -> AccessModel:
    return model(*rules, catalogue=MINIKAI, scopes=MINIKAI_SCOPES, resolution=Resolution.PRIORITY)


# Yes


def test_yes_walks_from_the_grant_to_the_group() -> None:
    explanation = why(model(rule("r1", "a", "Member", "tower")), member(user("a")), "devices.add", "u1")

    assert explanation.decision.allowed
    assert explanation.decision.access_version == 5
    assert [type(step) for step in explanation.steps] == [AnswerStep, GrantStep, RuleStep, GroupStep]
    assert explanation.sentences == (
        "Allowed: 'Add a device' (devices.add) at unit 'U1'.",
        "The member holds Member at building 'Tower', by rule r1 version 2.",
        "Rule r1 version 2, written by ann@example.org on 2026-01-02, gives Member to the group 'A'.",
        "The directory user user is in 'A'.",
    )


def test_yes_by_a_grant_that_is_kept_says_that_its_loss_is_held() -> None:
    found = model(rule("r1", "a", "Member", "tower"))
    kept = resolve_access(found, member(user("a")), now=NOW).grants

    explanation = explain(
        found, member(user()), "devices.add", ScopeId("u1"), now=NOW, access_version=5, held=kept
    )

    assert explanation.decision.allowed
    assert [type(step) for step in explanation.steps] == [AnswerStep, GrantStep, HeldStep]
    assert "that change is held" in explanation.sentences[-1]


def test_yes_by_what_the_facts_give_speaks_of_no_change_that_is_held() -> None:
    found = model(rule("r1", "a", "Member", "tower"))
    kept = resolve_access(found, member(user("a")), now=NOW).grants

    explanation = explain(
        found, member(user("a")), "devices.add", ScopeId("u1"), now=NOW, access_version=5, held=kept
    )

    assert [type(step) for step in explanation.steps] == [AnswerStep, GrantStep, RuleStep, GroupStep]


def test_yes_shows_the_shortest_nesting() -> None:
    nested = model(
        rule("r1", "top", "Member", "u1"),
        groups=[group("top"), group("mid"), group("leaf"), group("long")],
        nesting=[("top", "mid"), ("mid", "leaf"), ("mid", "long"), ("long", "leaf")],
    )

    step = why(nested, member(user("leaf", user_id="ldap-7")), "devices.add", "u1").steps[-1]
    assert isinstance(step, GroupStep)
    assert (step.path, step.user_id) == (("top", "mid", "leaf"), "ldap-7")
    assert step.text == "The directory user ldap-7 is in 'Leaf', which is in 'Mid', which is in 'Top'."


def test_yes_through_a_name_shows_the_group_that_leads_to_the_scope() -> None:
    named = model(
        rule("r1", by_name("unit {unit}"), "Operator"),
        groups=[group("a", "Unit U1"), group("b", "Unit U2"), group("c", "Staff")],
        nesting=[("a", "c"), ("b", "c")],
    )

    explanation = why(named, member(user("c")), "rental_units.view_address", "u2")
    assert explanation.sentences[2].endswith("gives Operator to groups named like 'unit {unit}'.")
    assert explanation.sentences[3] == "The directory user user is in 'Staff', which is in 'Unit U2'."


def test_yes_through_an_attribute_has_no_group() -> None:
    filtered = model(rule("r1", ENGINEERS, "Member", "u1"))
    facts = member(user(attributes={"department": ("Engineering",)}))

    explanation = why(filtered, facts, "devices.add", "u1")
    assert [type(step) for step in explanation.steps] == [AnswerStep, GrantStep, RuleStep]
    assert explanation.sentences[2].endswith(
        "gives Member to whoever satisfies 'department eq \"Engineering\"'."
    )


def test_yes_under_a_condition_says_who_checks() -> None:
    explanation = why(model(), member(invited=(("Operator", "u1"),)), "tasks.view", "u1")

    assert explanation.sentences == (
        "Allowed: 'View tasks' (tasks.view) at unit 'U1', if the task is assigned to the person; "
        "the host checks that.",
        "The member holds Operator at unit 'U1', by an accepted invitation.",
    )


@pytest.mark.parametrize(
    ("facts", "basis"),
    [
        (member(is_owner=True), "as the owner of the organisation"),
        (
            member(user(), override=override(("Admin", "root"), ends_at=datetime(2026, 4, 1, tzinfo=UTC))),
            "by an administrator's override until 2026-04-01 00:00 UTC",
        ),
    ],
)
def test_yes_without_a_rule_says_what_it_rests_on(facts: MemberFacts, basis: str) -> None:
    explanation = why(model(), facts, "stays.add", "u1")

    assert explanation.sentences[1:] == (f"The member holds Admin at organisation 'Root', {basis}.",)


def test_yes_by_default_says_so() -> None:
    explanation = why(model(default_role="Member"), member(user()), "devices.add", "u1")

    assert "as the default of the directory, because no rule matches" in explanation.sentences[1]


def test_yes_for_billing_is_ownership() -> None:
    explanation = why(model(), member(is_owner=True), "billing.manage", "root")

    assert explanation.sentences == (
        "Allowed: 'Manage billing and the plan' (billing.manage) belongs to the owner of the organisation, "
        "who this is.",
    )


# No, whoever asks


def test_no_for_an_unknown_permission() -> None:
    explanation = why(model(), member(user()), "gone.gone", "u1")

    assert explanation.sentences == ("Denied: Minut has no permission 'gone.gone'.",)


def test_no_for_an_unknown_resource() -> None:
    explanation = why(model(), member(user()), "stays.add", "u9")

    assert explanation.sentences == ("Denied: the organisation has no scope 'u9' that it can reach.",)


def test_no_for_billing_says_that_no_role_has_it() -> None:
    explanation = why(model(), member(invited=(("Admin", "root"),)), "billing.manage", "root")

    assert obstacles(explanation) == [Obstacle.NEEDS_OWNER]
    assert "no role and no rule gives it" in explanation.sentences[1]


# No, for what the person is


@pytest.mark.parametrize(
    ("facts", "is_waiting", "obstacle", "text"),
    [
        (member(user("a"), is_blocked=True), False, Obstacle.BLOCKED, "The member is blocked"),
        (
            member(user("a", active=False)),
            False,
            Obstacle.INACTIVE,
            "No directory says that the person is active",
        ),
        (member(user("a")), True, Obstacle.WAITING_FOR_SEAT, "The member waits for a seat"),
        (
            member(user("a"), override=override()),
            False,
            Obstacle.OVERRIDDEN,
            "An administrator's override stands",
        ),
    ],
)
def test_no_names_the_one_thing_in_the_way(
    facts: MemberFacts, is_waiting: bool, obstacle: Obstacle, text: str
) -> None:
    granting = model(rule("r1", "a", "Member", "u1"))

    explanation = why(granting, facts, "devices.add", "u1", is_waiting=is_waiting)
    answer, step = explanation.steps
    assert isinstance(step, ObstacleStep)
    assert not explanation.decision.allowed
    assert answer.text == "Denied: 'Add a device' (devices.add) at unit 'U1'."
    assert (step.obstacle, step.pair) == (obstacle, ("Member", "u1"))
    assert step.text.startswith(text)


def test_no_names_all_things_that_must_change_and_no_other() -> None:
    granting = model(rule("r1", "a", "Member", "u1"))
    facts = member(user("a", active=False), is_blocked=True, override=override(("Member", "u1")))

    found = obstacles(why(granting, facts, "devices.add", "u1", is_waiting=True))
    assert found == [Obstacle.BLOCKED, Obstacle.INACTIVE, Obstacle.WAITING_FOR_SEAT]


@pytest.mark.parametrize(
    ("scope_id", "decided"), [("g1", "Member, by rule r1 version 2"), ("gone", "one that grants nothing now")]
)
def test_no_names_the_rule_that_decided_another_role(scope_id: str, decided: str) -> None:
    ranked = by_priority(
        rule("r1", "a", "Member", scope_id, priority=1), rule("r2", "a", "Creator", "root", priority=2)
    )

    explanation = why(ranked, member(user("a")), "minis.create", "m1")
    assert obstacles(explanation) == [Obstacle.OUTRANKED]
    assert explanation.sentences[1] == f"A rule that comes first decides another role: {decided}."


# No, for what the rules are


def test_no_for_the_wrong_scope_names_the_nearest_grant() -> None:
    granting = model(rule("r1", "a", "Member", "u3"), rule("r2", "a", "Member", "u2"))

    explanation = why(granting, member(user("a")), "devices.add", "u1")
    _, step = explanation.steps
    assert isinstance(step, ObstacleStep)
    assert (step.obstacle, step.pair) == (Obstacle.WRONG_SCOPE, ("Member", "u2"))
    assert step.text == (
        "Member at unit 'U2' has 'Add a device' (devices.add), but does not cover unit 'U1'."
    )


@pytest.mark.parametrize("resource", ["u1", "root"])
def test_no_for_an_admin_of_a_unit_names_the_organisation(resource: str) -> None:
    explanation = why(model(rule("r1", "a", "Admin", "u1")), member(user("a")), "members.invite", resource)

    assert obstacles(explanation) == [Obstacle.NEEDS_ORGANISATION]
    assert explanation.sentences[1] == (
        "Admin at unit 'U1' has 'Invite members' (members.invite), which needs a grant at the organisation (B-R2)."
    )


def test_no_for_a_lesser_role_names_it() -> None:
    explanation = why(model(rule("r1", "a", "Operator", "u1")), member(user("a")), "devices.add", "u1")

    assert obstacles(explanation) == [Obstacle.ROLE_LACKS_PERMISSION]
    assert explanation.sentences[1] == (
        "Operator at unit 'U1' covers it, but the role has no 'Add a device' (devices.add)."
    )


def test_no_names_the_rules_that_would_allow_it() -> None:
    several = model(
        rule("r4", "a", "Member", "u1", priority=1),
        rule("r3", ENGINEERS, "Admin", "root"),
        rule("r2", by_name("{unit}"), "Member"),
        rule("r1", "a", "Operator", "u1"),
        rule("r0", "a", "Member", "u2"),
        rule("r5", "b", "Member", "u1", priority=900),
        groups=[group("a"), group("b"), group("c", "u9"), group("d", "u3"), group("e", "u1")],
    )

    explanation = why(several, member(user()), "devices.add", "u1")
    steps = [step for step in explanation.steps if isinstance(step, ObstacleStep)]
    assert [(step.rule_id, step.pair) for step in steps] == [
        ("r4", ("Member", "u1")),
        ("r2", ("Member", "u1")),
        ("r3", ("Admin", "root")),
    ]
    assert explanation.sentences[1:] == (
        "Rule r4 version 2 would give Member at unit 'U1', but the person is not in the group 'A'.",
        "Rule r2 version 2 would give Member at unit 'U1', but the person is not in the group 'u1'.",
        "Rule r3 version 2 would give Admin at organisation 'Root', but the person does not satisfy "
        "'department eq \"Engineering\"'.",
    )


@pytest.mark.parametrize(
    ("role", "found"),
    [
        ("Member", [Obstacle.RULE_DANGLING]),
        ("Chief", [Obstacle.RULE_DANGLING]),
        ("Operator", [Obstacle.NO_RULE]),
    ],
)
def test_no_names_the_dangling_rule_that_matches(role: str, found: list[Obstacle]) -> None:
    explanation = why(model(rule("r1", "a", role, "gone")), member(user("a")), "devices.add", "u1")

    assert obstacles(explanation) == found


def test_no_leaves_out_a_dangling_rule_that_does_not_match() -> None:
    dangling = model(rule("r1", ENGINEERS, "Member", "gone"))

    assert obstacles(why(dangling, member(user()), "devices.add", "u1")) == [Obstacle.NO_RULE]


def test_no_without_any_rule_says_so() -> None:
    explanation = why(model(), member(user()), "devices.add", "u1")

    assert explanation.sentences[1] == (
        "No rule gives a role with 'Add a device' (devices.add) at unit 'U1'."
    )


def test_no_for_somebody_inactive_whom_no_rule_matches_says_both() -> None:
    explanation = why(
        model(rule("r1", "a", "Member", "u1")),
        member(user(active=False), is_blocked=True),
        "devices.add",
        "u1",
    )

    assert obstacles(explanation) == [Obstacle.BLOCKED, Obstacle.INACTIVE, Obstacle.NOT_MATCHED]


def test_no_for_a_deleted_group_finds_no_rule() -> None:
    deleted = model(rule("r1", "a", "Member", "u1"), groups=[group("b")])

    assert obstacles(why(deleted, member(user("a")), "devices.add", "u1")) == [Obstacle.NO_RULE]
