"""What an incremental method gives: the entries that changed, the ids that went, and where to go on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from directory.ids import ExternalId
from sync.entries import RawEntry, RejectedEntry
from sync.ldap_reader import LDAPSession

Mark = Mapping[str, str]
"""How far a source has been read, in the method's own words."""

MOST_ENTRIES: Final = 20_000
"""Changed entries that are kept in memory; with more of them a full reading is no dearer."""


@dataclass(slots=True)
class Touched:
    """What an answer tells of an entry that has changed, where it does not give the entry itself."""

    dn: bytes = b""
    is_deleted: bool = False
    is_new: bool = False
    is_moved: bool = False
    """It has another name or stands in another place."""
    has_security_id: bool = False
    attributes: set[str] = field(default_factory=set)
    """What of it has changed."""
    members: dict[ExternalId, bool] = field(default_factory=dict)
    """Who was added to its list, True, or removed from it."""
    lists_all: bool = False
    """The answer holds a list that is not told by what was added and removed."""


class Named(NamedTuple):
    """Whom a name stands for by which an entry of an answer lists its members."""

    external_id: ExternalId
    is_group: bool
    is_stored: bool


@dataclass(slots=True)
class Changes:
    """An incremental answer. It says nothing by what it does not hold: only `gone` are gone, and only said so."""

    mark: Mark
    entries: list[RawEntry | RejectedEntry] = field(default_factory=list)
    gone: dict[str, set[ExternalId]] = field(default_factory=lambda: {"user": set(), "group": set()})
    """Ids by what was sought, `user` or `group`, that the server names as deleted or no longer fitting the filter."""
    touched: dict[ExternalId, Touched] = field(default_factory=dict)
    """Who has changed, where the server tells no more than that."""
    names: dict[bytes, Named] = field(default_factory=dict)
    """Members that the entries do not list by their DNs."""
    is_whole: bool = False
    """Every group that anybody of these joins is among the entries, by having changed or by being asked for."""


class Method(Protocol):
    """A way of asking a server for what has changed."""

    @property
    def name(self) -> str: ...

    @property
    def stamps(self) -> frozenset[str]:
        """Attributes that a full reading must ask for besides, for the mark behind it."""
        ...

    def begin(self, session: LDAPSession) -> Mark:
        """The mark before a full reading begins. Raises: DoubtError when the server cannot be read this way."""
        ...

    def read(self, session: LDAPSession, mark: Mark, wanted: frozenset[str], known: int) -> Changes:
        """What has changed since the mark, in a directory of so many `known` entries.

        Raises: DoubtError when the answer may not be relied on; LDAPError, BERError.
        """
        ...
