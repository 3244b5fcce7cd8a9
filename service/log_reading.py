"""The audit log read and exported. The reading's own event is written before anybody sees what was read."""

import csv
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import IO

import orjson

from audit.body import EventBody, parse_body
from audit.events import FieldChange, Outcome, Target
from audit.sentences import describe
from directory.ids import EventId
from provisioning.ports import EventQuery, Reader
from provisioning.queries import event_chain
from service.administration import Administration
from service.errors import FileAccessError, NotFoundError
from service.labels import event_names
from service.log_filters import told_filter
from service.names import is_id

FORMATS = ("jsonl", "csv")
_AT_ONCE = 1000
_REFERENCE = re.compile(r"[0-9A-Z]{4}(?:-[0-9A-Z]{4}){2}")
_IN_MEMORY = 8 * 1024 * 1024
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_CSV_COLUMNS = (
    "row",
    "time",
    "id",
    "action",
    "outcome",
    "text",
    "actor_type",
    "actor",
    "subject_type",
    "subject",
    "subject_name",
    "object_type",
    "object",
    "object_name",
    "changes",
    "reason",
    "cause",
    "root",
    "parent",
    "body",
)


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


@dataclass(frozen=True, slots=True)
class LogExport:
    rows: int
    size: int
    sha256: str


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
            *_query_changes(query),
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


def _query_changes(query: EventQuery) -> Iterator[FieldChange]:
    filters = [f"{name}={value}" for name, value in told_filter(query).items()]
    if filters:
        yield FieldChange("filter", None, " ".join(filters))
    for name, moment in (("since", query.since), ("until", query.until)):
        if moment is not None:
            yield FieldChange(name, None, f"{moment:%Y-%m-%dT%H:%M:%SZ}")


def export_log(
    administration: Administration, query: EventQuery, *, format_: str, target: Path | None
) -> LogExport:
    """Write all events of the query, oldest first, to the file, or to the standard output.

    They are put together first, then the export is recorded with its digest, and only then let out: there is no
    export without its event. A file appears whole or not at all.

    Raises: FileAccessError when the file cannot be written.
    """
    folder = None if target is None else target.parent
    try:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
            rows, first, last = _write_events(administration, query, format_, spool)
            size, digest = _measure(spool)
            administration.record(
                "export.created",
                (
                    FieldChange("rows", None, rows),
                    FieldChange("format", None, format_),
                    FieldChange("first", None, first),
                    FieldChange("last", None, last),
                    FieldChange("bytes", None, size),
                    FieldChange("sha256", None, digest),
                    *_query_changes(query),
                ),
            )
            spool.seek(0)
            if target is None or folder is None:
                shutil.copyfileobj(spool, sys.stdout.buffer)
            else:
                _write_file(spool, target, folder)
    except OSError as err:
        if target is None:
            raise
        raise FileAccessError(f"the file '{target}' cannot be written: {err.strerror}") from err
    return LogExport(rows, size, digest)


def _write_file(spool: IO[bytes], target: Path, folder: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{target.name}.", delete=False) as file:
        made = Path(file.name)
        try:
            shutil.copyfileobj(spool, file)
            file.flush()
            made.replace(target)
        except BaseException:
            made.unlink(missing_ok=True)
            raise


def _measure(spool: IO[bytes]) -> tuple[int, str]:
    digest = sha256()
    spool.seek(0)
    size = 0
    while chunk := spool.read(1 << 20):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _write_events(
    administration: Administration, query: EventQuery, format_: str, file: IO[bytes]
) -> tuple[int, int, int]:
    """Write the events in blocks; their number, and the first and last row."""
    rows, first, last = 0, 0, 0
    writers: dict[str, Callable[[IO[bytes], int, bytes, EventBody, dict[str, str]], None]] = {
        "jsonl": _write_line,
        "csv": _write_row,
    }
    write = writers[format_]
    if format_ == "csv":
        _write_csv(file, _CSV_COLUMNS)
    with administration.read() as reader:
        while block := list(reader.events(replace(query, after=last, limit=_AT_ONCE))):
            parsed = [parse_body(body) for _, body in block]
            names = event_names(reader, administration.wiring.models, parsed)
            for (row, body), event in zip(block, parsed, strict=True):
                write(file, row, body, event, names)
            first = first or block[0][0]
            last = block[-1][0]
            rows += len(block)
    return rows, first, last


def _mentioned(event: EventBody, names: dict[str, str]) -> dict[str, str]:
    """The names that this event needs, and no others."""
    ids = {target["id"] for target in event.get("targets", ())} | {event["actor"]["id"]}
    for change in event.get("changes", ()):
        for value in (change["before"], change["after"]):
            ids.update(value if isinstance(value, list) else [value] if isinstance(value, str) else [])
    return {key: names[key] for key in sorted(ids) if key in names}


def _write_line(file: IO[bytes], row: int, body: bytes, event: EventBody, names: dict[str, str]) -> None:
    # The body's own bytes, as they were hashed; a parsed and rendered copy might differ.
    line = {
        "row": row,
        "body": orjson.Fragment(body),
        "names": _mentioned(event, names),
        "text": describe(event, names=names),
    }
    file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def _write_row(file: IO[bytes], row: int, body: bytes, event: EventBody, names: dict[str, str]) -> None:
    targets = {target["role"]: target for target in event.get("targets", ())}
    subject, other = targets.get("subject"), targets.get("object")
    reason = event.get("reason")
    _write_csv(
        file,
        (
            str(row),
            event["time"],
            event["id"],
            event["action"],
            event["outcome"],
            describe(event, names=names),
            event["actor"]["type"],
            event["actor"]["id"],
            subject["type"] if subject else "",
            subject["id"] if subject else "",
            names.get(subject["id"], "") if subject else "",
            other["type"] if other else "",
            other["id"] if other else "",
            names.get(other["id"], "") if other else "",
            orjson.dumps(event.get("changes", [])).decode(),
            orjson.dumps(reason).decode() if reason else "",
            event["cause"]["kind"],
            event["cause"].get("root", ""),
            event["cause"].get("parent", ""),
            body.decode(),
        ),
    )


def _write_csv(file: IO[bytes], cells: Sequence[str]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([defuse(cell) for cell in cells])
    file.write(text.getvalue().encode("utf-8", "surrogatepass"))


def defuse(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
