"""What changed between what is stored and what a source shows. Streams the source; holds only the stored side."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from hashlib import blake2b

from directory.ids import ExternalId

FINGERPRINT_BYTES = 16


class Seen(Enum):
    """How an entry of the source stands to what is stored."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"


class FingerprintDiff:
    """One pass over a source against stored fingerprints by id. Both are opaque bytes of any length.

    Duplicates are told only from what this pass has shown; which of two entries is right is the caller's to say.
    """

    __slots__ = ("_unseen",)

    def __init__(self, stored: Mapping[bytes, bytes]) -> None:
        # None marks what the pass has shown, so that no second table of ids is needed.
        self._unseen: dict[bytes, bytes | None] = {**stored}

    def classify(self, entry_id: bytes, fingerprint: bytes) -> Seen:
        """Say how the entry stands to what is stored, and note it as seen. An empty fingerprint equals none."""
        if entry_id not in self._unseen:
            self._unseen[entry_id] = None
            return Seen.NEW
        stored = self._unseen[entry_id]
        if stored is None:
            return Seen.DUPLICATE
        self._unseen[entry_id] = None
        return Seen.UNCHANGED if fingerprint and fingerprint == stored else Seen.CHANGED

    def absent(self) -> Iterator[bytes]:
        """The stored ids that the pass has not shown. They are gone only when the pass was complete."""
        return (entry_id for entry_id, stored in self._unseen.items() if stored is not None)


def diff_members(
    stored: AbstractSet[ExternalId], said: AbstractSet[ExternalId]
) -> tuple[tuple[ExternalId, ...], tuple[ExternalId, ...]]:
    """Who is to be added to the stored members, and who removed, so that they are as said. Both sorted."""
    return tuple(sorted(said - stored)), tuple(sorted(stored - said))


def members_fingerprint(ids: Iterable[bytes | str]) -> bytes:
    """A digest of the set of ids: their order, and an id said twice, make no difference."""
    digest = blake2b(digest_size=FINGERPRINT_BYTES)
    for member in sorted({_as_bytes(member) for member in ids}):
        digest.update(len(member).to_bytes(4, "big"))
        digest.update(member)
    return digest.digest()


def _as_bytes(member: bytes | str) -> bytes:
    return member if isinstance(member, bytes) else member.encode("utf-8", "surrogatepass")
