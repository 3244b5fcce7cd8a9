"""What is said about log streams, as a closed union.

A change is a statement, as in `directory.changes`. Secrets are said once and never repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from directory.ids import StreamId


@dataclass(frozen=True, slots=True)
class PutStream:
    """A destination of the organisation's log, new or with new settings (`provisioning.stream_settings` lists them).

    A secret that is not named stays; None forgets it. A new stream begins behind the event `after` (-1: at the
    first), or by None behind what is sealed now.
    """

    stream_id: StreamId
    name: str
    kind: str
    settings: Mapping[str, str | int | bool]
    secrets: Mapping[str, bytes | None] = field(repr=False, default_factory=dict)
    after: int | None = None


@dataclass(frozen=True, slots=True)
class PauseStream:
    """Nothing is sent until the stream is resumed; what it has not received waits in the log."""

    stream_id: StreamId


@dataclass(frozen=True, slots=True)
class ResumeStream:
    """Go on, after a pause or after an error, with the batch that is due."""

    stream_id: StreamId


@dataclass(frozen=True, slots=True)
class RemoveStream:
    """Nothing is sent any more, and the stream's secrets are destroyed."""

    stream_id: StreamId


@dataclass(frozen=True, slots=True)
class ReplayStream:
    """Send again what lies behind `after`, up to what is sealed now, marked as a replay."""

    stream_id: StreamId
    after: int


@dataclass(frozen=True, slots=True)
class NoteDeadLetter:
    """The destination takes everything but this one event, which is left out and kept by name."""

    stream_id: StreamId
    leaf_index: int
    event_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class NoteStreamFailed:
    """The destination refuses us: nothing is sent until somebody has looked and resumes the stream."""

    stream_id: StreamId
    reason: str


@dataclass(frozen=True, slots=True)
class NoteStreamStuck:
    """The destination has taken nothing for some minutes; it is tried on, and what it misses waits in the log."""

    stream_id: StreamId
    trouble: str


@dataclass(frozen=True, slots=True)
class NoteStreamRecovered:
    """The destination takes batches again."""

    stream_id: StreamId


StreamChange = (
    PutStream
    | PauseStream
    | ResumeStream
    | RemoveStream
    | ReplayStream
    | NoteDeadLetter
    | NoteStreamFailed
    | NoteStreamStuck
    | NoteStreamRecovered
)
