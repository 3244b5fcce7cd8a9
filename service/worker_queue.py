"""Runs as jobs of procrastinate, on PostgreSQL: the one module that knows the library.

A job says only "read directory X if it is due". What is due, how far it was read, and who may write lies in our own
tables: a job that comes twice finds the lease taken, or nothing due, and ends; a job that is lost is made again by
the next tick. The jobs of a directory bear its id as their lock (one runs) and as their queueing lock (one waits).
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
from procrastinate import (
    App,
    BaseConnector,
    BaseRetryStrategy,
    JobContext,
    PsycopgConnector,
    RetryDecision,
    SyncPsycopgConnector,
)
from procrastinate.exceptions import AlreadyEnqueued, ProcrastinateException, UniqueViolation
from procrastinate.jobs import Job, Status

from directory.ids import DirectoryId
from service.dispatch import RunStoppedError
from service.settings import Settings
from service.wiring import Wiring
from storage.job_queue import recovery_turn

QUEUE = "usher"
RUN_DIRECTORY = "run_directory"
_DUE_AT_ONCE = 500
_CONNECT_SECONDS = 10
_DEFERRING_CONNECTIONS = 2
_WORKER_CONNECTIONS = 4
_ABORTS_SECONDS = 60.0
_PATIENCE_SECONDS = 5
# Long past by the clock of every machine: the library compares it with the database's.
_AT_ONCE = datetime(2000, 1, 1, tzinfo=UTC)

T = TypeVar("T")
RunJob = Callable[[DirectoryId, str], None]
"""Reads a directory, under the name that its lease bears."""

_log = structlog.get_logger("usher.jobs")


class _Resume(BaseRetryStrategy):
    """A run that was cut short by its worker's end goes back into the queue; nothing else does."""

    def get_retry_decision(
        self,
        *,
        exception: BaseException,
        job: Job,  # noqa: ARG002 - the signature is the library's
    ) -> RetryDecision | None:
        return RetryDecision(retry_at=_AT_ONCE) if isinstance(exception, RunStoppedError) else None


def make_app(connector: BaseConnector, run: RunJob) -> App:
    """The library's application. Its task has a name of its own, whichever module is the program's main one."""
    app = App(connector=connector)

    @app.task(name=RUN_DIRECTORY, queue=QUEUE, pass_context=True, retry=_Resume())
    def run_directory(context: JobContext, directory: str) -> None:
        run(DirectoryId(directory), lease_owner(context.job))

    return app


def lease_owner(job: Job) -> str:
    """The name of a job's lease. It differs with each attempt: what is said of one is not said of the next."""
    return f"job {job.id}, attempt {job.attempts + 1}"


class QueueDispatcher:
    """Puts due directories into the queue that workers take from. One that waits there already is left alone."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._connector = SyncPsycopgConnector(**_pool(wiring.settings, _DEFERRING_CONNECTIONS))
        self._jobs = App(connector=self._connector).job_manager

    def dispatch(self) -> int:
        due = self._wiring.store.directories_due(self._wiring.clock(), _DUE_AT_ONCE)
        if not due:
            return 0
        self._connector.open()
        waiting = {job.lock for job in self._jobs.list_jobs(queue=QUEUE, status=Status.TODO.value)}
        return self._defer([one for one in due if one not in waiting])

    def stop(self) -> None:
        """What lies in the queue is for others."""

    def close(self) -> None:
        self._connector.close()

    def _defer(self, directories: Sequence[DirectoryId]) -> int:
        """Put all into the queue by one statement: one by one takes 25 times as long."""
        if not directories:
            return 0
        try:
            self._jobs.batch_defer_jobs([_job(one) for one in directories])
        except AlreadyEnqueued:
            # Another tick was quicker with some of them, and the library then refuses all.
            if len(directories) == 1:
                return 0
            middle = len(directories) // 2
            return self._defer(directories[:middle]) + self._defer(directories[middle:])
        return len(directories)


def _job(directory_id: DirectoryId) -> Job:
    return Job(
        queue=QUEUE,
        task_name=RUN_DIRECTORY,
        lock=directory_id,
        queueing_lock=directory_id,
        task_kwargs={"directory": directory_id},
    )


class WorkerQueue:
    """The queue as one worker process has it. Used by one event loop, but for `recover`."""

    def __init__(self, wiring: Wiring, run: RunJob, *, concurrency: int) -> None:
        self._wiring = wiring
        self._concurrency = concurrency
        self._run = run
        self._in_hand: set[str] = set()
        self._is_stopping = False
        connector = PsycopgConnector(**_pool(wiring.settings, _WORKER_CONNECTIONS))
        self._app = make_app(connector, self._run_noted)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def work(self) -> None:
        """Take jobs until cancelled; then no further one is taken, and those under way are waited for.

        A database that goes away ends nothing: the worker begins anew as soon as it is back, before `stop`.
        """
        settings = self._wiring.settings
        heartbeat = float(settings.worker_heartbeat_seconds)
        while not self._is_stopping:
            try:
                async with self._app.open_async():
                    self._loop = asyncio.get_running_loop()
                    await self._app.run_worker_async(
                        queues=[QUEUE],
                        concurrency=self._concurrency,
                        # Our own tables tell what was done.
                        delete_jobs="always",
                        install_signal_handlers=False,
                        update_heartbeat_interval=heartbeat,
                        stalled_worker_timeout=float(settings.worker_stalled_seconds),
                        # New jobs are announced; those that are tried again are not.
                        fetch_job_polling_interval=heartbeat,
                        abort_job_polling_interval=_ABORTS_SECONDS,
                    )
                if not self._is_stopping:
                    _log.warning("worker lost the database, and begins anew")
            except ProcrastinateException as error:
                _log.warning("worker lost the database, and begins anew", reason=str(error))
            finally:
                self._loop = None
            await asyncio.sleep(heartbeat)

    def stop(self) -> None:
        """Begin nothing anew: a cancellation alone may be lost where a lost database is told of just then."""
        self._is_stopping = True

    def recover(self) -> int:
        """Put the jobs of workers that have fallen silent back into the queue; how many. Not for the loop's thread.

        The library does not do it by itself. The lease of such a job ends with it: should its worker live after all,
        what it still writes is refused by the fence.
        """
        loop = self._loop
        if loop is None:
            return 0

        def call(coroutine: Coroutine[Any, Any, T]) -> T:
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result(_PATIENCE_SECONDS)

        with recovery_turn(self._wiring.database) as is_ours:
            if not is_ours:
                return 0
            silence = float(self._wiring.settings.worker_stalled_seconds)
            jobs = self._app.job_manager
            stalled = call(jobs.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=silence))
            revived = 0
            for job in stalled:
                owner = lease_owner(job)
                # This process lives, however late its heartbeats come.
                if owner in self._in_hand or not self._wiring.store.release_owner(
                    DirectoryId(str(job.lock)), owner
                ):
                    continue
                call(self._revive(job))
                _log.warning("worker died, its job goes on elsewhere", directory=job.lock, lease=owner)
                revived += 1
            return revived

    def _run_noted(self, directory_id: DirectoryId, owner: str) -> None:
        self._in_hand.add(owner)
        try:
            self._run(directory_id, owner)
        finally:
            self._in_hand.discard(owner)

    async def _revive(self, job: Job) -> None:
        try:
            await self._app.job_manager.retry_job(job, retry_at=_AT_ONCE)
        except UniqueViolation:
            # The directory waits in the queue once more already: that job stands for this one.
            await self._app.job_manager.finish_job(job, Status.FAILED, delete_job=True)


def _pool(settings: Settings, connections: int) -> dict[str, Any]:
    return {
        "conninfo": settings.database_url,
        "kwargs": {"connect_timeout": _CONNECT_SECONDS},
        # None are opened before they are needed: a database that is away is told of by the library's own errors.
        "min_size": 0,
        "max_size": connections,
        "timeout": float(_PATIENCE_SECONDS),
        "name": "usher-jobs",
    }
