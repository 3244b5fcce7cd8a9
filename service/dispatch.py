"""Who reads the directories that are due: this process, or workers. Either way a run is claimed by lease and fence in
the database, and `Runner` runs it; nothing else keeps two runs of one directory apart.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Protocol

import structlog

from provisioning.errors import StaleFenceError
from provisioning.state import Claim as Lease
from service.metrics import Metrics
from service.runs import Run, claim_due, run_claimed
from service.wiring import Wiring

_log = structlog.get_logger("usher.runs")


class Dispatcher(Protocol):
    """Where due directories go."""

    def dispatch(self) -> int:
        """Hand out what is due; how many directories. Called now and then, by any number of processes."""

    def stop(self) -> None:
        """Hand out nothing more. A run of this process that is under way ends behind its present page or batch."""

    def close(self) -> None:
        """Wait for such runs. No call of `dispatch` may be under way."""


class RunStoppedError(Exception):
    """Ends a run between two batches, because the process stops; the next run goes on from there."""


def guarded(metrics: Metrics, name: str, call: Callable[[], object]) -> None:
    """Call a job; one that fails is logged and counted, and keeps no other from running."""
    try:
        call()
    except Exception:  # noqa: BLE001 - the worker loop: an error of one job must not end the others
        metrics.job_failures.labels(name).inc()
        _log.exception("job failed", job=name)


class Runner:
    """Runs claimed directories, in whichever thread calls, and tells the log and the metrics of it."""

    def __init__(self, wiring: Wiring, metrics: Metrics) -> None:
        self._wiring = wiring
        self._metrics = metrics
        self._stopping = threading.Event()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Let runs end behind their present page or batch."""
        self._stopping.set()

    def run(self, lease: Lease) -> bool:
        """Run the directory that is held and give it back; False when it was cut short and must go on elsewhere."""
        try:
            run = run_claimed(
                self._wiring, lease, progress=lambda *_: self._check_stopping(), check=self._check_stopping
            )
            self._report(run)
        except StaleFenceError as error:
            _log.info("run overtaken", directory=lease.directory_id, reason=str(error))
        except RunStoppedError:
            _log.info("run cut short, the next one goes on", directory=lease.directory_id)
            return False
        return True

    def _check_stopping(self) -> None:
        if self.is_stopping:
            raise RunStoppedError

    def _report(self, run: Run) -> None:
        record = run.record
        self._metrics.runs.labels(record.state).inc()
        self._metrics.events.inc(record.counters.get("events", 0))
        told = {key: number for key, number in record.counters.items() if number}
        is_idle = record.started_event is None and record.state == "completed"
        level = "debug" if is_idle else "info" if record.state == "completed" else "warning"
        getattr(_log, level)(
            "run",
            directory=record.directory_id,
            run=record.run_id,
            fence=record.fence,
            state=record.state,
            reason=record.reason,
            plan_hash=record.plan_hash,
            counters=told,
        )


class LocalDispatcher:
    """Runs what is due in a few threads of this process; no more is claimed than can begin at once."""

    def __init__(self, wiring: Wiring, metrics: Metrics) -> None:
        self._wiring = wiring
        self._metrics = metrics
        self._runner = Runner(wiring, metrics)
        self._threads = wiring.settings.run_threads
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="usher-run")
        self._running: set[Future[None]] = set()
        self._lock = threading.Lock()

    def dispatch(self) -> int:
        """Claim as many due directories as there are threads free, and run them; how many."""
        with self._lock:
            self._running = {future for future in self._running if not future.done()}
            free = self._threads - len(self._running)
        leases = claim_due(self._wiring, limit=free) if free > 0 and not self._runner.is_stopping else []
        for lease in leases:
            future = self._pool.submit(guarded, self._metrics, "run", partial(self._runner.run, lease))
            with self._lock:
                self._running.add(future)
        return len(leases)

    def stop(self) -> None:
        self._runner.stop()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def wait(self) -> None:
        """Wait until the runs that are under way have ended."""
        with self._lock:
            running = list(self._running)
        for future in running:
            future.result()
