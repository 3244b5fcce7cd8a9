"""Log streams: what `reader.streams` and `writer.streams` are, and the deliveries across organisations."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Integer,
    LargeBinary,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Connection

from directory.facts import name_key
from directory.ids import StreamId
from provisioning.stream_settings import PULL, STREAM_KINDS
from provisioning.streaming import (
    ACTIVE,
    LIVE,
    DeadLetter,
    HeldLane,
    Lag,
    Lane,
    StoredStream,
)
from storage.across import Across
from storage.audit_tables import audit_leaf
from storage.engine import Database
from storage.lanes import SQLLanes, lane_columns, make_lane_statements, read_lane
from storage.puts import Put
from storage.sealed_events import SealedEventsView
from storage.secret_store import SecretsReader, SecretsWriter
from storage.stream_tables import stream, stream_dead_letter, stream_lane
from storage.types import Id, Moment, RowNumber, is_id, read_document, read_moment, read_optional_moment
from storage.view import ORGANISATION, Row, View

_AT = bindparam("at", type_=Moment)
_LIMIT = bindparam("row_limit", type_=Integer)
_STREAM = bindparam("of_stream", type_=Id)
_TRACK = bindparam("of_track", type_=Text)

_STREAMS = stream.c
_STREAM_COLUMNS: tuple[ColumnElement[object], ...] = (
    _STREAMS.id,
    _STREAMS.organisation_id,
    _STREAMS.name,
    _STREAMS.kind,
    _STREAMS.settings,
    _STREAMS.host,
    _STREAMS.state,
    _STREAMS.reason,
    _STREAMS.version,
    _STREAMS.created_at,
    _STREAMS.fingerprints,
)
_SELECT_STREAMS = select(*_STREAM_COLUMNS).where(
    _STREAMS.organisation_id == ORGANISATION, _STREAMS.removed_at.is_(None)
)
_SELECT_STREAM = _SELECT_STREAMS.where(_STREAMS.id == _STREAM)
_PUT_STREAM = Put(
    stream,
    key=("id",),
    columns=("name", "settings", "host", "state", "reason", "version", "fingerprints", "updated_at"),
)
_PUT_TOKEN = (
    update(stream)
    .values(token_sha256=bindparam("digest", type_=LargeBinary))
    .where(_STREAMS.organisation_id == ORGANISATION, _STREAMS.id == _STREAM)
)
_REMOVE_STREAM = (
    update(stream)
    .values(removed_at=_AT, token_sha256=None)
    .where(_STREAMS.organisation_id == ORGANISATION, _STREAMS.id == _STREAM)
)

_LANES = stream_lane.c
_SELECT_LANES = (
    select(*lane_columns(stream_lane))
    .where(_LANES.organisation_id == ORGANISATION)
    .order_by(_LANES.stream_id, _LANES.track)
)
_DELETE_LANE = delete(stream_lane).where(
    _LANES.organisation_id == ORGANISATION, _LANES.stream_id == _STREAM, _LANES.track == _TRACK
)
_DELETE_LANES = delete(stream_lane).where(_LANES.organisation_id == ORGANISATION, _LANES.stream_id == _STREAM)
_SELECT_FENCE = select(_LANES.fence).where(
    _LANES.organisation_id == ORGANISATION, _LANES.stream_id == _STREAM, _LANES.track == _TRACK
)
_INSERT_LANE = insert(stream_lane)
_WAKE = (
    update(stream_lane)
    .values(due_at=_AT, attempts=0, dead_in_row=0, trouble="")
    .where(_LANES.organisation_id == ORGANISATION, _LANES.stream_id == _STREAM)
)
_NEXT_SEALED = select(audit_leaf.c.sealed_at).where(
    audit_leaf.c.organisation_id == ORGANISATION,
    audit_leaf.c.leaf_index == bindparam("next", type_=RowNumber),
)

_LETTERS = stream_dead_letter.c
_SELECT_LETTERS = (
    select(_LETTERS.stream_id, _LETTERS.leaf_index, _LETTERS.event_id, _LETTERS.reason, _LETTERS.at)
    .where(_LETTERS.organisation_id == ORGANISATION, _LETTERS.stream_id == _STREAM)
    .order_by(_LETTERS.at.desc(), _LETTERS.leaf_index.desc())
    .limit(_LIMIT)
)
_HAS_LETTER = select(_LETTERS.leaf_index).where(
    _LETTERS.organisation_id == ORGANISATION,
    _LETTERS.stream_id == _STREAM,
    _LETTERS.leaf_index == bindparam("of_leaf", type_=RowNumber),
)
_INSERT_LETTER = insert(stream_dead_letter)

_STATEMENTS = make_lane_statements(stream_lane, stream, is_sent=_STREAMS.kind != PULL)
_SELECT_ANY_STREAM = select(*_STREAM_COLUMNS).where(_STREAMS.id == _STREAM)
_SELECT_BY_TOKEN = select(*_STREAM_COLUMNS).where(
    _STREAMS.token_sha256 == bindparam("digest", type_=LargeBinary),
    _STREAMS.state == ACTIVE,
    _STREAMS.removed_at.is_(None),
)
_LAST_FETCH = select(_LANES.acknowledged_at).where(_LANES.stream_id == _STREAM, _LANES.track == LIVE)
_NOTE_FETCH = (
    update(stream_lane)
    .values(position=bindparam("new_position", type_=RowNumber), acknowledged_at=_AT)
    .where(_LANES.stream_id == _STREAM, _LANES.track == LIVE)
)


class StreamsView(View):
    """Streams of one organisation, to be read."""

    def streams(self) -> list[StoredStream]:
        return sorted(map(_read_stream, self._rows(_SELECT_STREAMS)), key=lambda one: name_key(one.name))

    def stream(self, stream_id: StreamId) -> StoredStream | None:
        row = self._row(_SELECT_STREAM, of_stream=stream_id) if is_id(stream_id) else None
        return None if row is None else _read_stream(row)

    def lanes(self) -> list[Lane]:
        return [read_lane(row) for row in self._rows(_SELECT_LANES)]

    def lag(self, lane: Lane) -> Lag:
        last = self.sealed_head() if lane.until is None else lane.until
        row = self._row(_NEXT_SEALED, next=lane.position + 1) if last > lane.position else None
        return Lag(max(last - lane.position, 0), None if row is None else read_moment(row[0]))

    def dead_letters(self, stream_id: StreamId, limit: int) -> list[DeadLetter]:
        return [
            DeadLetter(row[0], row[1], row[2], row[3], read_moment(row[4]))
            for row in self._rows(_SELECT_LETTERS, of_stream=stream_id, row_limit=limit)
        ]

    def sealed_head(self) -> int:
        return SealedEventsView(self._database, self._connection, self._organisation_id).head()

    def secrets(self, stream_id: StreamId, names: Collection[str]) -> dict[str, bytes]:
        kept = SecretsReader(self._database, self._connection, self._organisation_id)
        found = ((name, kept.secret(stream_id, name)) for name in names)
        return {name: secret for name, secret in found if secret is not None}


class StreamsChanges(StreamsView):
    """Streams of one organisation, to be changed."""

    def put_stream(self, put: StoredStream, at: datetime) -> None:
        _PUT_STREAM(
            self,
            {
                "id": put.stream_id,
                "name": put.name,
                "kind": put.kind,
                "settings": put.settings,
                "host": put.host,
                "state": put.state,
                "reason": put.reason,
                "version": put.version,
                "fingerprints": put.fingerprints,
                "created_at": put.created_at,
                "updated_at": at,
            },
        )

    def put_stream_secret(self, stream_id: StreamId, name: str, secret: bytes | None, at: datetime) -> None:
        kept = SecretsWriter(self._database, self._connection, self._organisation_id)
        if secret is None:
            kept.delete_secret(stream_id, name)
        else:
            kept.put_secret(stream_id, name, secret, at)

    def put_token(self, stream_id: StreamId, digest: bytes) -> None:
        self._run(_PUT_TOKEN, of_stream=stream_id, digest=digest)

    def put_lane(self, lane: Lane) -> None:
        known = self._row(_SELECT_FENCE, of_stream=lane.stream_id, of_track=lane.track)
        # Whoever holds one before must not write into this one, even when that is gone already.
        began = int(lane.due_at.timestamp() * 1000)
        fence = began if known is None else max(known[0] + 1, began)
        self._run(_DELETE_LANE, of_stream=lane.stream_id, of_track=lane.track)
        self._insert(
            _INSERT_LANE,
            stream_id=lane.stream_id,
            track=lane.track,
            position=lane.position,
            until=lane.until,
            batch_last=lane.batch_last,
            size=lane.size,
            attempts=lane.attempts,
            dead_in_row=lane.dead_in_row,
            due_at=lane.due_at,
            acknowledged_at=lane.acknowledged_at,
            trouble=lane.trouble,
            owner="",
            lease_until=None,
            fence=fence,
        )

    def wake(self, stream_id: StreamId, at: datetime) -> None:
        self._run(_WAKE, of_stream=stream_id, at=at)

    def remove_stream(self, stream_id: StreamId, at: datetime) -> None:
        self._run(_DELETE_LANES, of_stream=stream_id)
        self._run(_REMOVE_STREAM, of_stream=stream_id, at=at)

    def insert_dead_letter(self, letter: DeadLetter) -> bool:
        if self._row(_HAS_LETTER, of_stream=letter.stream_id, of_leaf=letter.leaf_index) is not None:
            return False
        self._insert(
            _INSERT_LETTER,
            stream_id=letter.stream_id,
            leaf_index=letter.leaf_index,
            event_id=letter.event_id,
            reason=letter.reason,
            at=letter.at,
        )
        return True


class StreamsReading(View):
    """`streams` of a reader."""

    @property
    def streams(self) -> StreamsView:
        return StreamsView(self._database, self._connection, self._organisation_id)


class StreamsWriting(View):
    """`streams` of a writer."""

    @property
    def streams(self) -> StreamsChanges:
        return StreamsChanges(self._database, self._connection, self._organisation_id)


class SQLStreamStore(SQLLanes):
    """`provisioning.streaming.StreamStore`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, _STATEMENTS)

    def _hold(self, opened: Connection, lane: Lane) -> HeldLane:
        (found,) = Across(self._database, opened).rows(_SELECT_ANY_STREAM, of_stream=lane.stream_id)
        held = _read_stream(found)
        view = StreamsView(self._database, opened, lane.organisation_id)
        return HeldLane(lane, held, view.secrets(held.stream_id, STREAM_KINDS[held.kind].secrets))

    def stream_of_token(self, digest: bytes) -> StoredStream | None:
        with self._database.read() as opened:
            row = Across(self._database, opened).row(_SELECT_BY_TOKEN, digest=digest)
        return None if row is None else _read_stream(row)

    def note_fetched(self, stream_id: StreamId, position: int, at: datetime) -> bool:
        with self._database.write() as opened:
            across = Across(self._database, opened)
            row = across.row(_LAST_FETCH, of_stream=stream_id)
            across.run(_NOTE_FETCH, of_stream=stream_id, new_position=position, at=at)
        last = None if row is None else read_optional_moment(row[0])
        return last is None or last.date() != at.date()


def _read_stream(row: Row) -> StoredStream:
    return StoredStream(
        stream_id=row[0],
        organisation_id=row[1],
        name=row[2],
        kind=row[3],
        settings=read_document(row[4]),
        host=row[5],
        state=row[6],
        reason=row[7],
        version=row[8],
        created_at=read_moment(row[9]),
        fingerprints=read_document(row[10]),
    )
