"""What the audit row costs whoever changes something: the throughput of a bare change against one with its event.

A bare change locks the organisation's row and saves it with its next version, as every command of the product does
before anything else. It is the least that a change can be: the product's own read and write several rows more, so
that their events weigh less.
"""

import contextlib
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import psycopg

from audit.actors import AdminActor
from audit.events import FieldChange, Target
from bench.databases import fresh_database
from bench.figures import Figure, at_least, at_most
from directory.ids import OrganisationId
from provisioning.ledger import Ledger
from provisioning.ports import Writer
from service.jobs import INDEX_SECONDS
from service.wiring import SystemMint, utc_now
from storage.engine import Database, open_database
from storage.event_rows import index_waiting_events
from storage.migrate import upgrade
from storage.secrets import KeyRing
from storage.unit_of_work import OrganisationUnitOfWork
from tests.conformance.builders import make_tenant, put_environment

WRITERS: Final = 8
ORGANISATIONS: Final = 200
ROUNDS: Final = 5
SECONDS: Final = 2.0
ACTOR: Final = AdminActor("operator:bench", is_operator=True)
# What a server that keeps its data has, unlike one for tests.
_DURABLE: Final = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "autovacuum": "on"}
_Change = Callable[[OrganisationId], None]


def measure() -> Iterator[Figure]:
    """PostgreSQL with 8 writers over 200 organisations, and all at one; SQLite in full synchronisation."""
    with tempfile.TemporaryDirectory(prefix="usher-bench-") as folder:
        with fresh_database("postgresql", Path(folder)) as url, _durable(url):
            yield from _measure_postgresql(url)
        with fresh_database("sqlite", Path(folder)) as url:
            yield from _measure_sqlite(url)


@contextlib.contextmanager
def _durable(url: str) -> Iterator[None]:
    """Let the private server wait for its disk; one that was given is left as it is."""
    if not os.environ.get("TEST_PG_DSN"):
        with psycopg.connect(url, autocommit=True) as connection:
            for name, value in _DURABLE.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            connection.execute("SELECT pg_reload_conf()")
    yield


def _measure_postgresql(url: str) -> Iterator[Figure]:
    with contextlib.closing(_open(url, pool_size=WRITERS + 1)) as database:
        organisations = _prepare(database, ORGANISATIONS)
        bare, audited = _compare(database, organisations)
        spread = audited.rate / bare.rate
        yield at_least(
            "audit: changes/s with their events to bare ones, 200 organisations", spread, "ratio", 0.8
        )
        yield at_most("audit: p99 of the same", audited.p99 / bare.p99, "ratio", 1.3)
        yield at_least("audit: bare changes, 200 organisations", bare.rate, "1/s", 0)
        bare, hot = _compare(database, organisations[:1])
        ratio = hot.rate / bare.rate
        yield at_least(
            "audit: changes/s with their events to bare ones, one organisation", ratio, "ratio", 0.7
        )
        yield at_least(
            "audit: one organisation's changes/s with events to 200's", ratio / spread, "ratio", 0.9
        )
        yield at_least("audit: bare changes, one organisation", bare.rate, "1/s", 0)


def _measure_sqlite(url: str) -> Iterator[Figure]:
    with contextlib.closing(_open(url, is_fully_synchronous=True)) as database:
        organisations = _prepare(database, 1)
        bare, audited = _compare(database, organisations, writers=1)
        ratio = audited.rate / bare.rate
        yield at_least("audit: changes/s with their events to bare ones, SQLite FULL", ratio, "ratio", 0.9)
        yield at_least("audit: bare changes, SQLite FULL", bare.rate, "1/s", 0)


def _open(url: str, *, is_fully_synchronous: bool = False, pool_size: int = 2) -> Database:
    ring = KeyRing({"k1": bytes(32)}, "k1")
    return open_database(url, key_ring=ring, is_fully_synchronous=is_fully_synchronous, pool_size=pool_size)


def _prepare(database: Database, number: int) -> list[OrganisationId]:
    upgrade(database)
    put_environment(database)
    return [make_tenant(database).organisation_id for _ in range(number)]


@dataclass(slots=True)
class _Round:
    """How fast one form of a change went."""

    rates: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.times, n=100)[98]


def _compare(
    database: Database, organisations: Sequence[OrganisationId], *, writers: int = WRITERS
) -> tuple[_Round, _Round]:
    """Bare changes and changes with an event, in turn."""
    mint = SystemMint()
    opened = {one: OrganisationUnitOfWork(database, one) for one in organisations}

    def change(writer: Writer) -> None:
        state = writer.organisation()
        writer.save_organisation(replace(state, access_version=state.access_version + 1))

    def bare(organisation_id: OrganisationId) -> None:
        with opened[organisation_id].write() as writer:
            change(writer)

    def audited(organisation_id: OrganisationId) -> None:
        with opened[organisation_id].write() as writer:
            change(writer)
            ledger = Ledger(
                organisation_id=organisation_id, actor=ACTOR, now=utc_now(), mint=mint, kind="admin_action"
            )
            ledger.record(
                "role.granted",
                (
                    Target("member", mint.id(), pii=mint.id()),
                    Target("scope", mint.id(), role="object"),
                ),
                (FieldChange("role", None, "Member"), FieldChange("scope_id", None, mint.id())),
            )
            writer.append_events(ledger.rows)

    forms = (bare, audited)
    rounds = (_Round(), _Round())
    with _indexing(database):
        for number in range(ROUNDS + 1):
            for form, result in zip(forms, rounds, strict=True):
                times, took = _run(form, organisations, writers)
                # The first round only warms.
                if number:
                    result.rates.append(len(times) / took)
                    result.times += times
    return rounds


@contextlib.contextmanager
def _indexing(database: Database) -> Iterator[None]:
    """Give events their terms meanwhile, as a service does."""
    ended = threading.Event()

    def index() -> None:
        while not ended.wait(INDEX_SECONDS):
            number = 1
            while number:
                with database.write() as connection:
                    number = index_waiting_events(connection)

    thread = threading.Thread(target=index)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _run(change: _Change, organisations: Sequence[OrganisationId], writers: int) -> tuple[list[float], float]:
    """What each change took, and all of them together."""
    begin = time.perf_counter()
    times: list[list[float]] = [[] for _ in range(writers)]

    def write(number: int) -> None:
        drawn, own = random.Random(number), times[number]
        before = time.perf_counter()
        while before - begin < SECONDS:
            change(drawn.choice(organisations))
            after = time.perf_counter()
            own.append(after - before)
            before = after

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [one for own in times for one in own], time.perf_counter() - begin
