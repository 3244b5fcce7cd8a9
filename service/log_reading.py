"""The audit log read. The reading's own event is written before anybody sees what was read."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from audit.body import EventBody, parse_body
from audit.events import FieldChange, Outcome, Target
from directory.ids import EventId
from provisioning.ports import EventQuery, Reader
from provisioning.queries import event_chain
from service.administration import Administration
from service.errors import NotFoundError
from service.labels import event_names
from service.log_filters import told_filter
from service.names import is_id

_AT_ONCE = 1000
_REFERENCE = re.compile(r"[0-9A-Z]{4}(?:-[0-9A-Z]{4}){2}")


@dataclass(frozen=True, slots=True)
class LogReading:
    """Events with their row numbers, and clear names for what they speak of. `left_out` counts idle runs."""

    events: Sequence[tuple[int, EventBody]]
    names: dict[str, str]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An event, what it followed from (the latest first) and what followed from it (the oldest first)."""

    event: EventBody
    causes: Sequence[EventBody]
    children: Sequence[EventBody]
    names: dict[str, str]
    has_more: bool


def read_log(
    administration: Administration, query: EventQuery, *, leave_out_idle: bool = False
) -> LogReading:
    """Read events and record that they were read."""
    with administration.read() as reader:
        events, left_out = _collect(reader, query, leave_out_idle=leave_out_idle)
        names = event_names(reader, administration.wiring.models, [body for _, body in events])
    administration.record(
        "log.read",
        (
            FieldChange("rows", None, len(events)),
            FieldChange("query", None, "list"),
            *query_changes(query),
        ),
    )
    return LogReading(events, names, left_out)


def show_event(administration: Administration, event_id: str, *, children: int = 0) -> ShownEvent:
    """Read one event with its causes and, oldest first, up to so many of those it caused; and record the reading.

    In place of its id, a refused login is found by the reference that the person was shown.
    """
    with administration.read() as reader:
        known = event_id if is_id(event_id) else _find_denied(reader, event_id.strip().upper())
        bodies = event_chain(reader, EventId(known.lower())) if known else ()
        if not bodies:
            raise NotFoundError(f"there is no event '{event_id}'; list them with 'usher audit list'")
        query = EventQuery(parent=bodies[0]["id"], limit=children + 1)
        caused = [parse_body(body) for _, body in reader.events(query)] if children else []
        names = event_names(reader, administration.wiring.models, (*bodies, *caused))
    administration.record(
        "log.read",
        (
            FieldChange("rows", None, len(bodies) + len(caused[:children])),
            FieldChange("query", None, "show"),
        ),
        [
            Target("organisation", administration.organisation_id),
            Target("event", bodies[0]["id"], role="object"),
        ],
    )
    return ShownEvent(bodies[0], bodies[1:], caused[:children], names, has_more=len(caused) > children)


def _find_denied(reader: Reader, reference: str) -> str:
    """The id of the refused login with the reference, looked for from the newest back; empty when there is none."""
    if not _REFERENCE.fullmatch(reference):
        return ""
    query = EventQuery(limit=_AT_ONCE, newest_first=True, action="sso.login_denied")
    while True:
        rows = list(reader.events(query))
        for _, stored in rows:
            body = parse_body(stored)
            if any(change["after"] == reference for change in body.get("changes", ())):
                return body["id"]
        if len(rows) < _AT_ONCE:
            return ""
        query = replace(query, after=rows[-1][0])


def _collect(
    reader: Reader, query: EventQuery, *, leave_out_idle: bool
) -> tuple[list[tuple[int, EventBody]], int]:
    events: list[tuple[int, EventBody]] = []
    left_out = 0
    while len(events) < query.limit:
        rows = list(
            reader.events(replace(query, limit=max(query.limit, _AT_ONCE) if leave_out_idle else query.limit))
        )
        for row, body in rows:
            parsed = parse_body(body)
            if leave_out_idle and _is_idle(parsed):
                left_out += 1
                continue
            if len(events) == query.limit:
                break
            events.append((row, parsed))
        if not leave_out_idle or len(rows) < _AT_ONCE:
            break
        query = replace(query, after=rows[-1][0])
    return events, left_out


def _is_idle(body: EventBody) -> bool:
    """A run that found nothing new. Every few seconds there may be one, and they would hide what happened."""
    return body["action"] == "sync.completed" and body["outcome"] == Outcome.NOOP


def query_changes(query: EventQuery) -> Iterator[FieldChange]:
    filters = [f"{name}={value}" for name, value in told_filter(query).items()]
    if filters:
        yield FieldChange("filter", None, " ".join(filters))
    for name, moment in (("since", query.since), ("until", query.until)):
        if moment is not None:
            yield FieldChange(name, None, f"{moment:%Y-%m-%dT%H:%M:%SZ}")
