"""What an export of the log consists of, by format. Pages in, bytes out; nothing is written or recorded here.

Clear names stand beside the events. Those of JSON lines are by the references in them, as streams give them; a
table and OCSF have them in their cells and sentences.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from itertools import islice
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import orjson

from audit.body import EventBody, parse_body
from audit.csv_form import render_event_row, render_header
from audit.errors import MalformedBodyError, UnmappedActionError
from audit.events import PII_PREFIX
from audit.ocsf import to_ocsf
from provisioning.models import ModelCache
from provisioning.ports import EventQuery
from service.labels import event_names
from service.names import is_id
from storage.log_export import AT_ONCE, ExportedRow, LogExportView
from storage.types import read_moment

_WITHOUT_END: Final = 2**62
_REFERENCE_START: Final = f'"{PII_PREFIX}'.encode()
_ID_BYTES: Final = 36
_START_BYTES: Final = len(_REFERENCE_START)
_REFERENCE_BYTES: Final = _START_BYTES + _ID_BYTES
_BEFORE: Final = b'{"body":'
_BEHIND: Final = b',"leaf_index":%d,"names":{%b},"record":"event","sealed_at":%b}\n'
_NAMES_KEPT: Final = 50_000


@dataclass(slots=True)
class Tally:
    """What an export holds so far. `position` runs from `start` to `end`, for whoever waits.

    `first` and `last` are leaf indices. Left out are events that are not sealed, where the format is of sealed ones,
    and those that the format cannot tell.
    """

    events: int = 0
    first: int | None = None
    last: int | None = None
    unsealed: int = 0
    unreadable: int = 0
    start: int = 0
    position: int = 0
    end: int = 0

    def count(self, leaf_index: int | None) -> None:
        self.events += 1
        if leaf_index is not None:
            self.first = leaf_index if self.first is None else self.first
            self.last = leaf_index

    def count_page(self, page: Sequence[ExportedRow]) -> None:
        """All events of a page. Those that are not sealed are the last ones, or nearly."""
        self.events += len(page)
        places = [one for _, _, one, _ in page if one is not None]
        if places:
            self.first = places[0] if self.first is None else self.first
            self.last = places[-1]

    @property
    def fraction(self) -> float:
        return min(1.0, (self.position - self.start) / max(1, self.end - self.start))


def find_pages(view: LogExportView, query: EventQuery, tally: Tally) -> Iterator[list[ExportedRow]]:
    """The events of a query, sealed or not, the oldest first."""
    for page in view.pages() if query == EventQuery() else _search(view, query):
        yield page
        tally.position = page[-1][0]


def _search(view: LogExportView, query: EventQuery) -> Iterator[list[ExportedRow]]:
    found = iter(view.reader.events(replace(query, limit=_WITHOUT_END)))
    while rows := list(islice(found, AT_ONCE)):
        places = view.places([row for row, _ in rows])
        yield [(row, body, *places.get(row, (None, None))) for row, body in rows]


class Form(Protocol):
    """A format: `begin` comes first, then each page. What it leaves out it counts."""

    def begin(self) -> bytes: ...

    def render(self, page: Sequence[ExportedRow], tally: Tally) -> bytes: ...


class JSONLines:
    """The exact bodies, one on a line, in the form in which streams send them.

    A million of them must not take much longer than reading them does: nothing is parsed, and what the names of one
    set of references look like is kept.
    """

    def __init__(self, view: LogExportView, _models: ModelCache) -> None:
        self._view = view
        # By references one behind the other. Without any there is nothing to tell.
        self._names: dict[bytes, bytes] = {}
        self._moments: dict[object, bytes] = {}

    def begin(self) -> bytes:
        return b""

    def render(self, page: Sequence[ExportedRow], tally: Tally) -> bytes:
        keys = [
            body[first + _START_BYTES : first + _REFERENCE_BYTES]
            # Nearly all have one reference.
            if (first := body.find(_REFERENCE_START)) >= 0
            and body.find(_REFERENCE_START, first + _START_BYTES) < 0
            else _find_references(body)
            for _, body, _, _ in page
        ]
        parts = self._parts(page, keys)
        tally.count_page(page)
        return b"".join(parts)

    def _parts(self, page: Sequence[ExportedRow], keys: Sequence[bytes]) -> list[bytes]:
        """What the lines are joined of: to write each of them first would copy every body once more."""
        names, moments = self._names, self._moments
        try:
            return [
                part
                for (_, body, leaf_index, sealed_at), key in zip(page, keys, strict=True)
                for part in (_BEFORE, body, _BEHIND % (leaf_index, names[key], moments[sealed_at]))
            ]
        except (KeyError, TypeError):
            # Something is met for the first time, or has no place yet.
            self._resolve(keys)
            self._write_moments({sealed_at for _, _, _, sealed_at in page})
        return [
            part
            for (_, body, leaf_index, sealed_at), key in zip(page, keys, strict=True)
            for part in (
                _BEFORE,
                body,
                _BEHIND.replace(b"%d", b"%b")
                % (
                    b"null" if leaf_index is None else b"%d" % leaf_index,
                    names[key],
                    moments[sealed_at],
                ),
            )
        ]

    def _resolve(self, keys: Sequence[bytes]) -> None:
        if len(self._names) > _NAMES_KEPT:
            self._names.clear()
        texts = {key: _split_references(key) for key in keys if key not in self._names}
        wanted = {text for one in texts.values() for text in one}
        found = self._view.reader.personal_data(wanted) if wanted else {}
        for key, references in texts.items():
            told = [
                b'"%b%b":%b' % (PII_PREFIX.encode(), text.encode(), orjson.dumps(dict(found[text])))
                for text in references
                if text in found
            ]
            self._names[key] = b",".join(told)

    def _write_moments(self, moments: Collection[str | datetime | None]) -> None:
        self._moments.clear()
        for moment in moments:
            text = "" if moment is None else read_moment(moment).isoformat(timespec="milliseconds")
            self._moments[moment] = f'"{text.removesuffix("+00:00")}Z"'.encode() if text else b"null"


def _find_references(body: bytes) -> bytes:
    """All references, one behind the other. To look for their beginnings is many times faster than to parse."""
    first = body.find(_REFERENCE_START)
    if first < 0:
        return b""
    first += len(_REFERENCE_START)
    found = body[first : first + _ID_BYTES]
    while (first := body.find(_REFERENCE_START, first)) >= 0:
        first += len(_REFERENCE_START)
        found += b"," + body[first : first + _ID_BYTES]
    return found


def _split_references(joined: bytes) -> list[str]:
    """Each reference once. What only begins like one may be anything that a directory wrote."""
    texts = (part.decode("ascii", "replace") for part in joined.split(b","))
    return sorted({text for text in texts if is_id(text)})


class ReadEvent(NamedTuple):
    """An event of which a format needs more than its bytes."""

    leaf_index: int | None
    body: EventBody


def read_events(page: Sequence[ExportedRow], tally: Tally) -> list[ReadEvent]:
    """The events that can be read. One that cannot must not keep the others back; the proofs tell what it is."""
    events: list[ReadEvent] = []
    for _, body, leaf_index, _ in page:
        try:
            events.append(ReadEvent(leaf_index, parse_body(body)))
        except MalformedBodyError:
            tally.unreadable += 1
    return events


class Table:
    """Rows of a spreadsheet."""

    def __init__(self, view: LogExportView, models: ModelCache) -> None:
        self._view, self._models = view, models

    def begin(self) -> bytes:
        return render_header()

    def render(self, page: Sequence[ExportedRow], tally: Tally) -> bytes:
        events = read_events(page, tally)
        names = event_names(self._view.reader, self._models, [event.body for event in events])
        lines: list[bytes] = []
        for leaf_index, body in events:
            lines.append(render_event_row(body, leaf_index=leaf_index, names=names))
            tally.count(leaf_index)
        return b"".join(lines)


class OCSFLines:
    """Sealed events in OCSF, one on a line: an event is known there by its place."""

    def __init__(self, view: LogExportView, models: ModelCache) -> None:
        self._view, self._models = view, models
        self._version = version("usher-sync")

    def begin(self) -> bytes:
        return b""

    def render(self, page: Sequence[ExportedRow], tally: Tally) -> bytes:
        events = read_events(page, tally)
        names = event_names(self._view.reader, self._models, [event.body for event in events])
        lines: list[bytes] = []
        for leaf_index, body in events:
            if leaf_index is None:
                tally.unsealed += 1
                continue
            try:
                told = to_ocsf(body, leaf_index=leaf_index, product_version=self._version, names=names)
            except UnmappedActionError:
                tally.unreadable += 1
                continue
            lines.append(orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE))
            tally.count(leaf_index)
        return b"".join(lines)


FORMS: Final[Mapping[str, Callable[[LogExportView, ModelCache], Form]]] = MappingProxyType(
    {"jsonl": JSONLines, "csv": Table, "ocsf": OCSFLines}
)


def render_pages(
    view: LogExportView, models: ModelCache, query: EventQuery, format_: str, tally: Tally
) -> Iterator[bytes]:
    """The export in chunks of some megabytes at most. The first comes at once."""
    form = FORMS[format_](view, models)
    if begun := form.begin():
        yield begun
    for page in find_pages(view, query, tally):
        if chunk := form.render(page, tally):
            yield chunk
