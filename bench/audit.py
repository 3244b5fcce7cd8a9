"""All figures of the audit record: sealing, what an event costs a change and a disk, finding, exporting, sending.

`audit_large` searches ten million events and exports one million, which takes an hour.
"""

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import quantiles

from sqlalchemy import func, select, text

from bench import audit_export, audit_reading, audit_streams, audit_writers, core
from bench.audit_seed import COPIES, Log
from bench.databases import DATABASES, fresh_database
from bench.figures import Figure, as_orientation, at_least, at_most, cpu_seconds
from directory.ids import EventId
from provisioning.state import EventRow
from service.wiring import utc_now
from storage.audit_tables import audit_leaf
from storage.engine import Database, open_database
from storage.event_rows import append_event_rows, index_waiting_events
from storage.migrate import upgrade
from storage.sealing import SQLSealing
from storage.secrets import KeyRing
from storage.tables import audit_event
from tests.conformance.builders import Tenant, event, make_tenant, put_environment
from tests.sealing import LEASE, keyed, make_signer

EVENTS = 60_000
ORGANISATIONS = 20
BATCH = 5_000
BODY = b'{"action":"role.granted",' + b'"padding":"' + b"x" * 700 + b'"}'
EVENTS_A_SECOND = 500
LAG_SECONDS = 8
SEAL_EVERY = 0.5
EXPORTED = 100_000
STORED = 50_000
STORED_AT_ONCE = 500
_SQLITE_BYTES = "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)"
_POSTGRESQL_BYTES = (
    "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'audit%'"
)


def measure() -> Iterator[Figure]:
    """Everything, with as many events as are laid within a minute."""
    yield from measure_sealing()
    yield from measure_storage()
    yield from core.measure_audit_row("sqlite")
    yield from audit_writers.measure()
    yield from audit_reading.measure()
    yield from audit_export.measure_exports(EXPORTED)
    yield from audit_streams.measure_streams()


def measure_large() -> Iterator[Figure]:
    """Finding in ten million events, exporting and verifying one million."""
    yield from audit_reading.measure_large()
    yield from audit_export.measure_exports()


def measure_sealing() -> Iterator[Figure]:
    """Sealing of 60,000 events of 740 bytes in 20 logs; the lag at 500 events a second."""
    for kind in DATABASES:
        with _database(kind) as database:
            tenants = [make_tenant(database) for _ in range(ORGANISATIONS)]
            _write(tenants, EVENTS)
            # On PostgreSQL what the server does comes on top; the bound is on the sealer's process.
            taken = cpu_seconds(partial(_drain, database))
            yield at_least(f"audit: events sealed a CPU second, {kind}", EVENTS / taken, "1/s", 30_000)
            yield at_most(f"audit: seal lag p99 at 500 events/s, {kind}", _lag(database, tenants), "s", 1)


@contextmanager
def _database(kind: str) -> Iterator[Database]:
    with (
        tempfile.TemporaryDirectory(prefix="usher-bench-") as folder,
        fresh_database(kind, Path(folder)) as url,
        closing(open_database(url, key_ring=KeyRing({"k1": bytes(32)}, "k1"))) as database,
    ):
        upgrade(database)
        put_environment(database)
        yield database


def measure_storage() -> Iterator[Figure]:
    """What an event takes on the disk, sealed and with its terms, against the bytes of its body."""
    for kind in DATABASES:
        with _database(kind) as database:
            tenant = make_tenant(database)
            log = Log(tenant.organisation_id, STORED * COPIES)
            empty = _stored_bytes(database)
            bodies = 0
            for start in range(0, STORED, STORED_AT_ONCE):
                rows = [log.event(number)[0] for number in range(start, start + STORED_AT_ONCE)]
                with database.write() as connection:
                    append_event_rows(
                        connection,
                        tenant.organisation_id,
                        [
                            EventRow(
                                EventId(row.event_id),
                                datetime.fromisoformat(f"{row.time}+00:00"),
                                row.action,
                                row.subject_id,
                                row.body,
                            )
                            for row in rows
                        ],
                    )
                    index_waiting_events(connection)
                bodies += sum(len(row.body) for row in rows)
            _drain(database)
            stored = _stored_bytes(database) - empty
            yield as_orientation(
                at_most(
                    f"audit: stored for an event, {kind}", stored / STORED, "bytes", 1.6 * bodies / STORED
                )
            )
            yield at_most(f"audit: stored for an event to its body, {kind}", stored / bodies, "ratio", 1.6)


def _stored_bytes(database: Database) -> int:
    if database.is_sqlite:
        with closing(database.engine.raw_connection()) as opened:
            opened.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with database.read() as connection:
            return int(connection.execute(text(_SQLITE_BYTES)).scalar_one())
    with database.read() as connection:
        return int(connection.execute(text(_POSTGRESQL_BYTES)).scalar_one())


def _write(tenants: Sequence[Tenant], number: int) -> None:
    share = number // len(tenants)
    for tenant in tenants:
        with tenant.unit_of_work.write() as writer:
            writer.append_events([event(body=BODY) for _ in range(share)])


def _drain(database: Database) -> None:
    sealing, signers = SQLSealing(database), keyed(make_signer())
    now = utc_now()
    fence = sealing.claim("bench", now, now + LEASE)
    assert fence is not None
    while True:
        now = utc_now()
        batch = sealing.seal_batch(fence, signers, None, at=now, lease_until=now + LEASE, limit=BATCH)
        assert batch is not None
        if batch.is_drained:
            return


def _lag(database: Database, tenants: Sequence[Tenant]) -> float:
    """The 99th percentile of the time from the event's own to the commit that sealed it."""
    ended = threading.Event()

    def write() -> None:
        at_once = 10
        begun = time.monotonic()
        for number in range(EVENTS_A_SECOND * LAG_SECONDS // at_once):
            tenant = tenants[number % len(tenants)]
            with tenant.unit_of_work.write() as writer:
                writer.append_events([event(time=utc_now(), body=BODY) for _ in range(at_once)])
            ended.wait(max(0.0, begun + (number + 1) * at_once / EVENTS_A_SECOND - time.monotonic()))
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    lags: list[float] = []
    last = _last_sealed(database)
    while not ended.is_set() or SQLSealing(database).has_unsealed():
        _drain(database)
        now = utc_now()
        statement = (
            select(audit_event.c.time)
            .join(audit_leaf, audit_leaf.c.event_row == audit_event.c.id)
            .where(audit_leaf.c.event_row > last)
        )
        with database.read() as connection:
            lags += [(now - moment).total_seconds() for moment in connection.execute(statement).scalars()]
        last = _last_sealed(database)
        time.sleep(SEAL_EVERY)
    writer.join()
    return quantiles(lags, n=100)[98]


def _last_sealed(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.max(audit_leaf.c.event_row))).scalar_one() or 0
