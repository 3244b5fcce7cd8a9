"""The audit log exported: to a file that appears whole or not at all, or in chunks to whoever takes them.

Nobody sees an export of which no event tells. For a file there is one event, with the digest, before the file takes
its name. Chunks leave before a digest is known, so one event tells of the export before the first, and another how
much has left.
"""

import os
import stat
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from audit.checkpoint import Checkpoint
from audit.events import FieldChange, Outcome, Target
from directory.ids import EventId
from provisioning.ledger import Ledger
from provisioning.ports import EventQuery
from service.administration import Administration
from service.errors import FileAccessError
from service.export_bundles import BundlePlan, bundle_chunks, plan_bundle
from service.export_forms import FORMS, Tally, render_pages
from service.log_keys import load_log_keys
from service.log_reading import query_changes
from storage.log_export import open_log_export
from storage.sealing import SQLSealing

BUNDLE: Final = "bundle"
FORMATS: Final = (*FORMS, BUNDLE)
MEDIA_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "jsonl": "application/x-ndjson",
        "csv": "text/csv; charset=utf-8",
        "ocsf": "application/x-ndjson",
        BUNDLE: "application/zip",
    }
)
SUFFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {"jsonl": ".jsonl", "csv": ".csv", "ocsf": ".ocsf.jsonl", BUNDLE: ".zip"}
)
_AHEAD: Final = 2

Progress = Callable[[float], object]
"""Told, now and then, how much of the export is done: from 0 to 1."""


@dataclass(frozen=True, slots=True)
class LogExport:
    """What was written. `plan` is there for a bundle."""

    tally: Tally
    size: int
    sha256: str
    plan: BundlePlan | None = None


class ExportStream(Iterator[bytes]):
    """An export that is being taken, in chunks. Close it when nobody reads it any more, read to its end or not."""

    def __init__(
        self, administration: Administration, query: EventQuery, format_: str, older: Sequence[Checkpoint]
    ) -> None:
        query = _without_page(query)
        self._administration = administration
        self._query, self._format = query, format_
        self._digest, self._size = sha256(), 0
        self._event: EventId | None = None
        self._is_done = False
        # Hashing goes on while the next events are read.
        self._hasher = ThreadPoolExecutor(1)
        self._hashing: Future[None] | None = None
        self.source = _Source(administration, query, format_, older)

    def begin(self) -> Self:
        """Tell of the export. What was opened is closed when that cannot be done."""
        with ExitStack() as stack:
            stack.callback(self.source.close)
            changes = (FieldChange("format", None, self._format), *query_changes(self._query))
            self._event = _record(self._administration, "export.created", changes)
            stack.pop_all()
        return self

    def __next__(self) -> bytes:
        try:
            chunk = next(self.source.chunks)
        except StopIteration:
            self._is_done = True
            self.close()
            raise
        except BaseException:
            self.close()
            raise
        self._await_hash()
        self._hashing = self._hasher.submit(self._digest.update, chunk)
        self._size += len(chunk)
        return chunk

    def _await_hash(self) -> None:
        if self._hashing is not None:
            self._hashing.result()

    def close(self) -> None:
        """Tell how much has left."""
        event, self._event = self._event, None
        if event is None:
            return
        self.source.close()
        self._await_hash()
        self._hasher.shutdown()
        changes = (
            FieldChange("format", None, self._format),
            *_told(self.source.tally, self._size, self._digest.hexdigest()),
        )
        outcome = Outcome.SUCCESS if self._is_done else Outcome.FAILURE
        _record(self._administration, "export.downloaded", changes, parent=event, outcome=outcome)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def stream_export(
    administration: Administration,
    query: EventQuery,
    *,
    format_: str,
    older: Sequence[Checkpoint] = (),
) -> ExportStream:
    """The export in chunks, for a download or a pipe: `format_` is one of `FORMATS`.

    What is wrong with the request is raised here and not with the first chunk. An event tells of the export before
    the first chunk leaves, another at its end tells how much has left; close it when nobody reads it any more.
    `older` are checkpoints that a bundle is to be proven to have grown from.
    """
    return ExportStream(administration, query, format_, older).begin()


def export_name(organisation: str, format_: str, at: datetime) -> str:
    """What a downloaded file may be called: nothing in it needs quotes."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in organisation)
    return f"{plain.strip('-').lower() or 'record'}-{at:%Y-%m-%dT%H%M%SZ}{SUFFIXES[format_]}"


def save_export(
    administration: Administration,
    query: EventQuery,
    *,
    format_: str,
    target: Path,
    older: Sequence[Checkpoint] = (),
    progress: Progress = lambda _: None,
) -> LogExport:
    """Write the export to a file that only its owner can read, and that takes its name when it is whole.

    Raises: FileAccessError when the file cannot be written; as `plan_bundle` for bundles.
    """
    target, query = _check_target(target), _without_page(query)
    source = _Source(administration, query, format_, older)
    with closing(source), _PartialFile(target) as file:
        with ThreadPoolExecutor(1) as pool:
            # Hashing and writing go on while the next events are read.
            pending: deque[Future[None]] = deque()
            for chunk in source.chunks:
                pending.append(pool.submit(file.write, chunk))
                if len(pending) > _AHEAD:
                    pending.popleft().result()
                progress(source.tally.fraction)
            while pending:
                pending.popleft().result()
        source.close()
        file.finish()
        done = LogExport(source.tally, file.size, file.digest.hexdigest(), source.plan)
        changes = (
            FieldChange("format", None, format_),
            *_told(done.tally, done.size, done.sha256),
            *query_changes(query),
        )
        _record(administration, "export.created", changes)
        file.keep()
    progress(1.0)
    return done


class _Source:
    """One moment of the log, and its chunks. Opened at once; close it."""

    def __init__(
        self, administration: Administration, query: EventQuery, format_: str, older: Sequence[Checkpoint]
    ) -> None:
        wiring = administration.wiring
        organisation_id = administration.organisation_id
        self.plan: BundlePlan | None = None
        with ExitStack() as stack:
            view = stack.enter_context(open_log_export(wiring.database, organisation_id))
            # What a transaction sees is what there is at its first statement.
            start, end = view.row_bounds()
            self.tally = Tally(start=start, position=start, end=end)
            if format_ == BUNDLE:
                known = [key.vkey for key in SQLSealing(wiring.database).log_keys()]
                keys = [*known, *load_log_keys(wiring.settings).vkeys]
                self.plan = plan_bundle(view, query, keys, older)
                self.chunks = bundle_chunks(
                    view,
                    wiring.models,
                    organisation_id,
                    query,
                    self.plan,
                    self.tally,
                    filter_text=" ".join(f"{one.path}={one.after}" for one in query_changes(query)),
                    created_at=wiring.clock(),
                )
            else:
                self.chunks = render_pages(view, wiring.models, query, format_, self.tally)
            self._open = stack.pop_all()

    def close(self) -> None:
        self._open.close()


class _PartialFile:
    """A file beside the one that it is to become, which it does by `keep`. Otherwise nothing of it is left."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._kept = False
        self.digest, self.size = sha256(), 0

    def __enter__(self) -> Self:
        with _told_as(self._target):
            # Only its owner may read it.
            number, name = tempfile.mkstemp(
                dir=self._target.parent, prefix=f".{self._target.name}.", suffix=".part"
            )
            self._path, self._file = Path(name), os.fdopen(number, "wb")
        return self

    def __exit__(self, *_: object) -> None:
        # What waits in a buffer is of no use any more; it may be what did not fit.
        with suppress(OSError):
            self._file.close()
        if not self._kept:
            self._path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        self.digest.update(chunk)
        self.size += len(chunk)
        with _told_as(self._target):
            self._file.write(chunk)

    def finish(self) -> None:
        """See to it that all of it is on the disk."""
        with _told_as(self._target):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def keep(self) -> None:
        with _told_as(self._target):
            self._path.replace(self._target)
        self._kept = True


@contextmanager
def _told_as(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise FileAccessError(f"the file '{target}' cannot be written: {err.strerror}") from err


def _without_page(query: EventQuery) -> EventQuery:
    """The same filter for all events, the oldest first."""
    whole = EventQuery()
    return replace(query, after=whole.after, limit=whole.limit, newest_first=whole.newest_first)


def _check_target(target: Path) -> Path:
    """Where the file lies, behind any link. What is there and no file, such as a device, is not exchanged."""
    with _told_as(target):
        place = Path(os.path.realpath(target))
        try:
            mode = place.stat().st_mode
        except FileNotFoundError:
            return place
    if not stat.S_ISREG(mode):
        raise FileAccessError(
            f"'{target}' is there and is no file; name another, or take the export from the standard output"
        )
    return place


def _told(tally: Tally, size: int, digest: str) -> Iterator[FieldChange]:
    yield FieldChange("rows", None, tally.events)
    if tally.first is not None:
        yield FieldChange("first", None, tally.first)
        yield FieldChange("last", None, tally.last)
    yield FieldChange("bytes", None, size)
    yield FieldChange("sha256", None, digest)


def _record(
    administration: Administration,
    action: str,
    changes: tuple[FieldChange, ...],
    *,
    parent: EventId | None = None,
    outcome: Outcome = Outcome.SUCCESS,
) -> EventId:
    wiring = administration.wiring
    ledger = Ledger(
        organisation_id=administration.organisation_id,
        actor=administration.actor,
        now=wiring.clock(),
        mint=wiring.mint,
        kind=administration.kind,
    )
    about = (Target("organisation", administration.organisation_id),)
    event_id = ledger.record(action, about, changes, parent=parent, outcome=outcome)
    with administration.unit_of_work.write() as writer:
        writer.append_events(ledger.rows)
    return event_id
