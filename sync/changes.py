"""What an incremental method gives: the entries that changed, the ids that went, and where to go on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from directory.ids import ExternalId
from sync.entries import RawEntry, RejectedEntry
from sync.ldap_reader import LDAPSession

Mark = Mapping[str, str]
"""How far a source has been read, in the method's own words."""

MOST_ENTRIES: Final = 20_000
"""Changed entries that are kept in memory; with more of them a full reading is no dearer."""


@dataclass(slots=True)
class Changes:
    """An incremental answer. It says nothing by what it does not hold: only `gone` are gone, and only said so."""

    mark: Mark
    entries: list[RawEntry | RejectedEntry] = field(default_factory=list)
    gone: dict[str, set[ExternalId]] = field(default_factory=lambda: {"user": set(), "group": set()})
    """Ids by what was sought, `user` or `group`, that the server names as deleted or no longer fitting the filter."""


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
