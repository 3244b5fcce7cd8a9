"""The ticker: claims due directories and runs them in a few threads, and calls the jobs of `service.jobs`.

Its own jobs are fixed and kept in memory; what is due lies in the database, so that any number of services may share
it. A job that fails is logged and counted, and keeps no other from running.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from provisioning.errors import StaleFenceError
from provisioning.state import Claim as Lease
from service.backchannel import deliver_notices, rotate_signing_keys
from service.jobs import (
    delete_after_retention,
    delete_logged_requests,
    delete_old_runs,
    drain,
    end_what_is_due,
    note_ending_tokens,
)
from service.metrics import Metrics
from service.outside import open_outgoing, resolver
from service.runs import Run, claim_due, run_claimed
from service.sso_jobs import (
    check_domains,
    delete_expired_logins,
    note_ending_certificates,
    refresh_metadata,
)
from service.wiring import Wiring, utc_now

_log = structlog.get_logger("usher.scheduler")
_MISSED_TICKS = 12
_LONGEST_SILENCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    call: Callable[[], object]
    seconds: int
    at_once: bool = True


class _StoppedError(Exception):
    """Ends a run between two batches, because the service stops; the next run goes on from there."""


class Scheduler:
    """Runs from `start` to `stop`. `health` says why it does not do its work; an empty text when it does."""

    def __init__(self, wiring: Wiring, metrics: Metrics) -> None:
        self._wiring = wiring
        self._metrics = metrics
        self._threads = wiring.settings.run_threads
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="usher-run")
        self._running: set[Future[None]] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._last_tick: datetime | None = None
        self._scheduler = BackgroundScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None}
        )

    def start(self) -> None:
        """Begin; what is due already is taken at once."""
        tick_seconds = self._wiring.settings.tick_seconds
        self._last_tick = self._wiring.clock()
        # The scheduler of the library goes by the machine's clock, whatever ours says.
        now = utc_now()
        for job in (
            _Job("tick", self.tick, tick_seconds),
            _Job("end_due", lambda: end_what_is_due(self._wiring), tick_seconds),
            _Job("drain", lambda: drain(self._wiring), 30),
            _Job("retention", lambda: delete_after_retention(self._wiring), 3600),
            _Job("token_notices", lambda: note_ending_tokens(self._wiring), 3600),
            _Job("run_history", lambda: delete_old_runs(self._wiring), 3600),
            _Job("request_log", lambda: delete_logged_requests(self._wiring), 3600),
            _Job("metadata", self._refresh_metadata, 600),
            _Job("domains", lambda: check_domains(self._wiring, resolver(self._wiring.settings)), 60),
            _Job("certificate_notices", lambda: note_ending_certificates(self._wiring), 3600),
            _Job("expired_logins", lambda: delete_expired_logins(self._wiring), 600),
            _Job("logout_notices", lambda: deliver_notices(self._wiring), tick_seconds),
            _Job("signing_keys", lambda: rotate_signing_keys(self._wiring), 3600),
            _Job("checkpoint", self._wiring.database.checkpoint, 300, at_once=False),
        ):
            first = now if job.at_once else now + timedelta(seconds=job.seconds)
            self._scheduler.add_job(
                self._guarded,
                "interval",
                args=[job.name, job.call],
                id=job.name,
                seconds=job.seconds,
                next_run_time=first,
            )
        self._scheduler.start()

    def stop(self) -> None:
        """End: no further job begins, and a run that is under way ends behind its present batch."""
        self._stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def health(self) -> str:
        """Why the scheduler does not do its work; empty when it does."""
        if self._stopping.is_set() or not self._scheduler.running:
            return "the scheduler does not run; restart the service"
        silence = self._wiring.clock() - (self._last_tick or self._wiring.clock())
        allowed = max(_LONGEST_SILENCE, _MISSED_TICKS * timedelta(seconds=self._wiring.settings.tick_seconds))
        if silence > allowed:
            return f"the scheduler has not ticked for {int(silence.total_seconds())} s; the log says why"
        return ""

    def tick(self) -> int:
        """Claim as many due directories as there are threads free, and run them; how many."""
        with self._lock:
            self._running = {future for future in self._running if not future.done()}
            free = self._threads - len(self._running)
        leases = claim_due(self._wiring, limit=free) if free > 0 and not self._stopping.is_set() else []
        for lease in leases:
            future = self._pool.submit(self._guarded, "run", partial(self._run, lease))
            with self._lock:
                self._running.add(future)
        self._last_tick = self._wiring.clock()
        return len(leases)

    def wait_for_runs(self) -> None:
        """Wait until the runs that are under way have ended."""
        with self._lock:
            running = list(self._running)
        for future in running:
            future.result()

    def _refresh_metadata(self) -> None:
        with open_outgoing(self._wiring.settings) as outgoing:
            refresh_metadata(self._wiring, outgoing)

    def _guarded(self, name: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - the worker loop: an error of one job must not end the others
            self._metrics.job_failures.labels(name).inc()
            _log.exception("job failed", job=name)

    def _run(self, lease: Lease) -> None:
        try:
            self._report(run_claimed(self._wiring, lease, progress=self._check_stopping))
        except StaleFenceError as error:
            _log.info("run overtaken", directory=lease.directory_id, reason=str(error))
        except _StoppedError:
            _log.info("run cut short, the next one goes on", directory=lease.directory_id)

    def _check_stopping(self, _done: int, _total: int) -> None:
        if self._stopping.is_set():
            raise _StoppedError

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
            state=record.state,
            reason=record.reason,
            plan_hash=record.plan_hash,
            counters=told,
        )
