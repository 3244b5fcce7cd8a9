"""The figures of searching the log: p95 of every filter, and what it costs to be found.

One organisation has half of the events, 200 others the rest. `BENCH_DATABASES` may name databases to be asked, which
are kept and filled only when they are empty: ten million events take a quarter of an hour to lay.
"""

import contextlib
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import text

from bench.audit_seed import (
    ADMINS,
    GROUPS,
    MIX,
    RULES,
    Log,
    admin_id,
    an_id,
    event_id,
    group_id,
    lay,
    person_id,
    request_id,
    rule_id,
    run_id,
)
from bench.databases import DATABASES, fresh_database
from bench.figures import Figure, as_orientation, at_most, cpu_seconds, seconds
from directory.ids import EventId, OrganisationId
from provisioning.ports import EventQuery
from provisioning.state import EventRow
from service.wiring import utc_now
from storage.engine import Database, open_database
from storage.event_rows import append_event_rows, index_waiting_events
from storage.migrate import upgrade
from storage.secrets import KeyRing
from storage.unit_of_work import OrganisationUnitOfWork
from tests.conformance.builders import make_tenant, put_environment

OWN: Final = OrganisationId(an_id("99999999", 999_999))
BOUND_MS: Final = 25
SMALL: Final = 200_000
LARGE: Final = 10_000_000
QUESTIONS: Final = 100
_WAITING: Final = 250
"""As many as half a second of 500 events a second: a service gives terms twice a second."""
_FRESH: Final = 20
_AT_ONCE: Final = 1000


def measure() -> Iterator[Figure]:
    """Every filter in a log that is laid within a minute."""
    return measure_filters(SMALL)


def measure_large() -> Iterator[Figure]:
    """The same with ten million events."""
    return measure_filters(LARGE)


def measure_filters(events: int) -> Iterator[Figure]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="usher-bench-")))
        kept = os.environ.get("BENCH_DATABASES", "").split()
        urls = kept or [stack.enter_context(fresh_database(kind, folder)) for kind in DATABASES]
        databases = [stack.enter_context(contextlib.closing(_open(url))) for url in urls]
        fresh = [database for database in databases if not _last_row(database)]
        log = lay(fresh, OWN, events) if fresh else Log(OWN, events)
        for database in databases:
            yield from _measure(database, log, events)


def _open(url: str) -> Database:
    database = open_database(url, key_ring=KeyRing({"bench": bytes(32)}, "bench"))
    upgrade(database)
    with database.read() as connection:
        is_known = connection.execute(text("SELECT count(*) FROM organisation")).scalar_one()
    if not is_known:
        put_environment(database)
        make_tenant(database, organisation_id=OWN)
    return database


def _last_row(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(text("SELECT coalesce(max(id), 0) FROM audit_event")).scalar_one())


def _measure(database: Database, log: Log, events: int) -> Iterator[Figure]:
    kind = "sqlite" if database.is_sqlite else "postgresql"
    where = f"of {events:,} events, {kind}"
    taken = _index_more(database, log)
    figure = at_most(f"audit: giving an event its terms in a log {where}", taken * 1e6, "us CPU/event", 60)
    yield as_orientation(figure)
    waits: list[float] = []
    for name, make in _questions(log).items():
        asked = [_ask(database, replace(make(), limit=50, newest_first=True)) for _ in range(QUESTIONS)]
        p95 = statistics.quantiles([one.processor for one in asked], n=20)[-1] * 1000
        waits.append(statistics.quantiles([one.wall for one in asked], n=20)[-1] * 1000)
        yield at_most(f"audit: filter {name} {where}", p95, "ms CPU p95", BOUND_MS)
    worst = at_most(f"audit: slowest filter {where}, with waiting", max(waits), "ms p95", BOUND_MS)
    yield as_orientation(worst)


def _index_more(database: Database, log: Log) -> float:
    """Write some more events as the product does; the CPU seconds for each to be given its terms.

    The last of them are left without.
    """
    number = log.made + _last_row(database)
    taken = 0.0
    for count in [_AT_ONCE] * _FRESH + [_WAITING]:
        rows = [log.event(place)[0] for place in range(number, number + count)]
        number += count
        now = utc_now()
        with database.write() as connection:
            append_event_rows(
                connection,
                OWN,
                [EventRow(EventId(row.event_id), now, row.action, row.subject_id, row.body) for row in rows],
            )
        if count == _AT_ONCE:
            taken += _processor_seconds(database, lambda: _index(database))
    return taken / (_AT_ONCE * _FRESH)


def _index(database: Database) -> None:
    with database.write() as connection:
        index_waiting_events(connection)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a question took of the processors, here and in the server, and by the clock."""

    processor: float
    wall: float


def _ask(database: Database, query: EventQuery) -> _Asked:
    def ask() -> None:
        with OrganisationUnitOfWork(database, OWN).read() as reader:
            reader.search_events(query)

    processor = 0.0

    def timed() -> None:
        nonlocal processor
        processor = _processor_seconds(database, ask)

    wall = seconds(timed)
    return _Asked(processor, wall)


def _processor_seconds(database: Database, action: Callable[[], object]) -> float:
    """Of this process and of its connection's server: what other processes do does not disturb it."""
    if database.is_sqlite:
        return cpu_seconds(action)
    with database.read() as connection:
        # One question is asked at a time, so there is one connection.
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    counted = Path(f"/proc/{backend}/schedstat")
    if not counted.exists():
        # On another machine.
        return seconds(action)
    before = _nanoseconds(counted)
    own = cpu_seconds(action)
    return own + (_nanoseconds(counted) - before) / 1e9


def _nanoseconds(counted: Path) -> int:
    return int(counted.read_text(encoding="ascii").split()[0])


def _questions(log: Log) -> dict[str, Callable[[], EventQuery]]:
    """Every filter, and the pairs that a table of one column each would be slow at."""
    drawn = random.Random(1)

    def within(query: EventQuery) -> EventQuery:
        since = log.moment(drawn.randrange(log.made))
        return replace(query, since=since, until=since + timedelta(hours=drawn.choice([1, 24, 720])))

    def action() -> str:
        return drawn.choice(MIX)[1]

    def admin() -> str:
        return admin_id(drawn.randrange(ADMINS))

    def someone() -> tuple[str, ...]:
        return (person_id(drawn.randrange(log.people)),)

    def group() -> str:
        return group_id(drawn.randrange(GROUPS))

    def number() -> int:
        return drawn.randrange(log.made)

    return {
        "latest": EventQuery,
        "page": lambda: EventQuery(after=drawn.randrange(1, log.made * 10)),
        "window": lambda: within(EventQuery()),
        "action": lambda: EventQuery(action=action()),
        "prefix": lambda: EventQuery(action="role."),
        "about": lambda: EventQuery(about=someone()),
        "actor": lambda: EventQuery(actor=admin()),
        "actor_type": lambda: EventQuery(actor_type=drawn.choice(["run", "admin", "support"])),
        "group": lambda: EventQuery(group=group()),
        "rule": lambda: EventQuery(rule=rule_id(drawn.randrange(RULES))),
        "role": lambda: EventQuery(role="Admin"),
        "denied": lambda: EventQuery(outcome="denied"),
        "success": lambda: EventQuery(outcome="success"),
        "cause": lambda: EventQuery(cause=drawn.choice(["run", "operator", "guard"])),
        "run": lambda: EventQuery(run=run_id(number())),
        "request": lambda: EventQuery(request=request_id(number())),
        "children": lambda: EventQuery(parent=event_id(number())),
        "window_action": lambda: within(EventQuery(action=action())),
        "window_denied": lambda: within(EventQuery(outcome="denied")),
        "actor_action": lambda: EventQuery(actor=admin(), action=action()),
        "about_action": lambda: EventQuery(about=someone(), action=action()),
        "group_role": lambda: EventQuery(group=group(), role="Admin"),
        "cause_prefix": lambda: EventQuery(cause="mapping_rule", action="role."),
        "nothing_in_common": lambda: EventQuery(cause="scim_request", action="role.granted"),
    }
