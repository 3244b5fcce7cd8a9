"""The ticker takes what is due, once; a job that fails keeps no other from running."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from directory.ids import DirectoryId
from provisioning.errors import StaleFenceError
from provisioning.state import Claim as Lease
from service import scheduler as scheduling
from service.administration import Administration
from service.metrics import Metrics
from service.runs import Run, claim_directory, run_claimed
from service.scheduler import Scheduler
from service.wiring import Wiring
from storage.errors import DatabaseUnavailableError
from tests.service.worlds import HandClock, active_mails, small_world, write_export


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def world(tmp_path: Path, clock: HandClock) -> Iterator[Administration]:
    with small_world(tmp_path, clock) as administration:
        yield administration


@pytest.fixture
def scheduler(world: Administration) -> Iterator[Scheduler]:
    made = Scheduler(world.wiring, Metrics())
    yield made
    made.stop()


def test_due_directory_is_run_once(scheduler: Scheduler, world: Administration, clock: HandClock) -> None:
    write_export(world.wiring, "anna", "ben", "carl")
    assert scheduler.tick() == 0

    clock.advance(minutes=2)
    assert scheduler.tick() == 1
    scheduler.wait_for_runs()
    assert scheduler.tick() == 0

    assert "carl@acme.example" in active_mails(world)
    # Missed runs coalesce: the next one lies ahead.
    with world.read() as reader:
        (directory,) = reader.directories()
    assert directory.next_run_at is not None
    assert directory.next_run_at > clock()


def test_no_more_is_claimed_than_there_are_threads(
    scheduler: Scheduler, world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    started = threading.Event()
    claims: list[int] = []

    def slow(_wiring: Wiring, _lease: Lease, **_options: object) -> Run:
        started.set()
        go_on.wait(30)
        raise StaleFenceError("overtaken")

    def claim(_wiring: Wiring, *, limit: int) -> list[Lease]:
        claims.append(limit)
        return [Lease(world.organisation_id, DirectoryId("d"), 1)] if len(claims) == 1 else []

    monkeypatch.setattr(scheduling, "run_claimed", slow)
    monkeypatch.setattr(scheduling, "claim_due", claim)
    scheduler.tick()
    started.wait(30)
    scheduler.tick()
    go_on.set()
    scheduler.wait_for_runs()
    scheduler.tick()

    assert claims == [2, 1, 2]


def test_failing_run_is_counted_and_gives_its_lease_back(
    world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    scheduler = Scheduler(world.wiring, metrics)
    clock.advance(minutes=2)

    def broken(*_: object, **__: object) -> object:
        raise DatabaseUnavailableError("gone")

    with monkeypatch.context() as patch:
        patch.setattr("service.runs.plan_directory", broken)
        assert scheduler.tick() == 1
        scheduler.wait_for_runs()
    assert metrics.registry.get_sample_value("usher_job_failures_total", {"job": "run"}) == 1

    assert scheduler.tick() == 1
    scheduler.wait_for_runs()
    scheduler.stop()
    assert metrics.registry.get_sample_value("usher_runs_total", {"state": "completed"}) == 1


def test_stop_ends_a_run_between_two_batches(
    scheduler: Scheduler, world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioning.runs.RUN_BATCH_SIZE", 1)
    clock.advance(minutes=2)
    write_export(world.wiring, "anna", "ben", *(f"new{number}" for number in range(5)))
    (lease,) = world.wiring.store.claim_due("me", clock(), clock().replace(year=clock().year + 1), 1)
    scheduler._stopping.set()

    scheduler._run(lease)

    with world.read() as reader:
        (directory,) = reader.directories()
        stored = reader.counts(directory.directory_id)["users"]
    assert stored < 7
    # Whoever comes next goes on: the lease is free.
    assert run_claimed(world.wiring, claim_directory(world.wiring, directory)).record.state == "completed"
    assert len(active_mails(world)) == 8


def test_health_says_why_nothing_is_done(
    scheduler: Scheduler, world: Administration, clock: HandClock
) -> None:
    assert scheduler.health() == "the scheduler does not run; restart the service"
    scheduler.start()
    assert scheduler.health() == ""
    # The clock stands ahead of every tick from here on.
    scheduler._last_tick = clock()
    scheduler._scheduler.pause()
    clock.advance(minutes=10)

    assert scheduler.health() == "the scheduler has not ticked for 600 s; the log says why"
    scheduler.stop()
    assert scheduler.health() == "the scheduler does not run; restart the service"


def test_started_scheduler_runs_its_jobs_at_once(
    scheduler: Scheduler, world: Administration, clock: HandClock
) -> None:
    clock.advance(minutes=2)
    write_export(world.wiring, "anna", "ben", "carl")

    scheduler.start()
    never = threading.Event()

    assert any("carl@acme.example" in active_mails(world) or never.wait(0.1) for _ in range(300))
