"""Sealed events as streams read them: by leaf index, with the clear names of the references in them."""

import re
from collections.abc import Iterator, Sequence

from sqlalchemy import Integer, bindparam, func, select

from audit.events import PII_PREFIX
from directory.ids import OrganisationId
from provisioning.streaming import BEFORE_FIRST, SealedCheckpoint, SealedEvent
from storage.audit_tables import audit_checkpoint, audit_leaf
from storage.engine import Database
from storage.log import LogReader
from storage.tables import audit_event
from storage.types import RowNumber, read_moment
from storage.view import ORGANISATION, Row

_LEAF = audit_leaf.c
_EVENTS = audit_event.c
_AFTER = (
    select(_LEAF.leaf_index, _EVENTS.body, _EVENTS.event_id, _LEAF.sealed_at)
    .select_from(audit_leaf.join(audit_event, _EVENTS.id == _LEAF.event_row))
    .where(_LEAF.organisation_id == ORGANISATION, _LEAF.leaf_index > bindparam("after", type_=RowNumber))
    .order_by(_LEAF.leaf_index)
    .limit(bindparam("row_limit", type_=Integer))
)
_HEAD = select(func.max(_LEAF.leaf_index)).where(_LEAF.organisation_id == ORGANISATION)
_CHECKPOINT = select(audit_checkpoint.c.note, audit_checkpoint.c.sealed_at).where(
    audit_checkpoint.c.organisation_id == ORGANISATION,
    audit_checkpoint.c.size == bindparam("of_size", type_=RowNumber),
)
_REFERENCE = re.compile(rb'"(' + PII_PREFIX.encode() + rb'[0-9a-f-]{36})"')


class SealedEventsView(LogReader):
    """In one transaction."""

    def after(self, leaf_index: int, limit: int, *, is_named: bool = True) -> list[SealedEvent]:
        """What lies behind the position, in its order, without what the retention has removed."""
        rows = self._rows(_AFTER, after=leaf_index, row_limit=limit)
        named = [_references(row) if is_named else [] for row in rows]
        wanted = {one.removeprefix(PII_PREFIX) for refs in named for one in refs}
        known = self.personal_data(wanted) if wanted else {}
        return [
            SealedEvent(
                row[0],
                bytes(row[1]),
                row[2],
                read_moment(row[3]),
                {one: known[bare] for one in refs if (bare := one.removeprefix(PII_PREFIX)) in known},
            )
            for row, refs in zip(rows, named, strict=True)
        ]

    def head(self) -> int:
        """The last position that is sealed; -1 where nothing is."""
        found = self._rows(_HEAD)[0][0]
        return BEFORE_FIRST if found is None else int(found)

    def checkpoint(self, size: int) -> SealedCheckpoint | None:
        """What was signed over so many events."""
        row = self._row(_CHECKPOINT, of_size=size)
        return None if row is None else SealedCheckpoint(size, row[0], read_moment(row[1]))


class SQLSealedLog:
    """`provisioning.streaming.SealedLog`, a transaction for each call. Names are opened for who asks for them."""

    def __init__(self, database: Database, organisation_id: OrganisationId, *, is_named: bool = True) -> None:
        self._database = database
        self._organisation_id = organisation_id
        self._is_named = is_named

    def after(self, leaf_index: int, limit: int) -> Sequence[SealedEvent]:
        with self._database.read() as opened:
            view = SealedEventsView(self._database, opened, self._organisation_id)
            return view.after(leaf_index, limit, is_named=self._is_named)

    def head(self) -> int:
        with self._database.read() as opened:
            return SealedEventsView(self._database, opened, self._organisation_id).head()

    def checkpoint(self, size: int) -> SealedCheckpoint | None:
        with self._database.read() as opened:
            return SealedEventsView(self._database, opened, self._organisation_id).checkpoint(size)


def _references(row: Row) -> list[str]:
    return sorted(set(_iter_references(bytes(row[1]))))


def _iter_references(body: bytes) -> Iterator[str]:
    return (found.group(1).decode() for found in _REFERENCE.finditer(body))
