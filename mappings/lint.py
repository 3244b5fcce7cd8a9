"""What is wrong or risky with an organisation's rules as a whole: dead, shadowed, dangling, escalating.

Says so and changes nothing. Knows how many people are in a group, not who.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from directory.changes import AttributeMatch, GroupMatch, NameMatch
from directory.errors import FilterSyntaxError
from directory.filters import Filter, parse_filter
from directory.ids import GroupId, RuleId, ScopeId
from mappings.access import AccessModel
from mappings.catalogue import ROOT_KIND, Resolution
from mappings.rules import Rule

FEWEST_FOR_EVERYONE = 10
"""A group is called everyone's when it has half of all people, and at least so many."""


class FindingKind(StrEnum):
    DEAD = "dead"
    SHADOWED = "shadowed"
    DANGLING = "dangling"
    ESCALATING = "escalating"


class Severity(StrEnum):
    """`ERROR`: the rule does not do what it says. `WARNING`: it may do more. `NOTICE`: worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Finding:
    """`others` are the rules that shadow this one."""

    kind: FindingKind
    severity: Severity
    rule_id: RuleId
    text: str
    others: tuple[RuleId, ...] = ()


def lint_rules(
    model: AccessModel,
    *,
    people_in_group: Mapping[GroupId, int],
    people: int,
    matched_people: Mapping[RuleId, int] | None = None,
) -> tuple[Finding, ...]:
    """Look at all rules. Findings come in the order of the rules, worst first for each.

    `people_in_group` counts the active direct members of a group, `people` all active ones. `matched_people`
    counts those whom an attribute rule matches; a rule that it does not name is not called dead.
    """
    reach = _reach(model)
    counted = matched_people or {}
    dangling = {rule.rule_id: fault.text for rule, fault in model.dangling}
    findings: list[Finding] = []
    for rule in model.rules:
        if rule.rule_id in dangling:
            text = f"{_name(rule)} grants nothing: {dangling[rule.rule_id]}"
            findings.append(Finding(FindingKind.DANGLING, Severity.ERROR, rule.rule_id, text))
            continue
        matched = counted.get(rule.rule_id)
        if not isinstance(rule.match, AttributeMatch):
            matched = sum(people_in_group.get(group_id, 0) for group_id in reach[rule.rule_id])
        findings.extend(_escalating(model, rule, matched, people))
        findings.extend(_shadowed(model, rule, reach))
        findings.extend(_dead(model, rule, matched))
    return tuple(findings)


def _name(rule: Rule) -> str:
    return f"rule {rule.rule_id} version {rule.version}"


def _reach(model: AccessModel) -> dict[RuleId, dict[GroupId, ScopeId]]:
    """For each rule the groups whose direct members get something by it, nested groups included, and where.

    Two groups around one may lead it to two scopes; then the first counts, which is enough to compare rules.
    """
    found: dict[RuleId, dict[GroupId, ScopeId]] = {rule.rule_id: {} for rule in model.rules}
    for group_id in model.groups:
        for rule, scope_id in model.rules_of_group(group_id):
            if scope_id is not None:
                found[rule.rule_id].setdefault(group_id, scope_id)
    return found


def _dead(model: AccessModel, rule: Rule, matched: int | None) -> Iterator[Finding]:
    if matched is None or matched > 0:
        return
    match rule.match:
        case GroupMatch(group_id):
            why = f"nobody is in the group {model.groups[group_id].display_name!r}"
        case NameMatch(_, pattern):
            why = f"no group with people in it fits {pattern!r}, or none leads to a scope"
        case AttributeMatch(_, filter_text):
            why = f"nobody satisfies {filter_text!r}"
        case _:
            assert_never(rule.match)
    yield Finding(FindingKind.DEAD, Severity.NOTICE, rule.rule_id, f"{_name(rule)} matches nobody: {why}")


def _escalating(model: AccessModel, rule: Rule, matched: int | None, people: int) -> Iterator[Finding]:
    if not model.roles[rule.role].is_administrator_equivalent:
        return
    gives = f"{_name(rule)} makes administrators ({rule.role})"
    severity = Severity.WARNING
    match rule.match:
        case NameMatch(_, pattern):
            text = f"{gives} of whoever is in a group named like {pattern!r}; map one group instead"
        case AttributeMatch(_, filter_text):
            text = f"{gives} of whoever satisfies {filter_text!r}; map a group instead"
        case GroupMatch(group_id):
            name = model.groups[group_id].display_name
            count = matched or 0
            if count >= FEWEST_FOR_EVERYONE and count * 2 >= people:
                text = f"{gives} of the group {name!r}, which has {count} of all {people} people"
            else:
                severity = Severity.NOTICE
                text = f"{gives} of the group {name!r}; whoever manages that group decides who is one"
        case _:
            assert_never(rule.match)
    yield Finding(FindingKind.ESCALATING, severity, rule.rule_id, text)


# Shadowed rules


def _shadowed(
    model: AccessModel, rule: Rule, reach: Mapping[RuleId, Mapping[GroupId, ScopeId]]
) -> Iterator[Finding]:
    for other in model.rules:
        if other.rule_id != rule.rule_id and _gives_all_of(model, other, rule, reach):
            is_same = _gives_all_of(model, rule, other, reach)
            if not is_same or _order(model, other) < _order(model, rule):
                text = f"{_name(rule)} adds nothing: {_name(other)} gives the same people as much or more"
                yield Finding(FindingKind.SHADOWED, Severity.NOTICE, rule.rule_id, text, (other.rule_id,))
                return
    if model.resolution is Resolution.PRIORITY and reach[rule.rule_id]:
        beaten_by = {_beaten_by(model, rule, group_id) for group_id in reach[rule.rule_id]}
        others = tuple(sorted(found for found in beaten_by if found is not None))
        if None not in beaten_by:
            text = f"{_name(rule)} never decides: {', '.join(others)} come first for everybody in its groups"
            yield Finding(FindingKind.SHADOWED, Severity.WARNING, rule.rule_id, text, others)


def _order(model: AccessModel, rule: Rule) -> tuple[int, int, str]:
    role = model.roles.get(rule.role)
    return (rule.priority, 0 if role is None else -role.rank, rule.rule_id)


def _gives_all_of(
    model: AccessModel, wide: Rule, narrow: Rule, reach: Mapping[RuleId, Mapping[GroupId, ScopeId]]
) -> bool:
    """Whether everybody who gets something by the narrow rule gets as much by the wide one.

    Under `priority` the wide one must decide the same role, and decide first.
    """
    if model.resolution is Resolution.PRIORITY and (
        wide.role != narrow.role or _order(model, wide) > _order(model, narrow)
    ):
        return False
    if isinstance(narrow.match, AttributeMatch) or isinstance(wide.match, AttributeMatch):
        return (
            _same_people(wide, narrow)
            and wide.scope_id is not None
            and narrow.scope_id is not None
            and _is_as_much(model, wide, wide.scope_id, narrow, narrow.scope_id)
        )
    wide_reach, narrow_reach = reach[wide.rule_id], reach[narrow.rule_id]
    return bool(narrow_reach) and all(
        group_id in wide_reach and _is_as_much(model, wide, wide_reach[group_id], narrow, scope_id)
        for group_id, scope_id in narrow_reach.items()
    )


def _same_people(one: Rule, other: Rule) -> bool:
    return (
        isinstance(one.match, AttributeMatch)
        and isinstance(other.match, AttributeMatch)
        and one.match.directory_id == other.match.directory_id
        and _tree(one.match) == _tree(other.match)
    )


def _tree(match: AttributeMatch) -> Filter | str:
    try:
        return parse_filter(match.filter)
    except FilterSyntaxError:
        return match.filter


def _is_as_much(model: AccessModel, wide: Rule, wide_at: ScopeId, narrow: Rule, narrow_at: ScopeId) -> bool:
    """Whether one role at one scope allows all that another does at another, with no condition more."""
    if not model.scopes.covers(wide_at, narrow_at) or wide.role not in model.roles:
        return False
    wide_role, narrow_role = model.roles[wide.role], model.roles[narrow.role]
    for name in narrow_role.permissions:
        if name not in wide_role.permissions:
            return False
        condition = model.catalogue.condition_at(wide_role, name, _kind(model, wide_at))
        if condition not in (None, model.catalogue.condition_at(narrow_role, name, _kind(model, narrow_at))):
            return False
    return True


def _kind(model: AccessModel, scope_id: ScopeId) -> str:
    node = model.scopes.get(scope_id)
    return ROOT_KIND if node is None else node.kind


def _beaten_by(model: AccessModel, rule: Rule, group_id: GroupId) -> RuleId | None:
    """The rule of another role that decides before this one for everybody in the group, if there is one.

    It does not for a person in a further group with a still earlier rule of this rule's own role.
    """
    first_of_role = min(_order(model, other) for other in model.rules if other.role == rule.role)
    for other, _ in model.rules_of_group(group_id):
        if other.role != rule.role and _order(model, other) < first_of_role:
            return other.rule_id
    return None
