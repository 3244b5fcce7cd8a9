"""From facts and rules to desired access. `resolve_access` is the one function that decides it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from directory.ids import DirectoryId, GroupId, MemberId, OverrideId, RoleId, ScopeId, UserId
from mappings.rules import Grant


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
