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

from service.dispatch import Dispatcher, LocalDispatcher, guarded
from service.jobs import (
    delete_after_retention,
    delete_logged_requests,
    delete_old_runs,
    drain,
    end_what_is_due,
    note_ending_tokens,
)
from service.metrics import Metrics
from service.settings import WORKERS
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
    seconds: int
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
            ScheduledJob("streams", self._streams.pump, PUMP_SECONDS),
            ScheduledJob("drain", lambda: drain(self._wiring), 30),
            ScheduledJob("retention", lambda: delete_after_retention(self._wiring), 3600),
            ScheduledJob("token_notices", lambda: note_ending_tokens(self._wiring), 3600),
            ScheduledJob("run_history", lambda: delete_old_runs(self._wiring), 3600),
            ScheduledJob("request_log", lambda: delete_logged_requests(self._wiring), 3600),
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
