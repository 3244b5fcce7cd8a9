"""The ticker: hands due directories to whoever reads them, and calls the jobs of `service.jobs`.

Its own jobs are fixed and kept in memory; what is due lies in the database, so that any number of services and
workers may share it. A job that fails is logged and counted, and keeps no other from running. What two of them do at
once is done once: each writes under the organisation's lock, and looks there whether it is still to be done.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler

from service.backchannel import deliver_notices, rotate_signing_keys
from service.dispatch import Dispatcher, LocalDispatcher, guarded
from service.jobs import (
    INDEX_SECONDS,
    delete_after_retention,
    delete_logged_requests,
    delete_old_runs,
    drain,
    end_what_is_due,
    index_events,
    note_ending_tokens,
)
from service.log_retention import RETENTION_SECONDS, apply_retention_everywhere
from service.metrics import Metrics
from service.outside import open_outgoing, resolver
from service.replay_check import REPLAY_SECONDS, replay_all
from service.sealer import SEAL_SECONDS, Sealer
from service.settings import WORKERS
from service.sso_jobs import (
    check_domains,
    delete_expired_logins,
    note_ending_certificates,
    refresh_metadata,
)
from service.streams import PUMP_SECONDS, StreamSender
from service.wiring import Wiring, utc_now
from service.worker_queue import QueueDispatcher

_MISSED_TICKS = 12
_LONGEST_SILENCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """What is called again and again."""

    name: str
    call: Callable[[], object]
    seconds: float
    at_once: bool = True


def make_dispatcher(wiring: Wiring, metrics: Metrics) -> Dispatcher:
    """Who reads directories, by the settings."""
    return QueueDispatcher(wiring) if wiring.settings.jobs == WORKERS else LocalDispatcher(wiring, metrics)


class Scheduler:
    """Runs from `start` to `stop`. `health` says why it does not do its work; an empty text when it does.

    `further` are jobs beside those that every process has.
    """

    def __init__(
        self,
        wiring: Wiring,
        metrics: Metrics,
        dispatcher: Dispatcher | None = None,
        *,
        further: Sequence[ScheduledJob] = (),
    ) -> None:
        self._wiring = wiring
        self._metrics = metrics
        self._dispatcher = dispatcher or make_dispatcher(wiring, metrics)
        self._further = tuple(further)
        self._sealer = Sealer(wiring)
        self._streams = StreamSender(wiring, metrics)
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
            ScheduledJob("tick", self.tick, tick_seconds),
            ScheduledJob("end_due", lambda: end_what_is_due(self._wiring), tick_seconds),
            ScheduledJob("seal", self._sealer.seal, SEAL_SECONDS),
            ScheduledJob("search_terms", lambda: index_events(self._wiring), INDEX_SECONDS),
            ScheduledJob("streams", self._streams.pump, PUMP_SECONDS),
            ScheduledJob("drain", lambda: drain(self._wiring), 30),
            ScheduledJob("retention", lambda: delete_after_retention(self._wiring), 3600),
            ScheduledJob("log_retention", self._apply_retention, RETENTION_SECONDS, at_once=False),
            ScheduledJob("token_notices", lambda: note_ending_tokens(self._wiring), 3600),
            ScheduledJob("run_history", lambda: delete_old_runs(self._wiring), 3600),
            ScheduledJob("request_log", lambda: delete_logged_requests(self._wiring), 3600),
            ScheduledJob("metadata", self._refresh_metadata, 600),
            ScheduledJob("domains", lambda: check_domains(self._wiring, resolver(self._wiring.settings)), 60),
            ScheduledJob("certificate_notices", lambda: note_ending_certificates(self._wiring), 3600),
            ScheduledJob("expired_logins", lambda: delete_expired_logins(self._wiring), 600),
            ScheduledJob("logout_notices", lambda: deliver_notices(self._wiring), tick_seconds),
            ScheduledJob("signing_keys", lambda: rotate_signing_keys(self._wiring), 3600),
            ScheduledJob("replay_check", lambda: replay_all(self._wiring), REPLAY_SECONDS, at_once=False),
            ScheduledJob("checkpoint", self._wiring.database.checkpoint, 300, at_once=False),
            *self._further,
        ):
            first = now if job.at_once else now + timedelta(seconds=job.seconds)
            self._scheduler.add_job(
                guarded,
                "interval",
                args=[self._metrics, job.name, job.call],
                id=job.name,
                seconds=job.seconds,
                next_run_time=first,
            )
        self._scheduler.start()

    def stop(self) -> None:
        """End: no further job begins, and a run that is under way ends behind its present page or batch."""
        self._stopping.set()
        self._dispatcher.stop()
        self._streams.stop()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
        self._dispatcher.close()
        guarded(self._metrics, "seal", self._sealer.stop)
        self._streams.close()

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
        """Hand out the directories that are due; how many."""
        number = 0 if self._stopping.is_set() else self._dispatcher.dispatch()
        self._last_tick = self._wiring.clock()
        return number

    def _apply_retention(self) -> None:
        apply_retention_everywhere(self._wiring, self._stopping.is_set)

    def _refresh_metadata(self) -> None:
        with open_outgoing(self._wiring.settings) as outgoing:
            refresh_metadata(self._wiring, outgoing)
