"""Appending events, and giving them afterwards the terms and hours by which they are found.

What an event is found by is in its body, so it need not be written in the transaction of the change: on SQLite each
further page that a commit touches costs nearly as much as the event itself. A running service does it twice a second
for all that wait, and whoever writes, with the first of its events and every some thousands; a search looks through
those that still wait.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Integer, Select, bindparam, func, or_, select, text, update
from sqlalchemy.engine import Connection

from audit.body import parse_body
from audit.errors import MalformedBodyError
from audit.terms import body_terms
from directory.ids import OrganisationId
from provisioning.state import EventRow
from storage.bulk import BulkInsert
from storage.event_terms import term_number
from storage.tables import audit_event, audit_hour, audit_indexed, audit_term
from storage.types import RowNumber, moment_writer, read_moment
from storage.view import fetch_rows

SOON: Final = 4096
"""After so many events a process gives those that wait their terms, when nobody has done so before."""

INDEXED: Final = "events"
"""The one row of `audit_indexed`; the migration makes it."""

FEW: Final = 16
"""So many events or fewer are inserted one by one: a COPY costs PostgreSQL as much as several of them."""

_AT_ONCE: Final = 8192

_EVENTS = audit_event.c
_COLUMNS: Final = ("organisation_id", "event_id", "time", "action", "subject_id", "body")
_INSERT_EVENTS = BulkInsert(audit_event, *_COLUMNS)
_INSERT_ONE = f"INSERT INTO audit_event ({', '.join(_COLUMNS)}) VALUES (%s, %s, %s, %s, %s, %s)"  # noqa: S608
_INSERT_TERMS = BulkInsert(audit_term, "term", "event_row")
_INSERT_MISSING_TERMS = BulkInsert(audit_term, "term", "event_row", ignore_present=True)

_HORIZON = bindparam("horizon", type_=RowNumber)
# A number is not cast to a transaction; its text is.
_IS_LATER_TRANSACTION = text("audit_event.xid >= CAST(CAST(:horizon AS text) AS xid8)").bindparams(_HORIZON)
_IS_BEFORE_TARGET: Any = text("audit_event.xid < CAST(CAST(:target AS text) AS xid8)").bindparams(
    bindparam("target", type_=RowNumber)
)
_SETTLED = bindparam("settled_row", type_=RowNumber)
IS_WAITING: Final[dict[bool, tuple[Any, ...]]] = {
    True: (_EVENTS.id > _HORIZON,),
    False: (_IS_LATER_TRANSACTION, _EVENTS.id > _SETTLED),
}
"""That a row has no terms yet, by whether the database is SQLite."""

SELECT_HORIZON: Final = select(audit_indexed.c.horizon, audit_indexed.c.settled_row).where(
    audit_indexed.c.name == INDEXED
)
_SET_HORIZON = (
    update(audit_indexed)
    .where(audit_indexed.c.name == INDEXED)
    .values(horizon=bindparam("reached", type_=RowNumber), settled_row=_SETTLED)
)
# The last transaction to be taken now, so that a pass is bounded; all of one transaction are taken together.
_SELECT_TARGET = text(
    "SELECT coalesce((SELECT CAST(CAST(xid AS text) AS bigint) + 1 FROM audit_event "
    "WHERE xid >= CAST(CAST(:horizon AS text) AS xid8) AND xid < pg_snapshot_xmin(pg_current_snapshot()) "
    "ORDER BY xid OFFSET :row_limit LIMIT 1), "
    "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint))"
)
_WAITING = select(_EVENTS.id, _EVENTS.organisation_id, _EVENTS.time, _EVENTS.body)
_SELECT_WAITING: Final[dict[bool, Select[Any]]] = {
    True: _WAITING.where(*IS_WAITING[True]).order_by(_EVENTS.id).limit(bindparam("row_limit", type_=Integer)),
    False: _WAITING.where(*IS_WAITING[False], _IS_BEFORE_TARGET),
}
_SELECT_ANY_WAITING: Final[dict[bool, Select[Any]]] = {
    is_sqlite: select(_EVENTS.id).where(*is_waiting).limit(1) for is_sqlite, is_waiting in IS_WAITING.items()
}
_LOCK = text("LOCK TABLE audit_event IN SHARE MODE")
_SELECT_LAST = select(func.coalesce(func.max(_EVENTS.id), 0))
_SELECT_UNSETTLED: Select[Any] = _WAITING.where(
    or_(
        _IS_LATER_TRANSACTION,
        _EVENTS.id > select(func.coalesce(func.max(audit_hour.c.last_row), 0)).scalar_subquery(),
    )
)
_MERGE_HOUR = (
    "INSERT INTO audit_hour (organisation_id, hour, first_row, last_row) VALUES ({marks}) "
    "ON CONFLICT (organisation_id, hour) DO UPDATE SET "
    "first_row = {lesser}(audit_hour.first_row, excluded.first_row), "
    "last_row = {greater}(audit_hour.last_row, excluded.last_row)"
)
_MERGE_HOURS: Final = {
    True: _MERGE_HOUR.format(marks="?, ?, ?, ?", lesser="min", greater="max"),
    False: _MERGE_HOUR.format(marks="%s, %s, %s, %s", lesser="least", greater="greatest"),
}


def append_event_rows(
    connection: Connection, organisation_id: OrganisationId | None, events: Iterable[EventRow]
) -> None:
    """Append events of one organisation, or of the service itself, in their order."""
    _INSERT_EVENTS(connection, _rows(organisation_id, events))


def append_few_events(
    connection: Connection, organisation_id: OrganisationId, events: Sequence[EventRow]
) -> None:
    """The same for PostgreSQL and few events. In the driver's pipeline nothing is waited for."""
    write = moment_writer("+00")
    driver: Any = connection.connection.dbapi_connection
    for own, event_id, time, *rest in _rows(organisation_id, events):
        # The same text each time, so that the driver has it prepared on the server.
        driver.execute(_INSERT_ONE, (own, event_id, write(time), *rest))


def _rows(organisation_id: OrganisationId | None, events: Iterable[EventRow]) -> Iterator[tuple[Any, ...]]:
    return (
        (organisation_id, event.event_id, event.time, event.action, event.subject_id, event.body)
        for event in events
    )


def has_waiting_events(connection: Connection) -> bool:
    """Whether there are events without terms; on PostgreSQL they may be too fresh to be given any."""
    ((horizon, settled_row),) = fetch_rows(connection, SELECT_HORIZON, {})
    given = {"horizon": horizon, "settled_row": settled_row}
    return bool(fetch_rows(connection, _SELECT_ANY_WAITING[connection.dialect.name == "sqlite"], given))


def index_waiting_events(connection: Connection) -> int:
    """Give events that wait for it their terms and hours, some thousands at most; how many rows were looked at.

    On PostgreSQL those of transactions that may not be over yet wait on. While another is at it, nothing is done.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    # One at a time; SQLite has one writer anyway and leaves these words out.
    taken = fetch_rows(connection, SELECT_HORIZON.with_for_update(skip_locked=True), {})
    if not taken:
        return 0
    horizon, settled_row = taken[0]
    given: dict[str, Any] = {"horizon": horizon, "settled_row": settled_row, "row_limit": _AT_ONCE}
    if not is_sqlite:
        given["target"] = fetch_rows(connection, _SELECT_TARGET, given)[0][0]
        if given["target"] < horizon:
            return _settle(connection, given)
    rows = fetch_rows(connection, _SELECT_WAITING[is_sqlite], given)
    if rows:
        _index(connection, rows, is_sqlite=is_sqlite)
    reached = given.get("target", rows[-1][0] if rows else horizon)
    if reached != horizon:
        connection.execute(_SET_HORIZON, {"reached": reached, "settled_row": settled_row})
    return len(rows)


def _settle(connection: Connection, given: dict[str, Any]) -> int:
    """Begin anew on another server, whose transactions are counted from a lower number.

    Nobody writes meanwhile, so all rows there are can be taken; some that are may have been taken before.
    """
    connection.execute(_LOCK)
    rows = fetch_rows(connection, _SELECT_UNSETTLED, given)
    if rows:
        _index(connection, rows, is_sqlite=False, insert_terms=_INSERT_MISSING_TERMS)
    (last,) = fetch_rows(connection, _SELECT_LAST, {})[0]
    connection.execute(_SET_HORIZON, {"reached": given["target"], "settled_row": last})
    return len(rows)


def _index(
    connection: Connection,
    rows: Sequence[Sequence[Any]],
    *,
    is_sqlite: bool,
    insert_terms: BulkInsert = _INSERT_TERMS,
) -> None:
    own = [row for row in rows if row[1] is not None]
    # In the order of the table, so that each of its pages is touched once.
    insert_terms(connection, sorted(_numbers(own)))
    hours: dict[tuple[str, datetime], tuple[int, int]] = {}
    for row, organisation_id, time, _ in own:
        key = (str(organisation_id), read_moment(time).replace(minute=0, second=0, microsecond=0))
        first, last = hours.get(key, (row, row))
        hours[key] = (min(first, row), max(last, row))
    write = moment_writer("" if is_sqlite else "+00")
    cursor: Any = connection.connection.cursor()
    try:
        cursor.executemany(
            _MERGE_HOURS[is_sqlite],
            [(organisation_id, write(hour), *bounds) for (organisation_id, hour), bounds in hours.items()],
        )
    finally:
        cursor.close()


def _numbers(rows: Iterable[Sequence[Any]]) -> Iterator[tuple[int, int]]:
    for row, organisation_id, _, body in rows:
        for number in event_numbers(OrganisationId(str(organisation_id)), bytes(body)):
            yield number, row


def event_numbers(organisation_id: OrganisationId, body: bytes) -> set[int]:
    """The numbers of an event's terms. A body that is none has no terms; what is wrong with it the proofs tell."""
    try:
        terms = body_terms(parse_body(body))
    except MalformedBodyError:
        return set()
    return {term_number(organisation_id, term) for term in terms}
