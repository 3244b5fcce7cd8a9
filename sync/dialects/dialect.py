"""What an entry is, in the words of one kind of directory server.

A dialect says which entries are users and groups, what identifies them, whether a user may act, and which
attribute becomes which fact. It sees one entry at a time and resolves nothing: names of members stay as the
entry gives them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from directory.facts import Activity, GroupFacts, UserFacts
from directory.ids import ExternalId
from sync.entries import Attributes, RawEntry

_FILETIME_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class UserEntry(NamedTuple):
    """A user, not yet turned into facts: an unchanged `fingerprint` makes that unnecessary.

    `uids` are the names by which posix groups list the user. `primary_group` is the security identifier of
    the group that holds the user without listing him.
    """

    external_id: ExternalId
    fingerprint: bytes
    activity: Activity
    entry: RawEntry
    mails: list[bytes]
    uids: list[bytes]
    primary_group: bytes | None


class GroupEntry(NamedTuple):
    """A group with its members as the entry names them: by DN, or by the uid of a user."""

    external_id: ExternalId
    facts: GroupFacts
    entry: RawEntry
    member_dns: list[bytes]
    member_uids: list[bytes]
    security_id: bytes | None


class ContainerEntry(NamedTuple):
    """An entry that only holds others: an organisational unit, a domain."""

    entry: RawEntry


class IgnoredEntry(NamedTuple):
    """An entry of no concern: `reason` is one word for it, such as `computer` or `contact`."""

    entry: RawEntry
    reason: str


class Identity(NamedTuple):
    """Who a rejected entry is, as far as can be told: `external_id` is None when nothing readable identifies it.

    By `uids` and `primary_group` a user stays in the groups that hold him.
    """

    external_id: ExternalId | None
    is_group: bool
    uids: list[bytes]
    primary_group: bytes | None


DirectoryEntry = UserEntry | GroupEntry | ContainerEntry | IgnoredEntry


@dataclass(frozen=True, slots=True)
class DialectSettings:
    """What an administrator may set apart from the dialect's own defaults. Attribute names in any case.

    `attribute_map` maps a fact (`user_name`, `display_name`, `given_name`, `family_name`, `mails`,
    `group_name`) or a SCIM attribute (`department`, `costCenter` ...) to LDAP attributes, separated by
    commas: the first that an entry holds counts. An empty text takes the fact away. `disabled_attribute` with
    one of `disabled_values` disables a user, beside the dialect's own rules.
    """

    id_attribute: str | None = None
    group_id_attribute: str | None = None
    attribute_map: Mapping[str, str] = field(default_factory=dict)
    member_attributes: tuple[str, ...] | None = None
    disabled_attribute: str | None = None
    disabled_values: tuple[str, ...] = ()
    include_built_in: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """The time of the reading as directories count it, so that an account past its end is disabled."""

    filetime: int
    """100-nanosecond steps since 1601."""
    day: int
    """Whole days since 1970."""

    @classmethod
    def at(cls, now: datetime) -> "Moment":
        since_1601 = now - _FILETIME_EPOCH
        seconds = since_1601.days * 86_400 + since_1601.seconds
        return cls(seconds * 10_000_000 + since_1601.microseconds * 10, (now - _UNIX_EPOCH).days)


class Dialect(Protocol):
    """Reads the entries of one kind of directory server."""

    @property
    def name(self) -> str: ...

    @property
    def mapping(self) -> str:
        """What an entry's facts depend on besides its attributes, as a digest."""
        ...

    @property
    def id_attributes(self) -> tuple[str, str]:
        """What identifies a user, and what a group."""
        ...

    @property
    def member_attributes(self) -> tuple[str, ...]:
        """Where a group lists its members by DN."""
        ...

    @property
    def member_uid_attribute(self) -> str | None:
        """Where a group lists its members by uid."""
        ...

    @property
    def wanted(self) -> frozenset[str]:
        """The attributes that this dialect looks at, in lower case."""
        ...

    @property
    def user_filter(self) -> str:
        """The filter by which a server is asked for users, when the settings give none."""
        ...

    @property
    def group_filter(self) -> str:
        """The filter by which a server is asked for groups, when the settings give none."""
        ...

    def read(self, entry: RawEntry) -> DirectoryEntry:
        """Say what the entry is.

        Raises: EntryError when it is a user or a group, or might be one, and cannot be taken over.
        """
        ...

    def identify(self, attributes: Attributes) -> Identity | None:
        """Say whose attributes these are, perhaps not all of an entry; None when surely of no user and no group."""
        ...

    def read_id(self, values: list[bytes] | None, *, is_group: bool) -> ExternalId | None:
        """The id that the values of one of `id_attributes` hold."""
        ...

    def user_facts(self, user: UserEntry) -> UserFacts:
        """The facts that the user's entry holds. A value that is not UTF-8 text is left out."""
        ...
