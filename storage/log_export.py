"""An organisation's log as exports read it: whole, in one transaction, page by page.

Pages by key and no server-side cursor: both databases then do the same, and a page's names are looked up between two
of them. `storage.sealed_events` is for streams, which begin a transaction for each batch.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, Executable, Integer, and_, bindparam, func, select

from directory.ids import OrganisationId
from storage.audit_tables import SEALER, audit_leaf, audit_sealer
from storage.engine import Database
from storage.sealed_log import SealedLog
from storage.sets import in_set
from storage.tables import audit_event
from storage.types import Moment, RowNumber
from storage.unit_of_work import StoreReader
from storage.view import ORGANISATION, is_own
from storage.waiting_events import COUNT_UNSEALED

AT_ONCE: Final = 500
"""Events of a page."""

ExportedRow = tuple[int, bytes, int | None, str | datetime | None]
"""Row, body, leaf index and moment of sealing, as the driver gives them; what is not sealed has neither of the last
two. No class, for a million of them would be felt."""

_EVENTS, _LEAVES = audit_event.c, audit_leaf.c
_AFTER = bindparam("after", type_=RowNumber)
_LIMIT = bindparam("row_limit", type_=Integer)
_FIRST, _STOP = bindparam("first", type_=RowNumber), bindparam("stop", type_=RowNumber)
_SINCE, _UNTIL = bindparam("since", type_=Moment), bindparam("until", type_=Moment)

# The bound on the leaf's side keeps a merge join from reading all leaves for each page.
_PAGE = (
    select(_EVENTS.id, _EVENTS.body, _LEAVES.leaf_index, _LEAVES.sealed_at)
    .select_from(
        audit_event.outerjoin(audit_leaf, and_(_LEAVES.event_row == _EVENTS.id, _LEAVES.event_row > _AFTER))
    )
    .where(_EVENTS.organisation_id == ORGANISATION, _EVENTS.id > _AFTER)
    .order_by(_EVENTS.id)
    .limit(_LIMIT)
)
_PLACES = select(_LEAVES.event_row, _LEAVES.leaf_index, _LEAVES.sealed_at).where(
    in_set(_LEAVES.event_row, "rows", item=BigInteger), is_own(_LEAVES.organisation_id)
)
_SEALED = (
    select(_LEAVES.leaf_index, _EVENTS.body)
    .select_from(audit_leaf.outerjoin(audit_event, _EVENTS.id == _LEAVES.event_row))
    .where(_LEAVES.organisation_id == ORGANISATION, _LEAVES.leaf_index >= _FIRST, _LEAVES.leaf_index < _STOP)
    .order_by(_LEAVES.leaf_index)
)
_LEAVES_OF_PERIOD = (
    select(func.min(_LEAVES.leaf_index), func.max(_LEAVES.leaf_index))
    .select_from(audit_leaf.join(audit_event, _EVENTS.id == _LEAVES.event_row))
    .where(_LEAVES.organisation_id == ORGANISATION, _LEAVES.leaf_index >= _FIRST, _LEAVES.leaf_index < _STOP)
    .where(_EVENTS.time >= _SINCE, _EVENTS.time < _UNTIL)
)
# Each by itself is found at an end of the index; asked for both at once, SQLite reads all of it.
_ROWS = select(
    *(
        select(edge(_EVENTS.id)).where(_EVENTS.organisation_id == ORGANISATION).scalar_subquery()
        for edge in (func.min, func.max)
    )
)
_HORIZON = select(audit_sealer.c.horizon).where(audit_sealer.c.name == SEALER)


def _unsealed(*, is_sqlite: bool) -> Executable:
    return COUNT_UNSEALED[is_sqlite].where(
        _EVENTS.organisation_id == ORGANISATION, _EVENTS.time >= _SINCE, _EVENTS.time < _UNTIL
    )


_UNSEALED = {is_sqlite: _unsealed(is_sqlite=is_sqlite) for is_sqlite in (True, False)}


class LogExportView(SealedLog):
    """One moment of one organisation's log. `reader` sees the same moment of everything else."""

    @property
    def reader(self) -> StoreReader:
        return StoreReader(self._database, self._connection, self._organisation_id)

    def pages(self) -> Iterator[list[ExportedRow]]:
        """All events, sealed or not, by their rows."""
        after = 0
        while page := self._rows(_PAGE, after=after, row_limit=AT_ONCE):
            yield page
            after = page[-1][0]

    def places(self, rows: Collection[int]) -> dict[int, tuple[int, str | datetime]]:
        """Leaf index and time of sealing by row; what is not sealed yet is not there."""
        return {row[0]: (row[1], row[2]) for row in self._rows(_PLACES, rows=list(rows))}

    def sealed_bodies(self, first: int, stop: int) -> Iterator[list[tuple[int, bytes | None]]]:
        """The events at these leaves, in their order; None where only the leaf is left."""
        for start in range(first, stop, AT_ONCE):
            yield self._pair_rows(_SEALED, first=start, stop=min(start + AT_ONCE, stop))

    def leaves_of_period(
        self, first: int, stop: int, since: datetime, until: datetime
    ) -> tuple[int, int] | None:
        """The lowest and the highest leaf among these whose events are of the period."""
        low, high = self._rows(_LEAVES_OF_PERIOD, first=first, stop=stop, since=since, until=until)[0]
        return None if low is None else (low, high)

    def unsealed(self, since: datetime, until: datetime) -> int:
        """How many events of the period have no place yet."""
        horizon = self._rows(_HORIZON)[0][0]
        statement = _UNSEALED[self._database.is_sqlite]
        return int(self._rows(statement, horizon=horizon, since=since, until=until)[0][0])

    def row_bounds(self) -> tuple[int, int]:
        """The lowest and the highest row of the organisation's events."""
        low, high = self._rows(_ROWS)[0]
        return (low or 0, high or 0)


@contextmanager
def open_log_export(database: Database, organisation_id: OrganisationId) -> Iterator[LogExportView]:
    """One transaction, however long the export takes: what is written meanwhile is not in it."""
    with database.read() as connection, database.passing_through(connection):
        yield LogExportView(database, connection, organisation_id)
