"""Which events wait to be sealed. Written once for rows (SQLite) and once for transactions (PostgreSQL).

`horizon` is where everything before is sealed. That keeps the search for absent leaves short; it decides nothing.
"""

from typing import Final

from sqlalchemy import Integer, bindparam, func, literal_column, select, text

from storage.audit_tables import audit_leaf
from storage.tables import audit_event
from storage.types import RowNumber

_EVENTS = audit_event.c
_IS_ABSENT = ~select(audit_leaf.c.event_row).where(audit_leaf.c.event_row == _EVENTS.id).exists()
_HORIZON = bindparam("horizon", type_=RowNumber)
_AFTER = bindparam("position", type_=RowNumber)

_IS_LATER_ROW = _EVENTS.id > _HORIZON
# A number is not cast to a transaction; its text is.
_IS_LATER_TRANSACTION = text("audit_event.xid >= CAST(CAST(:horizon AS text) AS xid8)").bindparams(_HORIZON)
_IS_BEFORE_TARGET = text("audit_event.xid < CAST(CAST(:target AS text) AS xid8)").bindparams(
    bindparam("target", type_=RowNumber)
)
_IS_OVER = text("audit_event.xid < pg_snapshot_xmin(pg_current_snapshot())")

_BATCH = (
    select(_EVENTS.id, _EVENTS.organisation_id, _EVENTS.time, _EVENTS.body)
    .where(_IS_ABSENT)
    .order_by(_EVENTS.id)
    .limit(bindparam("row_limit", type_=Integer))
)
_COUNT = select(func.count(), func.min(_EVENTS.time)).where(_IS_ABSENT)
_ANY = select(literal_column("1", Integer)).select_from(audit_event).limit(1)

# By whether the database is SQLite.
SELECT_BATCH: Final = {
    True: _BATCH.where(_IS_LATER_ROW),
    False: _BATCH.where(_EVENTS.id > _AFTER, _IS_LATER_TRANSACTION, _IS_BEFORE_TARGET),
}
SELECT_ANY: Final = {
    True: _ANY.where(_IS_LATER_ROW),
    False: _ANY.where(_IS_LATER_TRANSACTION, _IS_OVER),
}
COUNT_UNSEALED: Final = {
    True: _COUNT.where(_IS_LATER_ROW),
    False: _COUNT.where(_IS_LATER_TRANSACTION),
}
FIRST_UNSEALED: Final = select(func.min(_EVENTS.id)).where(_IS_LATER_TRANSACTION, _IS_ABSENT)
"""The lowest row that waits, on PostgreSQL."""

SNAPSHOT_HORIZON: Final = text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)")
"""The first transaction of the whole server that may not be over. Source: PostgreSQL 17 manual, section 9.27.11."""
