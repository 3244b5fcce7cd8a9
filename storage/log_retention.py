"""One organisation's log as retention and erasure work on it: the port `LogKeeper`.

A removal is declared first, in the transaction that keeps what the events made of the members. Then the events go, in
bounded transactions; whoever is cut off in between leaves a declaration that the next one carries out.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, bindparam, delete, func, insert, or_, select

from directory.ids import MemberId, OrganisationId
from provisioning.log_retention import (
    Erased,
    Hold,
    Keeping,
    Range,
    Removed,
    read_state,
    write_state,
)
from provisioning.replay import RebuiltMember
from provisioning.state import EventRow
from storage.audit_tables import (
    audit_baseline,
    audit_edge,
    audit_keeping,
    audit_leaf,
    audit_mark,
    audit_removal,
)
from storage.bulk import BulkInsert
from storage.engine import Database
from storage.event_rows import event_numbers
from storage.log_erasure import PersonsReader, PersonsWriter
from storage.puts import Put
from storage.sets import in_set
from storage.stream_tables import stream_dead_letter
from storage.tables import audit_event, audit_hour
from storage.types import Moment, RowNumber, read_document, read_optional_moment
from storage.view import ORGANISATION, is_own

_KEPT, _LEAVES, _EVENTS = audit_keeping.c, audit_leaf.c, audit_event.c
_FIRST, _STOP = bindparam("first", type_=RowNumber), bindparam("stop", type_=RowNumber)
_SELECT_KEEPING = select(
    _KEPT.days, _KEPT.hold_reason, _KEPT.held_at, _KEPT.hold_ends_at, _KEPT.removed_before
).where(_KEPT.organisation_id == ORGANISATION)
_PUT_KEEPING = Put(
    audit_keeping, key=(), columns=("days", "hold_reason", "held_at", "hold_ends_at", "removed_before")
)
_SELECT_DECLARED = select(func.max(audit_removal.c.last_leaf)).where(
    audit_removal.c.organisation_id == ORGANISATION
)
_SELECT_SIZE = select(audit_edge.c.size).where(audit_edge.c.organisation_id == ORGANISATION)
_SELECT_YOUNGEST = select(func.min(audit_mark.c.first_leaf)).where(
    audit_mark.c.organisation_id == ORGANISATION, audit_mark.c.hour >= bindparam("since", type_=Moment)
)
_SEALED = audit_leaf.join(audit_event, _EVENTS.id == _LEAVES.event_row)
_SELECT_BODIES = (
    select(_EVENTS.body)
    .select_from(_SEALED)
    .where(_LEAVES.organisation_id == ORGANISATION, _LEAVES.leaf_index >= _FIRST, _LEAVES.leaf_index < _STOP)
    .order_by(_LEAVES.leaf_index)
)
_SELECT_LATER = (
    select(_EVENTS.body)
    .select_from(audit_event.outerjoin(audit_leaf, _EVENTS.id == _LEAVES.event_row))
    .where(
        _EVENTS.organisation_id == ORGANISATION,
        or_(_LEAVES.leaf_index.is_(None), _LEAVES.leaf_index >= _FIRST),
    )
    .order_by(_EVENTS.id)
)
_SELECT_ROWS = (
    select(_EVENTS.id, _EVENTS.body)
    .select_from(_SEALED)
    .where(_LEAVES.organisation_id == ORGANISATION, _LEAVES.leaf_index >= _FIRST, _LEAVES.leaf_index < _STOP)
    .order_by(_LEAVES.leaf_index)
)
_SELECT_BASELINE = (
    select(audit_baseline.c.member_id, audit_baseline.c.state)
    .where(audit_baseline.c.organisation_id == ORGANISATION)
    .order_by(audit_baseline.c.member_id)
)
_DELETE_BASELINE = delete(audit_baseline).where(
    audit_baseline.c.organisation_id == ORGANISATION, in_set(audit_baseline.c.member_id, "member_ids")
)
_INSERT_BASELINE = BulkInsert(audit_baseline, "organisation_id", "member_id", "state")
_INSERT_REMOVAL = insert(audit_removal)
# What lies before the limit bounds nothing any more.
_DELETE_MARKS = delete(audit_mark).where(
    audit_mark.c.organisation_id == ORGANISATION, audit_mark.c.hour < bindparam("before", type_=Moment)
)
_DELETE_EVENTS = delete(audit_event).where(
    in_set(_EVENTS.id, "rows", item=BigInteger), is_own(_EVENTS.organisation_id)
)
_DELETE_HOURS = delete(audit_hour).where(
    audit_hour.c.organisation_id == ORGANISATION,
    audit_hour.c.last_row <= bindparam("last_row", type_=RowNumber),
)
_DELETE_LETTERS = delete(stream_dead_letter).where(
    stream_dead_letter.c.organisation_id == ORGANISATION,
    stream_dead_letter.c.leaf_index >= _FIRST,
    stream_dead_letter.c.leaf_index < _STOP,
)
_DELETE_TERMS = {
    True: "DELETE FROM audit_term WHERE term = ? AND event_row = ?",
    False: (
        "DELETE FROM audit_term USING unnest(%s::bigint[], %s::bigint[]) AS gone(term, event_row) "
        "WHERE audit_term.term = gone.term AND audit_term.event_row = gone.event_row"
    ),
}


class KeepingReader(PersonsReader):
    """The port `KeepingView`."""

    def keeping(self) -> Keeping:
        row = self._row(_SELECT_KEEPING) or (None, "", None, None, 0)
        last = self._rows(_SELECT_DECLARED)[0][0]
        held_at = read_optional_moment(row[2])
        hold = None if held_at is None else Hold(row[1], held_at, read_optional_moment(row[3]))
        return Keeping(row[0], hold, 0 if last is None else int(last) + 1, int(row[4]))

    def old_leaves(self, limit: datetime) -> int:
        youngest = self._rows(_SELECT_YOUNGEST, since=limit)[0][0]
        if youngest is not None:
            return int(youngest)
        row = self._row(_SELECT_SIZE)
        return 0 if row is None else int(row[0])

    def bodies(self, leaves: Range) -> Iterator[bytes]:
        rows = self._stream(_SELECT_BODIES, first=leaves.first, stop=leaves.stop)
        return (bytes(row[0]) for row in rows)

    def later_bodies(self, first: int) -> Iterator[bytes]:
        return (bytes(row[0]) for row in self._stream(_SELECT_LATER, first=first))

    def baseline(self) -> dict[MemberId, RebuiltMember]:
        rows = self._stream(_SELECT_BASELINE)
        return {MemberId(row[0]): read_state(read_document(row[1])) for row in rows}


class KeepingWriter(KeepingReader, PersonsWriter):
    """The same with the organisation locked: of two who remove, one waits."""

    def put_keeping(self, keeping: Keeping) -> None:
        hold = keeping.hold
        _PUT_KEEPING(
            self,
            {
                "days": keeping.set_days,
                "hold_reason": hold.reason if hold else "",
                "held_at": hold and hold.held_at,
                "hold_ends_at": hold and hold.ends_at,
                "removed_before": keeping.removed_before,
            },
        )

    def declare(self, leaves: Range, members: Mapping[MemberId, RebuiltMember], now: datetime) -> bool:
        keeping = self.keeping()
        keeping.check_free(now)
        if keeping.declared_before != leaves.first:
            return False
        self._insert(_INSERT_REMOVAL, first_leaf=leaves.first, last_leaf=leaves.stop - 1, removed_at=now)
        self._run(_DELETE_BASELINE, member_ids=members)
        _INSERT_BASELINE(
            self._connection,
            [
                (self._organisation_id, member_id, write_state(member))
                for member_id, member in members.items()
            ],
        )
        return True

    def remove(self, now: datetime, limit: int) -> Removed:
        keeping = self.keeping()
        keeping.check_free(now)
        first = keeping.removed_before
        stop = min(first + limit, keeping.declared_before)
        if first == stop:
            return Removed(0, 0)
        rows = self._rows(_SELECT_ROWS, first=first, stop=stop)
        bodies = {row: bytes(body) for row, body in rows}
        self._delete_terms(bodies)
        self._run(_DELETE_EVENTS, rows=list(bodies))
        self._run(_DELETE_LETTERS, first=first, stop=stop)
        self._run(_DELETE_MARKS, before=keeping.limit(now))
        if bodies:
            self._run(_DELETE_HOURS, last_row=min(bodies))
        forgotten = self.forget(list(bodies.values()), keeping.limit(now))
        self.put_keeping(replace(keeping, removed_before=stop))
        return Removed(stop - first, forgotten)

    def _delete_terms(self, bodies: Mapping[int, bytes]) -> None:
        pairs = sorted(
            (number, row)
            for row, body in bodies.items()
            for number in event_numbers(self._organisation_id, body)
        )
        if not pairs:
            return
        is_sqlite = self._database.is_sqlite
        cursor: Any = self._connection.connection.cursor()
        try:
            if is_sqlite:
                cursor.executemany(_DELETE_TERMS[is_sqlite], pairs)
            else:
                cursor.execute(
                    _DELETE_TERMS[is_sqlite], [list(column) for column in zip(*pairs, strict=True)]
                )
        finally:
            cursor.close()


class SQLLogKeeper:
    """`provisioning.log_retention.LogKeeper`.

    `removing` is the database as a role of its own sees it, who has the right to declare and to remove.
    """

    def __init__(
        self, database: Database, organisation_id: OrganisationId, *, removing: Database | None = None
    ) -> None:
        self._database = database
        self._removing = removing or database
        self._organisation_id = organisation_id

    @contextmanager
    def read(self) -> Iterator[KeepingReader]:
        with self._database.read() as opened, self._database.passing_through(opened):
            yield KeepingReader(self._database, opened, self._organisation_id)

    def set_days(self, days: int, event: EventRow) -> None:
        with self._write(self._database) as writer:
            writer.put_keeping(replace(writer.keeping(), set_days=days))
            writer.append_events([event])

    def set_hold(self, hold: Hold | None, event: EventRow) -> None:
        with self._write(self._database) as writer:
            writer.put_keeping(replace(writer.keeping(), hold=hold))
            writer.append_events([event])

    def declare(
        self, leaves: Range, members: Mapping[MemberId, RebuiltMember], event: EventRow, now: datetime
    ) -> bool:
        with self._write(self._removing) as writer:
            if not writer.declare(leaves, members, now):
                return False
            writer.append_events([event])
            return True

    def remove(self, now: datetime, limit: int) -> Removed:
        with self._write(self._removing) as writer:
            return writer.remove(now, limit)

    def erase(
        self,
        ids: Collection[str],
        tell: Callable[[Erased], Sequence[EventRow]],
        now: datetime,
        *,
        even_present: bool,
        mint: Callable[[], str],
    ) -> Erased:
        with self._write(self._database) as writer:
            writer.keeping().check_free(now)
            erased = writer.erase(ids, even_present=even_present, mint=mint)
            writer.append_events(tell(erased))
            return erased

    def overwrite(self) -> bool:
        return self._database.truncate_log()

    @contextmanager
    def _write(self, database: Database) -> Iterator[KeepingWriter]:
        with database.write() as opened:
            writer = KeepingWriter(database, opened, self._organisation_id, is_locking=True)
            yield writer
            writer.conclude()
