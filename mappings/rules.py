"""Mapping rules and the grants they lead to."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from directory.changes import Match
from directory.ids import DirectoryId, GroupId, OverrideId, RoleId, RuleId, ScopeId


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
