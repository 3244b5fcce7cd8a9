"""Everything that a directory, an administrator or the system can say, as a closed union.

A change is a statement, not a diff: saying it twice has the effect of saying it once. `Change` lists them all; the
write path matches on it exhaustively. Directory changes name entries by the directory's own external ids; the other
changes name them by ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from directory.audit_token_changes import AuditTokenChange
from directory.facts import GroupFacts, UserFacts
from directory.ids import (
    DirectoryId,
    ExternalId,
    GroupId,
    InvitationId,
    MemberId,
    OverrideId,
    RoleId,
    RuleId,
    ScopeId,
)
from directory.sso_changes import SSOChange
from directory.stream_changes import StreamChange


@dataclass(frozen=True, slots=True)
class PutUser:
    """The user is as given: created, updated, brought back, activated or deactivated by its `activity`.

    `fingerprint` is the digest of what the source showed, kept so that a later read can skip an unchanged entry.
    `is_new`: the external id has been minted for this change, so that nothing is stored under it. `member_id`: the id
    of the member whom a new user makes, where the speaker has minted one.
    """

    user: UserFacts
    fingerprint: bytes = b""
    is_new: bool = False
    member_id: MemberId | None = None


@dataclass(frozen=True, slots=True)
class DeactivateUser:
    """The user may no longer act. Row and memberships stay."""

    external_id: ExternalId
    reason: str = "directory"


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """The user left the directory: deactivated, memberships ended, tombstone kept."""

    external_id: ExternalId


@dataclass(frozen=True, slots=True)
class PutGroup:
    """The group exists under this name. Its members are not touched."""

    group: GroupFacts
    fingerprint: bytes = b""


@dataclass(frozen=True, slots=True)
class DeleteGroup:
    """The group is gone; its memberships end and rules that name it grant nothing."""

    external_id: ExternalId


@dataclass(frozen=True, slots=True)
class AddMembers:
    """These users are in the group. Unknown users are counted and left out."""

    group: ExternalId
    users: tuple[ExternalId, ...]


@dataclass(frozen=True, slots=True)
class RemoveMembers:
    """These users are not in the group."""

    group: ExternalId
    users: tuple[ExternalId, ...]


@dataclass(frozen=True, slots=True)
class AddSubgroups:
    """These groups are nested in the group. Cycles are facts and allowed."""

    group: ExternalId
    subgroups: tuple[ExternalId, ...]


@dataclass(frozen=True, slots=True)
class RemoveSubgroups:
    """These groups are not nested in the group."""

    group: ExternalId
    subgroups: tuple[ExternalId, ...]


DirectoryChange = (
    PutUser
    | DeactivateUser
    | DeleteUser
    | PutGroup
    | DeleteGroup
    | AddMembers
    | RemoveMembers
    | AddSubgroups
    | RemoveSubgroups
)


@dataclass(frozen=True, slots=True)
class GroupMatch:
    """Matches members of one directory group, nested groups included, by its stable id."""

    group_id: GroupId


@dataclass(frozen=True, slots=True)
class NameMatch:
    """Matches every group of a directory whose whole name fits `pattern`, a text with one named capture in braces.

    The capture (`{unit}` in `minut-{unit}-cleaners`) is a scope kind; the captured text is the host's own id of an
    existing node of that kind, which is where the role is granted.
    """

    directory_id: DirectoryId
    pattern: str


@dataclass(frozen=True, slots=True)
class AttributeMatch:
    """Matches users of a directory that satisfy a SCIM filter (RFC 7644 section 3.4.2.2)."""

    directory_id: DirectoryId
    filter: str


Match = GroupMatch | NameMatch | AttributeMatch


@dataclass(frozen=True, slots=True)
class PutRule:
    """A mapping rule, new or in a new version. `scope_id` is None exactly for a `NameMatch`. Lower priority wins."""

    rule_id: RuleId
    match: Match
    role: RoleId
    scope_id: ScopeId | None
    priority: int = 100


@dataclass(frozen=True, slots=True)
class RemoveRule:
    rule_id: RuleId


@dataclass(frozen=True, slots=True)
class PutScope:
    """A scope node under its parents, new, renamed or moved. `host_id` is the host application's own id."""

    scope_id: ScopeId
    kind: str
    name: str
    host_id: str
    parents: tuple[ScopeId, ...]


@dataclass(frozen=True, slots=True)
class RemoveScope:
    """The node is gone. Rules and overrides that name it grant nothing until it is put again."""

    scope_id: ScopeId


@dataclass(frozen=True, slots=True)
class PutRole:
    """A custom role of the organisation, from the catalogue's permissions. The operator's to say."""

    role: RoleId
    label: str
    permissions: tuple[str, ...]
    scope_kinds: tuple[str, ...]
    rank: int


@dataclass(frozen=True, slots=True)
class RemoveRole:
    role: RoleId


@dataclass(frozen=True, slots=True)
class SetOverride:
    """In place of what directories give, the member holds exactly `grants` until `ends_at`."""

    override_id: OverrideId
    member_id: MemberId
    grants: tuple[tuple[RoleId, ScopeId], ...]
    reason: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class EndOverride:
    """The directory's value returns. `expired` tells the system's own ending from an administrator's."""

    override_id: OverrideId
    expired: bool = False


@dataclass(frozen=True, slots=True)
class SetBlock:
    """The member may not act, whatever any directory says, until the block is lifted."""

    member_id: MemberId
    reason: str


@dataclass(frozen=True, slots=True)
class LiftBlock:
    member_id: MemberId


@dataclass(frozen=True, slots=True)
class Invite:
    """Reserves a seat for a person whom no directory brings, until `ends_at`."""

    invitation_id: InvitationId
    mail: str
    role: RoleId
    scope_id: ScopeId
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class AcceptInvitation:
    """The invited person becomes a member with the invited grant, in the seat that was reserved."""

    invitation_id: InvitationId
    member_id: MemberId


@dataclass(frozen=True, slots=True)
class EndInvitation:
    """Withdrawn, or `expired`; the reserved seat is free again."""

    invitation_id: InvitationId
    expired: bool = False


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """Ends the membership in the organisation. The person's own account and the history stay (B-R5)."""

    member_id: MemberId


@dataclass(frozen=True, slots=True)
class SetPlan:
    """The plan, and the organisation's own seat limit where the plan leaves it open. -1 means unlimited, said so."""

    plan: str
    seat_limit: int | None = None


@dataclass(frozen=True, slots=True)
class TransferOwner:
    """The member becomes the owner; the former owner keeps only what directories and overrides give."""

    member_id: MemberId


@dataclass(frozen=True, slots=True)
class EnrolOwner:
    """The person who created the organisation: its first member and its owner."""

    member_id: MemberId
    mail: str
    display_name: str


@dataclass(frozen=True, slots=True)
class SetSettings:
    """Settings of the organisation by name: `seat_policy`, `resolution`, and the catalogue's own switches."""

    values: Mapping[str, str | bool]


@dataclass(frozen=True, slots=True)
class AddDomain:
    """A mail domain verified to be the organisation's; people of two directories may be linked by it."""

    domain: str


@dataclass(frozen=True, slots=True)
class PutDirectory:
    """A directory of the organisation, new or with new settings.

    `settings` is the kind's own (file name, dialect, bases, guard limits, interval ...) and holds no secret.
    """

    directory_id: DirectoryId
    kind: str
    name: str
    settings: Mapping[str, str | int | bool]
    default_role: RoleId | None = None
    priority: int = 100


@dataclass(frozen=True, slots=True)
class PutDirectorySecret:
    """What a pulled directory is let in by, such as a password, under the name its settings use; None forgets it."""

    directory_id: DirectoryId
    name: str
    secret: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class PutToken:
    """A new bearer token of a SCIM directory, until `expires_at` or for good. Only its digest is ever said."""

    token_id: str
    directory_id: DirectoryId
    name: str
    prefix: str
    sha256: bytes = field(repr=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RevokeToken:
    """The token opens nothing any more: from now on, or from `ends_at` where that is sooner than its own end."""

    token_id: str
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NoteTokenEnding:
    """The token ends within so many days; said once for each number of days."""

    token_id: str
    days: int


@dataclass(frozen=True, slots=True)
class AllowStaged:
    """What the guard of a pushing directory holds back has its effect: for these members, or for all who wait."""

    directory_id: DirectoryId
    members: tuple[MemberId, ...] | None = None


@dataclass(frozen=True, slots=True)
class RejectStaged:
    """These members, or all who wait, keep what they hold until the directory says something new about them."""

    directory_id: DirectoryId
    members: tuple[MemberId, ...] | None = None


AdministratorChange = (
    PutRule
    | RemoveRule
    | PutScope
    | RemoveScope
    | PutRole
    | RemoveRole
    | SetOverride
    | EndOverride
    | SetBlock
    | LiftBlock
    | Invite
    | AcceptInvitation
    | EndInvitation
    | RemoveMember
    | SetPlan
    | TransferOwner
    | EnrolOwner
    | SetSettings
    | AddDomain
    | PutDirectory
    | PutDirectorySecret
    | PutToken
    | RevokeToken
    | NoteTokenEnding
    | AllowStaged
    | RejectStaged
    | SSOChange
    | StreamChange
    | AuditTokenChange
)

Change = DirectoryChange | AdministratorChange
