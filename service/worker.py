"""One worker process: takes directories from the queue and reads them. It ticks like a service, and serves nobody."""

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from directory.ids import DirectoryId
from provisioning.runs import LEASE
from service.dispatch import Runner, RunStoppedError, guarded
from service.errors import SettingsError
from service.metrics import Metrics
from service.scheduler import ScheduledJob, Scheduler
from service.settings import Settings
from service.wiring import Wiring
from service.worker_queue import QueueDispatcher, WorkerQueue

_PATIENCE_SECONDS = 20

_log = structlog.get_logger("usher.worker")


def check_workers_fit(settings: Settings) -> None:
    """Raises SettingsError where the database does not serve workers."""
    if settings.is_on_sqlite:
        raise SettingsError(
            [
                "workers need PostgreSQL: SQLite serves one process, and 'usher serve' does all the work there; "
                "set USHER_DATABASE_URL=postgresql://... to move, or leave 'usher worker' out"
            ]
        )


class Worker:
    """Works until SIGTERM or SIGINT. `concurrency` directories are read at the same time, each in a thread."""

    def __init__(self, wiring: Wiring, metrics: Metrics, *, concurrency: int) -> None:
        self._wiring = wiring
        self._metrics = metrics
        self._concurrency = concurrency
        self._runner = Runner(wiring, metrics)
        self._queue = WorkerQueue(wiring, self.run_job, concurrency=concurrency)
        recovery = ScheduledJob("recovery", self._queue.recover, wiring.settings.worker_recovery_seconds)
        self._scheduler = Scheduler(wiring, metrics, QueueDispatcher(wiring), further=[recovery])

    def run(self, *, when_ready: Callable[[], None] = lambda: None) -> None:
        """Work until told to stop: runs under way then give their directories back within a page or a batch."""
        asyncio.run(self._main(when_ready))

    def run_job(self, directory_id: DirectoryId, owner: str) -> None:
        """Read a directory that the queue names, if it is due and nobody else has it.

        Raises: RunStoppedError when it was cut short and must go on elsewhere.
        """
        finished = True

        def claim_and_run() -> None:
            nonlocal finished
            now = self._wiring.clock()
            lease = self._wiring.store.claim(directory_id, owner, now, now + LEASE, only_due=True)
            if lease is None:
                _log.debug("not due, or with another run", directory=directory_id)
            else:
                finished = self._runner.run(lease)

        if self._runner.is_stopping:
            raise RunStoppedError
        guarded(self._metrics, "run", claim_and_run)
        if not finished:
            raise RunStoppedError

    async def _main(self, when_ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        # The library runs each job in a thread of the loop's own, and there are only a few of them by default.
        loop.set_default_executor(ThreadPoolExecutor(self._concurrency, thread_name_prefix="usher-run"))
        work = asyncio.create_task(self._queue.work())

        def stop() -> None:
            # A second signal must not break off what the first one has begun.
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, lambda: None)
            _log.info("stopping")
            self._runner.stop()
            self._queue.stop()
            work.cancel()
            # Whoever still waits by then waits in vain; what is left undone, another worker takes over.
            loop.call_later(_PATIENCE_SECONDS, work.cancel)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        self._scheduler.start()
        _log.info("working", concurrency=self._concurrency, database=self._wiring.database.address)
        when_ready()
        try:
            await work
        except asyncio.CancelledError:
            pass
        finally:
            await asyncio.to_thread(self._scheduler.stop)
