"""What changed between what is stored and what a source shows. The source may be a stream of any length."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import cast

from directory.ids import ExternalId


class Seen(Enum):
    """How an entry of the source stands to what is stored."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"


class FingerprintDiff:
    """One pass over a source against stored fingerprints by id. Both are opaque bytes of any length.

    The table of what is stored is taken over and used up: with half a million entries, a copy would be felt. An id
    seen twice is a duplicate; which of the two entries is right is the caller's to say.
    """

    __slots__ = ("_entries",)

    def __init__(self, stored: dict[bytes, bytes]) -> None:
        # None marks what the pass has shown, so that no second table of ids is needed.
        self._entries = cast("dict[bytes, bytes | None]", stored)

    def classify(self, entry_id: bytes, fingerprint: bytes) -> Seen:
        """Say how the entry stands to what is stored, and note it. An empty fingerprint agrees with none."""
        if entry_id not in self._entries:
            self._entries[entry_id] = None
            return Seen.NEW
        stored = self._entries[entry_id]
        if stored is None:
            return Seen.DUPLICATE
        self._entries[entry_id] = None
        return Seen.UNCHANGED if fingerprint and fingerprint == stored else Seen.CHANGED

    def absent(self) -> Iterator[bytes]:
        """The stored ids that the pass has not shown. They are gone only when the pass was complete."""
        return (entry_id for entry_id, stored in self._entries.items() if stored is not None)


def diff_members(
    stored: AbstractSet[ExternalId], said: AbstractSet[ExternalId]
) -> tuple[tuple[ExternalId, ...], tuple[ExternalId, ...]]:
    """Who is to be added to the stored members, and who removed, so that they are as said. Both sorted."""
    return tuple(sorted(said - stored)), tuple(sorted(stored - said))
