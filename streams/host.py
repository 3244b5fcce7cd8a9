"""What a host application is told, and by which request: thin events, in the order of each organisation.

An event says who and what, by ids; whatever else a host wants to know it asks for. Signed as Standard Webhooks says.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

import orjson

from directory.ids import OrganisationId
from provisioning.host_webhooks import FORMER, SIGNING, HostFacts, actions_of
from provisioning.ports import Clock
from provisioning.streaming import SealedEvent, StoredStream
from streams.delivery import Measure, Pick
from streams.outcomes import Outcome
from streams.posting import Poster
from streams.records import Batch, EventRecord, GapRecord, Record, read_body, render_moment
from streams.webhook import parse_secret, sign

MESSAGE_TYPE: Final = "access.changed"
TEST_TYPE: Final = "access.test"
GAP: Final = "access.gap"

# What of an event's changes is told: what is now, or of what is taken away what was.
_TOLD: Final = frozenset(
    {"active", "blocked", "ends_at", "host_id", "kind", "limit", "origin", "owner", "role", "seat", "used"}
)
_FRAME_BYTES: Final = 400

Facts = Callable[[OrganisationId, Collection[str]], HostFacts]
"""Looks up, for an organisation, its version of access and the host's ids of some scopes."""


class HostWebhookSender:
    """Posts the events of one organisation to the host."""

    def __init__(
        self,
        poster: Poster,
        clock: Clock,
        stream: StoredStream,
        secrets: Mapping[str, bytes],
        facts: Facts,
    ) -> None:
        self._poster = poster
        self._clock = clock
        self._stream = stream
        self._keys = [parse_secret(secrets[name]) for name in (SIGNING, FORMER) if name in secrets]
        self._facts = facts

    def send(self, batch: Batch) -> Outcome:
        now = self._clock()
        organisation_id = self._stream.organisation_id
        message: dict[str, object] = {"timestamp": render_moment(now), "type": TEST_TYPE, "data": {}}
        message_id = batch.id
        if organisation_id:
            message_id = f"{batch.stream_id}.{organisation_id}.{batch.first}-{batch.last}"
            message |= {
                "type": MESSAGE_TYPE,
                "data": tell(organisation_id, batch.records, self._facts),
            }
        body = orjson.dumps(message, option=orjson.OPT_SORT_KEYS)
        timestamp = int(now.timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._keys, message_id, timestamp, body),
        }
        return self._poster.post(str(self._stream.settings["url"]), body, headers)


def pick_for(stream: StoredStream) -> Pick:
    """Which events a webhook wants, by its groups."""
    wanted = actions_of(str(stream.settings["events"]).split(","))
    return lambda event: read_body(EventRecord(event)).get("action") in wanted


def measure_for(_stream: StoredStream) -> Measure:
    """A bound of what an event takes: it is told in fewer words than the log has."""
    return lambda event: _FRAME_BYTES + len(event.body)


def tell(organisation_id: OrganisationId, records: Iterable[Record], facts: Facts) -> dict[str, object]:
    """The data of a message, or of an answer: what changed in one organisation, and how it stands now."""
    told = [one for record in records if (one := _tell_record(record)) is not None]
    named = {str(one["scope_id"]) for one in told if "scope_id" in one}
    known = facts(organisation_id, named)
    for one in told:
        if one.get("scope_id") in known.scopes:
            one["scope"] = known.scopes[one["scope_id"]]
    return {"access_version": known.access_version, "events": told, "organisation_id": organisation_id}


def _tell_record(record: Record) -> dict[str, Any] | None:
    if isinstance(record, GapRecord):
        return {"from": record.first, "to": record.last, "type": GAP}
    return _tell_event(record.event) if isinstance(record, EventRecord) else None


def _tell_event(event: SealedEvent) -> dict[str, Any]:
    body = read_body(EventRecord(event))
    told: dict[str, Any] = {
        "id": event.event_id,
        "sequence": event.leaf_index,
        "timestamp": body.get("time"),
        "type": body.get("action"),
    }
    for target in body.get("targets", ()):
        if target.get("type") in {"member", "scope"}:
            told.setdefault(f"{target['type']}_id", target.get("id"))
    for change in body.get("changes", ()):
        after = change.get("after")
        if change.get("path") in _TOLD:
            told[change["path"]] = change.get("before") if after is None else after
    return told
