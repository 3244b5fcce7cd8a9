import pytest

from directory.ids import GroupId, RoleId, RuleId
from mappings.access import AccessModel
from mappings.catalogue import Resolution, Role
from mappings.lint import Finding, FindingKind, Severity, lint_rules
from mappings.rules import Rule
from tests.mappings.builders import (
    MINIKAI,
    MINIKAI_SCOPES,
    by_filter,
    by_name,
    group,
    model,
    rule,
)

ENGINEERS = by_filter('department eq "Engineering"')


def lint(
    found: AccessModel,
    counts: dict[str, int] | None = None,
    *,
    people: int = 100,
    matched: dict[str, int] | None = None,
) -> list[Finding]:
    counted = dict.fromkeys(found.groups, 1) if counts is None else {GroupId(k): n for k, n in counts.items()}
    by_rule = None if matched is None else {RuleId(rule_id): count for rule_id, count in matched.items()}
    return list(lint_rules(found, people_in_group=counted, people=people, matched_people=by_rule))


def kinds(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.rule_id, finding.kind, finding.severity) for finding in findings]


def by_priority(*rules: Rule) -> AccessModel:
    return model(*rules, catalogue=MINIKAI, scopes=MINIKAI_SCOPES, resolution=Resolution.PRIORITY)


def test_good_rules_have_no_findings() -> None:
    good = model(
        rule("r1", "a", "Member", "u1"),
        rule("r2", "b", "Operator", "u1"),
        rule("r3", ENGINEERS, "Member", "u2"),
        rule("r4", by_name("{unit}"), "Operator"),
        groups=[group("a"), group("b"), group("c", "u2")],
    )

    assert lint(good, matched={"r3": 1}) == []


# Dead


def test_rule_on_an_empty_group_is_dead() -> None:
    (finding,) = lint(model(rule("r1", "a", "Member", "u1")), {})

    assert (finding.kind, finding.severity) == (FindingKind.DEAD, Severity.NOTICE)
    assert finding.text == "rule r1 version 2 matches nobody: nobody is in the group 'A'"


def test_people_in_nested_groups_keep_a_rule_alive() -> None:
    nested = model(
        rule("r1", "top", "Member", "u1"), groups=[group("top"), group("leaf")], nesting=[("top", "leaf")]
    )

    assert lint(nested, {"leaf": 1}) == []


@pytest.mark.parametrize(("name", "count"), [("u9", 3), ("u1", 0), ("other", 3)])
def test_pattern_that_leads_nobody_anywhere_is_dead(name: str, count: int) -> None:
    named = model(rule("r1", by_name("{unit}"), "Member"), groups=[group("a", name)])

    assert kinds(lint(named, {"a": count})) == [("r1", "dead", "notice")]


def test_filter_that_nobody_satisfies_is_dead_when_that_is_known() -> None:
    filtered = model(rule("r1", ENGINEERS, "Member", "u1"))

    assert lint(filtered) == []
    assert [finding.text for finding in lint(filtered, matched={"r1": 0})] == [
        "rule r1 version 2 matches nobody: nobody satisfies 'department eq \"Engineering\"'"
    ]


# Dangling


def test_dangling_rule_is_an_error_and_nothing_else() -> None:
    (finding,) = lint(model(rule("r1", "a", "Admin", "gone")), {})

    assert (finding.kind, finding.severity) == (FindingKind.DANGLING, Severity.ERROR)
    assert finding.text.startswith("rule r1 version 2 grants nothing: there is no scope 'gone'")


# Escalating


def test_administrators_by_name_or_attribute_are_a_warning() -> None:
    risky = model(
        rule("r1", by_name("admins-{unit}"), "Admin"),
        rule("r2", ENGINEERS, "Admin", "root"),
        groups=[group("a", "admins-u1")],
    )

    findings = lint(risky)
    assert kinds(findings) == [("r1", "escalating", "warning"), ("r2", "escalating", "warning")]
    assert "whoever is in a group named like 'admins-{unit}'" in findings[0].text
    assert "whoever satisfies" in findings[1].text


@pytest.mark.parametrize(
    ("count", "people", "severity"),
    [(60, 100, "warning"), (10, 20, "warning"), (10, 21, "notice"), (9, 9, "notice")],
)
def test_administrators_of_everyones_group_are_a_warning(count: int, people: int, severity: str) -> None:
    findings = lint(model(rule("r1", "a", "Admin", "root")), {"a": count}, people=people)

    assert kinds(findings) == [("r1", "escalating", severity)]


def test_custom_role_that_assigns_roles_is_an_administrator_too() -> None:
    helper = Role(RoleId("Helper"), "", 1, ("organisation",), {"members.change": None})
    findings = lint(model(rule("r1", "a", "Helper", "root"), custom=[helper]))

    assert kinds(findings) == [("r1", "escalating", "notice")]


# Shadowed, where grants are united


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (("Member", "u1"), ("Member", "u1")),
        (("Member", "u1"), ("Member", "tower")),
        (("Operator", "u1"), ("Member", "u1")),
        (("Operator", "u1"), ("Operator", "root")),
    ],
)
def test_rule_is_shadowed_by_one_that_gives_as_much(narrow: tuple[str, str], wide: tuple[str, str]) -> None:
    findings = lint(model(rule("r2", "a", *narrow), rule("r1", "a", *wide)))

    assert kinds(findings) == [("r2", "shadowed", "notice")]
    assert findings[0].others == ("r1",)
    assert "rule r1 version 2 gives the same people as much or more" in findings[0].text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Member", "u1"), ("Member", "u2")),
        (("Member", "u1"), ("Operator", "root")),
        (("Operator", "tower"), ("Member", "u1")),
    ],
)
def test_rules_that_each_give_something_are_not_shadowed(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert lint(model(rule("r1", "a", *one), rule("r2", "a", *other))) == []


def test_rule_on_a_nested_group_is_shadowed_by_the_one_around() -> None:
    nested = model(
        rule("r1", "leaf", "Member", "u1"),
        rule("r2", "top", "Member", "tower"),
        groups=[group("top"), group("leaf")],
        nesting=[("top", "leaf")],
    )

    assert kinds(lint(nested)) == [("r1", "shadowed", "notice")]


def test_condition_that_only_the_wide_scope_leaves_open_keeps_the_narrow_rule() -> None:
    both = model(
        rule("r1", "a", "Member", "g1"),
        rule("r2", "a", "Member", "root"),
        catalogue=MINIKAI,
        scopes=MINIKAI_SCOPES,
    )

    assert lint(both) == []


def test_same_filter_in_other_words_is_the_same_people() -> None:
    filtered = model(
        rule("r1", by_filter('(title eq "x")'), "Member", "u1"),
        rule("r2", by_filter('title   EQ "x"'), "Member", "tower"),
        rule("r3", by_filter('title eq "y"'), "Member", "root"),
        rule("r4", by_filter('title eq "x"', directory_id="other"), "Member", "root"),
        rule("r5", "a", "Member", "root"),
    )

    assert kinds(lint(filtered)) == [("r1", "shadowed", "notice")]


def test_dangling_rule_shadows_nothing() -> None:
    several = model(
        rule("r1", by_filter("title pr"), "Member", "u1"),
        rule("r2", by_filter("title pr"), "gone", "u1"),
        rule("r3", by_filter("title"), "Member", "u1"),
        rule("r4", "a", "Member", "u1"),
        rule("r5", "a", "Member", "gone"),
        rule("r6", by_name("{unit}"), "Member"),
    )

    assert [(rule_id, kind) for rule_id, kind, _ in kinds(lint(several))] == [
        ("r2", "dangling"),
        ("r3", "dangling"),
        ("r5", "dangling"),
        ("r6", "dead"),
    ]


# Shadowed, where the first rule decides


def test_rule_that_another_role_always_beats_never_decides() -> None:
    findings = lint(
        by_priority(
            rule("r1", "a", "Creator", "root", priority=1), rule("r2", "a", "Member", "g1", priority=2)
        )
    )

    assert kinds(findings) == [("r2", "shadowed", "warning")]
    assert findings[0].others == ("r1",)
    assert findings[0].text == "rule r2 version 2 never decides: r1 come first for everybody in its groups"


def test_rule_of_a_role_that_may_be_decided_elsewhere_is_not_beaten() -> None:
    findings = lint(
        by_priority(
            rule("r1", "a", "Creator", "root", priority=2),
            rule("r2", "a", "Member", "g1", priority=3),
            rule("r3", "b", "Member", "g2", priority=1),
        )
    )

    assert findings == []


def test_first_rule_of_the_same_role_shadows_by_a_wider_scope() -> None:
    first = by_priority(
        rule("r1", "a", "Member", "g1", priority=1), rule("r2", "a", "Member", "m1", priority=2)
    )
    last = by_priority(
        rule("r1", "a", "Member", "g1", priority=2), rule("r2", "a", "Member", "m1", priority=1)
    )

    assert kinds(lint(first)) == [("r2", "shadowed", "notice")]
    assert lint(last) == []
