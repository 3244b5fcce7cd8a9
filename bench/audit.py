"""The figures of sealing: events a second of processor time, and how long an event waits for its place."""

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import quantiles

from sqlalchemy import func, select

from bench.databases import DATABASES, fresh_database
from bench.figures import Figure, at_least, at_most, cpu_seconds
from service.wiring import utc_now
from storage.audit_tables import audit_leaf
from storage.engine import Database, open_database
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


def measure() -> Iterator[Figure]:
    """Sealing of 60,000 events of 740 bytes in 20 logs; the lag at 500 events a second."""
    for kind in DATABASES:
        with (
            tempfile.TemporaryDirectory(prefix="usher-bench-") as folder,
            fresh_database(kind, Path(folder)) as url,
        ):
            database = open_database(url, key_ring=KeyRing({"k1": bytes(32)}, "k1"))
            upgrade(database)
            put_environment(database)
            tenants = [make_tenant(database) for _ in range(ORGANISATIONS)]
            _write(tenants, EVENTS)
            # On PostgreSQL what the server does comes on top; the bound is on the sealer's process.
            taken = cpu_seconds(partial(_drain, database))
            yield at_least(f"audit: events sealed a CPU second, {kind}", EVENTS / taken, "1/s", 30_000)
            yield at_most(f"audit: seal lag p99 at 500 events/s, {kind}", _lag(database, tenants), "s", 1)
            database.close()


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
