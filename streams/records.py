"""What a batch consists of, and its canonical JSON. Bodies are the exact bytes of the log, never written anew.

A body is canonical (RFC 8785), so that whoever has parsed the record can write it again and compute its leaf.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from directory.ids import StreamId
from provisioning.streaming import Lane, SealedCheckpoint, SealedEvent


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One sealed event."""

    event: SealedEvent
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class GapRecord:
    """Events that the retention removed before they could be sent: both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """What was signed over all events up to here. Kept by the receiver, it is a head that nobody can take back.

    It is a record and no event: an event would be followed by the next checkpoint, for ever.
    """

    checkpoint: SealedCheckpoint


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """An event that is sent ahead of its place in the log: of a test, or that nothing more is sent."""

    body: bytes
    event_id: str
    at: datetime
    is_last: bool = False


Record = EventRecord | GapRecord | CheckpointRecord | ProbeRecord


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent at once: everything from position `first` to `last`. A test has neither."""

    stream_id: StreamId
    records: tuple[Record, ...]
    first: int | None = None
    last: int | None = None
    is_replay: bool = False

    @property
    def id(self) -> str:
        """The same for every attempt, so that a receiver knows what it has."""
        if self.first is None:
            first = self.records[0]
            why = "last" if isinstance(first, ProbeRecord) and first.is_last else "test"
            return f"{self.stream_id}.{why}.{record_id(first)}"
        replay = ".replay" if self.is_replay else ""
        return f"{self.stream_id}.{self.first}-{self.last}{replay}"

    @property
    def events(self) -> tuple[EventRecord | ProbeRecord, ...]:
        return tuple(record for record in self.records if isinstance(record, EventRecord | ProbeRecord))


def find_records(
    events: Sequence[SealedEvent], after: int, last: int, *, is_replay: bool
) -> tuple[Record, ...]:
    """The records behind one position up to another: events, and a gap wherever some are missing."""
    records: list[Record] = []
    expected = after + 1
    for event in events:
        if event.leaf_index > expected:
            records.append(GapRecord(expected, event.leaf_index - 1))
        records.append(EventRecord(event, is_replay))
        expected = event.leaf_index + 1
    if expected <= last:
        records.append(GapRecord(expected, last))
    return tuple(records)


def make_batch(
    lane: Lane, events: Sequence[SealedEvent], last: int, checkpoint: SealedCheckpoint | None = None
) -> Batch:
    """What is sent behind the lane's position, up to and with `last`, and the checkpoint over all that."""
    records = find_records(events, lane.position, last, is_replay=lane.is_replay)
    return Batch(
        stream_id=lane.stream_id,
        records=records if checkpoint is None else (*records, CheckpointRecord(checkpoint)),
        first=lane.position + 1,
        last=last,
        is_replay=lane.is_replay,
    )


def render_record(record: Record) -> bytes:
    """One JSON object on one line."""
    return orjson.dumps(record_fields(record), default=dict, option=orjson.OPT_SORT_KEYS)


def record_fields(record: Record) -> Mapping[str, object]:
    """The record's fields; the body stands in them as the bytes that it is."""
    match record:
        case GapRecord():
            return {"from": record.first, "record": "stream.gap", "to": record.last}
        case CheckpointRecord():
            return {
                "note": record.checkpoint.note,
                "record": "log.checkpoint",
                "sealed_at": render_moment(record.checkpoint.sealed_at),
                "size": record.checkpoint.size,
            }
        case ProbeRecord():
            return {
                "body": orjson.Fragment(record.body),
                "leaf_index": None,
                "names": {},
                "record": "event",
                "sealed_at": None,
                "last" if record.is_last else "test": True,
            }
        case EventRecord():
            event = record.event
            fields: dict[str, object] = {
                "body": orjson.Fragment(event.body),
                "leaf_index": event.leaf_index,
                "names": event.names,
                "record": "event",
                "sealed_at": render_moment(event.sealed_at),
            }
            if record.is_replay:
                fields["replay"] = True
            return fields


def record_id(record: Record) -> str:
    """What a receiver may know the record by, within its stream: the event's id; a gap by its ends."""
    match record:
        case GapRecord():
            return f"gap-{record.first}-{record.last}"
        case CheckpointRecord():
            return f"checkpoint-{record.checkpoint.size}"
        case ProbeRecord():
            return record.event_id
        case EventRecord():
            return record.event.event_id


def record_time(record: Record, otherwise: datetime, body: Mapping[str, Any] | None = None) -> datetime:
    """When the event happened, by its body, which may be read already; a gap has no time of its own."""
    match record:
        case GapRecord():
            return otherwise
        case CheckpointRecord():
            return record.checkpoint.sealed_at
        case ProbeRecord():
            return record.at
        case EventRecord():
            time = (read_body(record) if body is None else body).get("time", "")
            try:
                return datetime.fromisoformat(time)
            except (TypeError, ValueError):
                return record.event.sealed_at


def read_body(record: EventRecord | ProbeRecord) -> Mapping[str, Any]:
    """The event, as far as it is one: nothing where the bytes are none."""
    try:
        read: object = orjson.loads(record.event.body if isinstance(record, EventRecord) else record.body)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


def render_moment(at: datetime) -> str:
    """RFC 3339 in milliseconds, with the Z of UTC."""
    return f"{at.isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"
