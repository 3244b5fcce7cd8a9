"""Objects of a store: what each batch is named, what lies in it, and the signed checkpoint beside it.

One object for each batch, `<organisation>/yyyy/mm/dd/<first>-<last>.jsonl.gz`, and `<first>-<last>.checkpoint` with
the first checkpoint that covers it. Nothing that is there is ever written over: stores make an object only where
there is none of its name, so that a repetition makes no second one. Knows no store's protocol.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final, Protocol

from audit.checkpoint import split_note
from audit.tree import leaf_hash
from directory.ids import OrganisationId
from streams.formats import Render
from streams.outcomes import Outcome, Verdict
from streams.records import Batch, CheckpointRecord, EventRecord, GapRecord, ProbeRecord, render_record

FindCheckpoint = Callable[[OrganisationId, int], str | None]
"""The signed note of the first checkpoint of an organisation's log that covers a position."""

DIGEST_KEY: Final = "usher_digest"
"""Under what an object carries its digest. A letter, letters, digits and `_`: what every store takes."""

_LINES: Final = "application/gzip"
_NOTE: Final = "text/plain; charset=utf-8"
_SHORT: Final = 16


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What is to be stored. `digest` is over what cannot change between two attempts; see `digest_of`."""

    name: str
    suffix: str
    content: bytes
    content_type: str
    digest: str

    @property
    def key(self) -> str:
        return f"{self.name}{self.suffix}"


@dataclass(frozen=True, slots=True)
class There:
    """An object of this key is there, and stays as it is. `or_else`: it may be, and what else the answer may mean."""

    or_else: Outcome | None = None


class Store(Protocol):
    """A bucket or a container, below its prefix."""

    def create(self, key: str, stored: StoredObject) -> Outcome | There:
        """Make the object where there is none of this key."""

    def find_digest(self, key: str) -> str | Outcome | None:
        """The digest that the object of this key carries, empty for none; None where there is no object.

        An outcome where it cannot be told.
        """


class Objects:
    """Stores batches for one organisation."""

    def __init__(
        self,
        store: Store,
        organisation_id: OrganisationId,
        find_checkpoint: FindCheckpoint,
        render: Render = render_record,
    ) -> None:
        self._store = store
        self._organisation_id = organisation_id
        self._find_checkpoint = find_checkpoint
        self._render = render

    def send(self, batch: Batch) -> Outcome:
        name = f"{self._organisation_id}/{name_batch(batch)}"
        lines = StoredObject(name, ".jsonl.gz", pack(batch, self._render), _LINES, digest_of(batch))
        if batch.last is None:
            return self._put(lines)
        note = self._find_checkpoint(self._organisation_id, batch.last)
        if note is None:
            return Outcome(Verdict.LATER, f"waits for a signed checkpoint that covers position {batch.last}")
        outcome = self._put(lines)
        if outcome.verdict is not Verdict.TAKEN:
            return outcome
        # Signatures may be added to a note; what they sign may not change.
        signed = sha256(split_note(note)[0].encode()).hexdigest()
        beside = self._put(StoredObject(name, ".checkpoint", note.encode(), _NOTE, signed))
        return outcome if beside.verdict is Verdict.TAKEN else beside

    def _put(self, stored: StoredObject) -> Outcome:
        made = self._create(stored.key, stored)
        if isinstance(made, Outcome):
            return made
        found = self._store.find_digest(stored.key)
        if found is None:
            return made.or_else or Outcome(Verdict.LATER, "lost the object between two requests")
        if isinstance(found, str):
            if compare_digest(found.encode(), stored.digest.encode()):
                return Outcome(Verdict.TAKEN, "holds the object already")
            return Outcome(
                Verdict.REFUSED,
                f"holds another object under the name '{stored.key}', which stays as it is: has the database been "
                "restored, or does somebody else write there? Name another prefix",
            )
        if found.verdict is Verdict.LATER:
            return found
        # The key may write and not read. Under a name that no other content has, what is there is this.
        key = f"{stored.name}.{stored.digest[:_SHORT]}{stored.suffix}"
        again = self._create(key, stored)
        if isinstance(again, Outcome):
            return again
        return again.or_else or Outcome(Verdict.TAKEN, "holds the object already")

    def _create(self, key: str, stored: StoredObject) -> Outcome | There:
        made = self._store.create(key, stored)
        if isinstance(made, Outcome) and made.verdict is Verdict.TAKEN:
            return Outcome(Verdict.TAKEN, f"{made.text}; the object is {key}")
        return made


def name_batch(batch: Batch) -> str:
    """The object's name within the organisation's folder. Each attempt finds the same.

    The day is that on which the first event was sealed (UTC). What holds no event but the notice of a gap is of no
    day, and neither is a test.
    """
    events = [record.event for record in batch.records if isinstance(record, EventRecord)]
    if batch.first is None:
        (probe,) = batch.events
        assert isinstance(probe, ProbeRecord)  # noqa: S101 - nothing else has no place
        return f"{'last' if probe.is_last else 'tests'}/{probe.event_id}"
    day = f"{events[0].sealed_at:%Y/%m/%d}" if events else "gaps"
    return f"{day}/{batch.first}-{batch.last}{'.replay' if batch.is_replay else ''}"


def pack(batch: Batch, render: Render = render_record) -> bytes:
    """One record a line, packed. The same octets for the same batch: no time of packing.

    The checkpoint has an object of its own.
    """
    lines = [render(record) for record in batch.records if not isinstance(record, CheckpointRecord)]
    return gzip.compress(b"\n".join(lines) + b"\n", compresslevel=6, mtime=0)


def digest_of(batch: Batch) -> str:
    """SHA-256 over the leaves in it and its gaps. Names are left out: they may be erased between two attempts."""
    digest = sha256()
    for record in batch.records:
        if isinstance(record, EventRecord):
            digest.update(b"%d " % record.event.leaf_index + leaf_hash(record.event.body))
        elif isinstance(record, GapRecord):
            digest.update(b"%d-%d " % (record.first, record.last))
        elif isinstance(record, ProbeRecord):
            digest.update(leaf_hash(record.body))
    return digest.hexdigest()
