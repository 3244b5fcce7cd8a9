"""Elasticsearch and OpenSearch by `_bulk`. Documents are created under the event's id, so that none is there twice.

Source: Elasticsearch, "Bulk API": each item has a status of its own; 409 says that the document is there already.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import orjson

from provisioning.ports import Clock
from provisioning.stream_settings import CANONICAL, ECS, Setting
from streams.formats import Form
from streams.outcomes import Outcome, Verdict
from streams.posting import Poster
from streams.records import Batch, EventRecord, ProbeRecord, Record, record_id, record_time, render_moment

_ANSWER_BYTES: Final = 262_144
_THERE_ALREADY: Final = 409


class Elastic:
    """Posts batches to a cluster."""

    def __init__(
        self,
        poster: Poster,
        clock: Clock,
        form: Form,
        settings: Mapping[str, Setting],
        secrets: Mapping[str, bytes],
    ) -> None:
        self._poster = poster
        self._clock = clock
        self._form = form
        index = quote(str(settings["index"]), safe="")
        self._url = f"{str(settings['url']).rstrip('/')}/{index}/_bulk?filter_path=errors,items.*.status"
        self._key = secrets["api_key"].decode("ascii")

    def send(self, batch: Batch) -> Outcome:
        now = self._clock()
        lines: list[bytes] = []
        for record in batch.records:
            lines.append(orjson.dumps({"create": {"_id": document_id(batch, record)}}))
            lines.append(self._document(record, now))
        headers = {"Authorization": f"ApiKey {self._key}", "Content-Type": "application/x-ndjson"}
        outcome, answer = self._poster.ask(
            self._url, b"\n".join(lines) + b"\n", headers, max_bytes=_ANSWER_BYTES
        )
        if answer is None or outcome.verdict is not Verdict.TAKEN:
            return outcome
        return judge_items(answer.body, len(batch.records))

    def _document(self, record: Record, now: datetime) -> bytes:
        """ECS is what a document is like there; other forms stand under a field of their own."""
        told = self._form.render(record)
        if self._form.name == ECS:
            return told
        at = render_moment(record_time(record, now))
        return orjson.dumps({"@timestamp": at, place_of(self._form.name): orjson.Fragment(told)})


def place_of(form_name: str) -> str:
    """Under which field documents hold the record, so that a template can say what becomes of it."""
    return "usher" if form_name == CANONICAL else form_name


def document_id(batch: Batch, record: Record) -> str:
    """An event's own id, whichever stream it came by; what is no event is its stream's own."""
    name = record_id(record)
    return name if isinstance(record, EventRecord | ProbeRecord) else f"{batch.stream_id}-{name}"


def judge_items(body: bytes, number: int) -> Outcome:
    """What an answer of 200 says of each document. An item that may be taken later has the batch sent again."""
    statuses = _statuses(body)
    if statuses is None or len(statuses) != number:
        return Outcome(
            Verdict.LATER, "answered 200 without a status for each document; is this a cluster's address?"
        )
    failed = {
        place: status
        for place, status in enumerate(statuses)
        if not 200 <= status < 300 and status != _THERE_ALREADY
    }
    if any(status in {401, 403} for status in failed.values()):
        return Outcome(Verdict.REFUSED, "lets the key create no documents; check what the key may do")
    if any(status == 429 or status >= 500 for status in failed.values()):
        return Outcome(Verdict.LATER, f"did not take {len(failed)} of {number} documents for now")
    if not failed:
        return Outcome(Verdict.TAKEN, f"took {number} documents")
    first = next(iter(failed.values()))
    return Outcome(Verdict.TAKEN, f"answered {first} for a document", unfit=tuple(failed))


def _statuses(body: bytes) -> list[int] | None:
    try:
        read: Any = orjson.loads(body)
        found = [int(next(iter(item.values()))["status"]) for item in read["items"]]
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration):
        return None
    return found
