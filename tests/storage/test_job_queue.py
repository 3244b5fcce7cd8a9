"""What is read from the job library's tables, and whose turn it is to look after dead workers."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from storage.engine import Database, open_database
from storage.job_queue import QueueFigures, queue_figures, recovery_turn
from storage.migrate import upgrade
from storage.secrets import KeyRing
from storage.service_store import SQLServiceStore
from tests.conformance.builders import NOW, directory, make_tenant, put_environment

pytestmark = pytest.mark.pg

RING = KeyRing({"k1": b"1" * 32}, "k1")


@pytest.fixture
def database(postgresql_database: Callable[[], str]) -> Iterator[Database]:
    made = open_database(postgresql_database(), key_ring=RING)
    upgrade(made)
    put_environment(made)
    yield made
    made.close()


def test_workers_count_as_long_as_they_are_heard_of(database: Database) -> None:
    with database.write() as connection:
        for age in (0, 4, 6):
            connection.execute(
                text(
                    "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - make_interval(secs => :a))"
                ),
                {"a": age},
            )
        for status in ("todo", "todo", "doing", "failed"):
            connection.execute(
                text(
                    "INSERT INTO procrastinate_jobs (queue_name, task_name, status) "
                    "VALUES ('usher', 't', CAST(:s AS procrastinate_job_status))"
                ),
                {"s": status},
            )

    assert queue_figures(database, 5) == QueueFigures(workers=2, running=1, waiting=2)


def test_one_looks_after_dead_workers_at_a_time(database: Database) -> None:
    with recovery_turn(database) as first, recovery_turn(database) as second:
        assert (first, second) == (True, False)
    with recovery_turn(database) as third:
        assert third


def test_an_owner_in_the_middle_of_a_transaction_keeps_its_lease_until_that_ends(database: Database) -> None:
    store, tenant = SQLServiceStore(database), make_tenant(database)
    hq = directory(tenant.organisation_id, name="branch", next_run_at=NOW)
    with tenant.unit_of_work.write() as writer:
        writer.put_directory(hq, NOW)
    until = NOW + timedelta(minutes=2)
    claim = store.claim(hq.directory_id, "gone", NOW, until)
    assert claim is not None

    with tenant.unit_of_work.write() as stopped:
        assert stopped.check_fence(hq.directory_id, claim.fence, until)
        assert not store.release_owner(hq.directory_id, "gone")

    assert store.release_owner(hq.directory_id, "gone")
