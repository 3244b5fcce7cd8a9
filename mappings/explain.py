"""Why somebody may do something, or what is missing.

The answer is that of `decide` over `resolve_access`; nothing here decides anew. A denial is explained by
asking again as if one thing were different. Ends at the group and the directory user: which request or run
put the person there is in the audit log, which the caller knows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from directory.changes import AttributeMatch, GroupMatch, NameMatch
from directory.ids import GroupId, RoleId, RuleId, ScopeId, UserId
from mappings.access import Access, AccessModel, MemberFacts, resolve_access
from mappings.catalogue import Resolution
from mappings.decisions import Decision, DecisionIndex, Reason, decide
from mappings.rules import Grant, Provenance, Rule, Source

MOST_RULES_SHOWN = 3


class Obstacle(StrEnum):
    """What stands between a member and a permission."""

    UNKNOWN_PERMISSION = "unknown_permission"
    UNKNOWN_RESOURCE = "unknown_resource"
    NEEDS_OWNER = "needs_owner"
    BLOCKED = "blocked"
    INACTIVE = "inactive"
    WAITING_FOR_SEAT = "waiting_for_seat"
    OVERRIDDEN = "overridden"
    OUTRANKED = "outranked"
    NEEDS_ORGANISATION = "needs_organisation"
    WRONG_SCOPE = "wrong_scope"
    ROLE_LACKS_PERMISSION = "role_lacks_permission"
    RULE_DANGLING = "rule_dangling"
    NOT_MATCHED = "not_matched"
    NO_RULE = "no_rule"


@dataclass(frozen=True, slots=True)
class AnswerStep:
    """The answer itself."""

    decision: Decision
    text: str


@dataclass(frozen=True, slots=True)
class GrantStep:
    """The grant that decides, with what it rests on."""

    grant: Grant
    text: str


@dataclass(frozen=True, slots=True)
class RuleStep:
    """The version of the rule that gives the grant."""

    rule: Rule
    text: str


@dataclass(frozen=True, slots=True)
class GroupStep:
    """How the person is in the rule's group:

    `path` runs from that group inwards to the one they are directly in.

    `user_id` is the directory user whose membership it is.
    """

    path: tuple[GroupId, ...]
    user_id: UserId
    text: str


@dataclass(frozen=True, slots=True)
class HeldStep:
    """The grant is kept although the facts give it no more."""

    grant: Grant
    text: str


@dataclass(frozen=True, slots=True)
class ObstacleStep:
    """One thing that is missing, with the grant or rule that would otherwise allow it."""

    obstacle: Obstacle
    text: str
    pair: tuple[RoleId, ScopeId] | None = None
    rule_id: RuleId | None = None


Step = AnswerStep | GrantStep | RuleStep | GroupStep | HeldStep | ObstacleStep


@dataclass(frozen=True, slots=True)
class Explanation:
    """The steps from the answer to its reasons; each has a sentence, its `text`."""

    decision: Decision
    steps: tuple[Step, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        return tuple(step.text for step in self.steps)


def explain(
    model: AccessModel,
    facts: MemberFacts,
    permission: str,
    resource: ScopeId,
    *,
    now: datetime,
    access_version: int,
    is_waiting: bool = False,
    held: Sequence[Grant] = (),
) -> Explanation:
    """Explain the answer to one question about one member.

    `is_waiting`: the member is on the waiting list and holds nothing in spite of what the rules give. `held` is what
    the member keeps while a change that would take it waits, for another Admin or for an administrator's word.
    """
    question = _Question(model, facts, permission, resource, now, access_version, is_waiting, tuple(held))
    decision = question.decide(question.access())
    if decision.allowed:
        return Explanation(decision, tuple(_reasons(question, decision)))
    return Explanation(decision, tuple(_denial(question, decision)))


@dataclass(frozen=True, slots=True)
class _Question:
    model: AccessModel
    facts: MemberFacts
    permission: str
    resource: ScopeId
    now: datetime
    access_version: int
    is_waiting: bool
    held: tuple[Grant, ...] = ()

    def access(self) -> Access:
        access = resolve_access(self.model, self.facts, now=self.now)
        if self.held:
            given = {grant.pair for grant in access.grants}
            kept = tuple(grant for grant in self.held if grant.pair not in given)
            return replace(access, is_active=True, grants=(*access.grants, *kept))
        return replace(access, grants=()) if self.is_waiting else access

    def is_only_held(self, grant: Grant) -> bool:
        """Whether the facts alone would not give the grant."""
        return bool(self.held) and grant not in resolve_access(self.model, self.facts, now=self.now).grants

    def decide(self, access: Access) -> Decision:
        model = self.model
        index = DecisionIndex(
            roles=model.roles,
            permissions=model.catalogue.permissions,
            owner_permissions=model.catalogue.owner_permissions,
            owner=self.facts.member_id if self.facts.is_owner and access.is_active else None,
            scopes=model.scopes,
            grants=[(self.facts.member_id, *grant.pair) for grant in access.grants],
            access_version=self.access_version,
            conditions=model.catalogue.conditions,
        )
        return decide(index, self.facts.member_id, self.permission, self.resource)

    def is_allowed(self) -> bool:
        return self.decide(self.access()).allowed

    @property
    def label(self) -> str:
        """The permission in the catalogue's words."""
        return f"{self.model.catalogue.permissions[self.permission].label!r} ({self.permission})"

    @property
    def needed_at(self) -> ScopeId:
        """The scope that a grant must cover."""
        if self.model.catalogue.permissions[self.permission].needs_organisation:
            return self.model.scopes.root
        return self.resource

    def would_allow(self, role: RoleId, scope_id: ScopeId) -> bool:
        held = self.model.roles.get(role)
        return (
            held is not None
            and self.permission in held.permissions
            and self.model.scopes.covers(scope_id, self.needed_at)
        )

    def place(self, scope_id: ScopeId) -> str:
        return str(self.model.scopes.get(scope_id) or scope_id)

    def group(self, group_id: GroupId) -> str:
        return repr(self.model.groups[group_id].display_name)


# Yes


def _reasons(question: _Question, decision: Decision) -> Iterator[Step]:
    where = question.place(question.resource)
    if decision.grant is None:
        text = f"Allowed: {question.label} belongs to the owner of the organisation, who this is."
        yield AnswerStep(decision, text)
        return
    condition = ""
    if decision.condition is not None:
        known = question.model.catalogue.conditions[decision.condition]
        condition = f", if {known.label}; the host checks that"
    yield AnswerStep(decision, f"Allowed: {question.label} at {where}{condition}.")
    grant = next(grant for grant in question.access().grants if grant.pair == decision.grant)
    held = f"{grant.role} at {question.place(grant.scope_id)}"
    yield GrantStep(grant, f"The member holds {held}, {_basis(question, grant.provenance)}.")
    if question.is_only_held(grant):
        yield HeldStep(
            grant, "The directory has taken it; that change is held and takes effect when it is let through."
        )
        return
    rule = None if grant.provenance.rule_id is None else question.model.rule(grant.provenance.rule_id)
    if rule is not None:
        written = f"written by {rule.author} on {rule.created_at:%Y-%m-%d}"
        yield RuleStep(rule, f"{_rule_name(rule)}, {written}, gives {rule.role} to {_whom(question, rule)}.")
        yield from _membership(question, rule, grant)


def _basis(question: _Question, provenance: Provenance) -> str:
    match provenance.source:
        case Source.OWNER:
            return "as the owner of the organisation"
        case Source.OVERRIDE:
            ends_at = question.facts.override.ends_at if question.facts.override is not None else question.now
            return f"by an administrator's override until {ends_at:%Y-%m-%d %H:%M} UTC"
        case Source.RULE:
            return f"by rule {provenance.rule_id} version {provenance.rule_version}"
        case Source.INVITATION:
            return "by an accepted invitation"
        case Source.DEFAULT:
            return "as the default of the directory, because no rule matches"
        case _:
            assert_never(provenance.source)


def _membership(question: _Question, rule: Rule, grant: Grant) -> Iterator[GroupStep]:
    direct = grant.provenance.group_id
    if direct is None:
        return
    nesting = question.model.nesting
    named = [
        group_id for group_id, scope_id in question.model.groups_of_rule(rule) if scope_id == grant.scope_id
    ]
    paths = [(direct,) if group_id == direct else nesting.path(group_id, direct) for group_id in named]
    path = min((path for path in paths if path), key=len)
    user = next(user for user in question.facts.users if user.active and direct in user.groups)
    around = "".join(f", which is in {question.group(group_id)}" for group_id in reversed(path[:-1]))
    yield GroupStep(
        path, user.user_id, f"The directory user {user.user_id} is in {question.group(direct)}{around}."
    )


def _rule_name(rule: Rule) -> str:
    return f"Rule {rule.rule_id} version {rule.version}"


def _whom(question: _Question, rule: Rule) -> str:
    match rule.match:
        case GroupMatch(group_id):
            return f"the group {question.group(group_id)}"
        case NameMatch(_, pattern):
            return f"groups named like {pattern!r}"
        case AttributeMatch(_, filter_text):
            return f"whoever satisfies {filter_text!r}"
        case _:
            assert_never(rule.match)


# No


def _denial(question: _Question, decision: Decision) -> Iterator[Step]:
    yield AnswerStep(decision, f"Denied: {_headline(question, decision)}.")
    if decision.reason in (Reason.UNKNOWN_PERMISSION, Reason.UNKNOWN_RESOURCE):
        return
    if decision.reason is Reason.NEEDS_OWNER:
        text = f"{question.label} belongs to the owner of the organisation; no role and no rule gives it."
        yield ObstacleStep(Obstacle.NEEDS_OWNER, text)
        return
    standing = _standing(question)
    free = _without(question, standing)
    if free.is_allowed():
        # Only what must change is said: an obstacle that may stay is none.
        needed = list(standing)
        for obstacle in standing:
            fewer = [other for other in needed if other is not obstacle]
            if _without(question, fewer).is_allowed():
                needed = fewer
        grant = free.decide(free.access()).grant
        yield from (ObstacleStep(item, _person_text(question, item), grant) for item in needed)
        return
    yield from (
        ObstacleStep(item, _person_text(question, item))
        for item in standing
        if item in (Obstacle.BLOCKED, Obstacle.INACTIVE, Obstacle.WAITING_FOR_SEAT)
    )
    found = [*_nearest_grants(free), *_nearest_rules(free)]
    if not found:
        text = f"No rule gives a role with {question.label} at {question.place(question.needed_at)}."
        found.append(ObstacleStep(Obstacle.NO_RULE, text))
    yield from found


def _headline(question: _Question, decision: Decision) -> str:
    if decision.reason is Reason.UNKNOWN_PERMISSION:
        name = question.model.catalogue.name
        return f"{name} has no permission {question.permission!r}"
    if decision.reason is Reason.UNKNOWN_RESOURCE:
        return f"the organisation has no scope {question.resource!r} that it can reach"
    return f"{question.label} at {question.place(question.resource)}"


def _standing(question: _Question) -> list[Obstacle]:
    """The obstacles in the person's own state, whether or not they matter to this question."""
    facts = question.facts
    found = []
    if facts.is_blocked:
        found.append(Obstacle.BLOCKED)
    if not facts.is_owner and not facts.invited and not any(user.active for user in facts.users):
        found.append(Obstacle.INACTIVE)
    if question.is_waiting:
        found.append(Obstacle.WAITING_FOR_SEAT)
    if facts.override is not None and facts.override.ends_at > question.now:
        found.append(Obstacle.OVERRIDDEN)
    if question.model.resolution is Resolution.PRIORITY:
        found.append(Obstacle.OUTRANKED)
    return found


def _without(question: _Question, obstacles: Sequence[Obstacle]) -> _Question:
    """The same question as if the obstacles did not stand."""
    facts, model = question.facts, question.model
    if Obstacle.BLOCKED in obstacles:
        facts = replace(facts, is_blocked=False)
    if Obstacle.INACTIVE in obstacles:
        facts = replace(facts, users=tuple(replace(user, active=True) for user in facts.users))
    if Obstacle.OVERRIDDEN in obstacles:
        facts = replace(facts, override=None)
    if Obstacle.OUTRANKED in obstacles:
        model = replace(model, resolution=Resolution.UNION)
    is_waiting = question.is_waiting and Obstacle.WAITING_FOR_SEAT not in obstacles
    return replace(question, facts=facts, model=model, is_waiting=is_waiting)


def _person_text(question: _Question, obstacle: Obstacle) -> str:
    if obstacle is Obstacle.BLOCKED:
        return "The member is blocked; a block beats every directory until it is lifted."
    if obstacle is Obstacle.INACTIVE:
        return "No directory says that the person is active."
    if obstacle is Obstacle.WAITING_FOR_SEAT:
        return "The member waits for a seat and holds nothing until one is free."
    if obstacle is Obstacle.OVERRIDDEN:
        return "An administrator's override stands in place of what the directories give."
    return f"A rule that comes first decides another role: {_deciding(question)}."


def _deciding(question: _Question) -> str:
    grants = question.access().grants
    if not grants:
        return "one that grants nothing now"
    return f"{grants[0].role}, {_basis(question, grants[0].provenance)}"


def _nearest_grants(question: _Question) -> Iterator[ObstacleStep]:
    """What the member holds and comes nearest: the permission elsewhere, or another role here."""
    model, needed_at = question.model, question.needed_at
    grants = question.access().grants
    having = [grant for grant in grants if question.permission in model.roles[grant.role].permissions]
    if having:
        above = {needed_at, *model.scopes.ancestors(needed_at)}
        nearest = max(
            having, key=lambda grant: len(above & {grant.scope_id, *model.scopes.ancestors(grant.scope_id)})
        )
        held = f"{nearest.role} at {question.place(nearest.scope_id)}"
        if needed_at != question.resource or needed_at == model.scopes.root:
            text = f"{held} has {question.label}, which needs a grant at the organisation (B-R2)."
            yield ObstacleStep(Obstacle.NEEDS_ORGANISATION, text, nearest.pair)
        else:
            text = f"{held} has {question.label}, but does not cover {question.place(needed_at)}."
            yield ObstacleStep(Obstacle.WRONG_SCOPE, text, nearest.pair)
    covering = [
        grant for grant in grants if model.scopes.covers(grant.scope_id, needed_at) and grant not in having
    ]
    if covering:
        held = f"{covering[0].role} at {question.place(covering[0].scope_id)}"
        text = f"{held} covers it, but the role has no {question.label}."
        yield ObstacleStep(Obstacle.ROLE_LACKS_PERMISSION, text, covering[0].pair)


def _nearest_rules(question: _Question) -> Iterator[ObstacleStep]:
    """The first few rules that would allow it, if they were whole or the person matched."""
    model = question.model
    reasons = {rule.rule_id: fault.text for rule, fault in model.dangling}
    matched = {rule.rule_id for rule in model.rules_matching(question.facts.users)}
    found: list[ObstacleStep] = []
    for rule in sorted(model.rules, key=lambda rule: (rule.priority, rule.rule_id)):
        role = model.roles.get(rule.role)
        if rule.rule_id in reasons:
            if rule.rule_id in matched and (role is None or question.permission in role.permissions):
                text = f"{_rule_name(rule)} matches but grants nothing: {reasons[rule.rule_id]}."
                found.append(ObstacleStep(Obstacle.RULE_DANGLING, text, rule_id=rule.rule_id))
            continue
        for scope_id, wanted in _openings(question, rule):
            if question.would_allow(rule.role, scope_id):
                given = f"{rule.role} at {question.place(scope_id)}"
                text = f"{_rule_name(rule)} would give {given}, but the person {wanted}."
                pair = (rule.role, scope_id)
                found.append(ObstacleStep(Obstacle.NOT_MATCHED, text, pair, rule.rule_id))
                break
    yield from found[:MOST_RULES_SHOWN]


def _openings(question: _Question, rule: Rule) -> Iterator[tuple[ScopeId, str]]:
    """Where a rule grants its role, each with why the person does not get it there."""
    found = question.model.groups_of_rule(rule)
    openings = [(scope_id, f"is not in the group {question.group(group_id)}") for group_id, scope_id in found]
    if isinstance(rule.match, AttributeMatch):
        openings = [(rule.scope_id, f"does not satisfy {rule.match.filter!r}")]
    for scope_id, wanted in openings:
        if scope_id is not None:
            yield scope_id, wanted
