"""What the write path needs from storage, as Protocols. Each is built for one organisation.

`UnitOfWork.write()` opens the one transaction in which a command happens and holds the organisation's lock until it
ends; `UnitOfWork.read()` opens a consistent view. Sets are passed whole: no method is called once for each person.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from directory.changes import PutRole, PutScope
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
    RuleId,
    ScopeId,
    UserId,
)
from mappings.catalogue import Catalogue
from mappings.rules import GroupNode, Rule
from mappings.scopes import ScopeNode
from provisioning.audit_tokens import AuditTokenReader, AuditTokenWriter
from provisioning.logins import SSOReader, SSOWriter
from provisioning.push_guard import PushWindow
from provisioning.resources import ResourceReader, StoredToken
from provisioning.state import (
    Claim,
    CloseInterval,
    Cursor,
    EventRow,
    HeldInterval,
    MemberRecord,
    MemberUpdate,
    NewMember,
    OpenGrant,
    OpenInterval,
    OrganisationState,
    PendingMember,
    PersonalData,
    RunRecord,
    StagedChange,
    StoredBlock,
    StoredDirectory,
    StoredEnvironment,
    StoredGroup,
    StoredInvitation,
    StoredOverride,
    StoredUser,
)
from provisioning.streaming import StreamReader, StreamWriter


class Clock(Protocol):
    """The moment, aware UTC."""

    def __call__(self) -> datetime: ...


class Mint(Protocol):
    """Fresh identifiers and salts."""

    def id(self) -> str:
        """A UUIDv7 in its text form."""

    def salt(self) -> bytes:
        """16 random bytes."""


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """What an organisation's access model is compiled from, apart from its catalogue, and its verified domains.

    `nesting` leaves out what SCIM clients nest: it gives nothing.
    """

    scopes: tuple[ScopeNode, ...]
    rules: tuple[Rule, ...]
    groups: tuple[GroupNode, ...]
    nesting: tuple[tuple[GroupId, GroupId], ...]
    custom_roles: tuple[PutRole, ...]
    default_roles: Mapping[DirectoryId, RoleId | None]
    domains: frozenset[str]


class Reader(Protocol):
    """A consistent view of one organisation."""

    def organisation(self) -> OrganisationState: ...

    def catalogue(self) -> Catalogue: ...

    def model_inputs(self) -> ModelInputs: ...

    def directories(self) -> list[StoredDirectory]: ...

    def users_by_external_id(
        self,
        directory_id: DirectoryId,
        external_ids: Collection[ExternalId],
        *,
        with_documents: bool = True,
    ) -> dict[ExternalId, StoredUser]:
        """Tombstones included. Without documents they have no mails, attributes and resource, and are not written."""

    def groups_by_external_id(
        self, directory_id: DirectoryId, external_ids: Collection[ExternalId]
    ) -> dict[ExternalId, StoredGroup]:
        """Tombstones included."""

    def groups_by_id(self, group_ids: Collection[GroupId]) -> dict[GroupId, StoredGroup]: ...

    def groups_by_name(self, name: str) -> list[StoredGroup]:
        """Live groups of any directory whose name is the same by `name_key`."""

    def group_sizes(self, directory_id: DirectoryId | None = None) -> dict[GroupId, int]:
        """Direct members of every live group that has any."""

    def users_of_members(self, member_ids: Collection[MemberId]) -> list[StoredUser]:
        """Live users only, by directory priority, then id."""

    def present_memberships(
        self, pairs: Collection[tuple[GroupId, UserId]]
    ) -> set[tuple[GroupId, UserId]]: ...

    def groups_of_users(self, user_ids: Collection[UserId]) -> list[tuple[GroupId, UserId]]: ...

    def nestings_of(self, group_ids: Collection[GroupId]) -> set[tuple[GroupId, GroupId]]:
        """(group, subgroup) pairs of any directory in which one of the groups takes part."""

    def user_ids_of_group(self, group_id: GroupId) -> dict[ExternalId, UserId]: ...

    def member_records(
        self, member_ids: Collection[MemberId], *, with_attributes: bool = True
    ) -> dict[MemberId, MemberRecord]:
        """Attributes of users are needed only where a rule looks at them; without, their facts have none."""

    def member_ids(self, after: MemberId | None, limit: int) -> list[MemberId]:
        """Members in id order, tombstones left out."""

    def members_by_text(self, text: str) -> list[MemberId]:
        """Members whose id, mail, or user name at a directory is `text` by `name_key`."""

    def members_by_external_id(self, external_ids: Collection[ExternalId]) -> dict[ExternalId, set[MemberId]]:
        """Live members with a live user that the client of its directory knows by one of these ids.

        That is the external id of a pulled directory, and the `client_id` of a SCIM directory.
        """

    def members_of_deleted(
        self, directory_id: DirectoryId, client_ids: Collection[str]
    ) -> dict[str, set[MemberId]]:
        """Members whose deleted users of the directory had one of these client ids, deleted members among them."""

    def members_by_mail(self, mail_keys: Collection[str]) -> dict[str, set[MemberId]]: ...

    def directories_of_members(self, member_ids: Collection[MemberId]) -> set[tuple[MemberId, DirectoryId]]:
        """Pairs with at least one live user."""

    def waiting(self, limit: int, leaving_out: Collection[MemberId]) -> list[MemberId]:
        """Head of the waiting list: rule priority, role rank, waiting since, id."""

    def count_waiting(self) -> int: ...

    def holders(self, role: RoleId, scope_id: ScopeId, limit: int) -> list[MemberId]:
        """Members who hold the role at exactly that scope, in id order."""

    def members_given_at(self, scope_id: ScopeId) -> list[MemberId]:
        """Members whose open override or accepted invitation names the scope, in id order."""

    def is_role_given(self, role: RoleId) -> bool:
        """Whether an open override, or an accepted or pending invitation names the role."""

    def had_scope(self, scope_id: ScopeId) -> bool:
        """Whether there is such a scope, or was one that has been removed."""

    def open_grants(self) -> Iterator[tuple[MemberId, RoleId, ScopeId]]:
        """Every grant held now, streamed."""

    def grants_of(self, member_id: MemberId) -> list[OpenGrant]: ...

    def intervals_at(self, moment: datetime) -> Iterator[HeldInterval]: ...

    def intervals_of(self, member_id: MemberId) -> list[HeldInterval]:
        """All spans of one member's access, oldest first."""

    def held_members(self) -> list[MemberId]:
        """Members whose change waits for another Admin."""

    def push_window(self, directory_id: DirectoryId) -> PushWindow | None:
        """The last window in which the directory took something away, over or not."""

    def sizes_of_groups(self, group_ids: Collection[GroupId]) -> dict[GroupId, int]:
        """Direct members of each of the groups that has any."""

    def staged_changes(self, directory_id: DirectoryId | None = None) -> list[StagedChange]:
        """What waits for an administrator, and what one has rejected; the oldest first."""

    def override(self, override_id: OverrideId) -> StoredOverride | None: ...

    def override_of(self, member_id: MemberId) -> StoredOverride | None: ...

    def overrides_due(self, moment: datetime, limit: int) -> list[StoredOverride]: ...

    def block_of(self, member_id: MemberId) -> StoredBlock | None: ...

    def invitation(self, invitation_id: InvitationId) -> StoredInvitation | None: ...

    def invitations_due(self, moment: datetime, limit: int) -> list[StoredInvitation]: ...

    def domains(self) -> frozenset[str]: ...

    def rule_versions(self, rule_id: RuleId) -> list[Rule]:
        """All versions, oldest first; empty for an unknown rule."""

    def names_of_members(self, group_id: GroupId) -> dict[ExternalId, str]:
        """The DN of every direct member whom the directory still showed when it was read last."""

    def names_of_groups(self, directory_id: DirectoryId) -> dict[ExternalId, str]:
        """The DN of every live group."""

    def fingerprints(self, directory_id: DirectoryId) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        """External id (UTF-8) -> fingerprint of the live users that have one, and of all live groups.

        A group without one was cut off in the middle of its members, or is to be looked at again.
        """

    def absent_users(self, directory_id: DirectoryId) -> dict[ExternalId, int]:
        """Users waiting out their grace: missing from the last complete reads, with how many."""

    def users_to_delete(self, directory_id: DirectoryId, before: datetime, limit: int) -> list[ExternalId]:
        """Live but inactive users without a fingerprint, that is deactivated by absence, since before the moment."""

    def counts(self, directory_id: DirectoryId) -> Mapping[str, int]:
        """`users`, `active_users`, `groups`, `memberships` stored for the directory, tombstones left out."""

    def runs(self, directory_id: DirectoryId | None, limit: int) -> list[RunRecord]:
        """Newest first."""

    def last_applied_run(self, directory_id: DirectoryId) -> RunRecord | None:
        """The run of the highest fence that began to apply a plan, that is, one with a `started_event`."""

    def event_bodies(self, event_ids: Collection[EventId]) -> dict[EventId, bytes]: ...

    def search_events(self, query: "EventQuery") -> "EventPage":
        """The same as `events`, but looking no longer than a reader likes to wait: what was found until then."""

    def events(self, query: "EventQuery") -> Iterator[tuple[int, bytes]]:
        """Row number and body in the order written (or newest first), streamed."""

    def personal_data(self, refs: Collection[str]) -> dict[str, Mapping[str, str]]: ...

    def subjects_by_mail(self, mail: str) -> list[str]:
        """Ids of whoever has or had this mail, letter case aside, as far as the clear names are still kept."""

    def address_references(self, address: str, subject_id: str = "") -> list[str]:
        """The references to an address in its normal form, of one subject or of all; some thousands at most."""

    def resources(self, directory_id: DirectoryId) -> ResourceReader:
        """A SCIM directory as its client may see it, in this same transaction."""

    def tokens(self, directory_id: DirectoryId | None = None) -> list[StoredToken]:
        """Bearer tokens, revoked ones too, by directory and creation."""

    @property
    def sso(self) -> SSOReader:
        """Single sign-on, in this same transaction."""

    @property
    def streams(self) -> StreamReader:
        """Streams of the log, in this same transaction."""

    @property
    def audit_tokens(self) -> AuditTokenReader:
        """Tokens of auditors, in this same transaction."""

    def secret(self, holder: str, name: str) -> bytes | None:
        """What a directory or a connection keeps to itself under a name. Raises when it cannot be unsealed."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """A bounded look into the log: what is given must hold all at once.

    `action` may end in `.` or `*` to mean a prefix. `about` are ids of targets, one of which must be there. `group`
    and `rule` mean events about it and events that came about by it; `parent` those that one event caused. `since` is
    the first moment, `until` the first one that is not. `address` are references to one address, of which an event
    has one; without any all events are meant.
    """

    after: int = 0
    limit: int = 100
    newest_first: bool = False
    action: str = ""
    about: tuple[str, ...] = ()
    actor: str = ""
    actor_type: str = ""
    group: str = ""
    rule: str = ""
    role: str = ""
    outcome: str = ""
    cause: str = ""
    run: str = ""
    request: str = ""
    parent: str = ""
    address: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """Row numbers and bodies of events that fit. `goes_on_after` is the next query's `after`; None at the end.

    There may be fewer than were asked for, even none, and more behind: filters that many events have, and hardly one
    has together, are looked for so far and no further at once.
    """

    events: list[tuple[int, bytes]]
    goes_on_after: int | None


class Writer(Reader, Protocol):
    """The transaction in which one command happens. The organisation's row is locked until it ends."""

    @property
    def sso(self) -> SSOWriter: ...

    @property
    def streams(self) -> StreamWriter: ...

    @property
    def audit_tokens(self) -> AuditTokenWriter: ...

    def attempt(self) -> AbstractContextManager[None]:
        """A part of the transaction: left by an exception, what was written in it is taken back and nothing else."""

    def check_fence(self, directory_id: DirectoryId, fence: int, lease_until: datetime) -> bool:
        """Renew the lease; False when another run has taken the directory over."""

    def insert_users(self, users: Sequence[StoredUser]) -> None: ...

    def update_users(self, users: Sequence[StoredUser]) -> None: ...

    def set_absent_runs(self, directory_id: DirectoryId, values: Mapping[ExternalId, int]) -> None: ...

    def insert_groups(self, groups: Sequence[StoredGroup]) -> None: ...

    def update_groups(self, groups: Sequence[StoredGroup]) -> None: ...

    def insert_memberships(self, pairs: Sequence[tuple[GroupId, UserId]]) -> None: ...

    def delete_memberships(self, pairs: Sequence[tuple[GroupId, UserId]]) -> None: ...

    def clear_group(self, group_id: GroupId) -> int:
        """End all memberships and nestings of the group; the number of members it had."""

    def insert_subgroups(self, pairs: Sequence[tuple[GroupId, GroupId]]) -> None: ...

    def delete_subgroups(self, pairs: Sequence[tuple[GroupId, GroupId]]) -> None: ...

    def step_versions(
        self,
        *,
        users: Collection[UserId],
        members: Collection[MemberId],
        leaving_out: Collection[UserId] = (),
    ) -> None:
        """Something visible of these users, or of these members' users, has moved.

        Steps the version of each that belongs to a SCIM directory by one, and nothing else of it. `leaving_out` are
        users whose version this transaction has stepped already.
        """

    def touch_groups(self, group_ids: Collection[GroupId], at: datetime) -> None:
        """Their members have changed: each gets a new version, and `at` as its last change."""

    def step_related_versions(self, *, users_of: Collection[GroupId], groups_of: Collection[UserId]) -> None:
        """Step the versions of the direct members of these groups, and of the groups of these users."""

    def insert_members(self, members: Sequence[NewMember], at: datetime) -> None: ...

    def update_members(self, updates: Sequence[MemberUpdate], at: datetime) -> None: ...

    def update_profiles(self, profiles: Sequence[tuple[MemberId, str, str, str]]) -> None:
        """Member, display name, mail, reference of the clear names."""

    def set_invited(self, member_id: MemberId, grants: tuple[tuple[RoleId, ScopeId], ...]) -> None: ...

    def save_push_window(self, window: PushWindow) -> None:
        """In place of the directory's last one."""

    def stage_pending(self, directory_id: DirectoryId, at: datetime) -> int:
        """Stage the changes of everybody in the queue, to be worked out; how many. Who is staged stays so."""

    def put_staged(self, changes: Sequence[StagedChange]) -> None:
        """At least one. A member has one staged change at a time."""

    def end_staged(self, member_ids: Collection[MemberId]) -> None: ...

    def open_intervals(self, intervals: Sequence[OpenInterval], at: datetime) -> None: ...

    def close_intervals(self, intervals: Sequence[CloseInterval], at: datetime) -> None: ...

    def restate_intervals(self, intervals: Sequence[OpenGrant]) -> None:
        """Same pair, other provenance."""

    def put_rule(self, rule: Rule, at: datetime) -> None:
        """Replaces the current version, if there is one."""

    def end_rule(self, rule_id: RuleId, at: datetime) -> None: ...

    def put_scope(self, scope: PutScope) -> None: ...

    def end_scope(self, scope_id: ScopeId, at: datetime) -> None: ...

    def put_role(self, role: PutRole) -> None: ...

    def delete_role(self, role: RoleId) -> None: ...

    def insert_override(self, override: StoredOverride, at: datetime) -> None: ...

    def end_override(self, override_id: OverrideId, at: datetime) -> None: ...

    def insert_block(self, block: StoredBlock) -> None: ...

    def delete_block(self, member_id: MemberId) -> None: ...

    def insert_invitation(self, invitation: StoredInvitation, at: datetime) -> None: ...

    def end_invitation(self, invitation_id: InvitationId, state: str) -> None: ...

    def put_domain(self, domain: str, at: datetime) -> None: ...

    def put_directory(self, directory: StoredDirectory, at: datetime) -> None: ...

    def save_organisation(self, organisation: OrganisationState) -> None: ...

    def enqueue_members(self, members: Sequence[PendingMember]) -> None:
        """Members already waiting in the queue keep their first cause."""

    def enqueue_groups(
        self, group_ids: Collection[GroupId], *, kind: str, root: EventId, parent: EventId
    ) -> int:
        """Every member with a user in one of the groups, in one statement; how many were added."""

    def enqueue_directories(
        self, directory_ids: Collection[DirectoryId], *, kind: str, root: EventId, parent: EventId
    ) -> int:
        """Every member with a live user in one of the directories, likewise."""

    def enqueue_everyone(self, *, kind: str, root: EventId, parent: EventId) -> int:
        """Every live member, likewise."""

    def count_pending(self) -> int: ...

    def take_pending(self, limit: int) -> list[PendingMember]:
        """Remove and return the head of the queue, in member id order."""

    def insert_personal_data(self, rows: Sequence[PersonalData]) -> None: ...

    def put_token(self, token: StoredToken) -> None:
        """New, or with another end, notice or revocation."""

    def put_secret(self, holder: str, name: str, secret: bytes, at: datetime) -> None:
        """Keep a secret sealed, in place of the holder's last one of that name (at most 40 characters).

        No event tells of it: whoever puts one says so in a change of its own, without the secret.
        """

    def delete_secret(self, holder: str, name: str) -> bool:
        """Forget it; False when there is none."""

    def append_events(self, events: Sequence[EventRow]) -> None: ...

    def append_outbox(self, topic: str, payloads: Sequence[Mapping[str, object]], at: datetime) -> None: ...

    def interrupt_runs(self, directory_id: DirectoryId, at: datetime) -> int:
        """Runs of the directory that never ended are noted as interrupted; how many."""

    def delete_runs(self, directory_id: DirectoryId, before: datetime, kept: int) -> int:
        """Delete runs that began before the moment, and all but the latest `kept`; how many.

        The latest one that applied something stays, and whichever has not ended.
        """

    def insert_run(self, run: RunRecord) -> None: ...

    def save_cursor(self, directory_id: DirectoryId, fence: int, cursor: Cursor) -> None:
        """Keep how far the source has been read; nothing happens when another run has taken the directory over."""

    def finish_run(self, run: RunRecord, *, next_run_at: datetime | None, succeeded: bool) -> None:
        """Writes the run's end, releases the lease and says when the directory is due again."""


class UnitOfWork(Protocol):
    """Transactions of one organisation. A write that leaves by an exception is rolled back whole."""

    @property
    def organisation_id(self) -> OrganisationId: ...

    def write(self) -> AbstractContextManager[Writer]: ...

    def read(self) -> AbstractContextManager[Reader]: ...

    def refresh_statistics(self) -> None:
        """Tell the database that its tables have grown; a long run does so each time it has doubled what it wrote."""


class ServiceStore(Protocol):
    """What belongs to the service and not to one organisation. Each call is a transaction of its own."""

    def put_environment(
        self, environment_id: EnvironmentId, catalogue: str, sha256: str, at: datetime
    ) -> None: ...

    def environment(self, environment_id: EnvironmentId) -> StoredEnvironment | None: ...

    def environments(self) -> list[StoredEnvironment]: ...

    def create_organisation(self, organisation: OrganisationState, at: datetime) -> None:
        """The organisation and its root scope. The name must be free by `name_key`."""

    def organisation(self, name_or_id: str) -> OrganisationState | None:
        """By id, or else by name (`name_key`)."""

    def organisations(self) -> list[OrganisationState]:
        """By name."""

    def claim_due(self, owner: str, at: datetime, lease_until: datetime, limit: int) -> list[Claim]:
        """Take the directories that are longest due and that nobody holds; no other claim gets them meanwhile."""

    def directories_due(self, at: datetime, limit: int) -> list[DirectoryId]:
        """The directories that are longest due and that nobody holds, without taking them."""

    def claim(
        self,
        directory_id: DirectoryId,
        owner: str,
        at: datetime,
        lease_until: datetime,
        *,
        only_due: bool = False,
    ) -> Claim | None:
        """Take one directory, due or not; None while another's lease runs, or when there is no such directory."""

    def release(self, claim: Claim) -> bool:
        """End the lease, unless another has taken the directory meanwhile."""

    def release_owner(self, directory_id: DirectoryId, owner: str) -> bool:
        """End the lease that an owner who is gone has on the directory; what that owner still writes is refused.

        Returns: False while the owner's last transaction is not over, and nothing can be taken yet.
        """

    def organisations_with_pending(self, limit: int) -> list[OrganisationId]:
        """Organisations with members whose access must be worked out."""

    def organisations_with_due(self, at: datetime, limit: int) -> list[OrganisationId]:
        """Organisations with an override or an invitation that has run out."""

    def row_counts(self) -> Mapping[str, int]:
        """Rows of every table, by its name."""


class EventSink(Protocol):
    """Where events about the service itself go that belong to no organisation."""

    def append(self, events: Iterable[EventRow]) -> None: ...
