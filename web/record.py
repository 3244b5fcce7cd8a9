"""What the edges that show the record ask of whoever reads it. `service` hands over who does.

A `Record` is one organisation's record as one reader may read it: no method takes an organisation's id. Each method
but `poll` writes down that it was read before anybody sees what was read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from flask import Request

from audit.body import EventBody
from web.record_queries import Asked


class RecordError(Exception):
    """What was asked for is not given. `status` is that of HTTP; the text says what to do."""

    status = 400
    code = "record"


class RecordNotFoundError(RecordError):
    """There is none of this name, or it is not the reader's to see."""

    status = 404
    code = "not_found"


class RecordConflictError(RecordError):
    """It cannot be proven: not yet, or not any more."""

    status = 409
    code = "not_sealed"


class RecordClosedError(RecordError):
    """The reader is not known (401), or may not read (403), or asks too often (429: after `seconds`)."""

    def __init__(self, status: int, code: str, message: str, *, seconds: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Entry:
    """An event at its place. Without `leaf_index` it is not sealed yet. `body` is its exact text where it is known.

    `run_events`: so many events of its run are shown by this one; at `is_cut`, at least so many.
    """

    row: int
    event: EventBody
    leaf_index: int | None = None
    sealed_at: datetime | None = None
    run_events: int = 1
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """Entries in the order asked for, with clear names for the ids in them. `next_row`: where the next page begins.

    `left_out` counts runs that found nothing new.
    """

    entries: Sequence[Entry]
    names: Mapping[str, str]
    next_row: int | None = None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Proof:
    """That an event is in the log. `head_...`: that the checkpoint is in the tree of all checkpoints."""

    event_id: str
    body: bytes
    leaf_index: int
    leaf: bytes
    sealed_at: datetime
    size: int
    root: bytes
    hashes: Sequence[bytes]
    checkpoint: str
    vkeys: Sequence[str]
    head_index: int | None = None
    head_hashes: Sequence[bytes] = ()
    head_checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the log of the older checkpoint is the beginning of the newer one's."""

    old: str
    new: str
    hashes: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Story:
    """An event, what it followed from (the latest first) and what it caused (the oldest first)."""

    entry: Entry
    causes: Sequence[EventBody]
    caused: Sequence[EventBody]
    names: Mapping[str, str]
    has_more: bool
    proof: Proof | None


@dataclass(frozen=True, slots=True)
class ReportView:
    """A report's rows with the headings of their columns; `total` counts also those that are not shown."""

    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, object]]
    total: int
    summary: Mapping[str, object]
    sentence: str


@dataclass(frozen=True, slots=True)
class Export:
    """A file on its way. Close the chunks when nobody reads them any more."""

    chunks: Iterator[bytes] = field(repr=False)
    media_type: str
    file_name: str


class Record(Protocol):
    """One organisation's record, for one reader."""

    @property
    def organisation_id(self) -> str: ...

    @property
    def organisation(self) -> str:
        """Its name."""

    @property
    def reader(self) -> str:
        """Who reads, as a page greets them."""

    @property
    def ends_session(self) -> bool:
        """Whether the page was opened with a token, and can be closed."""

    @property
    def report_names(self) -> Sequence[str]: ...

    @property
    def export_formats(self) -> Sequence[str]: ...

    def events(self, asked: Asked, *, folds_runs: bool) -> Listing:
        """A page. With `folds_runs` a run is one entry, wherever in the log its events lie."""

    def event(self, event_id: str) -> Story: ...

    def proof(self, event_id: str, size: int | None = None) -> Proof: ...

    def consistency(self, old_size: int, new_size: int | None = None) -> Consistency: ...

    def export(self, asked: Asked, format_: str) -> Export: ...

    def report(self, name: str, since: datetime | None, until: datetime | None, limit: int) -> ReportView: ...

    def open_tail(self, asked: Asked) -> str:
        """Write down that the log is followed from now on; the tail's ticket."""

    def poll(self, asked: Asked, ticket: str) -> Listing:
        """What has come since the tail was opened and behind `asked.after`, the newest first, at most `asked.limit`.

        It was written down at the opening. With `next_row` there was more than that.
        """


class Records(Protocol):
    """Who asks, and whether they may read. Each method raises RecordClosedError where not."""

    def by_token(self, request: Request, organisation_id: str) -> Record:
        """The record that the bearer token of the request opens; RecordNotFoundError for another organisation's."""

    def by_browser(self, request: Request) -> Record:
        """The record of whoever has signed in, or has typed a token, at the browser."""

    def open_page(self, request: Request, token: str) -> str:
        """Take a token that was typed; what the browser is to hold."""

    def close_page(self, request: Request) -> None:
        """End what `open_page` began."""
