"""The traps of the job library, each on a real PostgreSQL database."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued

from directory.ids import DirectoryId
from provisioning.runs import LEASE
from service.administration import Administration
from service.dispatch import LocalDispatcher, RunStoppedError
from service.metrics import Metrics
from service.scheduler import make_dispatcher
from service.wiring import SystemMint
from service.worker import Worker
from service.worker_queue import QUEUE, RUN_DIRECTORY, QueueDispatcher, RunJob, WorkerQueue, _job, make_app
from tests.service.worlds import HandClock, active_mails, add_directory, small_world, write_export

pytestmark = pytest.mark.pg

PATIENCE_SECONDS = 30


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def world(
    tmp_path: Path, clock: HandClock, postgresql_database: Callable[[], str]
) -> Iterator[Administration]:
    environ = {"USHER_DATABASE_URL": postgresql_database(), "USHER_JOBS": "workers"}
    with small_world(tmp_path, clock, **environ) as administration:
        yield administration


@pytest.fixture
def dispatcher(world: Administration) -> Iterator[QueueDispatcher]:
    made = QueueDispatcher(world.wiring)
    yield made
    made.stop()
    made.close()


@contextmanager
def working(world: Administration, run: RunJob) -> Iterator[WorkerQueue]:
    """A worker's queue at work in a thread of its own."""
    queue = WorkerQueue(world.wiring, run, concurrency=2)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    work = asyncio.run_coroutine_threadsafe(queue.work(), loop)
    try:
        yield queue
    finally:
        work.cancel()
        # Cancelled is what the future says at once; the worker itself needs its time.
        asyncio.run_coroutine_threadsafe(_others(), loop).result(PATIENCE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _others() -> None:
    mine = asyncio.current_task()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not mine), return_exceptions=True)


def jobs(world: Administration) -> list[tuple[str, str, int]]:
    """Lock, state and attempts of each job there is."""
    with psycopg.connect(world.wiring.settings.database_url) as connection:
        query = "SELECT lock, status::text, attempts FROM procrastinate_jobs ORDER BY id"
        return [(lock, status, attempts) for lock, status, attempts in connection.execute(query)]


def execute(world: Administration, *statements: str) -> None:
    with psycopg.connect(world.wiring.settings.database_url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def hq(world: Administration) -> DirectoryId:
    with world.read() as reader:
        (directory,) = reader.directories()
    return directory.directory_id


def test_who_reads_is_what_the_settings_say(world: Administration) -> None:
    assert isinstance(make_dispatcher(world.wiring, Metrics()), QueueDispatcher)
    local = replace(world.wiring, settings=replace(world.wiring.settings, jobs="local"))
    assert isinstance(make_dispatcher(local, Metrics()), LocalDispatcher)


def test_a_directory_that_waits_in_the_queue_is_not_put_there_again(
    dispatcher: QueueDispatcher, world: Administration, clock: HandClock
) -> None:
    assert dispatcher.dispatch() == 0
    clock.advance(minutes=2)

    assert [dispatcher.dispatch() for _ in range(3)] == [1, 0, 0]
    assert jobs(world) == [(hq(world), "todo", 0)]


def test_a_second_enqueue_is_refused_by_the_library_and_the_rest_goes_through(
    dispatcher: QueueDispatcher, world: Administration, clock: HandClock
) -> None:
    """Two ticks at once: what the other was quicker with is left out, whatever its place in the batch."""
    clock.advance(minutes=2)
    dispatcher.dispatch()
    with pytest.raises(AlreadyEnqueued):
        dispatcher._jobs.batch_defer_jobs([_job(hq(world))])
    more = [DirectoryId(world.wiring.mint.id()) for _ in range(5)]

    assert dispatcher._defer([*more[:2], hq(world), *more[2:]]) == 5
    assert {lock for lock, _, _ in jobs(world)} == {hq(world), *more}
    assert dispatcher._defer(more) == 0


def test_the_task_is_found_whichever_module_is_the_main_one(world: Administration) -> None:
    app = make_app(SyncPsycopgConnector(), lambda *_: None)

    assert isinstance(app, App)
    assert RUN_DIRECTORY in app.tasks
    assert app.tasks[RUN_DIRECTORY].queue == QUEUE


def test_a_stalled_job_is_retried_by_us_under_a_lease_of_its_own(
    world: Administration, clock: HandClock, dispatcher: QueueDispatcher
) -> None:
    """The library leaves it as it is."""
    clock.advance(minutes=2)
    dispatcher.dispatch()
    execute(
        world,
        "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '4 seconds')",
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT max(id) FROM procrastinate_workers)",
    )
    store, now = world.wiring.store, clock()
    dead = store.claim(hq(world), "job 1, attempt 1", now, now + LEASE)
    assert dead is not None
    owners: list[str] = []
    done = threading.Event()

    def run(directory_id: DirectoryId, owner: str) -> None:
        owners.append(owner)
        assert store.claim(directory_id, owner, now, now + LEASE, only_due=True) is not None
        done.set()

    with working(world, run) as queue:
        assert queue.recover() == 0
        assert not done.wait(1.5)
        execute(
            world, "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour' WHERE id = 1"
        )
        assert any(queue.recover() or done.wait(0.1) for _ in range(100))
        assert done.wait(PATIENCE_SECONDS)

    assert owners == ["job 1, attempt 2"]
    assert not store.release(dead)
    assert jobs(world) == []


def test_a_stalled_job_gives_way_to_one_that_waits_for_the_same_directory(
    world: Administration, clock: HandClock, dispatcher: QueueDispatcher
) -> None:
    clock.advance(minutes=2)
    dispatcher.dispatch()
    execute(world, "UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL")
    assert dispatcher.dispatch() == 1
    done = threading.Event()

    with working(world, lambda *_: done.set()) as queue:
        assert any(queue.recover() or threading.Event().wait(0.1) for _ in range(100))
        assert done.wait(PATIENCE_SECONDS)

    assert jobs(world) == []


def test_a_stalled_job_waits_while_its_worker_stands_in_a_transaction(
    world: Administration, clock: HandClock, dispatcher: QueueDispatcher
) -> None:
    clock.advance(minutes=2)
    dispatcher.dispatch()
    execute(world, "UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL")
    now = clock()
    dead = world.wiring.store.claim(hq(world), "job 1, attempt 1", now, now + LEASE)
    assert dead is not None
    with working(world, lambda *_: None) as queue:
        assert any(queue._loop is not None or threading.Event().wait(0.1) for _ in range(100))
        with world.unit_of_work.write() as standing:
            assert standing.check_fence(hq(world), dead.fence, now + LEASE)
            assert queue.recover() == 0
        assert [status for _, status, _ in jobs(world)] == ["doing"]
        assert any(queue.recover() or threading.Event().wait(0.1) for _ in range(100))


def test_a_worker_does_not_take_its_own_work_for_dead(
    world: Administration, clock: HandClock, dispatcher: QueueDispatcher
) -> None:
    """Its heartbeats may come late on a busy machine; what it has in hand goes on all the same."""
    clock.advance(minutes=2)
    dispatcher.dispatch()
    begun, go_on = threading.Event(), threading.Event()

    def run(*_: object) -> None:
        begun.set()
        go_on.wait(PATIENCE_SECONDS)

    with working(world, run) as queue:
        assert begun.wait(PATIENCE_SECONDS)
        execute(world, "DELETE FROM procrastinate_workers")
        assert queue.recover() == 0
        go_on.set()
        assert any(jobs(world) == [] or threading.Event().wait(0.1) for _ in range(100))


class MeetingMint(SystemMint):
    """Each run asks for its id here; it gets one when so many runs are under way at once."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._barrier = threading.Barrier(number)
        self.met = 0

    def id(self) -> str:
        if threading.current_thread().name.startswith("usher-run") and self.met < self._barrier.parties:
            self._barrier.wait(PATIENCE_SECONDS)
            self.met += 1
        return super().id()


def test_so_many_directories_are_read_at_once_as_a_worker_is_told(
    world: Administration, clock: HandClock
) -> None:
    """By itself the library would run no more at once than the loop has threads: four and the number of cores."""
    number = 12
    write_export(world.wiring, "anna", "ben")
    for name in range(number - 1):
        add_directory(world, name=f"d{name}")
    clock.advance(minutes=2)
    mint = MeetingMint(number)
    wiring = replace(world.wiring, mint=mint)
    metrics = Metrics()

    def stop_when_done() -> None:
        never = threading.Event()
        assert any(completed() == number or never.wait(0.1) for _ in range(300))
        os.kill(os.getpid(), signal.SIGTERM)

    def completed() -> float:
        return metrics.registry.get_sample_value("usher_runs_total", {"state": "completed"}) or 0

    stopper = threading.Thread(target=stop_when_done)
    worker = Worker(wiring, metrics, concurrency=number)
    worker.run(when_ready=stopper.start)
    stopper.join()

    assert completed() == number
    assert jobs(world) == []


def test_a_job_that_comes_twice_runs_once(world: Administration, clock: HandClock) -> None:
    write_export(world.wiring, "anna", "ben", "carl")
    clock.advance(minutes=2)
    metrics = Metrics()
    worker = Worker(world.wiring, metrics, concurrency=1)

    for number in range(2):
        worker.run_job(hq(world), f"job {number}, attempt 1")

    assert metrics.registry.get_sample_value("usher_runs_total", {"state": "completed"}) == 1
    assert "carl@acme.example" in active_mails(world)


def test_a_job_that_comes_when_the_worker_stops_goes_back_into_the_queue(
    world: Administration, clock: HandClock
) -> None:
    clock.advance(minutes=2)
    worker = Worker(world.wiring, Metrics(), concurrency=1)
    worker._runner.stop()

    with pytest.raises(RunStoppedError):
        worker.run_job(hq(world), "job 1, attempt 1")
    assert world.wiring.store.directories_due(clock(), 9) == [hq(world)]


def test_a_worker_that_is_to_stop_begins_nothing_anew_when_the_database_is_away(
    world: Administration,
) -> None:
    settings = replace(world.wiring.settings, database_url="postgresql://nobody@127.0.0.1:1/away")
    queue = WorkerQueue(replace(world.wiring, settings=settings), lambda *_: None, concurrency=1)
    queue.stop()

    asyncio.run(asyncio.wait_for(queue.work(), PATIENCE_SECONDS))
    loop = asyncio.new_event_loop()
    again = WorkerQueue(replace(world.wiring, settings=settings), lambda *_: None, concurrency=1)

    async def stopped_meanwhile() -> None:
        work = asyncio.create_task(again.work())
        await asyncio.sleep(0)
        again.stop()
        # It is told of the lost database, and not cancelled.
        await asyncio.wait_for(work, PATIENCE_SECONDS)

    loop.run_until_complete(stopped_meanwhile())
    loop.close()
