"""The audit log exported. The export's own event is written before anybody sees what was exported."""

import csv
import io
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

import orjson

from audit.body import EventBody, parse_body
from audit.checkpoint import Checkpoint
from audit.events import FieldChange
from audit.sentences import describe
from provisioning.ports import EventQuery
from service.administration import Administration
from service.errors import FileAccessError
from service.labels import event_names
from service.log_reading import query_changes

FORMATS: Final = ("jsonl", "csv")
MEDIA_TYPES: Final[Mapping[str, str]] = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "ocsf": "application/x-ndjson",
    "bundle": "application/zip",
}
SUFFIXES: Final[Mapping[str, str]] = {
    "jsonl": ".jsonl",
    "csv": ".csv",
    "ocsf": ".ocsf.jsonl",
    "bundle": ".zip",
}
_AT_ONCE = 1000
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
class LogExport:
    rows: int
    size: int
    sha256: str


def stream_export(
    administration: Administration,
    query: EventQuery,
    *,
    format_: str,
    older: Sequence[Checkpoint] = (),  # noqa: ARG001 - of bundles, which come with the next change
) -> Iterator[bytes]:
    """The export in chunks, for a download or a pipe.

    What is wrong with the request is raised here and not with the first chunk. An event tells of the export before
    the first chunk leaves, another at its end tells how much has left; close the iterator when nobody reads it any
    more.
    """
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
        _write_events(administration, query, format_, spool)
        spool.seek(0)
        while chunk := spool.read(1 << 20):
            yield chunk


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
                    *query_changes(query),
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
