"""The pull API: whoever has the token of a pull stream fetches its organisation's events, and keeps the cursor.

A token is of one stream, and so of one organisation: no request names one.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from flask import Blueprint, Response, jsonify, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Unauthorized

from provisioning.ports import Clock
from provisioning.streaming import BEFORE_FIRST, MOST_EVENTS, SealedEvent, StoredStream, StreamStore
from streams.engine import MOST_BYTES
from streams.formats import form_of
from streams.records import CheckpointRecord, Record, find_records

PATH: Final = "/audit/v1/events"
_SCHEME: Final = "Bearer "
_LONGEST_NUMBER: Final = 15

NoteRead = Callable[[StoredStream, int], None]
"""Writes down, once a day, that a stream was fetched, behind which position."""


def pull_blueprint(store: StreamStore, note_read: NoteRead, clock: Clock) -> Blueprint:
    """The route of the pull API."""
    blueprint = Blueprint("pull", __name__)

    @blueprint.get(PATH)
    def events() -> Response:
        stream = _stream(store)
        after = read_number("after", BEFORE_FIRST, least=BEFORE_FIRST)
        limit = min(read_number("limit", MOST_EVENTS, least=1), MOST_EVENTS)
        log = store.log(stream.organisation_id)
        # The head comes first: what is sealed between the two readings must not look like a gap.
        head = log.head()
        found, last = _fit(log.after(after, limit), max(head, after))
        if store.note_fetched(stream.stream_id, after, clock()):
            # Before anybody sees what was read.
            note_read(stream, after)
        records: list[Record] = [*find_records(found, after, last, is_replay=False)]
        if records and (checkpoint := log.checkpoint(last + 1)) is not None:
            records.append(CheckpointRecord(checkpoint))
        lines = b",".join(map(form_of(stream, clock).render, records))
        has_more = b"true" if last < head else b"false"
        body = b'{"has_more":%s,"next":%d,"records":[%s]}' % (has_more, last, lines)
        return Response(body, content_type="application/json", headers={"Cache-Control": "no-store"})

    @blueprint.errorhandler(Unauthorized)
    def refuse(error: Unauthorized) -> Response:
        answer = jsonify(error=error.description)
        answer.status_code = 401
        answer.www_authenticate = WWWAuthenticate("bearer")
        return answer

    return blueprint


def read_token() -> str:
    """The bearer token of the request; empty when there is none."""
    given = request.headers.get("Authorization", "")
    return given.removeprefix(_SCHEME).strip() if given.startswith(_SCHEME) else ""


def _stream(store: StreamStore) -> StoredStream:
    token = read_token()
    stream = store.stream_of_token(hashlib.sha256(token.encode()).digest()) if token else None
    if stream is None:
        raise Unauthorized("give the token of a pull stream that is active: Authorization: Bearer TOKEN")
    return stream


def read_number(name: str, otherwise: int, *, least: int) -> int:
    """A whole number of the query. Raises BadRequest."""
    text = request.args.get(name, "")
    if not text:
        return otherwise
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST_NUMBER) or int(text) < least:
        raise BadRequest(f"'{name}' is a whole number from {least} on")
    return int(text)


def _fit(events: Sequence[SealedEvent], head: int) -> tuple[list[SealedEvent], int]:
    """As many as fit an answer, and the position it ends at: with none, the head, since the rest has been removed."""
    taken: list[SealedEvent] = []
    size = 0
    for event in events:
        size += len(event.body)
        if taken and size > MOST_BYTES:
            break
        taken.append(event)
    return taken, taken[-1].leaf_index if taken else head
