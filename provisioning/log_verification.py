"""Recomputes a log from what is stored and compares it with what was signed; names each difference that it finds.

Bodies are compared with their leaves, leaves with the roots of every checkpoint, checkpoints with the keys that are
trusted, and all of it with checkpoints that somebody kept elsewhere: those alone find a log that was written anew by
whoever has the key.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from audit.body import parse_body
from audit.checkpoint import Checkpoint, parse_checkpoint, verify_note
from audit.errors import AuditError
from audit.tree import RightEdge, leaf_hash
from provisioning.sealing import SealedReader, StoredCheckpoint, StoredEvent

_HEADS_AT_ONCE = 4_096
_NOTHING_TOLD: Mapping[int, bytes] = MappingProxyType({})


class Tampering(StrEnum):
    """What was done to the log, as far as it can be told."""

    EDITED = "edited"
    DELETED = "deleted"
    SWAPPED = "swapped"
    CUT = "cut"
    REWRITTEN = "rewritten"
    RESIGNED = "resigned"
    FORKED = "forked"
    UNSIGNED_TREE = "unsigned_tree"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was signed. `leaf_index` is the first leaf concerned, if it is about leaves."""

    kind: Tampering
    text: str
    leaf_index: int | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """How much of a log was recomputed. `removed` counts leaves whose events the retention has removed."""

    origin: str
    size: int
    checkpoints: int
    removed: int
    differences: tuple[Difference, ...]


def verify_log(
    log: SealedReader, origin: str, vkeys: Collection[str], earlier: Sequence[Checkpoint] = ()
) -> Verification:
    """Recompute the log of an organisation, or of the service, from the stored events.

    `earlier` are checkpoints of this log that were kept outside; their signatures were looked at before.
    """
    told = _told_removals(log)
    checker = _TreeChecker(log, origin, vkeys, earlier, told)
    removals = log.removals()
    bodies = _BodyChecker(removals)
    for event in log.events():
        bodies.check(event)
        checker.append(event.leaf_index, event.leaf)
    return checker.finish([*bodies.differences(), *_untold_removals(removals, told)], bodies.removed)


def verify_heads(
    heads: SealedReader, origin: str, vkeys: Collection[str], earlier: Sequence[Checkpoint] = ()
) -> Verification:
    """Recompute the tree of heads from the checkpoints of all logs."""
    checker = _TreeChecker(heads, origin, vkeys, earlier)
    size = heads.size()
    for first in range(0, size, _HEADS_AT_ONCE):
        stop = min(first + _HEADS_AT_ONCE, size)
        leaves = heads.leaves(first, stop)
        for place, leaf in enumerate(leaves, start=first):
            checker.append(place, leaf)
        if len(leaves) != stop - first:
            missing = stop - first - len(leaves)
            gone = Difference(
                Tampering.DELETED,
                f"{missing} checkpoints of logs are gone between {first} and {stop - 1}",
                first,
            )
            return checker.finish([gone], 0)
    return checker.finish([], 0)


def _told_removals(log: SealedReader) -> Mapping[int, bytes]:
    """What events of the log say that was removed: the number of leaves from the first on, and their root."""
    told: dict[int, bytes] = {}
    for stored in log.told_removals():
        with contextlib.suppress(AuditError, KeyError, ValueError):
            said = {change["path"]: str(change["after"]) for change in parse_body(stored).get("changes", ())}
            told[int(said["last"]) + 1] = bytes.fromhex(said["root"])
    return told


def _untold_removals(removals: Sequence[tuple[int, int]], told: Mapping[int, bytes]) -> Iterator[Difference]:
    """What was declared removed without an event: by somebody who knows the tables, and not by the retention."""
    stop = max((last + 1 for _, last in removals), default=0)
    known = max(told, default=0)
    if stop > known:
        yield Difference(
            Tampering.DELETED,
            f"events {known} to {stop - 1} are declared removed, and no event of the log tells of it",
            known,
        )


def _joined(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined


class _BodyChecker:
    """Compares each event with its leaf, and its row's columns with its body."""

    def __init__(self, removals: Sequence[tuple[int, int]]) -> None:
        # Each begins where the one before ends, so that they are looked up as few.
        self._removals = _joined(removals)
        self._found: list[Difference] = []
        # Leaf index -> the leaf as sealed, and the hash of the body that lies there now.
        self._edited: dict[int, tuple[bytes, bytes]] = {}
        self.removed = 0

    def check(self, event: StoredEvent) -> None:
        if event.body is None:
            if any(first <= event.leaf_index <= last for first, last in self._removals):
                self.removed += 1
            else:
                self._tell(
                    Tampering.DELETED, event, f"is gone (row {event.event_row}); only its leaf is left"
                )
            return
        digest = leaf_hash(event.body)
        if digest != event.leaf:
            self._edited[event.leaf_index] = event.leaf, digest
        elif told := _misfit(event):
            self._tell(Tampering.EDITED, event, told)

    def differences(self) -> list[Difference]:
        place_of = {leaf: index for index, (leaf, _) in self._edited.items()}
        for index, (_, digest) in self._edited.items():
            other = place_of.get(digest)
            if other is None:
                self._found.append(
                    Difference(Tampering.EDITED, f"event {index} is not the one that was sealed", index)
                )
            else:
                self._found.append(
                    Difference(Tampering.SWAPPED, f"event {index} holds what was sealed as {other}", index)
                )
        return sorted(self._found, key=lambda found: found.leaf_index or 0)

    def _tell(self, kind: Tampering, event: StoredEvent, told: str) -> None:
        self._found.append(Difference(kind, f"event {event.leaf_index} {told}", event.leaf_index))


def _misfit(event: StoredEvent) -> str:
    """What the row's columns say otherwise than the body; a search goes by the columns."""
    try:
        body = parse_body(event.body or b"")
    except AuditError as error:
        return f"cannot be read: {error}"
    said: Mapping[str, tuple[object, object]] = {
        "id": (event.event_id, body["id"]),
        "organisation": (event.organisation_id or "", body["organisation"]),
        "action": (event.action, body["action"]),
        "time": (event.time and f"{event.time.isoformat(timespec='milliseconds')[:23]}Z", body["time"]),
    }
    return "; ".join(
        f"its row says the {name} {column}, the event itself {inside}"
        for name, (column, inside) in said.items()
        if column != inside
    )


class _TreeChecker:
    """Rebuilds a tree leaf by leaf and compares it with each checkpoint that it passes."""

    def __init__(
        self,
        log: SealedReader,
        origin: str,
        vkeys: Collection[str],
        earlier: Sequence[Checkpoint],
        told: Mapping[int, bytes] = _NOTHING_TOLD,
    ) -> None:
        self._log = log
        self._origin = origin
        self._vkeys = tuple(vkeys)
        self._earlier = earlier
        self._told = told
        self._checkpoints = list(log.checkpoints())
        self._signed = {one.size: one.root for one in self._checkpoints}
        self._awaited = {size for size in (*self._signed, *(one.size for one in earlier), *told) if size > 0}
        self._roots: dict[int, bytes] = {0: RightEdge().root()}
        self._edge = RightEdge()
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._pending: list[bytes] = []
        self._found: list[Difference] = []
        self._is_broken = False

    def append(self, leaf_index: int, leaf: bytes) -> None:
        """Take the next leaf. Behind a gap no root can be computed any more."""
        if self._is_broken:
            return
        expected = self._edge.size + len(self._pending)
        if leaf_index != expected:
            self._is_broken = True
            self._found.append(
                Difference(
                    Tampering.DELETED,
                    f"behind leaf {expected - 1} comes {leaf_index}; those between are gone",
                    expected,
                )
            )
            return
        self._pending.append(leaf)
        if expected + 1 in self._awaited:
            self._grow()
            self._roots[expected + 1] = self._edge.root()

    def finish(self, differences: Sequence[Difference], removed: int) -> Verification:
        self._grow()
        if not self._is_broken:
            self._found.extend(self._check_end())
            self._found.extend(self._check_roots())
            self._found.extend(self._check_told())
            self._found.extend(self._check_stored_tree())
        self._found.extend(self._check_notes())
        self._found.extend(self._check_earlier())
        return Verification(
            self._origin,
            self._edge.size,
            len(self._checkpoints),
            removed,
            (*differences, *self._found),
        )

    def _grow(self) -> None:
        self._edge, nodes = self._edge.append_with_nodes(self._pending)
        self._pending.clear()
        self._nodes.update(((node.level, node.index), node.hash) for node in nodes)

    def _check_end(self) -> Iterator[Difference]:
        signed = max(self._signed, default=0)
        if self._edge.size < signed:
            yield Difference(
                Tampering.CUT, f"{signed} leaves were signed, {self._edge.size} are left", self._edge.size
            )
        elif self._edge.size > signed:
            yield Difference(
                Tampering.CUT,
                f"{self._edge.size} leaves are stored, and the last checkpoint left says {signed}",
                signed,
            )

    def _check_roots(self) -> Iterator[Difference]:
        """The first checkpoint that does not fit; those behind it cannot fit either."""
        last_good = 0
        for size in sorted(self._signed):
            root = self._roots.get(size)
            if root is None:
                return
            if root != self._signed[size]:
                yield Difference(
                    Tampering.REWRITTEN,
                    f"leaves {last_good} to {size - 1} are not those that the checkpoint of {size} was signed over",
                    last_good,
                )
                return
            last_good = size

    def _check_told(self) -> Iterator[Difference]:
        """Whether what was removed is what the events that tell of it say."""
        for size in sorted(self._told):
            if self._roots.get(size) != self._told[size]:
                yield Difference(
                    Tampering.REWRITTEN,
                    f"leaves 0 to {size - 1} are not those that the event of their removal tells of",
                    0,
                )
                return

    def _check_stored_tree(self) -> Iterator[Difference]:
        """What proofs and the next batch are made from."""
        stored = {(node.level, node.index): node.hash for node in self._log.stored_nodes()}
        if stored != self._nodes:
            places = sorted(
                place
                for place in stored.keys() | self._nodes.keys()
                if stored.get(place) != self._nodes.get(place)
            )
            level, index = places[0]
            yield Difference(
                Tampering.UNSIGNED_TREE,
                f"{len(places)} stored nodes are not those of the leaves, the first at level {level}, place {index}",
            )
        edge = self._log.edge()
        if edge != self._edge:
            yield Difference(
                Tampering.UNSIGNED_TREE,
                f"the stored right edge is one of {edge.size} leaves, or of others than are stored",
            )

    def _check_notes(self) -> Iterator[Difference]:
        for one in self._checkpoints:
            told = self._misfit_of_note(one)
            if told:
                yield Difference(Tampering.RESIGNED, f"the checkpoint of {one.size} {told}", None)

    def _misfit_of_note(self, stored: StoredCheckpoint) -> str:
        try:
            said = parse_checkpoint(verify_note(stored.note, self._vkeys).text)
        except AuditError as error:
            return f"does not hold: {error}"
        if said != Checkpoint(self._origin, stored.size, stored.root):
            return f"says {said.size} leaves of {said.origin}, and its row something else"
        return ""

    def _check_earlier(self) -> Iterator[Difference]:
        for known in self._earlier:
            root = self._roots.get(known.size)
            if root is None:
                yield Difference(
                    Tampering.CUT,
                    f"a checkpoint kept elsewhere says {known.size} leaves; {self._edge.size} can be found",
                    self._edge.size,
                )
            elif root != known.root:
                yield Difference(
                    Tampering.FORKED,
                    f"the first {known.size} leaves are not those of a checkpoint kept elsewhere: written anew",
                )
