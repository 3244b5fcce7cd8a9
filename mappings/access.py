"""From facts and rules to desired access. `resolve_access` is the one function that decides it.

`compile_model` does once what does not depend on the person: it finds for each group the rules that apply to
its direct members. A decision about one person is then a few look-ups. Knows no storage and no clock.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, NamedTuple, assert_never

from directory.changes import AttributeMatch, GroupMatch, NameMatch
from directory.errors import FilterSyntaxError
from directory.facts import name_key
from directory.filters import And, Comparison, Filter, Matcher, Operator, compile_filter, parse_filter
from directory.graph import GroupGraph
from directory.ids import DirectoryId, GroupId, MemberId, OverrideId, RoleId, ScopeId, UserId
from mappings.catalogue import ROOT_KIND, Catalogue, Resolution, Role
from mappings.errors import PatternError
from mappings.rules import Grant, GroupNode, Provenance, Rule, RuleFault, Source, check_rule, parse_pattern
from mappings.scopes import ScopeGraph

LAST_PRIORITY: Final = 2**31 - 1
"""The priority of access that rests on no rule, after that of every rule."""


@dataclass(frozen=True, slots=True)
class LinkedUser:
    """A directory user linked to a member: its direct groups, and the attributes that predicates may name.

    `attributes` is keyed by SCIM path (`userName`, `displayName`, `emails.value`, `title` ...); empty unless
    the organisation has a rule with an attribute predicate.
    """

    user_id: UserId
    directory_id: DirectoryId
    active: bool
    groups: tuple[GroupId, ...]
    attributes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ActiveOverride:
    override_id: OverrideId
    grants: tuple[tuple[RoleId, ScopeId], ...]
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """All that access of one member depends on. `invited` holds grants from an accepted invitation."""

    member_id: MemberId
    users: tuple[LinkedUser, ...]
    is_owner: bool = False
    is_blocked: bool = False
    invited: tuple[tuple[RoleId, ScopeId], ...] = ()
    override: ActiveOverride | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """Desired access. `grants` is sorted by role rank (highest first), then scope; one grant for each pair.

    `priority` (lower first) and `rank` (higher first) order the waiting list.
    """

    is_active: bool
    grants: tuple[Grant, ...]
    priority: int
    rank: int


NO_ACCESS: Final = Access(is_active=False, grants=(), priority=LAST_PRIORITY, rank=0)

_SOURCE_ORDER: Final = MappingProxyType(
    {
        Source.OWNER: 0,
        Source.OVERRIDE: 1,
        Source.RULE: 2,
        Source.INVITATION: 3,
        Source.DEFAULT: 4,
    }
)


class _Candidate(NamedTuple):
    """A grant that somebody may get. The smaller one is the better reason for the same pair.

    `grant` is None for a rule that matches but can grant nothing. It still counts as a match, so that what a
    removed scope took away is not replaced by a default, or by a later rule with a greater role (MT-19).
    """

    source: int
    priority: int
    reversed_rank: int
    rule_id: str
    group_id: str
    scope_id: str
    role: RoleId
    grant: Grant | None


class _Predicate(NamedTuple):
    holds: Matcher
    candidate: _Candidate


class _Predicates(NamedTuple):
    """The attribute rules of one directory.

    Most are an equality, alone or as one of several terms that must all hold. Those are found by the value of
    the user's attribute, and only the ones found are evaluated.
    """

    by_value: Mapping[str, Mapping[str, Sequence[_Predicate]]]
    others: Sequence[_Predicate]
    all: Sequence[_Predicate]


@dataclass(frozen=True, slots=True)
class AccessModel:
    """All that access depends on besides the person. Built by `compile_model`; never changed.

    `dangling` holds each rule that grants nothing now, with the first reason.
    """

    catalogue: Catalogue
    roles: Mapping[RoleId, Role]
    scopes: ScopeGraph
    rules: tuple[Rule, ...]
    groups: Mapping[GroupId, GroupNode]
    nesting: GroupGraph
    resolution: Resolution
    default_roles: Mapping[DirectoryId, RoleId | None]
    dangling: tuple[tuple[Rule, RuleFault], ...]
    _by_id: Mapping[str, Rule]
    _by_group: Mapping[GroupId, tuple[_Candidate, ...]]
    _predicates: Mapping[DirectoryId, _Predicates]
    _defaults: Mapping[DirectoryId, _Candidate]
    _owner: _Candidate

    def rules_of_group(self, group_id: GroupId) -> tuple[tuple[Rule, ScopeId | None], ...]:
        """The rules that apply to the group's direct members, the group's own and those of groups around it.

        Each with the scope at which it grants its role, or None where it grants nothing; in the order in
        which they count.
        """
        return tuple(
            (self._by_id[candidate.rule_id], candidate.grant.scope_id if candidate.grant else None)
            for candidate in self._by_group.get(group_id, ())
        )

    def has_rules(self, group_id: GroupId) -> bool:
        """Whether membership of the group can matter to anybody's access."""
        return group_id in self._by_group

    def groups_with_rules(self) -> frozenset[GroupId]:
        return frozenset(self._by_group)

    def rules_matching(self, users: Iterable[LinkedUser]) -> tuple[Rule, ...]:
        """The rules that match some of the users, active or not, also those that grant nothing."""
        found = dict.fromkeys(candidate.rule_id for candidate in _matched(self, users))
        return tuple(self._by_id[rule_id] for rule_id in found)

    def rule(self, rule_id: str) -> Rule | None:
        return self._by_id.get(rule_id)

    def groups_of_rule(self, rule: Rule) -> tuple[tuple[GroupId, ScopeId | None], ...]:
        """The live groups that the rule itself names, without those nested in them, sorted.

        Each with the scope that the rule speaks of there, or None where there is no such node.
        """
        named = _named_groups(rule, self.groups, self.scopes)
        return tuple(sorted(named, key=lambda found: found[0]))


def compile_model(
    *,
    catalogue: Catalogue,
    roles: Mapping[RoleId, Role],
    scopes: ScopeGraph,
    rules: Sequence[Rule],
    groups: Iterable[GroupNode],
    nesting: GroupGraph,
    resolution: Resolution,
    default_roles: Mapping[DirectoryId, RoleId | None],
) -> AccessModel:
    """Prepare the decision about any number of people. Costs rules times groups, once.

    `groups` are the live ones. A rule on a group applies to the members of groups nested in it as well.
    """
    live = {group.group_id: group for group in groups}
    dangling: list[tuple[Rule, RuleFault]] = []
    by_group: dict[GroupId, set[_Candidate]] = {}
    predicates: dict[DirectoryId, list[tuple[Filter, _Candidate]]] = {}
    for rule in rules:
        faults = check_rule(
            match=rule.match,
            role=rule.role,
            scope_id=rule.scope_id,
            catalogue=catalogue,
            roles=roles,
            scopes=scopes,
            groups=live,
        )
        if faults:
            dangling.append((rule, faults[0]))
        role = roles.get(rule.role)
        if isinstance(rule.match, AttributeMatch):
            tree = _parse_or_none(rule.match.filter)
            if tree is not None:
                scope_id = None if faults else rule.scope_id
                found = predicates.setdefault(rule.match.directory_id, [])
                found.append((tree, _rule_candidate(rule, role, scope_id, None)))
            continue
        for named, captured in _named_groups(rule, live, scopes):
            scope_id = None if faults else captured
            for group_id in (nesting.descendants(named) | {named}) & live.keys():
                by_group.setdefault(group_id, set()).add(_rule_candidate(rule, role, scope_id, group_id))
    return AccessModel(
        catalogue=catalogue,
        roles=roles,
        scopes=scopes,
        rules=tuple(rules),
        groups=MappingProxyType(live),
        nesting=nesting,
        resolution=resolution,
        default_roles=default_roles,
        dangling=tuple(dangling),
        _by_id=MappingProxyType({rule.rule_id: rule for rule in rules}),
        _by_group=MappingProxyType(
            {key: tuple(sorted(found, key=_order)) for key, found in by_group.items()}
        ),
        _predicates=MappingProxyType({key: _index_predicates(found) for key, found in predicates.items()}),
        _defaults=MappingProxyType(dict(_default_candidates(default_roles, roles, scopes.root))),
        _owner=_candidate(Source.OWNER, roles[catalogue.administrator_role], scopes.root),
    )


def resolve_access(model: AccessModel, facts: MemberFacts, *, now: datetime) -> Access:
    """Decide what a member may do, from all that is known of them.

    An override in force stands in place of what directories and invitations give; the owner's grant stays. A
    directory's default applies when no rule matches any active user of the member. Under `priority` the first
    match decides the role, and only what has that role gives scopes. One grant is kept for each pair, with
    the best of its reasons: owner, override, then the rule that comes first, invitation, default.
    """
    users = [user for user in facts.users if user.active]
    if facts.is_blocked or not (facts.is_owner or users or facts.invited):
        return NO_ACCESS
    candidates: list[_Candidate] = []
    if facts.is_owner:
        candidates.append(model._owner)
    if facts.override is not None and facts.override.ends_at > now:
        override_id = facts.override.override_id
        candidates.extend(_given(model, Source.OVERRIDE, facts.override.grants, override_id))
        return _access(candidates, None)
    matched = _matched(model, users)
    candidates.extend(matched)
    if facts.invited:
        candidates.extend(_given(model, Source.INVITATION, facts.invited))
    if not matched and model._defaults:
        candidates.extend(
            model._defaults[user.directory_id] for user in users if user.directory_id in model._defaults
        )
    if model.resolution is Resolution.PRIORITY and len(candidates) > 1:
        return _access(candidates, min(candidates, key=_order).role)
    return _access(candidates, None)


def headline(access: Access, roles: Mapping[RoleId, Role], scopes: ScopeGraph) -> tuple[RoleId, str] | None:
    """The one role and kind of scope to show for a member, or None without a grant.

    When not all pairs agree, the highest role and `mixed`; the list is then to be shown as well (MT-11).
    """
    if not access.grants:
        return None
    shown = {(grant.role, _kind_at(scopes, grant.scope_id)) for grant in access.grants}
    if len(shown) == 1:
        return next(iter(shown))
    highest = min(access.grants, key=lambda grant: (-_rank(roles.get(grant.role)), grant.role))
    return (highest.role, "mixed")


def _matched(model: AccessModel, users: Iterable[LinkedUser]) -> list[_Candidate]:
    found: list[_Candidate] = []
    by_group = model._by_group
    for user in users:
        for group_id in user.groups:
            applicable = by_group.get(group_id)
            if applicable is not None:
                found.extend(applicable)
        if model._predicates:
            predicates = model._predicates.get(user.directory_id)
            if predicates is not None:
                found.extend(_satisfied(predicates, user.attributes))
    return found


def _satisfied(predicates: _Predicates, attributes: Mapping[str, tuple[str, ...]]) -> Iterator[_Candidate]:
    by_path = {path.lower(): values for path, values in attributes.items()}
    if len(by_path) < len(attributes):
        # Two paths differ in case only: which one a filter means is left to the filter.
        yield from (candidate for holds, candidate in predicates.all if holds(attributes))
        return
    for path, by_value in predicates.by_value.items():
        values = by_path.get(path)
        if values is None and "." not in path:
            values = by_path.get(f"{path}.value")
        for key in {name_key(value) for value in values or ()}:
            for holds, candidate in by_value.get(key, ()):
                if holds(attributes):
                    yield candidate
    for holds, candidate in predicates.others:
        if holds(attributes):
            yield candidate


def _access(candidates: list[_Candidate], role: RoleId | None) -> Access:
    """Keep the best candidate for each pair, of one role if given."""
    best: dict[tuple[str, RoleId], _Candidate] = {}
    for candidate in candidates:
        if candidate.grant is None or (role is not None and candidate.role != role):
            continue
        pair = (candidate.scope_id, candidate.role)
        known = best.get(pair)
        if known is None or candidate[:6] < known[:6]:
            best[pair] = candidate
    if not best:
        return Access(is_active=True, grants=(), priority=LAST_PRIORITY, rank=0)
    kept = sorted(best.values(), key=_place)
    return Access(
        is_active=True,
        grants=tuple([candidate.grant for candidate in kept if candidate.grant is not None]),
        priority=min([candidate.priority for candidate in kept]),
        rank=-kept[0].reversed_rank,
    )


def _order(candidate: _Candidate) -> tuple[int, int, int, str, str, str]:
    return candidate[:6]


def _place(candidate: _Candidate) -> tuple[int, str, str]:
    return (candidate.reversed_rank, candidate.scope_id, candidate.role)


def _rank(role: Role | None) -> int:
    return 0 if role is None else role.rank


def _kind_at(scopes: ScopeGraph, scope_id: ScopeId) -> str:
    node = scopes.get(scope_id)
    return ROOT_KIND if scope_id == scopes.root or node is None else node.kind


# Candidates


def _candidate(
    source: Source, role: Role, scope_id: ScopeId, override_id: OverrideId | None = None
) -> _Candidate:
    """A candidate that rests on no rule.

    What an administrator said comes before every rule on a waiting list.
    """
    return _Candidate(
        source=_SOURCE_ORDER[source],
        priority=LAST_PRIORITY if source is Source.DEFAULT else 0,
        reversed_rank=-role.rank,
        rule_id="",
        group_id="",
        scope_id=scope_id,
        role=role.id,
        grant=Grant(role.id, scope_id, Provenance(source, override_id=override_id)),
    )


def _rule_candidate(
    rule: Rule, role: Role | None, scope_id: ScopeId | None, group_id: GroupId | None
) -> _Candidate:
    grant = None
    if scope_id is not None:
        provenance = Provenance(Source.RULE, rule.rule_id, rule.version, group_id)
        grant = Grant(rule.role, scope_id, provenance)
    return _Candidate(
        source=_SOURCE_ORDER[Source.RULE],
        priority=rule.priority,
        reversed_rank=-_rank(role),
        rule_id=rule.rule_id,
        group_id=group_id or "",
        scope_id=scope_id or "",
        role=rule.role,
        grant=grant,
    )


def _given(
    model: AccessModel,
    source: Source,
    pairs: Iterable[tuple[RoleId, ScopeId]],
    override_id: OverrideId | None = None,
) -> Iterator[_Candidate]:
    """The pairs that somebody named. One whose role or scope is gone, or does not suit, grants nothing."""
    for role_id, scope_id in pairs:
        role = model.roles.get(role_id)
        if role is not None and _can_be_granted(role, scope_id, model.scopes):
            yield _candidate(source, role, scope_id, override_id)


def _can_be_granted(role: Role, scope_id: ScopeId, scopes: ScopeGraph) -> bool:
    return scopes.covers(scopes.root, scope_id) and _kind_at(scopes, scope_id) in role.scope_kinds


def _default_candidates(
    default_roles: Mapping[DirectoryId, RoleId | None], roles: Mapping[RoleId, Role], root: ScopeId
) -> Iterator[tuple[DirectoryId, _Candidate]]:
    for directory_id, role_id in default_roles.items():
        role = None if role_id is None else roles.get(role_id)
        if role is not None and ROOT_KIND in role.scope_kinds and not role.is_administrator_equivalent:
            yield directory_id, _candidate(Source.DEFAULT, role, root)


# Matches


def _named_groups(
    rule: Rule, groups: Mapping[GroupId, GroupNode], scopes: ScopeGraph
) -> Iterator[tuple[GroupId, ScopeId | None]]:
    """The live groups that a rule names, each with the scope it leads to, or None without such a node."""
    match rule.match:
        case GroupMatch(group_id):
            if group_id in groups:
                yield group_id, rule.scope_id
        case NameMatch(directory_id, text):
            try:
                pattern = parse_pattern(text)
            except PatternError:
                return
            for group in groups.values():
                host_id = pattern.capture(group.display_name) if group.directory_id == directory_id else None
                if host_id is not None:
                    node = scopes.by_host_id(pattern.kind, host_id)
                    is_usable = node is not None and scopes.covers(scopes.root, node.scope_id)
                    yield group.group_id, node.scope_id if node is not None and is_usable else None
        case AttributeMatch():
            return
        case _:
            assert_never(rule.match)


def _parse_or_none(text: str) -> Filter | None:
    try:
        return parse_filter(text)
    except FilterSyntaxError:
        return None


def _index_predicates(found: Iterable[tuple[Filter, _Candidate]]) -> _Predicates:
    by_value: dict[str, dict[str, list[_Predicate]]] = {}
    others: list[_Predicate] = []
    everything: list[_Predicate] = []
    for tree, candidate in found:
        predicate = _Predicate(compile_filter(tree), candidate)
        everything.append(predicate)
        needed = _needed_equality(tree)
        if needed is None:
            others.append(predicate)
        else:
            path, key = needed
            by_value.setdefault(path, {}).setdefault(key, []).append(predicate)
    return _Predicates(by_value, tuple(others), tuple(everything))


def _needed_equality(tree: Filter) -> tuple[str, str] | None:
    """Path and value of an equality without which the filter cannot hold, if it has one for a plain path."""
    for term in tree.terms if isinstance(tree, And) else (tree,):
        if (
            isinstance(term, Comparison)
            and term.operator is Operator.EQ
            and isinstance(term.value, str)
            and term.value
            and ":" not in term.path
        ):
            return term.path.lower(), name_key(term.value)
    return None
