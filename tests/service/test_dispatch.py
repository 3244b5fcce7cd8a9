"""What is due is claimed and run in the threads of this process, each directory once."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from directory.ids import DirectoryId
from provisioning.errors import StaleFenceError
from provisioning.state import Claim as Lease
from service import dispatch as dispatching
from service.administration import Administration
from service.dispatch import LocalDispatcher, Runner
from service.metrics import Metrics
from service.runs import Run, claim_directory, claim_due, run_claimed
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
def dispatcher(world: Administration) -> Iterator[LocalDispatcher]:
    made = LocalDispatcher(world.wiring, Metrics())
    yield made
    made.stop()
    made.close()


def test_due_directory_is_run_once(
    dispatcher: LocalDispatcher, world: Administration, clock: HandClock
) -> None:
    write_export(world.wiring, "anna", "ben", "carl")
    assert dispatcher.dispatch() == 0

    clock.advance(minutes=2)
    assert dispatcher.dispatch() == 1
    dispatcher.wait()
    assert dispatcher.dispatch() == 0

    assert "carl@acme.example" in active_mails(world)
    # Missed runs coalesce: the next one lies ahead.
    with world.read() as reader:
        (directory,) = reader.directories()
    assert directory.next_run_at is not None
    assert directory.next_run_at > clock()


def test_no_more_is_claimed_than_there_are_threads(
    dispatcher: LocalDispatcher, world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
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

    monkeypatch.setattr(dispatching, "run_claimed", slow)
    monkeypatch.setattr(dispatching, "claim_due", claim)
    dispatcher.dispatch()
    started.wait(30)
    dispatcher.dispatch()
    go_on.set()
    dispatcher.wait()
    dispatcher.dispatch()

    assert claims == [2, 1, 2]


def test_failing_run_is_counted_and_gives_its_lease_back(
    world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    dispatcher = LocalDispatcher(world.wiring, metrics)
    clock.advance(minutes=2)

    def broken(*_: object, **__: object) -> object:
        raise DatabaseUnavailableError("gone")

    with monkeypatch.context() as patch:
        patch.setattr("service.runs.plan_directory", broken)
        assert dispatcher.dispatch() == 1
        dispatcher.wait()
    assert metrics.registry.get_sample_value("usher_job_failures_total", {"job": "run"}) == 1

    assert dispatcher.dispatch() == 1
    dispatcher.wait()
    dispatcher.stop()
    dispatcher.close()
    assert metrics.registry.get_sample_value("usher_runs_total", {"state": "completed"}) == 1


def test_a_stopped_dispatcher_claims_nothing(
    dispatcher: LocalDispatcher, world: Administration, clock: HandClock
) -> None:
    clock.advance(minutes=2)
    dispatcher.stop()

    assert dispatcher.dispatch() == 0
    assert len(claim_due(world.wiring, limit=9)) == 1


def test_stop_ends_a_run_between_two_batches(
    world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioning.runs.RUN_BATCH_SIZE", 1)
    clock.advance(minutes=2)
    write_export(world.wiring, "anna", "ben", *(f"new{number}" for number in range(5)))
    (lease,) = claim_due(world.wiring, limit=1)
    runner = Runner(world.wiring, Metrics())
    runner.stop()

    assert runner.is_stopping
    assert not runner.run(lease)

    with world.read() as reader:
        (directory,) = reader.directories()
        stored = reader.counts(directory.directory_id)["users"]
    assert stored < 7
    # Whoever comes next goes on: the lease is free.
    assert run_claimed(world.wiring, claim_directory(world.wiring, directory)).record.state == "completed"
    assert len(active_mails(world)) == 8


def test_stop_ends_a_run_behind_a_page_of_a_server(
    world: Administration, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_pages(*_: object, after_page: Callable[[], None], **__: object) -> None:
        return after_page()

    clock.advance(minutes=2)
    (lease,) = claim_due(world.wiring, limit=1)
    runner = Runner(world.wiring, Metrics())
    runner.stop()

    with monkeypatch.context() as patch:
        patch.setattr("service.runs.plan_directory", read_pages)
        assert not runner.run(lease)

    assert [claim.fence for claim in claim_due(world.wiring, limit=1)] == [lease.fence + 1]
