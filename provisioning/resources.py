"""What a pushing client is shown of its own directory, and the port that shows it.

A `ResourceReader` is built for one directory of one organisation: it sees nothing else. Tombstones are never seen,
but where it is said. Ids are texts that came over the wire; one that is no id at all is simply not found.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from directory.filters import Filter
from directory.ids import DirectoryId, EventId, GroupId, MemberId, OrganisationId, RoleId, ScopeId, UserId
from directory.schema import Path
from provisioning.state import Seat

_Row_co = TypeVar("_Row_co", covariant=True)


@dataclass(frozen=True, slots=True)
class UserResource:
    """A user of a SCIM directory. `resource` is what the client said, as sent; the rest is ours to say.

    `groups` are direct (id, display name), by id; `grants` are (role, scope, name of the scope), by scope and role.
    Both are empty where the query did not ask for them. `is_held`: the effect of a change waits (last Admin, guard).
    """

    user_id: UserId
    version: int
    created_at: datetime
    updated_at: datetime
    resource: Mapping[str, object]
    member_id: MemberId
    seat: Seat
    is_held: bool
    groups: tuple[tuple[GroupId, str], ...] = ()
    grants: tuple[tuple[RoleId, ScopeId, str], ...] = ()


@dataclass(frozen=True, slots=True)
class GroupResource:
    """A group of a SCIM directory, without its members."""

    group_id: GroupId
    client_id: str
    display_name: str
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A direct member. `is_group`: a nested group, which gives nothing."""

    id: str
    display: str
    is_group: bool = False


class Direction(StrEnum):
    FORWARD = "f"
    BACKWARD = "b"


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two rows of a sorted list: the row with this sort key (None: no value) and id is passed."""

    key: str | None
    id: str
    direction: Direction = Direction.FORWARD


@dataclass(frozen=True, slots=True)
class ResourceQuery:
    """A list to read. `skip` rows are passed over, or `after` says where a cursor stands; never both.

    `sort` None is by id. A row without a value of `sort` is last in ascending and first in descending order; ties go
    by id. `limit` may be 0: only the total. `with_groups` and `with_grants` say what of a user is to be read. Without
    `with_total` rows are not counted where the page itself does not tell their number, which then is -1: a page at a
    cursor costs the same however long the list is.
    """

    filter: Filter | None = None
    sort: Path | None = None
    is_descending: bool = False
    skip: int = 0
    limit: int = 100
    after: Position | None = None
    with_groups: bool = True
    with_grants: bool = True
    with_total: bool = True


@dataclass(frozen=True, slots=True)
class Page(Generic[_Row_co]):
    """Rows in order, and how many there are in all. `first` and `last` are where cursors before and behind stand;
    None where nothing lies there."""

    rows: Sequence[_Row_co]
    total: int
    first: Position | None = None
    last: Position | None = None


@dataclass(frozen=True, slots=True)
class MemberKinds:
    """What ids that a client gave as members are. `deleted` were users of this directory; `unknown` never were."""

    users: frozenset[UserId] = frozenset()
    groups: frozenset[GroupId] = frozenset()
    deleted: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()


class ResourceReader(Protocol):
    """One SCIM directory, as its client may see it."""

    def user(
        self, user_id: str, *, with_groups: bool = True, with_grants: bool = True
    ) -> UserResource | None: ...

    def users(self, query: ResourceQuery) -> Page[UserResource]:
        """Raises UnfitFilterError for what no statement can be made of."""

    def user_named(self, user_name: str) -> UserId | None:
        """The live user of this name, compared by `name_key`."""

    def group(self, group_id: str) -> GroupResource | None: ...

    def groups(self, query: ResourceQuery) -> Page[GroupResource]:
        """Raises UnfitFilterError for what no statement can be made of."""

    def groups_named(self, display_name: str) -> list[GroupId]:
        """Live groups of this name, compared by `name_key`."""

    def members(self, group_id: GroupId) -> Iterator[Sequence[GroupMember]]:
        """Direct members in chunks, users first, each kind by id; streamed, never the whole group at once."""

    def members_of(self, group_ids: Collection[GroupId]) -> Mapping[GroupId, Sequence[GroupMember]]:
        """Members of several groups at once, for a page of a list."""

    def classify(self, ids: Collection[str]) -> MemberKinds: ...

    def absent_from(self, group_id: GroupId, ids: Collection[str]) -> tuple[str, ...]:
        """Those of the ids, users or groups, that are not direct members of the group."""

    def surplus_in(self, group_id: GroupId, ids: Collection[str]) -> tuple[list[UserId], list[GroupId]]:
        """Direct members of the group that are not among the ids."""


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A bearer token's row with the directory that it opens. Nothing in it lets anybody in."""

    token_id: str
    organisation_id: OrganisationId
    directory_id: DirectoryId
    name: str
    prefix: str
    sha256: bytes
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    last_used_from: str
    noticed_days: int | None
    directory_kind: str = "scim"
    directory_name: str = ""
    settings: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request of a SCIM client and what it was answered, redacted. `events` are what it changed, the first 100."""

    id: str
    organisation_id: OrganisationId
    directory_id: DirectoryId
    request_id: str
    at: datetime
    token_prefix: str
    address: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    status: int
    scim_type: str
    detail: str
    duration_us: int
    profile: str
    leniencies: tuple[str, ...]
    events: tuple[EventId, ...]
    request_body: str | None
    answer_body: str | None


@dataclass(frozen=True, slots=True)
class RequestQuery:
    """A bounded look into the request log of one directory. `failed_only`: answers of 400 and above."""

    directory_id: DirectoryId
    limit: int = 50
    before: str = ""
    failed_only: bool = False
    status: int | None = None
    method: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None


class PushView(Protocol):
    """What one request of a pushing client may read, in one transaction."""

    def token(self, prefix: str) -> StoredToken | None: ...

    def resources(self, organisation_id: OrganisationId, directory_id: DirectoryId) -> ResourceReader: ...


class PushStore(Protocol):
    """Tokens and the request log: what a pushing client needs beside the organisation's own transactions."""

    def read(self) -> AbstractContextManager[PushView]: ...

    def note_use(self, token_id: str, at: datetime, address: str) -> None:
        """Write when and from where a token was last used, in a transaction of its own."""

    def append_requests(self, requests: Sequence[LoggedRequest]) -> None: ...

    def requests(self, organisation_id: OrganisationId, query: RequestQuery) -> list[LoggedRequest]:
        """Newest first, without bodies."""

    def request(self, organisation_id: OrganisationId, id_or_request_id: str) -> LoggedRequest | None: ...

    def delete_requests(self, before: datetime, limit: int) -> int:
        """Delete the oldest, at most `limit` of them; how many."""

    def tokens_ending(self, now: datetime, days: int, limit: int) -> list[StoredToken]:
        """Live tokens that end within so many days and whose end has not been noted as that near; the next first."""


class RequestSink(Protocol):
    """Where an answered request goes to be logged. Neither call waits, or touches the database itself."""

    def put(self, request: LoggedRequest) -> None:
        """Take a request over. A full queue drops it, and counts that."""

    def note_use(self, token: StoredToken, at: datetime, address: str) -> None:
        """Note that the token let somebody in. Written at most once a minute for each token."""
