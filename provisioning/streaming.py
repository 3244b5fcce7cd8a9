"""Log streams as they are stored, and the ports of whoever sends them: the sealed log, and each delivery's state.

Positions are leaf indices. They are dense, so that whoever receives them sees a gap; -1 stands before the first.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from directory.ids import OrganisationId, StreamId

LIVE: Final = "live"
REPLAY: Final = "replay"

ACTIVE: Final = "active"
PAUSED: Final = "paused"
ERROR: Final = "error"
BACKING_OFF: Final = "backing_off"

MOST_EVENTS: Final = 500
"""Events of one batch."""

BEFORE_FIRST: Final = -1


class SealedEvent(NamedTuple):
    """One sealed event: its exact bytes, and the clear names of the references in them, which no proof covers."""

    leaf_index: int
    body: bytes
    event_id: str
    sealed_at: datetime
    names: Mapping[str, Mapping[str, str]]


class SealedCheckpoint(NamedTuple):
    """What was signed when the log had `size` events: a C2SP note."""

    size: int
    note: str
    sealed_at: datetime


@dataclass(frozen=True, slots=True)
class StoredStream:
    """A destination. `fingerprints`: for each secret the last four characters of its SHA-256.

    `state` is active, paused or error; that a delivery backs off is said by its `attempts`. `host` is what
    deliveries to one receiver share; empty for what is fetched and not sent.
    """

    stream_id: StreamId
    organisation_id: OrganisationId
    name: str
    kind: str
    settings: Mapping[str, str | int | bool]
    host: str
    state: str
    reason: str
    version: int
    created_at: datetime
    fingerprints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lane:
    """One delivery of a stream: the live one, or a replay, which ends behind `until`.

    All up to `position` is acknowledged. `batch_last` is the end of the batch that has been begun: it is stored
    before the first attempt, so that every further one sends the same. `size` is how many events the next batch has
    at most; it shrinks around an event that the destination does not take. `dead_in_row` counts such events since
    the last that was taken.
    """

    stream_id: StreamId
    organisation_id: OrganisationId
    track: str
    position: int
    due_at: datetime
    until: int | None = None
    batch_last: int | None = None
    size: int = MOST_EVENTS
    attempts: int = 0
    dead_in_row: int = 0
    acknowledged_at: datetime | None = None
    trouble: str = ""
    fence: int = 0

    @property
    def is_replay(self) -> bool:
        return self.track == REPLAY


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that the destination did not take. Its body lies in the log."""

    stream_id: StreamId
    leaf_index: int
    event_id: str
    reason: str
    at: datetime


class DueLane(NamedTuple):
    """A delivery that has something to do."""

    stream_id: StreamId
    track: str
    host: str
    organisation_id: OrganisationId


@dataclass(frozen=True, slots=True)
class HeldLane:
    """A delivery that the holder alone may make until its lease ends."""

    lane: Lane
    stream: StoredStream
    secrets: Mapping[str, bytes] = field(repr=False)


class Lag(NamedTuple):
    """How far a delivery is behind the sealed log. `since` is when the first event that waits was sealed."""

    events: int
    since: datetime | None


class SealedLog(Protocol):
    """The sealed events of one organisation."""

    def after(self, leaf_index: int, limit: int) -> Sequence[SealedEvent]:
        """What lies behind the position, in its order. Events that the retention has removed are left out."""

    def head(self) -> int:
        """The last position that is sealed; -1 where nothing is."""

    def checkpoint(self, size: int) -> SealedCheckpoint | None:
        """The checkpoint over so many events; None where the sealer went on to a larger size at once."""


class LaneStore(Protocol):
    """Deliveries across organisations. Each call is a transaction of its own; an old fence is refused."""

    def log(self, organisation_id: OrganisationId) -> SealedLog: ...

    def due(self, at: datetime, limit: int) -> list[DueLane]:
        """Deliveries of what is active that nobody holds and for which something is sealed.

        The longest due of each receiver come first, then the second of each: none hides those of others.
        """

    def claim(self, due: DueLane, owner: str, at: datetime, lease_until: datetime) -> HeldLane | None:
        """Hold the delivery; None when somebody else does, or when it is not due any more."""

    def save(self, lane: Lane, *, lease_until: datetime | None) -> bool:
        """Keep how far the delivery is; None gives the lease back. False: it is somebody else's by now.

        A batch that has been begun is kept durably.
        """

    def finish(self, lane: Lane) -> bool:
        """End a replay. False as above."""


class StreamStore(LaneStore, Protocol):
    """Those of streams."""

    def stream_of_token(self, digest: bytes) -> StoredStream | None:
        """The stream that is fetched with the token of this SHA-256, when it is active."""

    def note_fetched(self, stream_id: StreamId, position: int, at: datetime) -> bool:
        """Keep how far a stream was fetched; whether it is the first time on this day (UTC)."""


class StreamReader(Protocol):
    """Streams of one organisation."""

    def streams(self) -> list[StoredStream]:
        """By name."""

    def stream(self, stream_id: StreamId) -> StoredStream | None: ...

    def lanes(self) -> list[Lane]:
        """Of all streams that there are."""

    def lag(self, lane: Lane) -> Lag: ...

    def dead_letters(self, stream_id: StreamId, limit: int) -> list[DeadLetter]:
        """The latest first."""

    def sealed_head(self) -> int:
        """The last position that is sealed; -1 where nothing is."""

    def secrets(self, stream_id: StreamId, names: Collection[str]) -> dict[str, bytes]:
        """Those that are set, for who sends."""


class StreamWriter(StreamReader, Protocol):
    """Streams of one organisation, to be changed."""

    def put_stream(self, stream: StoredStream, at: datetime) -> None:
        """Write the stream; its kind is written when it is made only."""

    def put_token(self, stream_id: StreamId, digest: bytes) -> None:
        """Let the stream be fetched with the token of this SHA-256, and with no other."""

    def put_stream_secret(self, stream_id: StreamId, name: str, secret: bytes | None, at: datetime) -> None:
        """Seal a secret, or forget it."""

    def put_lane(self, lane: Lane) -> None:
        """Begin a delivery, in place of one of the same track."""

    def wake(self, stream_id: StreamId, at: datetime) -> None:
        """Let all deliveries of the stream be due, without the memory of failures."""

    def remove_stream(self, stream_id: StreamId, at: datetime) -> None: ...

    def insert_dead_letter(self, letter: DeadLetter) -> bool:
        """False when it is kept already."""
