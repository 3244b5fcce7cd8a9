"""The record over HTTP for programs: events, proofs, exports and reports of one organisation, to be read only.

Errors are documents of `application/problem+json` (RFC 9457). What no proof covers is named in each answer.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlencode

import orjson
from flask import Blueprint, Response, request
from werkzeug.datastructures import WWWAuthenticate

from audit.body import EventBody
from audit.sentences import describe
from provisioning.ports import Clock
from web.frame import current_request_id
from web.record import (
    Consistency,
    Entry,
    Proof,
    Record,
    RecordClosedError,
    RecordError,
    Records,
)
from web.record_queries import AskedWronglyError, parse_asked, parse_moment, parse_number, read_once

_JSON = "application/json"
_PROBLEM = "application/problem+json"
_UNPROVEN = ("names", "text")
_MOST_REPORTED = 10_000
_USUAL_REPORTED = 1000
_LARGEST = 10**15


def record_blueprint(records: Records, clock: Clock) -> Blueprint:
    """`/audit/<organisation>/...`, each route closed to whoever has no token of that organisation."""
    blueprint = Blueprint("record", __name__, url_prefix="/audit/<organisation>")

    def opened(organisation: str) -> Record:
        return records.by_token(request, organisation)

    @blueprint.get("/events")
    def events(organisation: str) -> Response:
        record = opened(organisation)
        asked = parse_asked(request.args, now=clock(), hides_idle=False)
        listing = record.events(asked, folds_runs=False)
        following = dict(request.args.items()) | {"after": str(listing.next_row)}
        answer = _answer(
            {
                "organisation": record.organisation_id,
                "events": [_entry(entry, listing.names) for entry in listing.entries],
                "next": listing.next_row,
                "unproven": _UNPROVEN,
            }
        )
        if listing.next_row is not None:
            # Source: RFC 8288 section 3.
            answer.headers["Link"] = f'<?{urlencode(following)}>; rel="next"'
        return answer

    @blueprint.get("/events/<event_id>")
    def event(organisation: str, event_id: str) -> Response:
        record = opened(organisation)
        _read_nothing()
        story = record.event(event_id)
        return _answer(
            {
                **_entry(story.entry, story.names),
                "causes": _told(story.causes, story.names),
                "caused": _told(story.caused, story.names),
                "has_more": story.has_more,
                "proof": None if story.proof is None else _proof(story.proof),
                "unproven": _UNPROVEN,
            }
        )

    @blueprint.get("/proof")
    def proof(organisation: str) -> Response:
        record = opened(organisation)
        faults: list[str] = []
        given = read_once(request.args, ("event", "size", "from", "to"), faults)
        sizes = {
            name: parse_number(name, given.get(name, ""), 0, least=1, most=_LARGEST, faults=faults) or None
            for name in ("size", "from", "to")
        }
        if bool(given.get("event")) == bool(given.get("from")):
            faults.append("give 'event', an event's id, or 'from', the size of an older checkpoint")
        if faults:
            raise AskedWronglyError(tuple(faults))
        older = sizes["from"]
        if older is not None:
            return _answer(_consistency(record.consistency(older, sizes["to"])))
        return _answer(_proof(record.proof(given["event"], sizes["size"])))

    @blueprint.get("/export")
    def export(organisation: str) -> Response:
        record = opened(organisation)
        asked = parse_asked(request.args, now=clock(), also=("format",), hides_idle=False)
        made = record.export(asked, request.args.get("format", "jsonl"))
        answer = Response(made.chunks, content_type=made.media_type)
        answer.headers["Content-Disposition"] = f'attachment; filename="{made.file_name}"'
        return answer

    @blueprint.get("/reports/<name>")
    def report(organisation: str, name: str) -> Response:
        record = opened(organisation)
        since, until, limit = _read_report(clock())
        made = record.report(name, since, until, limit)
        return _answer(
            {
                "report": name,
                "total": made.total,
                "summary": made.summary,
                "note": made.sentence,
                "rows": made.rows,
            }
        )

    @blueprint.errorhandler(RecordError)
    def refuse(error: RecordError) -> Response:
        answer = _problem(error.status, error.code, str(error))
        if error.status == HTTPStatus.UNAUTHORIZED:
            answer.www_authenticate = WWWAuthenticate("bearer")
        if isinstance(error, RecordClosedError) and error.seconds:
            answer.headers["Retry-After"] = str(error.seconds)
        return answer

    @blueprint.errorhandler(AskedWronglyError)
    def correct(error: AskedWronglyError) -> Response:
        return _problem(HTTPStatus.BAD_REQUEST, "invalid", str(error), error.faults)

    return blueprint


def _read_report(now: datetime) -> tuple[datetime | None, datetime | None, int]:
    faults: list[str] = []
    given = read_once(request.args, ("since", "until", "limit"), faults)
    since, until = (parse_moment(word, given.get(word, ""), now, faults) for word in ("since", "until"))
    limit = parse_number(
        "limit", given.get("limit", ""), _USUAL_REPORTED, least=1, most=_MOST_REPORTED, faults=faults
    )
    if faults:
        raise AskedWronglyError(tuple(faults))
    return since, until, limit


def _read_nothing() -> None:
    faults: list[str] = []
    read_once(request.args, (), faults)
    if faults:
        raise AskedWronglyError(tuple(f"'{name[:40]}' is not read here" for name in request.args))


def _entry(entry: Entry, names: Mapping[str, str]) -> dict[str, object]:
    event = entry.event
    row = {"row": entry.row} if entry.row else {}
    return {
        **row,
        "id": event["id"],
        "time": event["time"],
        "action": event["action"],
        "outcome": event["outcome"],
        "text": describe(event, names=names),
        "sealed": entry.leaf_index is not None,
        "leaf_index": entry.leaf_index,
        "sealed_at": entry.sealed_at,
        "body": event,
        "names": _mentioned(event, names),
    }


def _mentioned(event: EventBody, names: Mapping[str, str]) -> dict[str, str]:
    """The names of what this event speaks of, and no others."""
    text = orjson.dumps(event).decode()
    return {key: name for key, name in names.items() if f'"{key}"' in text}


def _told(events: Sequence[EventBody], names: Mapping[str, str]) -> list[dict[str, object]]:
    return [
        {"id": one["id"], "time": one["time"], "text": describe(one, names=names), "body": one}
        for one in events
    ]


def _proof(proof: Proof) -> dict[str, object]:
    return {
        "event": proof.event_id,
        "body": proof.body.decode(),
        "leaf_index": proof.leaf_index,
        "leaf": _text(proof.leaf),
        "sealed_at": proof.sealed_at,
        "size": proof.size,
        "root": _text(proof.root),
        "proof": [_text(one) for one in proof.hashes],
        "checkpoint": proof.checkpoint,
        "heads": {
            "leaf_index": proof.head_index,
            "proof": [_text(one) for one in proof.head_hashes],
            "checkpoint": proof.head_checkpoint,
        },
        "keys": list(proof.vkeys),
    }


def _consistency(proof: Consistency) -> dict[str, object]:
    return {"old": proof.old, "new": proof.new, "proof": [_text(one) for one in proof.hashes]}


def _text(value: bytes) -> str:
    return b64encode(value).decode()


def _answer(document: Mapping[str, object]) -> Response:
    return Response(orjson.dumps(document, option=orjson.OPT_UTC_Z), content_type=_JSON)


def _problem(status: int, code: str, message: str, faults: Sequence[str] = ()) -> Response:
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": message,
        "code": code,
        "request_id": current_request_id.get(),
        **({"faults": faults} if faults else {}),
    }
    return Response(orjson.dumps(document), status, content_type=_PROBLEM)
