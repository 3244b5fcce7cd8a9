"""What a webhook tells, to be fetched: a host that was away, or trusts no push, catches up by its own cursor.

A token is of one webhook, and so of one environment: it opens the organisations of that and no other.
"""

import hashlib
import re
from typing import Final

import orjson
from flask import Blueprint, Response, jsonify, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import NotFound, Unauthorized

from directory.ids import OrganisationId
from provisioning.host_webhooks import HostWebhook, HostWebhookStore
from provisioning.ports import Clock
from provisioning.streaming import BEFORE_FIRST, MOST_EVENTS
from streams.host import pick_for, tell
from streams.pull import NoteRead, read_number, read_token
from streams.records import EventRecord, find_records

EVENTS_PATH: Final = "/host/v1/events"
ORGANISATIONS_PATH: Final = "/host/v1/organisations"
_MOST_ORGANISATIONS: Final = 500
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def host_blueprint(store: HostWebhookStore, note_read: NoteRead, clock: Clock) -> Blueprint:
    """The routes of host applications."""
    blueprint = Blueprint("host", __name__)

    @blueprint.get(EVENTS_PATH)
    def events() -> Response:
        webhook = _webhook(store)
        organisation_id = _organisation(store, webhook)
        after = read_number("after", BEFORE_FIRST, least=BEFORE_FIRST)
        limit = min(read_number("limit", MOST_EVENTS, least=1), MOST_EVENTS)
        stream = webhook.as_stream(organisation_id)
        log, pick = store.log(organisation_id), pick_for(stream)
        # The head comes first: what is sealed between the two readings must not look like a gap.
        head = log.head()
        found = log.after(after, limit)
        last = found[-1].leaf_index if found else max(head, after)
        if store.note_fetched(webhook.webhook_id, organisation_id, clock()):
            note_read(stream, after)
        records = [
            record
            for record in find_records(found, after, last, is_replay=False)
            if not isinstance(record, EventRecord) or pick(record.event)
        ]
        data = tell(organisation_id, records, store.facts)
        return _answer({"data": data, "has_more": last < head, "next": last})

    @blueprint.get(ORGANISATIONS_PATH)
    def organisations() -> Response:
        webhook = _webhook(store)
        after = request.args.get("after", "")
        if after and not _is_id(after):
            raise NotFound("'after' is the id of an organisation")
        found = store.heads(
            webhook.webhook_id, OrganisationId(after.lower()) if after else None, _MOST_ORGANISATIONS
        )
        told = [{"last": last, "organisation_id": organisation_id} for organisation_id, last in found]
        return _answer(
            {"next": found[-1][0] if len(found) == _MOST_ORGANISATIONS else None, "organisations": told}
        )

    @blueprint.errorhandler(Unauthorized)
    def refuse(error: Unauthorized) -> Response:
        answer = jsonify(error=error.description)
        answer.status_code = 401
        answer.www_authenticate = WWWAuthenticate("bearer")
        return answer

    return blueprint


def _webhook(store: HostWebhookStore) -> HostWebhook:
    token = read_token()
    webhook = store.webhook_of_token(hashlib.sha256(token.encode()).digest()) if token else None
    if webhook is None:
        raise Unauthorized("give the token of a webhook that is active: Authorization: Bearer TOKEN")
    return webhook


def _organisation(store: HostWebhookStore, webhook: HostWebhook) -> OrganisationId:
    given = request.args.get("organisation", "").lower()
    if not _is_id(given) or not store.serves(webhook.webhook_id, OrganisationId(given)):
        raise NotFound(
            "the webhook's environment has no such organisation; name it by its id: ?organisation=ID"
        )
    return OrganisationId(given)


def _is_id(text: str) -> bool:
    return _ID.fullmatch(text.lower()) is not None


def _answer(document: dict[str, object]) -> Response:
    body = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return Response(body, content_type="application/json", headers={"Cache-Control": "no-store"})
