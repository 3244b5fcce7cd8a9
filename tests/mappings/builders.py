"""Makes the objects that tests of rules, access, preview, explain and lint are about.

The organisation of most tests has this shape, with the ids as they stand here:

    root - north (location) - tower (building) - u1, u2 (units)
         - u3 (unit)
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.resources import files

from directory.changes import AttributeMatch, GroupMatch, Match, NameMatch
from directory.graph import GroupGraph
from directory.ids import DirectoryId, GroupId, MemberId, OverrideId, RoleId, RuleId, ScopeId, UserId
from mappings.access import (
    Access,
    AccessModel,
    ActiveOverride,
    LinkedUser,
    MemberFacts,
    compile_model,
    resolve_access,
)
from mappings.catalogue import Catalogue, Resolution, Role, load_catalogue, roles_of
from mappings.rules import GroupNode, Rule
from mappings.scopes import ScopeGraph, ScopeNode

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = ScopeId("root")
HQ = DirectoryId("hq")


def catalogue_text(name: str) -> str:
    return (files("mappings") / "catalogues" / f"{name}.yaml").read_text(encoding="utf-8")


MINIKAI = load_catalogue(catalogue_text("minikai"), source="minikai.yaml")
MINUT = load_catalogue(catalogue_text("minut"), source="minut.yaml")


def scope(scope_id: str, kind: str, *parents: str, host_id: str = "") -> ScopeNode:
    return ScopeNode(
        ScopeId(scope_id),
        kind,
        scope_id.title(),
        host_id or scope_id,
        tuple(ScopeId(parent) for parent in parents),
    )


MINUT_SCOPES = ScopeGraph(
    [
        scope("root", "organisation"),
        scope("north", "location", "root"),
        scope("tower", "building", "north"),
        scope("u1", "unit", "tower"),
        scope("u2", "unit", "tower"),
        scope("u3", "unit", "root"),
    ],
    ROOT,
)
MINIKAI_SCOPES = ScopeGraph(
    [
        scope("root", "organisation"),
        scope("g1", "group", "root"),
        scope("g2", "group", "root"),
        scope("m1", "mini", "g1"),
        scope("m2", "mini", "g2"),
        scope("both", "mini", "g1", "g2"),
    ],
    ROOT,
)


def group(group_id: str, name: str = "", *, directory_id: str = HQ) -> GroupNode:
    return GroupNode(GroupId(group_id), DirectoryId(directory_id), name or group_id.title())


def by_group(group_id: str) -> GroupMatch:
    return GroupMatch(GroupId(group_id))


def by_name(pattern: str, *, directory_id: str = HQ) -> NameMatch:
    return NameMatch(DirectoryId(directory_id), pattern)


def by_filter(text: str, *, directory_id: str = HQ) -> AttributeMatch:
    return AttributeMatch(DirectoryId(directory_id), text)


def rule(
    rule_id: str, match: Match | str, role: str, scope_id: str | None = None, *, priority: int = 100
) -> Rule:
    return Rule(
        rule_id=RuleId(rule_id),
        version=2,
        priority=priority,
        match=by_group(match) if isinstance(match, str) else match,
        role=RoleId(role),
        scope_id=None if scope_id is None else ScopeId(scope_id),
        author="ann@example.org",
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def user(
    *groups: str,
    user_id: str = "user",
    directory_id: str = HQ,
    active: bool = True,
    attributes: Mapping[str, tuple[str, ...]] | None = None,
) -> LinkedUser:
    return LinkedUser(
        UserId(user_id),
        DirectoryId(directory_id),
        active,
        tuple(GroupId(group_id) for group_id in groups),
        attributes or {},
    )


def pairs(*given: tuple[str, str]) -> tuple[tuple[RoleId, ScopeId], ...]:
    return tuple((RoleId(role), ScopeId(scope_id)) for role, scope_id in given)


def override(*given: tuple[str, str], ends_at: datetime = datetime(2026, 4, 1, tzinfo=UTC)) -> ActiveOverride:
    return ActiveOverride(OverrideId("ov"), pairs(*given), ends_at)


def member(
    *users: LinkedUser,
    member_id: str = "mem",
    is_owner: bool = False,
    is_blocked: bool = False,
    invited: tuple[tuple[str, str], ...] = (),
    override: ActiveOverride | None = None,
) -> MemberFacts:
    return MemberFacts(
        MemberId(member_id),
        users,
        is_owner=is_owner,
        is_blocked=is_blocked,
        invited=pairs(*invited),
        override=override,
    )


def model(
    *rules: Rule,
    catalogue: Catalogue = MINUT,
    scopes: ScopeGraph = MINUT_SCOPES,
    groups: Iterable[GroupNode] = (),
    nesting: Iterable[tuple[str, str]] = (),
    resolution: Resolution = Resolution.UNION,
    default_role: str | None = None,
    custom: Iterable[Role] = (),
    roles: Mapping[RoleId, Role] | None = None,
) -> AccessModel:
    """A model; groups that rules name and `groups` does not are added."""
    nodes = {node.group_id: node for node in groups}
    if not nodes:
        named = [found.match.group_id for found in rules if isinstance(found.match, GroupMatch)]
        nodes = {group_id: group(group_id) for group_id in named}
    return compile_model(
        catalogue=catalogue,
        roles=roles_of(catalogue, switches={}, custom=custom) if roles is None else roles,
        scopes=scopes,
        rules=rules,
        groups=nodes.values(),
        nesting=GroupGraph((GroupId(parent), GroupId(child)) for parent, child in nesting),
        resolution=resolution,
        default_roles={HQ: None if default_role is None else RoleId(default_role)},
    )


def resolve(model: AccessModel, facts: MemberFacts) -> Access:
    return resolve_access(model, facts, now=NOW)


def held(model: AccessModel, facts: MemberFacts) -> list[tuple[str, str]]:
    """The pairs that a member holds, in the order of the grants."""
    return [
        (str(role), str(scope_id))
        for role, scope_id in (grant.pair for grant in resolve(model, facts).grants)
    ]
