"""The record as one reader reads it over HTTP: pages, an event with its causes, proofs, reports, a live tail.

The reading's own event is written before anybody sees what was read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from audit.body import EventBody, parse_body
from audit.events import FieldChange, Outcome, Target
from directory.ids import EventId
from provisioning.log_proofs import (
    NotSealedError,
    ProofBrokenError,
    prove_consistency,
    prove_event,
    prove_leaf,
)
from provisioning.ports import EventQuery, Reader
from provisioning.sealing import HEADS_LOG
from service.administration import Administration
from service.errors import AmbiguousNameError, InputError, NotFoundError, ServiceError
from service.labels import event_names
from service.log_exports import MEDIA_TYPES, export_name, stream_export
from service.log_filters import EventFilter, resolve_filter, told_filter
from service.log_reading import show_event
from service.names import is_id
from service.reports import REPORTS, Span, make_report
from service.wiring import Wiring
from storage.log_places import SQLLogPlaces
from storage.sealing import SQLSealing
from web.record import (
    Consistency,
    Entry,
    Export,
    Listing,
    Proof,
    RecordConflictError,
    RecordNotFoundError,
    ReportView,
    Story,
)
from web.record_queries import Asked, AskedWronglyError

TAIL_LASTS: Final = timedelta(hours=12)
"""How long a tail may be followed after it was opened."""

_MOST_SCANNED: Final = 2000
"""Rows that are looked at for one page; where runs that found nothing fill the log, the next page goes on."""

_MOST_COUNTED: Final = 1000
_AT_ONCE: Final = 200
_MOST_CAUSED: Final = 100
_SHOWN_AT_OPENING: Final = 20
# What of a filter is written down as it is: words of ours. Of the others, whatever is no id, the name alone.
_WORDS: Final = frozenset({"action", "actor_type", "outcome", "cause", "role"})


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """The port `web.record.Record` over one organisation under one reader's name."""

    administration: Administration
    organisation: str
    reader: str
    ends_session: bool = False
    report_names: Sequence[str] = tuple(REPORTS)
    export_formats: Sequence[str] = field(default_factory=lambda: tuple(MEDIA_TYPES))

    @property
    def organisation_id(self) -> str:
        return self.administration.organisation_id

    def events(self, asked: Asked, *, folds_runs: bool) -> Listing:
        """A page of events, and the event that it was read."""
        with self.administration.read() as reader:
            query = self._query(reader, asked)
            page = _Page(reader, query, folds_runs=folds_runs and not query.run, everything=asked.everything)
            listing = self._place(reader, page)
        self._record("list", _told(query), rows=len(listing.entries))
        return listing

    def event(self, event_id: str) -> Story:
        """One event with its causes both ways, and its proof when it is sealed."""
        if not is_id(event_id):
            raise _no_event()
        try:
            shown = show_event(self.administration, event_id.lower(), children=_MOST_CAUSED)
        except NotFoundError as err:
            raise _no_event() from err
        try:
            proof = self._prove(event_id.lower(), None)
        except RecordConflictError:
            proof = None
        entry = Entry(0, shown.event)
        if proof is not None:
            entry = replace(entry, leaf_index=proof.leaf_index, sealed_at=proof.sealed_at)
        return Story(entry, shown.causes, shown.children, shown.names, shown.has_more, proof)

    def proof(self, event_id: str, size: int | None = None) -> Proof:
        """The proof, verified, in the latest checkpoint or in the one of `size` events."""
        with self.administration.read() as reader:
            if not is_id(event_id) or not reader.event_bodies([EventId(event_id.lower())]):
                raise _no_event()
        proof = self._prove(event_id.lower(), size)
        about = Target("event", event_id.lower(), role="object")
        self._record("prove", (), about, rows=1)
        return proof

    def consistency(self, old_size: int, new_size: int | None = None) -> Consistency:
        with SQLSealing(self._wiring.database).read(self.administration.organisation_id) as log:
            try:
                proof = prove_consistency(log, old_size, new_size)
            except (NotSealedError, ProofBrokenError) as err:
                raise RecordConflictError(str(err)) from err
        self._record("prove-consistency", ())
        return Consistency(proof.old.note, proof.new.note, proof.hashes)

    def export(self, asked: Asked, format_: str) -> Export:
        """The file in chunks; its event is written before the first of them leaves."""
        if format_ not in MEDIA_TYPES:
            raise AskedWronglyError((f"'format' is one of {', '.join(MEDIA_TYPES)}",))
        with self.administration.read() as reader:
            query = self._query(reader, replace(asked, after=0))
        query = replace(query, newest_first=False)
        try:
            chunks = stream_export(self.administration, query, format_=format_)
        except (NotSealedError, ProofBrokenError) as err:
            raise RecordConflictError(str(err)) from err
        except ServiceError as err:
            raise AskedWronglyError((str(err),)) from err
        name = export_name(self.organisation, format_, self._wiring.clock())
        return Export(chunks, MEDIA_TYPES[format_], name)

    def report(self, name: str, since: datetime | None, until: datetime | None, limit: int) -> ReportView:
        if name not in REPORTS:
            raise RecordNotFoundError(f"there is no such report; there are {', '.join(REPORTS)}")
        made = make_report(self.administration, name, Span(since, until), limit=limit)
        return ReportView(made.columns, made.rows, made.total, made.summary, made.sentence)

    def open_tail(self, asked: Asked) -> str:
        """The event of the opening is the ticket: it says by whom, with which filter, and from which row on."""
        with self.administration.read() as reader:
            query = self._query(reader, _of_now(asked))
            latest = replace(query, after=0, newest_first=True, limit=_SHOWN_AT_OPENING)
            first = min((row for row, _ in reader.events(latest)), default=0)
        return self._record("tail", _told(query), first=first)

    def poll(self, asked: Asked, ticket: str) -> Listing:
        """What has come behind `asked.after`, for whoever opened the tail, with the filter of then."""
        with self.administration.read() as reader:
            query = self._query(reader, _of_now(asked))
            first = self._first_row(reader, ticket, _told(query))
            behind = max(asked.after, first - 1)
            query = replace(query, after=0, newest_first=True)
            found: list[tuple[int, bytes]] = []
            for row, body in reader.events(query):
                if row <= behind:
                    break
                found.append((row, body))
            page = _Page.of(found, everything=asked.everything)
            page.next_row = behind if len(found) == query.limit else None
            return self._place(reader, page)

    @property
    def _wiring(self) -> Wiring:
        return self.administration.wiring

    def _query(self, reader: Reader, asked: Asked) -> EventQuery:
        """Raises AskedWronglyError for a name that is none."""
        said = EventFilter(**asked.filters)  # type: ignore[typeddict-item]  # their names are those of the filter
        said["since"], said["until"] = asked.since, asked.until
        try:
            query = resolve_filter(reader, self._wiring.models, said)
        except (NotFoundError, AmbiguousNameError, InputError) as err:
            raise AskedWronglyError((str(err),)) from err
        return replace(query, after=asked.after, limit=asked.limit, newest_first=not asked.oldest_first)

    def _place(self, reader: Reader, page: "_Page") -> Listing:
        """The page with the places of its events and the names of what they speak of."""
        places = SQLLogPlaces(self._wiring.database).places(
            self.administration.organisation_id, [entry.row for entry in page.entries]
        )
        entries = [
            replace(entry, leaf_index=places[entry.row][0], sealed_at=places[entry.row][1])
            if entry.row in places
            else entry
            for entry in page.entries
        ]
        names = event_names(reader, self._wiring.models, [entry.event for entry in entries])
        return Listing(entries, names, page.next_row, page.left_out)

    def _prove(self, event_id: str, size: int | None) -> Proof:
        sealing = SQLSealing(self._wiring.database)
        try:
            with sealing.read(self.administration.organisation_id) as log:
                proof = prove_event(log, EventId(event_id), size)
            with sealing.read(HEADS_LOG) as heads:
                head, index = heads.checkpoint(), proof.checkpoint.head_index
                hashes: tuple[bytes, ...] = ()
                if head is not None and index is not None:
                    (leaf,) = heads.leaves(index, index + 1)
                    hashes = prove_leaf(heads, index, leaf, head)
        except (NotSealedError, ProofBrokenError) as err:
            raise RecordConflictError(str(err)) from err
        return Proof(
            event_id=event_id,
            body=proof.event.body or b"",
            leaf_index=proof.event.leaf_index,
            leaf=proof.event.leaf,
            sealed_at=proof.event.sealed_at,
            size=proof.checkpoint.size,
            root=proof.checkpoint.root,
            hashes=proof.hashes,
            checkpoint=proof.checkpoint.note,
            vkeys=tuple(key.vkey for key in sealing.log_keys()),
            head_index=proof.checkpoint.head_index,
            head_hashes=hashes,
            head_checkpoint="" if head is None else head.note,
        )

    def _record(
        self,
        query: str,
        filters: tuple[FieldChange, ...],
        *about: Target,
        rows: int | None = None,
        first: int | None = None,
    ) -> str:
        numbers = (("rows", rows), ("first", first))
        return self.administration.record(
            "log.read",
            (
                FieldChange("query", None, query),
                *(FieldChange(name, None, value) for name, value in numbers if value is not None),
                *filters,
            ),
            (Target("organisation", self.administration.organisation_id), *about),
        )

    def _first_row(self, reader: Reader, ticket: str, filters: tuple[FieldChange, ...]) -> int:
        """From which row on a tail may be followed. Raises RecordNotFoundError for a ticket of nobody's."""
        stored = reader.event_bodies([EventId(ticket.lower())]) if is_id(ticket) else {}
        event = parse_body(next(iter(stored.values()))) if stored else None
        if event is not None and self._is_own_tail(event, filters):
            first = _said(event).get("first")
            return first if isinstance(first, int) else 0
        raise RecordNotFoundError("this tail is over; open it anew")

    def _is_own_tail(self, event: EventBody, filters: tuple[FieldChange, ...]) -> bool:
        said = _said(event)
        wanted = {change.path: change.after for change in filters}
        age = self._wiring.clock() - datetime.fromisoformat(event["time"])
        return (
            event["action"] == "log.read"
            and event["outcome"] == Outcome.SUCCESS
            and said.get("query") == "tail"
            and event["actor"]["id"] == _actor_id(self.administration)
            and age < TAIL_LASTS
            and said.get("filter") == wanted.get("filter")
        )


def _of_now(asked: Asked) -> Asked:
    """What is followed has no time but the present."""
    return replace(asked, since=None, until=None)


def _actor_id(administration: Administration) -> str:
    actor = administration.actor
    return str(getattr(actor, "key_id", "") or getattr(actor, "admin_id", ""))


def _said(event: EventBody) -> Mapping[str, object]:
    return {change["path"]: change["after"] for change in event.get("changes", ())}


def _told(query: EventQuery) -> tuple[FieldChange, ...]:
    """The filters as they are written down: without what may name a person."""
    told = []
    for name, value in told_filter(query).items():
        is_plain = name in _WORDS or all(is_id(part) for part in value.split())
        told.append(f"{name}={value}" if is_plain else name)
    moments = (("since", query.since), ("until", query.until))
    return (
        *((FieldChange("filter", None, " ".join(told)),) if told else ()),
        *(
            FieldChange(name, None, f"{moment:%Y-%m-%dT%H:%M:%SZ}")
            for name, moment in moments
            if moment is not None
        ),
    )


def _no_event() -> RecordNotFoundError:
    return RecordNotFoundError("there is no such event in this record")


def _run_of(event: EventBody) -> str:
    actor = event["actor"]
    return event["cause"].get("run_id", "") or (actor["id"] if actor["type"] == "run" else "")


def _is_idle(event: EventBody) -> bool:
    """A run that found nothing new."""
    return event["action"] == "sync.completed" and event["outcome"] == Outcome.NOOP


class _Page:
    """A page put together from the log. Runs are folded into the first of their events in the order asked for."""

    def __init__(self, reader: Reader, query: EventQuery, *, folds_runs: bool, everything: bool) -> None:
        self.entries: list[Entry] = []
        self.left_out = 0
        self.next_row: int | None = None
        self._reader = reader
        self._query = query
        self._folds_runs = folds_runs
        self._everything = everything
        self._runs: set[str] = set()
        last = query.after
        for row, body in self._rows():
            event = parse_body(body)
            if len(self.entries) == query.limit and not self._is_passed_over(event):
                self.next_row = last
                return
            self._take(row, event)
            last = row
        if self._scanned >= _MOST_SCANNED:
            self.next_row = last
        elif self._stopped is not None:
            self.next_row = self._stopped

    @classmethod
    def of(cls, rows: Sequence[tuple[int, bytes]], *, everything: bool) -> "_Page":
        """A page of exactly these rows, but for runs that found nothing."""
        page = cls.__new__(cls)
        parsed = [(row, parse_body(body)) for row, body in rows]
        page.entries = [Entry(row, event) for row, event in parsed if everything or not _is_idle(event)]
        page.left_out, page.next_row = len(parsed) - len(page.entries), None
        return page

    def _rows(self) -> Iterator[tuple[int, bytes]]:
        self._scanned = 0
        self._stopped: int | None = None
        query = replace(self._query, limit=_AT_ONCE)
        while self._scanned < _MOST_SCANNED:
            block = self._reader.search_events(query)
            self._scanned += len(block.events)
            yield from block.events
            if block.goes_on_after is None:
                return
            if len(block.events) < _AT_ONCE:
                # Of filters that hardly ever meet: so far it was looked.
                self._stopped = block.goes_on_after
                return
            query = replace(query, after=block.goes_on_after)

    def _is_passed_over(self, event: EventBody) -> bool:
        return (not self._everything and _is_idle(event)) or (
            self._folds_runs and _run_of(event) in self._runs
        )

    def _take(self, row: int, event: EventBody) -> None:
        if not self._everything and _is_idle(event):
            self.left_out += 1
            return
        run = _run_of(event) if self._folds_runs else ""
        if not run:
            self.entries.append(Entry(row, event))
            return
        if run in self._runs:
            return
        self._runs.add(run)
        of_run = replace(self._query, run=run, after=0, limit=_MOST_COUNTED + 1)
        rows = [number for number, _ in self._reader.events(of_run)]
        # A run that has begun on an earlier page was shown there.
        if rows[:1] == [row]:
            count = min(len(rows), _MOST_COUNTED)
            self.entries.append(Entry(row, event, run_events=count, is_cut=len(rows) > _MOST_COUNTED))
