"""The rows that the write path reads and writes, as plain values. Moments are aware UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from directory.ids import (
    DirectoryId,
    EnvironmentId,
    EventId,
    ExternalId,
    GroupId,
    InvitationId,
    MemberId,
    OrganisationId,
    OverrideId,
    RoleId,
    RunId,
    ScopeId,
    UserId,
)
from mappings.access import MemberFacts
from mappings.rules import Grant

UNLIMITED = -1
"""A seat limit that was said to be none. An absent limit is never read as this."""


class Seat(StrEnum):
    SEATED = "seated"
    WAITING = "waiting"
    NONE = "none"


class SeatPolicy(StrEnum):
    """What a full organisation answers to a pushed user: refuse it, or store it on the waiting list."""

    REJECT = "reject"
    WAITLIST = "waitlist"


@dataclass(frozen=True, slots=True)
class OrganisationState:
    """The organisation row. `seated` counts seat holders, the owner too; `reserved` counts open invitations.

    `access_version` moves with every committed change of access; `model_version` with rules, roles, scopes and
    whatever else the compiled access model is made of. `resolution` is None where the catalogue's holds.
    """

    organisation_id: OrganisationId
    environment_id: EnvironmentId
    name: str
    plan: str | None
    seat_limit: int | None
    seat_policy: SeatPolicy
    resolution: str | None
    switches: Mapping[str, bool]
    owner_id: MemberId | None
    root_scope_id: ScopeId
    access_version: int
    model_version: int
    seated: int
    reserved: int


@dataclass(frozen=True, slots=True)
class StoredEnvironment:
    """An environment and the YAML text of its catalogue as it was loaded."""

    environment_id: EnvironmentId
    catalogue: str
    sha256: str
    loaded_at: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """A directory that a worker has taken. Whatever it writes carries the fence."""

    organisation_id: OrganisationId
    directory_id: DirectoryId
    fence: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a pulled directory has been read. Binding and mark are the reader's own words, and hold no secret.

    `binding` says what the mark is good for: with another server, base, filter or mapping it says nothing. `full_at`
    is when the last full reading began that came to its end; `full_due` says why the next one must be full, and is
    empty where it need not be. `server` is the one whose absences count, by the last complete reading that was in no
    doubt, and `doubted_runs` how many complete ones of another server there were since.
    """

    method: str = ""
    binding: Mapping[str, str] = field(default_factory=dict)
    mark: Mapping[str, str] = field(default_factory=dict)
    full_at: datetime | None = None
    full_due: str = ""
    server: str = ""
    doubted_runs: int = 0


@dataclass(frozen=True, slots=True)
class StoredDirectory:
    """A directory's row. `settings` are the kind's own and hold no secret; `interval_seconds` None: by hand only."""

    directory_id: DirectoryId
    organisation_id: OrganisationId
    kind: str
    name: str
    settings: Mapping[str, str | int | bool]
    default_role: RoleId | None
    priority: int
    interval_seconds: int | None = None
    next_run_at: datetime | None = None
    fence: int = 0
    failures: int = 0
    last_success_at: datetime | None = None
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A directory user's row. `mails` holds the primary address first; a tombstone has `deleted_at`.

    `client_id` and `resource` are a SCIM client's, see `UserFacts`. A user of a SCIM directory has one id: `user_id`
    and `external_id` are the same.
    """

    user_id: UserId
    directory_id: DirectoryId
    external_id: ExternalId
    member_id: MemberId
    user_name: str
    display_name: str
    given_name: str
    family_name: str
    mails: tuple[str, ...]
    dn: str
    attributes: Mapping[str, tuple[str, ...]]
    active: bool
    fingerprint: bytes
    pii_ref: str
    absent_runs: int
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    client_id: str = ""
    resource: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class StoredGroup:
    group_id: GroupId
    directory_id: DirectoryId
    external_id: ExternalId
    display_name: str
    dn: str
    fingerprint: bytes
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class OpenGrant:
    """A grant that is held: the open row of the member's access intervals, by its number."""

    interval_id: int
    grant: Grant


@dataclass(frozen=True, slots=True)
class StagedChange:
    """What a directory took from a member and the guard holds back, until it is allowed or rejected.

    `event_id` None: the member may lose something, which is still to be worked out.
    """

    member_id: MemberId
    directory_id: DirectoryId
    event_id: EventId | None
    staged_at: datetime
    is_rejected: bool = False


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """A member as stored: the facts that decide the access, and the access that is held now.

    `has_users` says that a live directory user, active or not, is linked. `facts.users` holds live users only.
    """

    facts: MemberFacts
    display_name: str
    mail: str
    pii_ref: str
    is_active: bool
    seat: Seat
    waiting_since: datetime | None
    waiting_priority: int | None
    waiting_rank: int | None
    is_held: bool
    is_deleted: bool
    deactivated_at: datetime | None
    has_users: bool
    held: tuple[OpenGrant, ...]
    staged: StagedChange | None = None

    @property
    def member_id(self) -> MemberId:
        return self.facts.member_id


@dataclass(frozen=True, slots=True)
class NewMember:
    member_id: MemberId
    display_name: str
    mail: str
    pii_ref: str
    is_active: bool
    invited: tuple[tuple[RoleId, ScopeId], ...] = ()


@dataclass(frozen=True, slots=True)
class MemberUpdate:
    """The consequence columns of one member, all of them. `waiting_rank` is the role rank, higher first."""

    member_id: MemberId
    is_active: bool
    seat: Seat
    waiting_priority: int | None
    waiting_rank: int | None
    waiting_since: datetime | None
    is_held: bool
    is_deleted: bool
    deactivated_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenInterval:
    """A grant to record as held from now on, with the event that opened it."""

    member_id: MemberId
    grant: Grant
    event_id: EventId


@dataclass(frozen=True, slots=True)
class CloseInterval:
    interval_id: int
    event_id: EventId


@dataclass(frozen=True, slots=True)
class StoredOverride:
    override_id: OverrideId
    member_id: MemberId
    grants: tuple[tuple[RoleId, ScopeId], ...]
    reason: str
    author: str
    created_event: EventId
    ends_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredBlock:
    member_id: MemberId
    reason: str
    author: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredInvitation:
    """`state` is `pending`, `accepted`, `expired` or `withdrawn`."""

    invitation_id: InvitationId
    mail: str
    role: RoleId
    scope_id: ScopeId
    state: str
    created_event: EventId
    ends_at: datetime
    pii_ref: str


@dataclass(frozen=True, slots=True)
class PersonalData:
    """Clear names behind one reference of audit bodies. `subject_id` is what an erasure names."""

    ref: str
    subject_id: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EventRow:
    """A rendered audit event with the columns it is looked up by."""

    event_id: EventId
    time: datetime
    action: str
    subject_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class PendingMember:
    """A member whose access must be worked out again, with the event that made it so."""

    member_id: MemberId
    kind: str
    root: EventId
    parent: EventId


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One synchronisation. `state`: running, completed, blocked, failed, partial or interrupted.

    `method` says how the source was read (`full`, or the name of an incremental method), `method_reason` why.
    """

    run_id: RunId
    directory_id: DirectoryId
    fence: int
    state: str
    started_at: datetime
    started_event: EventId | None = None
    finished_at: datetime | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    plan_hash: str = ""
    source_hash: str = ""
    plan: Mapping[str, object] | None = None
    approved_by: str = ""
    method: str = ""
    method_reason: str = ""


@dataclass(frozen=True, slots=True)
class HeldInterval:
    """One span of access for as-of questions. `closed_at` None: still held."""

    member_id: MemberId
    grant: Grant
    opened_at: datetime
    opened_event: EventId
    closed_at: datetime | None
    closed_event: EventId | None
