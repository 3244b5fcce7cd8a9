"""Mapping rules, the grants they lead to, and what makes a rule impossible.

Knows nothing of people; who gets what by a rule is `mappings.access`.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from directory.changes import AttributeMatch, GroupMatch, Match, NameMatch
from directory.errors import FilterSyntaxError
from directory.facts import name_key
from directory.filters import parse_filter
from directory.ids import DirectoryId, GroupId, OverrideId, RoleId, RuleId, ScopeId
from mappings.catalogue import RESERVED_ROLES, ROOT_KIND, Catalogue, Role
from mappings.errors import PatternError
from mappings.scopes import ScopeGraph

LONGEST_PATTERN = 256


@dataclass(frozen=True, slots=True)
class Rule:
    """One version of a mapping rule. Lower `priority` wins; `scope_id` is None exactly for a `NameMatch`."""

    rule_id: RuleId
    version: int
    priority: int
    match: Match
    role: RoleId
    scope_id: ScopeId | None
    author: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class GroupNode:
    """A live directory group, as far as rules need it."""

    group_id: GroupId
    directory_id: DirectoryId
    display_name: str


class Source(StrEnum):
    """What a grant rests on."""

    OWNER = "owner"
    OVERRIDE = "override"
    RULE = "rule"
    INVITATION = "invitation"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Why a grant is held.

    `group_id` is the group that the member is directly in, for a rule that matches groups.
    """

    source: Source
    rule_id: RuleId | None = None
    rule_version: int = 0
    group_id: GroupId | None = None
    override_id: OverrideId | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """A role at a scope. Grants of one role at one scope are the same access, whatever their provenance."""

    role: RoleId
    scope_id: ScopeId
    provenance: Provenance

    @property
    def pair(self) -> tuple[RoleId, ScopeId]:
        return (self.role, self.scope_id)


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A text around one capture. Prefix and suffix are in the form of `name_key`."""

    kind: str
    prefix: str
    suffix: str

    def capture(self, name: str) -> str | None:
        """What stands in the place of the capture, in the form of `name_key`; None when the name does not
        fit.

        The capture is one character or more, whichever: it counts only where a node has it as host id. No
        regular expression is built, so no pattern can be slow on any name.
        """
        key = name_key(name)
        end = len(key) - len(self.suffix)
        if len(self.prefix) < end and key.startswith(self.prefix) and key.endswith(self.suffix):
            return key[len(self.prefix) : end]
        return None


def parse_pattern(text: str) -> NamePattern:
    """Parse a pattern such as `minut-{unit}-cleaners`.

    Raises: PatternError when there is not exactly one `{kind}`.
    """
    if len(text) > LONGEST_PATTERN:
        raise PatternError(f"the pattern has {len(text)} characters, more than {LONGEST_PATTERN}")
    prefix, opening, rest = text.partition("{")
    kind, closing, suffix = rest.partition("}")
    if not opening or not closing or not kind or any(mark in prefix + kind + suffix for mark in "{}"):
        raise PatternError(
            f"the pattern {text!r} needs one kind of scope in braces, as in 'minut-{{unit}}-cleaners'"
        )
    return NamePattern(kind, name_key(prefix), name_key(suffix))


class RuleFaultCode(StrEnum):
    ROLE_RESERVED = "role_reserved"
    ROLE_UNKNOWN = "role_unknown"
    SCOPE_MISSING = "scope_missing"
    SCOPE_NOT_WANTED = "scope_not_wanted"
    SCOPE_UNKNOWN = "scope_unknown"
    SCOPE_DETACHED = "scope_detached"
    KIND_UNKNOWN = "kind_unknown"
    KIND_REFUSED = "kind_refused"
    KIND_NOT_CONFIGURED = "kind_not_configured"
    GROUP_UNKNOWN = "group_unknown"
    DIRECTORY_UNKNOWN = "directory_unknown"
    PATTERN_INVALID = "pattern_invalid"
    FILTER_INVALID = "filter_invalid"


@dataclass(frozen=True, slots=True)
class RuleFault:
    """Why a rule cannot be saved, or grants nothing although it is."""

    code: RuleFaultCode
    text: str

    def __str__(self) -> str:
        return self.text


def check_rule(
    *,
    match: Match,
    role: RoleId,
    scope_id: ScopeId | None,
    catalogue: Catalogue,
    roles: Mapping[RoleId, Role],
    scopes: ScopeGraph,
    groups: Container[GroupId],
    directories: Container[DirectoryId] | None = None,
) -> list[RuleFault]:
    """All that is wrong with a rule, now.

    A rule with a fault is refused at save, and grants nothing later (MT-19).

    `directories` may be left out where the caller knows that the directory exists.
    """
    faults = list(_check_role(role, catalogue, roles))
    held = None if faults else roles[role]
    faults.extend(_check_scope(match, scope_id, held, catalogue, scopes))
    match match:
        case GroupMatch(group_id):
            if group_id not in groups:
                text = f"there is no group {group_id!r}; it may have been deleted in its directory"
                faults.append(RuleFault(RuleFaultCode.GROUP_UNKNOWN, text))
        case NameMatch(directory_id, pattern):
            faults.extend(_check_directory(directory_id, directories))
            faults.extend(_check_pattern(pattern, held, catalogue, scopes))
        case AttributeMatch(directory_id, filter_text):
            faults.extend(_check_directory(directory_id, directories))
            try:
                parse_filter(filter_text)
            except FilterSyntaxError as error:
                faults.append(RuleFault(RuleFaultCode.FILTER_INVALID, f"the filter does not parse: {error}"))
        case _:
            assert_never(match)
    return faults


def check_default_role(
    role: RoleId, *, catalogue: Catalogue, roles: Mapping[RoleId, Role]
) -> list[RuleFault]:
    """Why nobody may get the role by default:

    it must be an ordinary one that can be granted at the organisation.
    """
    faults = list(_check_role(role, catalogue, roles))
    if faults:
        return faults
    held = roles[role]
    if held.is_administrator_equivalent:
        text = f"{role} is equivalent to an administrator; nobody is one by default"
        faults.append(RuleFault(RuleFaultCode.ROLE_RESERVED, text))
    if held.is_preset:
        text = f"{role} is given by a rule of its own and never by default"
        faults.append(RuleFault(RuleFaultCode.ROLE_RESERVED, text))
    if ROOT_KIND not in held.scope_kinds:
        text = f"{role} cannot be granted at the organisation, where a default applies"
        faults.append(RuleFault(RuleFaultCode.KIND_REFUSED, text))
    return faults


def _check_role(role: RoleId, catalogue: Catalogue, roles: Mapping[RoleId, Role]) -> Iterable[RuleFault]:
    if name_key(role) in RESERVED_ROLES:
        text = f"nobody becomes {role} by a rule; ownership is handed over by the owner or the operator"
        yield RuleFault(RuleFaultCode.ROLE_RESERVED, text)
    elif role not in roles:
        known = ", ".join(roles)
        yield RuleFault(RuleFaultCode.ROLE_UNKNOWN, f"there is no role {role!r}; there are {known}")
    else:
        for name in sorted(catalogue.owner_permissions & roles[role].permissions.keys()):
            text = f"{role} has {name}, which belongs to the owner; no rule can grant it"
            yield RuleFault(RuleFaultCode.ROLE_RESERVED, text)


def _check_scope(
    match: Match, scope_id: ScopeId | None, role: Role | None, catalogue: Catalogue, scopes: ScopeGraph
) -> Iterable[RuleFault]:
    if isinstance(match, NameMatch):
        if scope_id is not None:
            text = "a rule that takes the scope from the group's name cannot have another one"
            yield RuleFault(RuleFaultCode.SCOPE_NOT_WANTED, text)
        return
    if scope_id is None:
        yield RuleFault(
            RuleFaultCode.SCOPE_MISSING, "the rule does not say at which scope it grants the role"
        )
        return
    node = scopes.get(scope_id)
    if node is None:
        yield RuleFault(
            RuleFaultCode.SCOPE_UNKNOWN, f"there is no scope {scope_id!r}; it may have been removed"
        )
        return
    if not scopes.covers(scopes.root, scope_id):
        text = f"{node} is not below the organisation any more; put it below a place that is"
        yield RuleFault(RuleFaultCode.SCOPE_DETACHED, text)
    yield from _check_kind(node.kind, role, catalogue)


def _check_kind(kind: str, role: Role | None, catalogue: Catalogue) -> Iterable[RuleFault]:
    if kind not in catalogue.scope_kinds:
        known = ", ".join(catalogue.scope_kinds)
        yield RuleFault(RuleFaultCode.KIND_UNKNOWN, f"there is no scope kind {kind!r}; there are {known}")
    elif role is not None and kind not in role.scope_kinds:
        allowed = ", ".join(role.scope_kinds)
        text = f"{role.id} cannot be granted at a scope of kind {kind}; it can at {allowed}"
        yield RuleFault(RuleFaultCode.KIND_REFUSED, text)


def _check_directory(
    directory_id: DirectoryId, directories: Container[DirectoryId] | None
) -> Iterable[RuleFault]:
    if directories is not None and directory_id not in directories:
        yield RuleFault(RuleFaultCode.DIRECTORY_UNKNOWN, f"there is no directory {directory_id!r}")


def _check_pattern(
    text: str, role: Role | None, catalogue: Catalogue, scopes: ScopeGraph
) -> Iterable[RuleFault]:
    try:
        kind = parse_pattern(text).kind
    except PatternError as error:
        yield RuleFault(RuleFaultCode.PATTERN_INVALID, str(error))
        return
    if kind == ROOT_KIND:
        reason = (
            f"the pattern {text!r} would take the organisation from a group's name; name the scope instead"
        )
        yield RuleFault(RuleFaultCode.KIND_REFUSED, reason)
        return
    yield from _check_kind(kind, role, catalogue)
    if kind in catalogue.scope_kinds and kind not in scopes.kinds():
        reason = f"the organisation has no {kind} yet; add one before a rule names the kind"
        yield RuleFault(RuleFaultCode.KIND_NOT_CONFIGURED, reason)
