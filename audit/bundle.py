"""The signed bundle: events with all that is needed to verify them elsewhere. Written, or given in chunks.

The files are named in `audit.verifier`, which reads them and goes into the bundle itself:

    manifest.json         what was asked for, the size of the log, the number of events, what retention has removed
    events.jsonl          the exact bytes that were sealed, one event a line, in the log's order
    proofs.jsonl          of a range: for each block of 256 leaves its leaf hashes and the proof of the block;
                          of a selection: for each event its leaf and its inclusion proof (RFC 6962 section 2.1.1)
    checkpoint.txt        the signed note
    older.jsonl           earlier sizes of the log with their roots and consistency proofs (section 2.1.2)
    vkey.txt              the key that signed, for comparison with the one that was pinned
    names-unproven.jsonl  clear names for the references in the events; no proof covers them
    README.txt, verifier.py
"""

from array import array
from base64 import b64encode
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Protocol, cast
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import orjson

from audit.canonical import canonicalise
from audit.checkpoint import Checkpoint, parse_checkpoint, verify_note
from audit.errors import BundleError
from audit.tree import Leaves, Nodes, consistency_proof, inclusion_proof, right_edge, subtree_proof
from audit.verifier import (
    BLOCK,
    CHECKPOINT,
    EVENTS,
    FORMAT,
    MANIFEST,
    NAMES,
    OLDER,
    PROOFS,
    RANGE,
    README,
    SELECTION,
    VERIFIER,
    VERSION,
    VKEY,
)

# Bodies shrink to a third at the lowest level; higher ones cost more time than they save.
_COMPRESSION = 1
_CHUNK_BYTES = 1 << 16
_READABLE_BY_ALL = 0o100644 << 16

_README_TEXT = """\
Audit events of {origin}
{underline}

{count} events, {told}.
They were exported at {created_at}, when the log had {size} events.

To verify them you need Python 3.9 or later, nothing else, and the verifier key of the service, which must reach you
on another way than this bundle (whoever runs the service shows it):

    python3 verifier.py . --key 'THE KEY YOU WERE GIVEN'

Take verifier.py from a place you trust, or read it: a forger would put a forged one here. Without --key it says
UNPINNED, which is not a pass. With --older FILE it also proves that the log only grew since a checkpoint that you
kept; keep checkpoint.txt of this bundle for the next time.

What is proven: that each line of events.jsonl is, byte for byte, the event that the log has in its place{complete}.
{gone}What is not proven: the clear names in names-unproven.jsonl, the filter, the words of this file and of
manifest.json; that everything that happened was logged, truthfully and by clocks that were right; that others are
shown the same log, unless you compare checkpoints with them.
"""


class Sink(Protocol):
    """Where the archive goes: it is written from its first byte to its last, never sought."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


@dataclass(frozen=True, slots=True)
class LeafRange:
    """Every event of the leaves from `first` up to, not including, `end`."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Proofs:
    """What proofs are made of: see `audit.tree.layered_nodes`."""

    nodes: Nodes
    leaves: Leaves


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """What a bundle says of itself.

    `note` is the signed checkpoint that all proofs lead to, `vkey` a key that has signed it. `leaves` is None for
    a selection by `filter_text`. `removed` are leaves whose events retention has removed, in ascending order and
    apart from each other: a range has no events there, and proves their places all the same. `older_sizes` are sizes
    of the log to prove it grew from, such as those of the checkpoints that its readers keep. `verifier` is the source
    of `audit.verifier`.
    """

    organisation: str
    note: str
    vkey: str
    created_at: datetime
    verifier: bytes
    leaves: LeafRange | None = None
    filter_text: str = ""
    older_sizes: Sequence[int] = ()
    removed: Sequence[LeafRange] = ()


def stream_bundle(
    request: BundleRequest,
    *,
    events: Iterable[tuple[int, bytes]],
    names: Iterable[tuple[str, str]],
    proofs: Proofs,
) -> Iterator[bytes]:
    """Give the archive in chunks, as it comes about; otherwise as `write_bundle`."""
    file = _Chunks()
    for _ in _write(file, request, events, names, proofs):
        if file.size >= _CHUNK_BYTES:
            yield file.take()
    yield file.take()


def write_bundle(
    file: Sink,
    request: BundleRequest,
    *,
    events: Iterable[tuple[int, bytes]],
    names: Iterable[tuple[str, str]],
    proofs: Proofs,
) -> int:
    """Write the archive, and give the number of events in it.

    `events` are leaf indices and bodies in ascending order; `names` are references and clear names, and are first
    asked for when all events have been written. Memory: eight bytes an event of a selection, none of a range.

    Raises: `BundleError` for events that are not those of the range, out of order or beyond the checkpoint, and for
    a checkpoint of another organisation; `NoteError` for one that `vkey` has not signed. What was written by then is
    no bundle.
    """
    writing = _write(file, request, events, names, proofs)
    while True:
        try:
            next(writing)
        except StopIteration as end:
            return int(end.value)


def _write(
    file: Sink,
    request: BundleRequest,
    events: Iterable[tuple[int, bytes]],
    names: Iterable[tuple[str, str]],
    proofs: Proofs,
) -> Generator[None, None, int]:
    """Write the archive line by line, and stop behind each."""
    checkpoint = _check_request(request)
    with ZipFile(
        cast("IO[bytes]", _Unseekable(file)), "w", ZIP_DEFLATED, compresslevel=_COMPRESSION
    ) as archive:
        taken = array("Q")
        with _entry(archive, EVENTS, request) as entry:
            count = yield from _write_events(entry, request, checkpoint, events, taken)
        with _entry(archive, PROOFS, request) as entry:
            if request.leaves is None:
                yield from _write_all(entry, _prove_events(taken, checkpoint.size, proofs.nodes))
            else:
                yield from _write_all(entry, _prove_blocks(request.leaves, checkpoint.size, proofs))
        with _entry(archive, OLDER, request) as entry:
            yield from _write_all(entry, _prove_growth(request.older_sizes, checkpoint.size, proofs.nodes))
        with _entry(archive, NAMES, request) as entry:
            told = ({"name": name, "reference": reference} for reference, name in names)
            yield from _write_all(entry, told)
        for name, content in (
            (CHECKPOINT, request.note.encode()),
            (VKEY, f"{request.vkey}\n".encode()),
            (MANIFEST, _render_manifest(request, checkpoint, count) + b"\n"),
            (README, _render_readme(request, checkpoint, count).encode()),
            (VERIFIER, request.verifier),
        ):
            with _entry(archive, name, request) as entry:
                entry.write(content)
            yield
    return count


def _check_request(request: BundleRequest) -> Checkpoint:
    checkpoint = parse_checkpoint(verify_note(request.note, [request.vkey]).text)
    if not checkpoint.origin.endswith(f"/audit/{request.organisation}"):
        message = f"the checkpoint is of {checkpoint.origin!r}, not of organisation {request.organisation!r}"
        raise BundleError(message)
    leaves = request.leaves
    if leaves is not None and not (
        0 <= leaves.first < leaves.end <= checkpoint.size
        or leaves.first == leaves.end == checkpoint.size == 0
    ):
        message = f"the log has {checkpoint.size} events, no leaves from {leaves.first} up to {leaves.end}"
        raise BundleError(message)
    edges = [edge for one in request.removed for edge in (one.first, one.end)]
    bounds = leaves or LeafRange(0, checkpoint.size)
    if edges != sorted(set(edges)) or (edges and not bounds.first <= edges[0] < edges[-1] <= bounds.end):
        message = f"the removed leaves are no ranges apart from each other within the bundle: {edges}"
        raise BundleError(message)
    if not all(0 < size <= checkpoint.size for size in request.older_sizes):
        message = f"a log of {checkpoint.size} events did not grow from {list(request.older_sizes)}"
        raise BundleError(message)
    return checkpoint


def _write_events(
    entry: IO[bytes],
    request: BundleRequest,
    checkpoint: Checkpoint,
    events: Iterable[tuple[int, bytes]],
    taken: "array[int]",
) -> Generator[None, None, int]:
    leaves = request.leaves
    end = checkpoint.size if leaves is None else leaves.end
    gone = {one.first: one.end for one in request.removed} if leaves is not None else {}
    following = 0 if leaves is None else gone.get(leaves.first, leaves.first)
    count = 0
    for index, body in events:
        if index >= end or index < following or (leaves is not None and index > following):
            message = f"event {index} is out of place where {following} follows, of {end}"
            raise BundleError(message)
        if leaves is None:
            taken.append(index)
        entry.write(body + b"\n")
        following = gone.get(index + 1, index + 1)
        count += 1
        yield
    if leaves is not None and following != end:
        message = f"the events end before leaf {following}, the range before leaf {end}"
        raise BundleError(message)
    return count


def _prove_events(indices: Iterable[int], size: int, nodes: Nodes) -> Iterator[object]:
    for index in indices:
        yield {"leaf": index, "proof": _encode(inclusion_proof(index, size, nodes))}


def _prove_blocks(leaves: LeafRange, size: int, proofs: Proofs) -> Iterator[object]:
    for start in range(leaves.first - leaves.first % BLOCK, leaves.end, BLOCK):
        stop = min(start + BLOCK, size)
        yield {
            "first": start,
            "leaves": b64encode(b"".join(proofs.leaves(start, stop))).decode(),
            "proof": _encode(subtree_proof(start, stop, size, proofs.nodes)),
        }


def _prove_growth(older_sizes: Iterable[int], size: int, nodes: Nodes) -> Iterator[object]:
    for older in sorted(set(older_sizes)):
        yield {
            "proof": _encode(consistency_proof(older, size, nodes)),
            "root": b64encode(right_edge(older, nodes).root()).decode(),
            "size": older,
        }


def _encode(hashes: Iterable[bytes]) -> list[str]:
    return [b64encode(one).decode() for one in hashes]


def _write_all(entry: IO[bytes], values: Iterable[object]) -> Iterator[None]:
    for value in values:
        entry.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))
        yield


def _render_manifest(request: BundleRequest, checkpoint: Checkpoint, count: int) -> bytes:
    leaves = request.leaves
    told: dict[str, object] = {
        "count": count,
        "created_at": request.created_at.isoformat(),
        "filter": request.filter_text,
        "format": FORMAT,
        "kind": SELECTION if leaves is None else RANGE,
        "organisation": request.organisation,
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "version": VERSION,
    }
    if leaves is not None:
        told |= {"first": leaves.first, "end": leaves.end}
    if request.removed:
        told["removed"] = [[one.first, one.end] for one in request.removed]
    return canonicalise(told)


def _render_readme(request: BundleRequest, checkpoint: Checkpoint, count: int) -> str:
    leaves = request.leaves
    if leaves is None:
        told, complete = f"those that the filter {request.filter_text!r} let through", ""
    else:
        told = f"all from leaf {leaves.first} up to, not including, leaf {leaves.end}"
        complete = ",\nand that none is missing between the first and the last"
    gone = ", ".join(f"{one.first} to {one.end - 1}" for one in request.removed)
    if gone:
        gone = f"The events of these leaves are gone, removed by the retention, says whoever made this: {gone}.\n"
    title = f"Audit events of {checkpoint.origin}"
    return _README_TEXT.format(
        origin=checkpoint.origin,
        underline="=" * len(title),
        count=count,
        told=told,
        created_at=request.created_at.isoformat(),
        size=checkpoint.size,
        complete=complete,
        gone=gone,
    )


@contextmanager
def _entry(archive: ZipFile, name: str, request: BundleRequest) -> Iterator[IO[bytes]]:
    """One file of the archive. Its time is that of the export, so that the same export gives the same bytes."""
    told = ZipInfo(name, request.created_at.timetuple()[:6])
    told.compress_type = ZIP_DEFLATED
    told.external_attr = _READABLE_BY_ALL
    # How large it becomes is not known when it begins.
    with archive.open(told, "w", force_zip64=True) as entry:
        yield entry


class _Unseekable:
    """Keeps the archive from going back to what has been sent already."""

    def __init__(self, file: Sink) -> None:
        self.write = file.write
        self.flush = file.flush


class _Chunks:
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def write(self, data: bytes, /) -> int:
        # What is written may be a view of a buffer that is used again.
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits elsewhere."""

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return taken
