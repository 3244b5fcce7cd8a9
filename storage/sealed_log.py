"""One log as it is sealed: leaves, inner nodes, checkpoints, and the events that lie at the leaves."""

from collections.abc import Iterator

from sqlalchemy import Integer, Select, bindparam, literal_column, select

from audit.checkpoint import split_note
from audit.errors import TreeError
from audit.tree import HASH_BYTES, Node, RightEdge, leaf_hash
from directory.ids import EventId
from provisioning.sealing import HEADS_LOG, StoredCheckpoint, StoredEvent
from storage.audit_tables import audit_checkpoint, audit_edge, audit_leaf, audit_node, audit_removal
from storage.tables import audit_event
from storage.types import Id, RowNumber, read_moment, read_optional_moment
from storage.view import ORGANISATION, Row, View, is_own

_LEAVES = audit_leaf.c
_EVENTS = audit_event.c
_EDGE = select(audit_edge.c.size, audit_edge.c.peaks).where(audit_edge.c.organisation_id == ORGANISATION)
_CHECKPOINTS = (
    select(
        audit_checkpoint.c.size,
        audit_checkpoint.c.root,
        audit_checkpoint.c.note,
        audit_checkpoint.c.sealed_at,
        audit_checkpoint.c.head_index,
    )
    .where(audit_checkpoint.c.organisation_id == ORGANISATION)
    .order_by(audit_checkpoint.c.size)
)
_LATEST_CHECKPOINT = _CHECKPOINTS.order_by(None).order_by(audit_checkpoint.c.size.desc()).limit(1)
_CHECKPOINT_OF_SIZE = _CHECKPOINTS.where(audit_checkpoint.c.size == bindparam("of_size", type_=RowNumber))
_FIRST, _STOP = bindparam("first", type_=RowNumber), bindparam("stop", type_=RowNumber)
_LEAF_RANGE = (
    select(_LEAVES.leaf)
    .where(_LEAVES.organisation_id == ORGANISATION, _LEAVES.leaf_index >= _FIRST, _LEAVES.leaf_index < _STOP)
    .order_by(_LEAVES.leaf_index)
)
_HEAD_RANGE = (
    select(audit_checkpoint.c.note)
    .where(audit_checkpoint.c.head_index >= _FIRST, audit_checkpoint.c.head_index < _STOP)
    .order_by(audit_checkpoint.c.head_index)
)
_NODE = select(audit_node.c.hash).where(
    audit_node.c.organisation_id == ORGANISATION,
    audit_node.c.level == bindparam("of_level", type_=Integer),
    audit_node.c.node_index == bindparam("of_index", type_=RowNumber),
)
_NODES = (
    select(audit_node.c.level, audit_node.c.node_index, audit_node.c.hash)
    .where(audit_node.c.organisation_id == ORGANISATION)
    .order_by(audit_node.c.level, audit_node.c.node_index)
)
_REMOVALS = (
    select(audit_removal.c.first_leaf, audit_removal.c.last_leaf)
    .where(audit_removal.c.organisation_id == ORGANISATION)
    .order_by(audit_removal.c.first_leaf)
)

_TOLD_REMOVALS = (
    select(_EVENTS.body)
    .where(
        _EVENTS.organisation_id == ORGANISATION, _EVENTS.action == literal_column("'log.retention_applied'")
    )
    .order_by(_EVENTS.id)
)


def read_edge(size: int, peaks: bytes) -> RightEdge:
    """The right edge as it is stored."""
    return RightEdge(
        size, tuple(peaks[place : place + HASH_BYTES] for place in range(0, len(peaks), HASH_BYTES))
    )


def _stored_events() -> Select[tuple[object, ...]]:
    return select(
        _LEAVES.leaf_index,
        _LEAVES.leaf,
        _LEAVES.event_row,
        _LEAVES.sealed_at,
        _EVENTS.event_id,
        _EVENTS.organisation_id,
        _EVENTS.time,
        _EVENTS.action,
        _EVENTS.subject_id,
        _EVENTS.body,
    )


_STORED_EVENTS = (
    _stored_events()
    .select_from(audit_leaf.outerjoin(audit_event, _EVENTS.id == _LEAVES.event_row))
    .where(_LEAVES.organisation_id == ORGANISATION)
    .order_by(_LEAVES.leaf_index)
)
_LEAF_OF_EVENT = (
    _stored_events()
    .select_from(audit_event.join(audit_leaf, _EVENTS.id == _LEAVES.event_row))
    .where(_EVENTS.event_id == bindparam("of_event", type_=Id), is_own(_LEAVES.organisation_id))
)


class SealedLog(View):
    """The port `SealedReader`. The tree of heads is a log too: its leaves are the texts of checkpoints."""

    def size(self) -> int:
        return self.edge().size

    def edge(self) -> RightEdge:
        row = self._row(_EDGE)
        return RightEdge() if row is None else read_edge(row[0], row[1])

    def checkpoint(self, size: int | None = None) -> StoredCheckpoint | None:
        row = self._row(_LATEST_CHECKPOINT) if size is None else self._row(_CHECKPOINT_OF_SIZE, of_size=size)
        return None if row is None else _read_checkpoint(row)

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        return map(_read_checkpoint, self._rows(_CHECKPOINTS))

    def leaf_of(self, event_id: EventId) -> StoredEvent | None:
        row = self._row(_LEAF_OF_EVENT, of_event=event_id)
        return None if row is None else _read_event(row)

    def leaves(self, first: int, stop: int) -> list[bytes]:
        if self._organisation_id == HEADS_LOG:
            rows = self._rows(_HEAD_RANGE, first=first, stop=stop)
            return [leaf_hash(split_note(row[0])[0].encode()) for row in rows]
        return [bytes(row[0]) for row in self._rows(_LEAF_RANGE, first=first, stop=stop)]

    def node(self, level: int, index: int) -> bytes:
        row = self._row(_NODE, of_level=level, of_index=index)
        if row is None:
            raise TreeError(f"the log has no complete subtree {index} at level {level}")
        return bytes(row[0])

    def stored_nodes(self) -> Iterator[Node]:
        return (Node(row[0], row[1], bytes(row[2])) for row in self._rows(_NODES))

    def events(self) -> Iterator[StoredEvent]:
        return map(_read_event, self._stream(_STORED_EVENTS))

    def removals(self) -> list[tuple[int, int]]:
        return self._pair_rows(_REMOVALS)

    def told_removals(self) -> list[bytes]:
        return [bytes(row[0]) for row in self._rows(_TOLD_REMOVALS)]


def _read_checkpoint(row: Row) -> StoredCheckpoint:
    return StoredCheckpoint(row[0], bytes(row[1]), row[2], read_moment(row[3]), row[4])


def _read_event(row: Row) -> StoredEvent:
    return StoredEvent(
        row[0],
        bytes(row[1]),
        row[2],
        read_moment(row[3]),
        row[4],
        row[5],
        read_optional_moment(row[6]),
        row[7],
        row[8],
        None if row[9] is None else bytes(row[9]),
    )
