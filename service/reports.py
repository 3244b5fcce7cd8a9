"""The questions that auditors ask every time, each answered by one report. Reading one is itself recorded.

A report walks the log by its indexes, a page at a time; what it keeps in memory is the rows to be shown and one
number for each person who left.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from operator import itemgetter
from typing import Final

from audit.body import EventBody, parse_body
from audit.events import FieldChange
from audit.sentences import describe
from directory.ids import EventId, MemberId
from provisioning.ports import EventQuery, Reader
from provisioning.state import MemberRecord
from service.administration import Administration
from service.labels import event_names

Row = dict[str, object]

_AT_ONCE: Final = 500
_ALL: Final = 2**62
# Of what one leaver's event caused; a person has not more grants than this.
_MOST_CAUSED: Final = 10_000
_TOLD: Final = {"time": "Time", "outcome": "Outcome", "text": "What happened", "id": "Event"}
_CONFIGURATION: Final = (
    "mapping.",
    "role_definition.",
    "scope.",
    "directory.",
    "token.",
    "settings.",
    "domain.",
    "organisation.",
    "owner.",
    "seat.limit_changed",
)


@dataclass(frozen=True, slots=True)
class Span:
    """What a report is about: from `since` on, before `until`. None: as far as the log reaches."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(slots=True)
class Report:
    """Rows to be shown, at most as many as asked for; `total` counts them all."""

    columns: Mapping[str, str]
    rows: list[Row] = field(default_factory=list)
    total: int = 0
    summary: dict[str, object] = field(default_factory=dict)
    sentence: str = ""

    def take(self, rows: Iterable[Row], limit: int) -> None:
        for row in rows:
            self.total += 1
            if len(self.rows) < limit:
                self.rows.append(row)


@dataclass(frozen=True, slots=True)
class _Asked:
    administration: Administration
    reader: Reader
    span: Span
    limit: int


def _walk(reader: Reader, span: Span, *actions: str) -> Iterator[EventBody]:
    """Events of these actions, in the order written."""
    found = (
        reader.events(EventQuery(action=action, limit=_ALL, since=span.since, until=span.until))
        for action in actions
    )
    for _, body in heapq.merge(*found, key=itemgetter(0)):
        yield parse_body(body)


def _tell(asked: _Asked, bodies: Iterable[EventBody]) -> Iterator[Row]:
    """Events as sentences. Names are looked up for those that are shown."""
    left = iter(bodies)
    shown = 0
    while block := list(islice(left, _AT_ONCE)):
        names = {}
        if shown < asked.limit:
            names = event_names(asked.reader, asked.administration.wiring.models, block)
        shown += len(block)
        for body in block:
            yield {
                "time": body["time"],
                "action": body["action"],
                "outcome": body["outcome"],
                "text": describe(body, names=names),
                "actor": body["actor"]["id"],
                "id": body["id"],
            }


def _report_events(*actions: str) -> Callable[[_Asked], Report]:
    """A report of all events of some actions, in the order written."""

    def report(asked: _Asked) -> Report:
        found = Report(_TOLD)
        found.take(_tell(asked, _walk(asked.reader, asked.span, *actions)), asked.limit)
        return found

    return report


def _report_own_grants(asked: _Asked) -> Report:
    """What somebody gave to themselves: the one who acted, or who began it all, is the one who gained."""
    reader = asked.reader
    roots: dict[str, str] = {}

    def began(body: EventBody) -> str:
        root = body["cause"].get("root")
        if root is None:
            return body["actor"]["id"]
        if root not in roots:
            if len(roots) == _MOST_CAUSED:
                roots.clear()
            stored = reader.event_bodies([EventId(root)]).get(EventId(root))
            roots[root] = "" if stored is None else parse_body(stored)["actor"]["id"]
        return roots[root]

    def own() -> Iterator[EventBody]:
        for body in _walk(reader, asked.span, "role.granted", "override.set"):
            gained = body["targets"][0]["id"]
            if gained in {body["actor"]["id"], body["actor"].get("on_behalf_of"), began(body)}:
                yield body

    found = Report(_TOLD)
    found.take(_tell(asked, own()), asked.limit)
    return found


def _report_leavers(asked: _Asked) -> Report:
    found = Report(
        {
            "name": "Person",
            "left_at": "Left",
            "gone_at": "Access gone",
            "seconds": "Seconds",
            "state": "State",
            "id": "Event",
        }
    )
    seconds: list[float] = []
    still = 0
    for block in _blocks(_walk(asked.reader, asked.span, "user.deactivated", "user.deleted")):
        names = event_names(asked.reader, asked.administration.wiring.models, block)
        rows = [_leaver(asked.reader, body, names) for body in block]
        seconds.extend(float(str(row["seconds"])) for row in rows if row["seconds"] is not None)
        still += sum(row["state"] == "still active" for row in rows)
        found.take(rows, asked.limit)
    seconds.sort()
    found.summary = {
        "leavers": found.total,
        "access_taken": len(seconds),
        "still_active": still,
        "p50_seconds": _percentile(seconds, 50),
        "p99_seconds": _percentile(seconds, 99),
        "worst_seconds": _percentile(seconds, 100),
    }
    found.sentence = (
        f"{found.total} left, {len(seconds)} of them lost access by it, {still} are still active."
    )
    if seconds:
        found.sentence += (
            f" Time until access was gone: p50 {found.summary['p50_seconds']} s, p99 "
            f"{found.summary['p99_seconds']} s, worst {found.summary['worst_seconds']} s."
        )
    return found


def _blocks(bodies: Iterator[EventBody]) -> Iterator[list[EventBody]]:
    while block := list(islice(bodies, _AT_ONCE)):
        yield block


def _leaver(reader: Reader, left: EventBody, names: Mapping[str, str]) -> Row:
    """From when the directory's word reached us, as the reading or the request began, to the last grant taken."""
    caused = _caused_by(reader, left)
    revoked = [body["time"] for body in caused if body["action"] == "role.revoked"]
    members = {
        MemberId(target["id"])
        for body in caused
        for target in body.get("targets", ())
        if target["type"] == "member"
    }
    records = reader.member_records(members, with_attributes=False).values()
    keeps = any(record.held and not any(user.active for user in record.facts.users) for record in records)
    root = left["cause"].get("root")
    begun = reader.event_bodies([EventId(root)]).get(EventId(root)) if root is not None else None
    left_at = left["time"] if begun is None else parse_body(begun)["time"]
    gone_at = max(revoked, default=None)
    taken = None if gone_at is None or keeps else _seconds(left_at, gone_at)
    user = left["targets"][0]["id"]
    return {
        "name": names.get(user, user),
        "user_id": user,
        "member_ids": sorted(members),
        "left_at": left_at,
        "gone_at": gone_at,
        "seconds": taken,
        "state": "still active" if keeps else "gone" if revoked else "held nothing by it",
        "id": left["id"],
    }


def _caused_by(reader: Reader, body: EventBody) -> list[EventBody]:
    """What followed from an event, directly or not."""
    found: list[EventBody] = []
    parents = [body["id"]]
    while parents and len(found) < _MOST_CAUSED:
        query = EventQuery(parent=parents.pop(), limit=_MOST_CAUSED)
        children = [parse_body(child) for _, child in reader.events(query)]
        found.extend(children)
        parents.extend(child["id"] for child in children)
    return found


def _seconds(earlier: str, later: str) -> float:
    span = datetime.fromisoformat(later) - datetime.fromisoformat(earlier)
    return round(span.total_seconds(), 3)


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The nearest rank: the smallest value that so many of a hundred do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


def _members(reader: Reader) -> Iterator[MemberRecord]:
    last: MemberId | None = None
    while ids := reader.member_ids(last, _AT_ONCE):
        last = ids[-1]
        yield from reader.member_records(ids, with_attributes=False).values()


def _person(record: MemberRecord) -> Row:
    return {
        "name": record.display_name,
        "mail": record.mail,
        "member_id": record.facts.member_id,
        "grants": len(record.held),
    }


_PEOPLE: Final = {"name": "Member", "mail": "Mail", "grants": "Grants", "member_id": "Id"}


def _report_orphans(asked: _Asked) -> Report:
    """Who holds something now though no directory knows them. The owner stands alone by design."""

    def orphans() -> Iterator[Row]:
        for record in _members(asked.reader):
            if record.held and not record.has_users and not record.facts.is_owner:
                by = (
                    "override"
                    if record.facts.override
                    else "invitation"
                    if record.facts.invited
                    else "nothing"
                )
                yield {**_person(record), "by": by}

    found = Report({**_PEOPLE, "by": "By"})
    found.take(orphans(), asked.limit)
    return found


def _report_never_signed_in(asked: _Asked) -> Report:
    """Who holds something now and has never signed in, as far as sign-ins are in the log."""
    reader = asked.reader
    found = Report(_PEOPLE)
    if not list(reader.events(EventQuery(action="sso.login", limit=1))):
        found.sentence = "No sign-in is in the record, so it cannot be said who never signed in."
        return found

    def never() -> Iterator[Row]:
        for record in _members(reader):
            query = EventQuery(
                action="sso.login", about=(record.facts.member_id,), outcome="success", limit=1
            )
            if record.held and not list(reader.events(query)):
                yield _person(record)

    found.take(never(), asked.limit)
    return found


REPORTS: Final[Mapping[str, Callable[[_Asked], Report]]] = {
    "leavers": _report_leavers,
    "own-grants": _report_own_grants,
    "overrides": _report_events("override.set", "override.ended"),
    "break-glass": _report_events("breakglass.used"),
    "guard": _report_events("guard.released", "guard.refused", "guard.threshold_crossed", "member.staged_*"),
    "orphans": _report_orphans,
    "never-signed-in": _report_never_signed_in,
    "configuration": _report_events(*_CONFIGURATION),
}


def make_report(administration: Administration, name: str, span: Span, *, limit: int) -> Report:
    """Make one of `REPORTS` and record that it was read."""
    with administration.read() as reader:
        report = REPORTS[name](_Asked(administration, reader, span, limit))
    moments = (("since", span.since), ("until", span.until))
    administration.record(
        "log.read",
        (
            FieldChange("rows", None, report.total),
            FieldChange("query", None, f"report {name}"),
            *(
                FieldChange(word, None, f"{moment:%Y-%m-%dT%H:%M:%SZ}")
                for word, moment in moments
                if moment is not None
            ),
        ),
    )
    return report
