"""The ticker calls its jobs, hands due directories on, and says when it does not."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.administration import Administration
from service.metrics import Metrics
from service.scheduler import ScheduledJob, Scheduler
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


class CallsNoted:
    """A dispatcher that counts its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def dispatch(self) -> int:
        self.calls.append("dispatch")
        return 3

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")


def test_what_is_due_goes_to_the_dispatcher_until_the_stop(world: Administration) -> None:
    noted = CallsNoted()
    scheduler = Scheduler(world.wiring, Metrics(), noted)

    assert scheduler.tick() == 3
    scheduler.stop()
    assert scheduler.tick() == 0
    assert noted.calls == ["dispatch", "stop", "close"]


def test_a_job_that_fails_is_counted_and_keeps_no_other_from_running(world: Administration) -> None:
    done = threading.Event()
    metrics = Metrics()

    def fail() -> None:
        raise ArithmeticError

    further = [ScheduledJob("bad", fail, 3600), ScheduledJob("good", done.set, 3600)]
    scheduler = Scheduler(world.wiring, metrics, CallsNoted(), further=further)
    scheduler.start()
    assert done.wait(30)
    scheduler.stop()

    assert metrics.registry.get_sample_value("usher_job_failures_total", {"job": "bad"}) == 1
