"""How events become leaves: what a batch adds to each log, and what is signed. Ports for whoever stores it.

A log belongs to an organisation. Two more have ids of their own: `SERVICE_LOG` holds the events that belong to no
organisation, `HEADS_LOG` is the tree whose leaves are the texts of all checkpoints.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from audit.checkpoint import (
    Checkpoint,
    Sign,
    add_signature,
    key_hash,
    render_checkpoint,
    render_vkey,
    sign_note,
)
from audit.tree import Node, RightEdge, leaf_hash
from directory.ids import EventId, OrganisationId

SERVICE_LOG: Final = OrganisationId("00000000-0000-0000-0000-000000000000")
HEADS_LOG: Final = OrganisationId("00000000-0000-0000-0000-000000000001")

_SHORT_NAMES = {SERVICE_LOG: "service", HEADS_LOG: "heads"}


def log_origin(log_name: str, organisation_id: OrganisationId) -> str:
    """What the checkpoints of a log begin with. Source: c2sp.org/tlog-checkpoint, section Note text."""
    return f"{log_name}/audit/{_SHORT_NAMES.get(organisation_id, organisation_id)}"


@dataclass(frozen=True, slots=True)
class Signer:
    """A key of the log. `sign` holds the private half, wherever that is kept."""

    name: str
    public_key: bytes
    sign: Sign

    @property
    def key_id(self) -> str:
        return key_hash(self.name, self.public_key).hex()

    @property
    def vkey(self) -> str:
        return render_vkey(self.name, self.public_key)


class SealedRow(NamedTuple):
    """An event at its place: the row it lies in, and its leaf."""

    row: int
    leaf_index: int
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Growth:
    """What a batch adds to one log."""

    edge: RightEdge
    rows: tuple[SealedRow, ...]
    nodes: tuple[Node, ...]


def grow(edge: RightEdge, events: Sequence[tuple[int, bytes]]) -> Growth:
    """Append events (row and body) to a log, in their order."""
    leaves = [leaf_hash(body) for _, body in events]
    first = edge.size
    rows = tuple(
        SealedRow(event[0], index, leaf)
        for index, (event, leaf) in enumerate(zip(events, leaves, strict=True), start=first)
    )
    grown, nodes = edge.append_with_nodes(leaves)
    return Growth(grown, rows, nodes)


def sign_checkpoint(origin: str, edge: RightEdge, signers: Sequence[Signer]) -> str:
    """The note that says how large the log is and what is in it, signed by every one of the keys."""
    text = render_checkpoint(Checkpoint(origin, edge.size, edge.root()))
    first, *others = signers
    note = sign_note(text, first.name, first.public_key, first.sign)
    for one in others:
        note = add_signature(note, one.name, one.public_key, one.sign)
    return note


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A signed note as stored. `head_index` is its leaf in the tree of heads; None for that tree's own."""

    size: int
    root: bytes
    note: str
    sealed_at: datetime
    head_index: int | None


@dataclass(frozen=True, slots=True)
class StoredLogKey:
    """A key by its note key hash. Not active: announced, and the older keys have not sealed that yet."""

    key_id: str
    vkey: str
    created_at: datetime
    announced_row: int
    active_at: datetime | None
    retired_at: datetime | None

    @property
    def is_signing(self) -> bool:
        return self.active_at is not None and self.retired_at is None


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """What one transaction has sealed. `head` is the note of the tree of heads, empty when there was nothing."""

    events: int
    is_drained: bool
    head: str = ""


@dataclass(frozen=True, slots=True)
class SealStatus:
    """How far the sealer is. `oldest_unsealed` is the time that the earliest event without a position says."""

    unsealed: int
    oldest_unsealed: datetime | None
    sealed_at: datetime | None
    owner: str
    lease_until: datetime | None
    fence: int
    replayed_at: datetime | None = None
    replay_misfits: int = 0


class StoredEvent(NamedTuple):
    """A leaf and the event that lies there. Without a row the event is gone; the leaf stays."""

    leaf_index: int
    leaf: bytes
    event_row: int
    sealed_at: datetime
    event_id: str | None
    organisation_id: str | None
    time: datetime | None
    action: str | None
    subject_id: str | None
    body: bytes | None


class Sealing(Protocol):
    """Where events wait and where logs grow: one sealer for each database, by a lease and a fence."""

    def has_unsealed(self) -> bool:
        """Whether a batch would find something."""

    def status(self) -> SealStatus: ...

    def log_name(self) -> str:
        """What the origins of all logs begin with; empty before the first checkpoint."""

    def announce_key(self, key: Signer, event_id: EventId, at: datetime) -> None:
        """The event, and those before it, tell of the key; once they are sealed by the others, it signs too."""

    def retire_keys(self, key_ids: frozenset[str], at: datetime) -> None:
        """From now on they sign no more."""

    def begin_anew(self) -> None:
        """Look for events that wait from the first one on, in a database that was restored."""

    def claim_replay(self, at: datetime, before: datetime) -> bool:
        """Whether the check by replay is the caller's to do: none has begun since `before`."""

    def note_replay(self, misfits: int) -> None:
        """Keep what the check has found."""

    def log_keys(self) -> list[StoredLogKey]:
        """The oldest first."""

    def claim(self, owner: str, at: datetime, lease_until: datetime) -> int | None:
        """Become the sealer; the fence, or None while another is."""

    def release(self, fence: int) -> None: ...

    def seal_batch(
        self,
        fence: int,
        signers: Mapping[str, Signer],
        known_head: Checkpoint | None,
        *,
        at: datetime,
        lease_until: datetime,
        limit: int,
    ) -> SealedBatch | None:
        """Seal up to `limit` events in one durable transaction; None when another sealer has taken over.

        `signers` by their key id: all that are to sign must be among them; the first is adopted by a log that has no
        key yet. `known_head` is what the sealer last signed, as remembered outside of the database.
        Raises LogForkedError, LogKeyMissingError.
        """

    def read(self, organisation_id: OrganisationId) -> AbstractContextManager["SealedReader"]:
        """A consistent view of one log."""


class SealedReader(Protocol):
    """One log as it is sealed."""

    def size(self) -> int: ...

    def edge(self) -> RightEdge: ...

    def checkpoint(self, size: int | None = None) -> StoredCheckpoint | None:
        """The one of exactly that size, or the latest."""

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """All of them, by size."""

    def leaf_of(self, event_id: EventId) -> StoredEvent | None:
        """The leaf of one event of this log, if it is sealed."""

    def leaves(self, first: int, stop: int) -> list[bytes]:
        """Leaf hashes from the first index up to, not including, the second."""

    def node(self, level: int, index: int) -> bytes:
        """A stored inner node. Raises TreeError when there is none."""

    def stored_nodes(self) -> Iterator[Node]:
        """By level and index."""

    def events(self) -> Iterator[StoredEvent]:
        """Every leaf with its event, by leaf index, streamed."""

    def removals(self) -> list[tuple[int, int]]:
        """Leaves whose events the retention has removed: first and last of each range."""

    def told_removals(self) -> list[bytes]:
        """The events that tell of removals, sealed or not."""
