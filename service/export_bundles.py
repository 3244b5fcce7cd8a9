"""Bundles of the sealed log: which leaves, which proofs, what is gone, and what is not sealed yet."""

import heapq
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from typing import IO, Final

import orjson

from audit.body import EventBody, parse_body
from audit.bundle import BundleRequest, LeafRange, Proofs, stream_bundle
from audit.checkpoint import Checkpoint, parse_checkpoint, split_note, verify_note
from audit.errors import AuditError, BundleError, MalformedBodyError
from audit.tree import layered_nodes, right_edge
from audit.verifier import COMPLETE, COMPLETE_RANGE, INCLUSION
from directory.ids import OrganisationId
from provisioning.log_proofs import NotSealedError
from provisioning.models import ModelCache
from provisioning.ports import EventQuery
from provisioning.sealing import StoredCheckpoint
from service.errors import InputError, NotFoundError
from service.export_forms import Tally, find_pages
from service.labels import event_names
from storage.log_export import LogExportView

_FIRST_MOMENT: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LAST_MOMENT: Final = datetime(9999, 1, 1, tzinfo=UTC)
# Within one organisation the sealer keeps the order of rows but for transactions that were open at the time.
_OUT_OF_ORDER: Final = 4096
_NODES_KEPT: Final = 8192
_NAMES_SEEN: Final = 100_000
_IN_MEMORY: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """What a bundle is going to be. `leaves` is None for a selection, which proves nothing about the others."""

    checkpoint: StoredCheckpoint
    vkey: str
    leaves: LeafRange | None
    removed: tuple[LeafRange, ...]
    older_sizes: tuple[int, ...]

    @property
    def gone(self) -> int:
        """How many events of the bundle the retention has removed."""
        return sum(one.end - one.first for one in self.removed)

    @property
    def result(self) -> str:
        """What the verifier says of it at best."""
        if self.leaves is None:
            return INCLUSION
        is_whole = self.leaves == LeafRange(0, self.checkpoint.size) and not self.removed
        return COMPLETE if is_whole else COMPLETE_RANGE


def plan_bundle(
    view: LogExportView, query: EventQuery, vkeys: Sequence[str], older: Sequence[Checkpoint]
) -> BundlePlan:
    """Choose the leaves: a period, or no filter, is every event of a range; any other filter makes a selection.

    `vkeys` are keys of the log, of which one must have signed; the last of them is named.
    Raises: NotSealedError, NotFoundError for a period without events, InputError for an older checkpoint that is no
    beginning of this log.
    """
    checkpoint = view.checkpoint()
    if checkpoint is None:
        raise NotSealedError(
            "nothing of this log is sealed yet; a running service seals within a second, and 'usher audit seal' does "
            "it now"
        )
    leaves = _find_leaves(view, query, checkpoint.size)
    return BundlePlan(
        checkpoint,
        _find_signer(checkpoint.note, vkeys),
        leaves,
        tuple(_clip(view.removals(), leaves or LeafRange(0, checkpoint.size))),
        tuple(sorted({_check_older(view, one, checkpoint) for one in older if one.size})),
    )


def _find_leaves(view: LogExportView, query: EventQuery, size: int) -> LeafRange | None:
    if query != EventQuery(since=query.since, until=query.until):
        return None
    first = 0 if query.since is None else _find_edge(view, query, is_last=False)
    last = size - 1 if query.until is None else _find_edge(view, query, is_last=True)
    since, until = query.since or _FIRST_MOMENT, query.until or _LAST_MOMENT
    # Nearby events may have been sealed in another order than they were written in.
    near = (
        LeafRange(max(0, first - _OUT_OF_ORDER), first),
        LeafRange(last + 1, min(size, last + _OUT_OF_ORDER)),
    )
    if query.since is not None and (found := view.leaves_of_period(near[0].first, near[0].end, since, until)):
        first = found[0]
    if query.until is not None and (found := view.leaves_of_period(near[1].first, near[1].end, since, until)):
        last = found[1]
    return LeafRange(first, last + 1)


def _find_edge(view: LogExportView, query: EventQuery, *, is_last: bool) -> int:
    """The place of the period's first or last event that is sealed."""
    query = replace(query, limit=1 << 60, newest_first=is_last)
    for row, _ in view.reader.events(query):
        place = view.places([row]).get(row)
        if place is not None:
            return place[0]
    raise NotFoundError(
        "no sealed event is of this period; 'usher audit list' tells what there is, 'usher audit seal' seals the rest"
    )


def _find_signer(note: str, vkeys: Sequence[str]) -> str:
    for vkey in reversed(vkeys):
        try:
            verify_note(note, [vkey])
        except AuditError:
            continue
        return vkey
    raise InputError(["none of the keys of the log has signed its last checkpoint; see 'usher audit verify'"])


def _clip(removals: Sequence[tuple[int, int]], bounds: LeafRange) -> Iterator[LeafRange]:
    """What of the bounds is removed, ranges that touch made one."""
    first = end = bounds.first
    for lowest, highest in sorted(removals):
        low, stop = max(lowest, bounds.first), min(highest + 1, bounds.end)
        if low >= stop:
            continue
        if low > end:
            if first < end:
                yield LeafRange(first, end)
            first = low
        end = max(end, stop)
    if first < end:
        yield LeafRange(first, end)


def _check_older(view: LogExportView, older: Checkpoint, newest: StoredCheckpoint) -> int:
    nodes = layered_nodes(view.node, view.leaves)
    told = f"your checkpoint of {older.size} events of {older.origin} is no beginning of this log"
    checkpoint = parse_checkpoint(split_note(newest.note)[0])
    if older.origin != checkpoint.origin:
        raise InputError([f"{told}, which is {checkpoint.origin}"])
    if older.size > newest.size:
        raise InputError(
            [f"{told}, which has {newest.size}: its end was cut off, or it was restored from a backup"]
        )
    if right_edge(older.size, nodes).root() != older.root:
        raise InputError(
            [f"{told}, which had another root then: it was written anew since; see 'usher audit verify'"]
        )
    return older.size


def bundle_chunks(
    view: LogExportView,
    models: ModelCache,
    organisation_id: OrganisationId,
    query: EventQuery,
    plan: BundlePlan,
    tally: Tally,
    *,
    filter_text: str,
    created_at: datetime,
) -> Iterator[bytes]:
    """The archive as it comes about. Raises BundleError when the log does not hold what was sealed."""
    request = BundleRequest(
        organisation=organisation_id,
        note=plan.checkpoint.note,
        vkey=plan.vkey,
        created_at=created_at,
        verifier=files("audit").joinpath("verifier.py").read_bytes(),
        leaves=plan.leaves,
        filter_text=filter_text,
        older_sizes=plan.older_sizes,
        removed=plan.removed,
    )
    # The blocks of a range share the nodes that lead to the root.
    node = lru_cache(maxsize=_NODES_KEPT)(view.node)
    proofs = Proofs(layered_nodes(node, view.leaves), view.leaves)
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
        names = _Names(view, models, spool)
        events = (
            _select_events(view, query, names, tally)
            if plan.leaves is None
            else _read_range(view, query, plan.leaves, plan.removed, names, tally)
        )
        yield from stream_bundle(request, events=events, names=names.told(), proofs=proofs)


def _read_range(
    view: LogExportView,
    query: EventQuery,
    leaves: LeafRange,
    removed: Sequence[LeafRange],
    names: "_Names",
    tally: Tally,
) -> Iterator[tuple[int, bytes]]:
    tally.unsealed = view.unsealed(query.since or _FIRST_MOMENT, query.until or _LAST_MOMENT)
    tally.start, tally.end = leaves.first, leaves.end
    for page in view.sealed_bodies(leaves.first, leaves.end):
        names.note([body for _, body in page if body is not None])
        for index, body in page:
            # What is declared to go may not have gone yet.
            if any(one.first <= index < one.end for one in removed):
                continue
            if body is None:
                message = f"event {index} is gone, and no retention has removed it; see 'usher audit verify'"
                raise BundleError(message)
            tally.count(index)
            yield index, body
        tally.position = page[-1][0] + 1


def _select_events(
    view: LogExportView, query: EventQuery, names: "_Names", tally: Tally
) -> Iterator[tuple[int, bytes]]:
    waiting: list[tuple[int, bytes]] = []
    for page in find_pages(view, query, tally):
        names.note([body for _, body, leaf_index, _ in page if leaf_index is not None])
        for _, body, leaf_index, _ in page:
            if leaf_index is None:
                tally.unsealed += 1
                continue
            tally.count(leaf_index)
            heapq.heappush(waiting, (leaf_index, body))
            if len(waiting) > _OUT_OF_ORDER:
                yield heapq.heappop(waiting)
    while waiting:
        yield heapq.heappop(waiting)


class _Names:
    """Clear names of what the events speak of, kept until all events have been written."""

    def __init__(self, view: LogExportView, models: ModelCache, spool: IO[bytes]) -> None:
        self._view, self._models, self._spool = view, models, spool
        self._seen: set[str] = set()

    def note(self, bodies: Collection[bytes]) -> None:
        events = [event for event in map(_read, bodies) if event is not None]
        wanted = {text for event in events for text in _mentioned(event)} - self._seen
        if not wanted:
            return
        names = event_names(self._view.reader, self._models, events)
        for text in sorted(wanted & names.keys()):
            self._spool.write(orjson.dumps((text, names[text]), option=orjson.OPT_APPEND_NEWLINE))
        if len(self._seen) > _NAMES_SEEN:
            # To tell a name again does no harm.
            self._seen.clear()
        self._seen |= wanted

    def told(self) -> Iterator[tuple[str, str]]:
        self._spool.seek(0)
        for line in self._spool:
            text, name = orjson.loads(line)
            yield text, name


def _read(body: bytes) -> EventBody | None:
    try:
        return parse_body(body)
    except MalformedBodyError:
        return None


def _mentioned(event: EventBody) -> Iterator[str]:
    yield event["actor"]["id"]
    for target in event.get("targets", ()):
        yield target["id"]
        if "pii" in target:
            yield target["pii"]
    for change in event.get("changes", ()):
        for value in (change["before"], change["after"]):
            if isinstance(value, str):
                yield value
            elif isinstance(value, list):
                yield from value
