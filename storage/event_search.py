"""Finding events: a filter becomes terms, a time becomes bounds of rows.

Every filter is a set of terms of which an event must have one; several filters meet in the same rows. The rarest set
leads, the others are looked up row by row. Sets of several terms are read in windows of rows that grow, so that
neither a term of a million rows nor one of none costs more than what is asked for. Terms that no event has are left
out first: of all the kinds of actor that might have done something, one or two have.

Filters that many events have, and hardly one has together, can only be found by walking one of them. A search that is
given a number of `probes` stops when they are used up, and says how far it has looked.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, product
from operator import itemgetter
from typing import Any, Final

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    Integer,
    Select,
    TextClause,
    bindparam,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.engine import Connection

from audit.events import ACTIONS, PII_PREFIX, Outcome
from audit.terms import (
    ACTOR_TYPES,
    actions_like,
    actor_term,
    actor_type_term,
    address_term,
    cause_term,
    group_term,
    outcome_term,
    parent_term,
    request_term,
    role_term,
    rule_term,
    run_term,
    target_term,
)
from directory.ids import OrganisationId
from provisioning.ports import EventPage, EventQuery
from storage.event_rows import IS_WAITING, SELECT_HORIZON, event_numbers
from storage.event_terms import term_number
from storage.prepared import PreparedStatements
from storage.sets import in_set, set_parameter
from storage.tables import audit_event, audit_hour, audit_term
from storage.types import Moment, read_moment
from storage.view import ORGANISATION, Row, is_own

_AT_ONCE: Final = 1000
_AT_LEAST: Final = 50
_FIRST_WINDOW: Final = 8192
_GROWTH: Final = 4
# How far sets are counted to find the rarest: a few rows first, and more only where that did not suffice.
_LOOKS: Final = (500, 4000, 30_000)
PROBES: Final = 2000
"""How often a page looks up whether a row has a term: some 10 ms."""

_LOOKS_OF_PAGE: Final = (500, 4000)
_LEAST_WINDOW: Final = 16
_HOUR: Final = timedelta(hours=1)
_UNBOUNDED: Final = 2**62
_FIRST_MOMENT: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LAST_MOMENT: Final = datetime(9999, 1, 1, tzinfo=UTC)

_EVENTS, _HOURS = audit_event.c, audit_hour.c
_LED = audit_term.alias("led")
_LOW, _HIGH = bindparam("low", type_=BigInteger), bindparam("high", type_=BigInteger)
_ROWS = bindparam("row_limit", type_=Integer)
_SINCE, _UNTIL = bindparam("since", type_=Moment), bindparam("until", type_=Moment)

_SELECT_HOURS = select(func.min(_HOURS.first_row), func.max(_HOURS.last_row)).where(
    _HOURS.organisation_id == ORGANISATION, _HOURS.hour >= _SINCE, _HOURS.hour < _UNTIL
)
_SELECT_WAITING = {
    is_sqlite: select(_EVENTS.id, _EVENTS.time, _EVENTS.body).where(
        _EVENTS.organisation_id == ORGANISATION, *is_waiting, _EVENTS.id >= _LOW, _EVENTS.id < _HIGH
    )
    for is_sqlite, is_waiting in IS_WAITING.items()
}
_SELECT_BODIES = select(_EVENTS.id, _EVENTS.body).where(
    in_set(_EVENTS.id, "rows", item=BigInteger), is_own(_EVENTS.organisation_id)
)


def _present(values: str) -> TextClause:
    """Those of the terms that events within the bounds have. A scalar with a limit, as below."""
    return text(
        f"SELECT value FROM {values} WHERE (SELECT event_row FROM audit_term WHERE term = value AND "  # noqa: S608
        "event_row >= :low AND event_row < :high LIMIT 1) IS NOT NULL"
    ).bindparams(set_parameter("terms", item=BigInteger), _LOW, _HIGH)


_SELECT_PRESENT: Final = {
    True: _present("json_each(:terms)"),
    False: _present("unnest(CAST(:terms AS bigint[])) AS value"),
}


def _count(number: int) -> Select[Any]:
    found: Select[Any] = (
        select(literal_column("1"))
        .select_from(_LED)
        .where(*_is_led(number), _LED.c.event_row >= _LOW, _LED.c.event_row < _HIGH)
        .limit(_ROWS)
    )
    return select(func.count()).select_from(found.subquery())


def _is_led(number: int) -> tuple[ColumnElement[bool]]:
    if number == 1:
        return (_LED.c.term == bindparam("term", type_=BigInteger),)
    return (in_set(_LED.c.term, "terms", item=BigInteger),)


def _has(rows: ColumnElement[int], name: str) -> ColumnElement[Any]:
    """The row number if it has one of the terms bound as `name`, else null.

    A scalar with a limit, which no planner makes into a join that reads all rows of those terms.
    """
    looked_up = audit_term.alias()
    return (
        select(looked_up.c.event_row)
        .where(in_set(looked_up.c.term, name, item=BigInteger), looked_up.c.event_row == rows)
        .limit(1)
        .scalar_subquery()
    )


_ONE_TERM, _SEVERAL_TERMS = 1, 2
_COUNTS = {number: _count(number) for number in (_ONE_TERM, _SEVERAL_TERMS)}


def _ordered(
    statement: Select[Any], rows: ColumnElement[int], is_without: bool, is_descending: bool
) -> Select[Any]:
    if is_without:
        statement = statement.where(_has(rows, "unwanted").is_(None))
    return statement.order_by(rows.desc() if is_descending else rows).limit(_ROWS)


def _times(is_from: bool, is_until: bool) -> list[ColumnElement[bool]]:
    return [_EVENTS.time >= _SINCE] * is_from + [_EVENTS.time < _UNTIL] * is_until


# There are few forms of each of these, and to build one costs more than to run it.


@cache
def _following(led: int, others: int, is_without: bool, is_descending: bool) -> Select[Any]:
    """Rows that have one of the led terms, and one of each other set."""
    statement = select(_LED.c.event_row).where(
        *_is_led(led),
        _LED.c.event_row >= _LOW,
        _LED.c.event_row < _HIGH,
        *(_has(_LED.c.event_row, f"terms_{index}").is_not(None) for index in range(others)),
    )
    # An event may have several of them.
    return _ordered(
        statement if led == _ONE_TERM else statement.distinct(), _LED.c.event_row, is_without, is_descending
    )


@cache
def _between(
    is_low: bool, is_high: bool, is_from: bool, is_until: bool, is_without: bool, is_descending: bool
) -> Select[Any]:
    """The organisation's rows and their bodies."""
    bounds = [_EVENTS.id >= _LOW] * is_low + [_EVENTS.id < _HIGH] * is_high
    statement = select(_EVENTS.id, _EVENTS.body).where(
        _EVENTS.organisation_id == ORGANISATION, *bounds, *_times(is_from, is_until)
    )
    return _ordered(statement, _EVENTS.id, is_without, is_descending)


@cache
def _bodies_within(is_from: bool, is_until: bool) -> Select[Any]:
    """The bodies of rows that are known."""
    return _SELECT_BODIES.where(*_times(is_from, is_until))


@dataclass(frozen=True, slots=True)
class _Terms:
    """`wanted`: sets of which an event must have one term each; `unwanted`: terms that it must not have."""

    wanted: tuple[tuple[int, ...], ...]
    unwanted: tuple[int, ...]


def _terms(organisation_id: OrganisationId, query: EventQuery) -> _Terms:  # noqa: PLR0912 - a line for each filter
    """The sets in about the order of their rarity."""
    actions = actions_like(query.action) if query.action else tuple(ACTIONS)
    sets: list[list[str]] = []
    unwanted: list[str] = []
    if query.parent:
        sets.append([parent_term(query.parent)])
    if query.address:
        sets.append([address_term(f"{PII_PREFIX}{reference}") for reference in query.address])
    if query.request:
        sets.append([request_term(query.request)])
    if query.about:
        sets.append([target_term(target_id) for target_id in query.about])
    if query.outcome == Outcome.SUCCESS:
        unwanted = [outcome_term(outcome) for outcome in Outcome if outcome is not Outcome.SUCCESS]
    elif query.outcome:
        sets.append([outcome_term(query.outcome)])
    if query.actor:
        sets.append([actor_term(query.actor, action) for action in actions])
    if query.run:
        sets.append([run_term(query.run), *(actor_term(query.run, action) for action in ACTIONS)])
    if query.rule:
        sets.append([rule_term(query.rule), target_term(query.rule)])
    if query.group:
        sets.append([group_term(query.group), target_term(query.group)])
    if query.role:
        sets.append([role_term(query.role)])
    if query.actor_type or (query.action and not query.actor):
        types = (query.actor_type,) if query.actor_type else ACTOR_TYPES
        sets.append([actor_type_term(actor_type, action) for actor_type, action in product(types, actions)])
    if query.cause:
        sets.append([cause_term(query.cause)])
    return _Terms(
        wanted=tuple(tuple(term_number(organisation_id, term) for term in terms) for terms in sets),
        unwanted=tuple(term_number(organisation_id, term) for term in unwanted),
    )


def _texts(query: EventQuery) -> list[tuple[bytes, ...]]:
    """Texts of which the body of an event that fits holds one each."""
    said = (
        *((value,) for value in (query.parent, query.request, query.actor, query.run, query.rule)),
        *((value,) for value in (query.group, query.role, query.actor_type, query.cause, query.outcome)),
        (query.action.removesuffix("*"),),
        query.about,
    )
    return [tuple(orjson.dumps(value)[1:-1] for value in values) for values in said if any(values)]


class EventSearch:
    """One look into one organisation's log, in one transaction."""

    def __init__(
        self,
        connection: Connection,
        organisation_id: OrganisationId,
        query: EventQuery,
        *,
        prepared: PreparedStatements,
        probes: int = _UNBOUNDED,
    ) -> None:
        self._connection = connection
        self._organisation_id = organisation_id
        self._query = query
        self._asked = _terms(organisation_id, query)
        # Without those that no event has which has its terms already.
        self._terms = self._asked
        self._texts = _texts(query)
        self._prepared = prepared
        self._probes = probes
        # With less it is not worth while to go on.
        self._least = probes // _GROWTH**2
        self._stopped: int | None = None

    def page(self) -> EventPage:
        """What was found before the probes were used up, and where to go on."""
        query = self._query
        found: list[tuple[int, bytes]] = []
        for row, body in self._fitting():
            if self._stopped is not None and (row < self._stopped) == query.newest_first:
                # Without terms, and behind what was looked through: it is found later.
                break
            found.append((row, body))
            if len(found) == query.limit:
                return EventPage(found, row)
        return EventPage(found, self._stopped)

    def found(self) -> Iterator[tuple[int, bytes]]:
        """Row number and body of the events that fit, in the order asked for, at most as many as asked for."""
        return islice(self._fitting(), self._query.limit)

    def _fitting(self) -> Iterator[tuple[int, bytes]]:
        query = self._query
        low, high = self._bounds()
        has_time = query.since is not None or query.until is not None
        if not (self._terms.wanted or self._terms.unwanted or has_time):
            return self._paged(self._pages_by_rows(low, high))
        waiting = self._waiting(low, high)
        if has_time or self._terms.wanted:
            low, high = self._within_hours(low, high)
        pages = self._pages_by_terms(low, high) if self._terms.wanted else self._pages_by_rows(low, high)
        known = ((row, body) for row, body in self._paged(pages) if row not in waiting)
        # One by one, as far as the page needs them.
        fitting = ((row, body) for row, (time, body) in waiting.items() if self._fits(time, body))
        return heapq.merge(known, fitting, key=itemgetter(0), reverse=query.newest_first)

    @staticmethod
    def _paged(pages: Iterator[list[tuple[int, bytes]]]) -> Iterator[tuple[int, bytes]]:
        for page in pages:
            yield from page

    def _bounds(self) -> tuple[int, int]:
        """The lowest row and the first one too high, by where the query goes on."""
        after = self._query.after
        if self._query.newest_first:
            return 0, after or _UNBOUNDED
        return after + 1, _UNBOUNDED

    def _within_hours(self, low: int, high: int) -> tuple[int, int]:
        """The bounds, within the rows of the hours that the query's time touches, or of all that there are."""
        since, until = self._query.since, self._query.until
        ((first, last),) = self._rows(
            _SELECT_HOURS,
            since=_FIRST_MOMENT if since is None else max(since, _FIRST_MOMENT) - _HOUR,
            until=_LAST_MOMENT if until is None else until,
        )
        return (0, 0) if first is None else (max(low, first), min(high, last + 1))

    def _waiting(self, low: int, high: int) -> dict[int, tuple[str | datetime, bytes]]:
        """Time and body of the rows that have no terms yet, in the order asked for."""
        is_sqlite = self._connection.dialect.name == "sqlite"
        ((horizon, settled_row),) = self._rows(SELECT_HORIZON)
        rows = self._rows(
            _SELECT_WAITING[is_sqlite], horizon=horizon, settled_row=settled_row, low=low, high=high
        )
        rows.sort(key=itemgetter(0), reverse=self._query.newest_first)
        return {row: (time, bytes(body)) for row, time, body in rows}

    def _fits(self, said: str | datetime, body: bytes) -> bool:
        query = self._query
        # Most do not fit, and to look for a text is a hundred times quicker than to read a body.
        if not all(any(text in body for text in texts) for texts in self._texts):
            return False
        time = read_moment(said)
        if (query.since is not None and time < query.since) or (
            query.until is not None and time >= query.until
        ):
            return False
        asked = self._asked
        if not asked.wanted and not asked.unwanted:
            return True
        numbers = event_numbers(self._organisation_id, body)
        return numbers.isdisjoint(asked.unwanted) and not any(
            numbers.isdisjoint(terms) for terms in asked.wanted
        )

    def _pages_by_rows(self, low: int, high: int) -> Iterator[list[tuple[int, bytes]]]:
        query = self._query
        while low < high:
            number = min(max(query.limit, _AT_LEAST), _AT_ONCE)
            # Bounds that say nothing would lead PostgreSQL past the organisation's index.
            statement = _between(
                low > 1,
                high < _UNBOUNDED,
                query.since is not None,
                query.until is not None,
                bool(self._terms.unwanted),
                query.newest_first,
            )
            page = self._rows(statement, low=low, high=high, row_limit=number, **self._values())
            yield [(row, bytes(body)) for row, body in page]
            if len(page) < number:
                return
            low, high = self._behind(page[-1][0], low, high)

    def _pages_by_terms(self, low: int, high: int) -> Iterator[list[tuple[int, bytes]]]:
        if not self._narrow(low, high):
            return
        wanted = self._terms.wanted
        looks = iter(self._looks())
        leading, is_short = self._rarest(low, high, next(looks, 0))
        # A single term is in the order of its rows already.
        window = _UNBOUNDED if len(wanted) == len(wanted[0]) == _ONE_TERM else _FIRST_WINDOW
        number = min(max(self._query.limit, _AT_LEAST), _AT_ONCE)
        while low < high:
            if self._probes <= self._least:
                self._stopped = high if self._query.newest_first else low - 1
                return
            window = self._affordable(leading, low, high, _UNBOUNDED if is_short else window)
            start, end = self._window(low, high, window)
            statement, values = self._led_by(leading)
            rows = [row for (row,) in self._rows(statement, low=start, high=end, row_limit=number, **values)]
            yield self._bodies(rows)
            if len(rows) == number:
                low, high = self._behind(rows[-1], low, high)
                # Too few of them lay within the time.
                number = min(number * 2, _AT_ONCE)
                continue
            low, high = (low, start) if self._query.newest_first else (end, high)
            window *= _GROWTH
            # Few rows have all of them, so it is worth while to know better which set to follow.
            if low < high and (look := next(looks, 0)):
                leading, is_short = self._rarest(low, high, look)

    def _narrow(self, low: int, high: int) -> bool:
        """Leave out the terms that nothing within the bounds has; whether there may be anything to find."""
        wanted = self._terms.wanted
        if any(len(terms) > _ONE_TERM for terms in wanted):
            everything = [term for terms in wanted for term in terms]
            statement = _SELECT_PRESENT[self._connection.dialect.name == "sqlite"]
            present = {term for (term,) in self._rows(statement, terms=everything, low=low, high=high)}
            wanted = tuple(tuple(term for term in terms if term in present) for terms in wanted)
            self._terms = _Terms(wanted, self._terms.unwanted)
        return all(wanted)

    def _looks(self) -> tuple[int, ...]:
        wanted = self._terms.wanted
        if len(wanted) == _ONE_TERM:
            return _LOOKS[: len(wanted[0]) > _ONE_TERM]
        return _LOOKS if self._probes == _UNBOUNDED else _LOOKS_OF_PAGE

    def _affordable(self, leading: int, low: int, high: int, window: int) -> int:
        """The window, or as much of it as the probes suffice for; they are used up by it."""
        wanted = self._terms.wanted
        of_row = sum(map(len, wanted)) - len(wanted[leading]) + len(self._terms.unwanted)
        if self._probes == _UNBOUNDED or not of_row:
            return window
        most = max(self._probes // of_row, _AT_LEAST)
        while True:
            start, end = self._window(low, high, window)
            number = self._count(wanted[leading], start, end, most + 1)
            if number <= most or end - start <= _LEAST_WINDOW:
                self._probes -= max(number, 1) * of_row
                return window
            window = (end - start) // _GROWTH

    def _led_by(self, leading: int) -> tuple[Select[Any], dict[str, object]]:
        """The statement that follows one set of terms and looks the others up, with its values but for bounds."""
        led = self._terms.wanted[leading]
        others = [terms for index, terms in enumerate(self._terms.wanted) if index != leading]
        statement = _following(
            min(len(led), _SEVERAL_TERMS), len(others), bool(self._terms.unwanted), self._query.newest_first
        )
        looked_up = {f"terms_{index}": terms for index, terms in enumerate(others)}
        return statement, {**_led_values(led), **looked_up, **self._values()}

    def _rarest(self, low: int, high: int, look: int) -> tuple[int, bool]:
        """Which set of terms has the fewest rows, as far as `look` rows of each tell, and whether it has no more."""
        if not look:
            return 0, False
        counts = [self._count(terms, low, high, look) for terms in self._terms.wanted]
        return counts.index(min(counts)), min(counts) < look

    def _count(self, terms: tuple[int, ...], low: int, high: int, most: int) -> int:
        """How many rows have one of the terms, as far as `most`."""
        statement = _COUNTS[_ONE_TERM if len(terms) == _ONE_TERM else _SEVERAL_TERMS]
        found = self._rows(statement, low=low, high=high, row_limit=most, **_led_values(terms))
        return int(found[0][0])

    def _bodies(self, rows: Sequence[int]) -> list[tuple[int, bytes]]:
        if not rows:
            return []
        statement = _bodies_within(self._query.since is not None, self._query.until is not None)
        found = {row: bytes(body) for row, body in self._rows(statement, rows=rows, **self._time_values())}
        return [(row, found[row]) for row in rows if row in found]

    def _window(self, low: int, high: int, size: int) -> tuple[int, int]:
        if self._query.newest_first:
            return max(low, high - size), high
        return low, min(high, low + size)

    def _behind(self, row: int, low: int, high: int) -> tuple[int, int]:
        """The bounds that are left behind the last row that was read."""
        return (low, row) if self._query.newest_first else (row + 1, high)

    def _values(self) -> dict[str, object]:
        """The values of what every statement over rows may say."""
        values: dict[str, object] = {} if self._terms.wanted else self._time_values()
        if self._terms.unwanted:
            values["unwanted"] = self._terms.unwanted
        return values

    def _time_values(self) -> dict[str, object]:
        given = {"since": self._query.since, "until": self._query.until}
        return {name: moment for name, moment in given.items() if moment is not None}

    def _rows(self, statement: Executable, **parameters: object) -> list[Row]:
        given = {"organisation": self._organisation_id, **parameters}
        cursor = self._prepared.execute(self._connection, statement, given)
        rows: list[Row] = cursor.fetchall()
        cursor.close()
        return rows


def _led_values(terms: tuple[int, ...]) -> dict[str, object]:
    return {"term": terms[0]} if len(terms) == _ONE_TERM else {"terms": terms}
