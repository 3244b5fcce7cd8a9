"""A log of millions of events, laid into the tables directly, with the terms and hours that the product would give.

A tenth of the events is made here: bodies are texts with gaps, and their terms come from the product's own functions;
of some of the events both are compared with what the product makes of them. The database lays each ten times, as ten
events: five of the organisation that is asked about, five of one of 200 others. The copies differ in their ids and in
the terms of which few events have the same; what many have, such as an action or a group, the copies have too.
"""

import random
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import psycopg

from audit.terms import (
    actor_term,
    actor_type_term,
    cause_term,
    group_term,
    outcome_term,
    parent_term,
    request_term,
    role_term,
    rule_term,
    target_term,
)
from directory.ids import OrganisationId
from storage.engine import Database
from storage.event_rows import event_numbers, index_waiting_events
from storage.event_terms import term_number

START: Final = datetime(2025, 1, 1, tzinfo=UTC)
RULES: Final = 50
GROUPS: Final = 500
ADMINS: Final = 5
OTHERS: Final = 200
ROLES: Final = ("Admin", "Member", "Guest")
COPIES: Final = 10
"""Of each event that is made. Half of them are the organisation's own."""
BLOCK: Final = 100
"""So many events are made and then copied: ten times as many lie one behind the other, half of them its own."""
EVENTS_OF_RUN: Final = 2000
EVENTS_OF_REQUEST: Final = 10
MIX: Final = (
    (45, "group.member_added", "run", "run"),
    (20, "user.updated", "run", "run"),
    (15, "role.granted", "run", "mapping_rule"),
    (10, "role.revoked", "token", "scim_request"),
    (5, "member.deactivated", "token", "scim_request"),
    (3, "log.read", "admin", "operator"),
    (1, "mapping.updated", "admin", "operator"),
    (1, "command.refused", "admin", "operator"),
)
"""Of a hundred events: how many, their action, the kinds of actor and of cause. Most are written by runs."""

_KINDS: Final = tuple(kind for share, *kind in MIX for _ in range(share))
_YEAR: Final = 365 * 24 * 3600
_HOUR: Final = 3600
_CHECKED: Final = 300
_BODY: Final = (
    '{"action":"%s","actor":{"id":"%s","type":"%s"},"cause":{%s"kind":"%s","parent":"%s","root":"%s"%s},'
    '"changes":[{"after":"%s","before":null,"path":"role"}],"context":{"request_id":"%s"},"id":"%s",'
    '"organisation":"%s","outcome":"%s","salt":"%032x","targets":[{"id":"%s","pii":"pii:%s","role":"subject",'
    '"type":"member"}%s],"time":"%s.000Z","v":1}'
)

_OWN_COPIES: Final = COPIES // 2
_Term = tuple[int, int, int]
_Hour = tuple[str, str, int, int]


class Row(NamedTuple):
    """A row of `audit_event` by its number from 0; its time as both databases read it."""

    number: int
    event_id: str
    time: str
    action: str
    subject_id: str
    body: bytes


def an_id(kind: str, number: int) -> str:
    """The same for the same; ids of one kind are in the order of their numbers, as UUIDv7 are."""
    return f"{kind}-0000-7000-8000-{number:012d}"


def event_id(number: int) -> str:
    return an_id("eeeeeeee", number)


def group_id(number: int) -> str:
    return an_id("bbbbbbbb", number)


def rule_id(number: int) -> str:
    return an_id("ffffffff", number)


def admin_id(number: int) -> str:
    return an_id("dddddddd", number)


def person_id(number: int) -> str:
    return an_id("aaaaaaaa", number)


def request_id(number: int) -> str:
    """Of the event of this number."""
    return f"req-{number // EVENTS_OF_REQUEST}"


def run_id(number: int) -> str:
    """Of the event of this number."""
    return an_id("cccccccc", number // EVENTS_OF_RUN)


class _Numbers(dict[str, int]):
    """The numbers of one organisation's terms, each worked out once."""

    def __init__(self, organisation_id: OrganisationId) -> None:
        self._organisation_id = organisation_id

    def __missing__(self, term: str) -> int:
        number = self[term] = term_number.__wrapped__(self._organisation_id, term)
        return number


class Log:
    """The events of a year, however many there are, by their numbers."""

    def __init__(self, own: OrganisationId, events: int) -> None:
        self.own = own
        self.made = events // COPIES
        self.people = max(100, self.made // 50)
        self._drawn = random.Random(1)
        self._numbers = _Numbers(own)

    def moment(self, number: int) -> datetime:
        return START + timedelta(seconds=_YEAR * number // self.made)

    def block(self, start: int) -> tuple[list[Row], list[_Term]]:
        """The events from `start` on and their terms: each with its event, and whether many have it."""
        rows, terms = [], []
        for number in range(start, min(start + BLOCK, self.made)):
            row, common, rare = self.event(number)
            rows.append(row)
            terms += [(term, 1, number) for term in common]
            terms += [(term, 0, number) for term in rare]
            if number < _CHECKED:
                assert event_numbers(self.own, row.body) == common | rare
        return rows, terms

    def event(self, number: int) -> tuple[Row, set[int], set[int]]:
        """One event, its terms that many have, and the others."""
        numbers, organisation_id = self._numbers, self.own
        bits = self._drawn.getrandbits(128)
        action, actor, cause = _KINDS[bits % 100]
        role = ROLES[(bits >> 8) % 3]
        person = person_id((bits >> 16) % self.people)
        own_id, parent, request = event_id(number), event_id(max(0, number - 1)), request_id(number)
        actor_id = run_id(number) if actor == "run" else admin_id((bits >> 64) % ADMINS)
        outcome = "denied" if action == "command.refused" else "success"
        actor_number, common = numbers[actor_term(actor_id, action)], set[int]()
        rare = {
            numbers[target_term(person)],
            term_number.__wrapped__(organisation_id, request_term(request)),
            term_number.__wrapped__(organisation_id, parent_term(parent)),
        }
        (rare if actor == "run" else common).add(actor_number)
        common |= {
            numbers[actor_type_term(actor, action)],
            numbers[cause_term(cause)],
            numbers[role_term(role)],
        }
        before = behind = target = ""
        if cause == "mapping_rule":
            group, rule = group_id((bits >> 72) % GROUPS), rule_id((bits >> 88) % RULES)
            before, behind = f'"group_id":"{group}",', f',"rule_id":"{rule}"'
            common |= {numbers[group_term(group)], numbers[rule_term(rule)]}
        elif action == "group.member_added":
            group = group_id((bits >> 72) % GROUPS)
            target = f',{{"id":"{group}","role":"object","type":"group"}}'
            common.add(numbers[target_term(group)])
        elif outcome != "success":
            common.add(numbers[outcome_term(outcome)])
        time = self.moment(number).isoformat()[:19]
        body = _BODY % (
            action,
            actor_id,
            actor,
            before,
            cause,
            parent,
            own_id,
            behind,
            role,
            request,
            own_id,
            organisation_id,
            outcome,
            bits,
            person,
            own_id,
            target,
            time,
        )
        stored = f"{time[:10]} {time[11:]}.000000"
        return Row(number, own_id, stored, action, person, body.encode()), common, rare


class _Sink(Protocol):
    """One database that is filled."""

    base: int

    def put(self, rows: Sequence[Row], terms: Sequence[_Term]) -> None: ...

    def end(self, own: OrganisationId, hours: Sequence[_Hour], first: int, made: int) -> None: ...


def lay(databases: Sequence[Database], own: OrganisationId, events: int) -> Log:
    """Fill the tables of logs that hold next to nothing, with terms for all. Nothing else may write meanwhile."""
    log = Log(own, events)
    sinks: list[_Sink] = []
    for database in databases:
        _index(database)
        sinks.append(_PostgreSQLSink(database) if database.file is None else _SQLiteSink(database.file))
    first = max(sink.base for sink in sinks) + 1
    hours: dict[tuple[str, str], list[int]] = {}
    for start in range(0, log.made, BLOCK):
        rows, terms = log.block(start)
        whose = (own, an_id("99999999", start // BLOCK % OTHERS))
        for hour in (rows[0].time[:13], rows[-1].time[:13]):
            for organisation_id in whose:
                # As wide as the block: where two hours meet in it, both have its rows.
                lowest = first + start * COPIES
                highest = lowest + BLOCK * COPIES - 1
                hours.setdefault((organisation_id, hour), [lowest, highest])[1] = highest
        for sink in sinks:
            sink.put(rows, terms)
    bounds = [
        (organisation_id, f"{hour}:00:00.000000", lowest, highest)
        for (organisation_id, hour), (lowest, highest) in hours.items()
    ]
    for sink in sinks:
        sink.end(own, bounds, first, log.made)
    return log


def _index(database: Database) -> None:
    waiting = 1
    while waiting:
        with database.write() as connection:
            waiting = index_waiting_events(connection)


# What both databases understand. A mask is laid over a term by exclusive or, which SQLite has no sign for.
_ROW: Final = f"{{first}} + number / {BLOCK} * {BLOCK * COPIES} + copy * {BLOCK} + number % {BLOCK}"
_LAY_EVENTS: Final = (
    "INSERT INTO audit_event (id, organisation_id, event_id, time, action, subject_id, body) "
    f"SELECT {_ROW}, CASE WHEN copy < {_OWN_COPIES} THEN {{own}} ELSE {{other}} END, {{event_id}}, time, action, "
    "subject_id, body FROM laid CROSS JOIN copies WHERE number >= {start} AND number < {stop} ORDER BY copy, number"
)
_LAY_TERMS: Final = (
    "INSERT INTO audit_term (term, event_row) SELECT (term | mask) - (term & mask) AS masked, "
    f"{_ROW} AS event_row FROM laid_term JOIN masks "
    f"ON masks.is_common = laid_term.is_common AND masks.other = number / {BLOCK} % {OTHERS}{{order}}"
)
_STAGES: Final = (
    "CREATE TEMP TABLE laid (number INTEGER PRIMARY KEY, event_id {id}, time {time}, action TEXT, subject_id TEXT, "
    "body {bytes})",
    "CREATE TEMP TABLE laid_term (term BIGINT, is_common INTEGER, number INTEGER)",
    "CREATE TEMP TABLE copies (copy INTEGER)",
    "CREATE TEMP TABLE masks (is_common INTEGER, other INTEGER, copy INTEGER, mask BIGINT)",
)


def _masks() -> list[tuple[int, int, int, int]]:
    """What makes other terms of an event's, for its copies and for other organisations."""
    drawn = random.Random(2)
    of_copy = [0, *(drawn.getrandbits(62) for _ in range(COPIES - 1))]
    of_other = [drawn.getrandbits(62) for _ in range(OTHERS)]
    return [
        (is_common, other, copy, (0 if is_common else of_copy[copy]) ^ (mask if copy >= _OWN_COPIES else 0))
        for is_common in (0, 1)
        for other, mask in enumerate(of_other)
        for copy in range(COPIES)
    ]


class _SQLiteSink:
    """Terms lie in an order of their own; all of them are sorted first, so that each page is written once."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        run = self._connection.execute
        for pragma in (
            "synchronous=OFF",
            "temp_store=FILE",
            "cache_size=-262144",
            "wal_autocheckpoint=100000",
        ):
            run(f"PRAGMA {pragma}")
        (self.base,) = run("SELECT coalesce(max(id), 0) FROM audit_event").fetchone()
        for stage in _STAGES:
            run(stage.format(id="TEXT", time="TEXT", bytes="BLOB"))

    def put(self, rows: Sequence[Row], terms: Sequence[_Term]) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT INTO laid VALUES (?,?,?,?,?,?)", rows)
        self._connection.executemany("INSERT INTO laid_term VALUES (?,?,?)", terms)
        self._connection.execute("COMMIT")

    def end(self, own: OrganisationId, hours: Sequence[_Hour], first: int, made: int) -> None:
        run = self._connection.execute
        run("BEGIN")
        self._connection.executemany("INSERT INTO copies VALUES (?)", [(copy,) for copy in range(COPIES)])
        self._connection.executemany("INSERT INTO masks VALUES (?,?,?,?)", _masks())
        run("COMMIT")
        for start in range(0, made, BLOCK):
            statement = _LAY_EVENTS.format(
                first=first,
                own=f"'{own}'",
                other=f"'{an_id('99999999', start // BLOCK % OTHERS)}'",
                event_id="'eeeeeee' || copy || substr(event_id, 9)",
                start=start,
                stop=start + BLOCK,
            )
            run(statement)
        run("CREATE INDEX temp.ix_masks ON masks (is_common, other)")
        run(_LAY_TERMS.format(first=first, order=" ORDER BY masked, event_row"))
        run("BEGIN")
        self._connection.executemany("INSERT INTO audit_hour VALUES (?,?,?,?)", hours)
        run("UPDATE audit_indexed SET horizon = (SELECT max(id) FROM audit_event)")
        run("COMMIT")
        run("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()


class _PostgreSQLSink:
    """Terms come as the copies do, and their index is made when all are there."""

    def __init__(self, database: Database) -> None:
        url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = psycopg.connect(url)
        self._cursor: Any = self._connection.cursor()
        run = self._cursor.execute
        (self.base,) = run("SELECT coalesce(max(id), 0) FROM audit_event").fetchall()[0]
        run("SET LOCAL synchronous_commit = off")
        run("SET LOCAL maintenance_work_mem = '512MB'")
        run("SET LOCAL jit = off")
        run("ALTER TABLE audit_term DROP CONSTRAINT pk_audit_term")
        for stage in _STAGES:
            run(stage.format(id="TEXT", time="TIMESTAMPTZ", bytes="BYTEA"))

    def put(self, rows: Sequence[Row], terms: Sequence[_Term]) -> None:
        with self._cursor.copy("COPY laid FROM STDIN") as copy:
            copy.write(
                "".join(
                    f"{number}\t{event_id}\t{time}+00\t{action}\t{subject_id}\t\\\\x{body.hex()}\n"
                    for number, event_id, time, action, subject_id, body in rows
                )
            )
        with self._cursor.copy("COPY laid_term FROM STDIN") as copy:
            copy.write("".join([f"{term}\t{is_common}\t{number}\n" for term, is_common, number in terms]))

    def end(self, own: OrganisationId, hours: Sequence[_Hour], first: int, made: int) -> None:
        run = self._cursor.execute
        self._cursor.executemany("INSERT INTO copies VALUES (%s)", [(copy,) for copy in range(COPIES)])
        self._cursor.executemany("INSERT INTO masks VALUES (%s,%s,%s,%s)", _masks())
        for start in range(0, made, BLOCK):
            statement = _LAY_EVENTS.format(
                first=first,
                own=f"uuid '{own}'",
                other=f"uuid '{an_id('99999999', start // BLOCK % OTHERS)}'",
                event_id="('eeeeeee' || copy || substr(event_id, 9))::uuid",
                start=start,
                stop=start + BLOCK,
            )
            run(statement)
        run(_LAY_TERMS.format(first=first, order=""))
        run("ALTER TABLE audit_term ADD CONSTRAINT pk_audit_term PRIMARY KEY (term, event_row)")
        self._cursor.executemany(
            "INSERT INTO audit_hour VALUES (%s, %s, %s, %s)",
            [
                (organisation_id, f"{hour}+00", lowest, highest)
                for organisation_id, hour, lowest, highest in hours
            ],
        )
        # The number that the next event draws, and the transaction of these, which is over by then.
        run("SELECT setval(pg_get_serial_sequence('audit_event', 'id'), (SELECT max(id) FROM audit_event))")
        run("UPDATE audit_indexed SET horizon = CAST(CAST(pg_current_xact_id() AS text) AS bigint) + 1")
        self._connection.commit()
        self._connection.autocommit = True
        # As autovacuum would, and with the statistics that it takes.
        for table in ("audit_event", "audit_term", "audit_hour"):
            run(f"VACUUM ANALYZE {table}")
        self._connection.close()
