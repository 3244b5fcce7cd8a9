"""Figures for Prometheus: requests as they come, the state of organisations when it is asked for."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from provisioning.queries import seat_report
from provisioning.state import UNLIMITED, OrganisationState, RunRecord
from service.settings import WORKERS
from service.wiring import Wiring
from storage.job_queue import queue_figures


class Metrics:
    """What this process counts. One registry for each application, so that two in a process stay apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "usher_http_requests",
            "Requests answered.",
            ["method", "endpoint", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "usher_http_request_seconds", "Time to answer a request.", ["endpoint"], registry=self.registry
        )
        # A child that is looked up anew costs more than counting: both sets of labels are small and closed.
        self._requests: dict[tuple[str, str, int], Counter] = {}
        self._request_seconds: dict[str, Histogram] = {}
        self.runs = Counter(
            "usher_runs", "Directory runs that ended in this process.", ["state"], registry=self.registry
        )
        self.events = Counter(
            "usher_run_events", "Audit events written by runs of this process.", registry=self.registry
        )
        self.scim_log_dropped = Counter(
            "usher_scim_log_dropped", "SCIM requests that could not be logged.", registry=self.registry
        )
        self.stream_batches = Counter(
            "usher_stream_batches",
            "Batches sent by streams of this process, by what came back.",
            ["kind", "verdict"],
            registry=self.registry,
        )
        self.stream_events = Counter(
            "usher_stream_events",
            "Events that destinations of streams have taken from this process.",
            ["kind"],
            registry=self.registry,
        )
        self.stream_dead_letters = Counter(
            "usher_stream_dead_letters",
            "Events that destinations of streams did not take, and that were left out.",
            ["kind"],
            registry=self.registry,
        )
        self.job_failures = Counter(
            "usher_job_failures", "Scheduled jobs that ended by an error.", ["job"], registry=self.registry
        )

    def count_request(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """Count one answer. Methods and endpoints must be of a closed set, or the figures grow without end."""
        counter = self._requests.get((method, endpoint, status))
        if counter is None:
            counter = self._requests[method, endpoint, status] = self.requests.labels(
                method, endpoint, str(status)
            )
        counter.inc()
        histogram = self._request_seconds.get(endpoint)
        if histogram is None:
            histogram = self._request_seconds[endpoint] = self.request_seconds.labels(endpoint)
        histogram.observe(seconds)


class OrganisationFigures(Collector):
    """Reads the figures of every organisation when it is asked, from the database that all processes share."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def collect(self) -> Iterator[Metric]:
        wiring = self._wiring
        now = wiring.clock()
        organisations = wiring.store.organisations()
        yield from self._seats(organisations)
        yield from self._directories(organisations, now)
        counts = wiring.store.row_counts()
        pending = GaugeMetricFamily("usher_pending_members", "Members whose access must be worked out.")
        pending.add_metric([], counts["pending_member"])
        yield pending
        events = CounterMetricFamily("usher_audit_events", "Audit events in the database.")
        events.add_metric([], counts["audit_event"])
        yield events
        if wiring.settings.jobs == WORKERS:
            yield from self._workers()

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: it would read the database while the application is being put together."""
        return ()

    def _workers(self) -> Iterator[Metric]:
        settings = self._wiring.settings
        figures = queue_figures(self._wiring.database, settings.worker_stalled_seconds)
        for name, told, number in (
            ("usher_workers_alive", "Workers that have said lately that they live.", figures.workers),
            ("usher_jobs_running", "Directories that workers have in hand.", figures.running),
            ("usher_jobs_waiting", "Directories that wait for a worker.", figures.waiting),
        ):
            gauge = GaugeMetricFamily(name, told)
            gauge.add_metric([], number)
            yield gauge

    def _seats(self, organisations: list[OrganisationState]) -> Iterator[Metric]:
        occupied = GaugeMetricFamily(
            "usher_seats_occupied", "Seats held or reserved.", labels=["organisation"]
        )
        limit = GaugeMetricFamily(
            "usher_seats_limit", "Seats of the plan; -1 is unlimited.", labels=["organisation"]
        )
        waiting = GaugeMetricFamily(
            "usher_seats_waiting", "People on the waiting list.", labels=["organisation"]
        )
        for state in organisations:
            with self._wiring.unit_of_work(state.organisation_id).read() as reader:
                report = seat_report(reader, shown=0)
            occupied.add_metric([state.name], report.occupied)
            limit.add_metric([state.name], UNLIMITED if report.limit is None else report.limit)
            waiting.add_metric([state.name], report.waiting_count)
        yield from (occupied, limit, waiting)

    def _directories(self, organisations: list[OrganisationState], now: datetime) -> Iterator[Metric]:
        labels = ["organisation", "directory"]
        age = GaugeMetricFamily(
            "usher_directory_last_success_seconds", "Seconds since the last success.", labels=labels
        )
        failures = GaugeMetricFamily("usher_directory_failures", "Failures in a row.", labels=labels)
        lag = GaugeMetricFamily(
            "usher_directory_lag_seconds",
            "Seconds by which the last success is older than the interval.",
            labels=labels,
        )
        speed = GaugeMetricFamily(
            "usher_directory_entries_per_second",
            "Entries that the last run read for each second that it took.",
            labels=labels,
        )
        for state in organisations:
            with self._wiring.unit_of_work(state.organisation_id).read() as reader:
                directories = reader.directories()
                last_runs = {one.directory_id: reader.runs(one.directory_id, 1) for one in directories}
            for directory in directories:
                names = [state.name, directory.name]
                failures.add_metric(names, directory.failures)
                if directory.last_success_at is not None:
                    seconds = (now - directory.last_success_at).total_seconds()
                    age.add_metric(names, seconds)
                    if directory.interval_seconds is not None:
                        lag.add_metric(names, max(0.0, seconds - directory.interval_seconds))
                for run in last_runs[directory.directory_id]:
                    if (reached := entries_per_second(run)) is not None:
                        speed.add_metric(names, reached)
        yield from (age, failures, lag, speed)


def entries_per_second(run: RunRecord) -> float | None:
    """How fast the run went, from its claim to its end; None while it runs, and where it read nothing."""
    if run.finished_at is None or not (seen := run.counters.get("seen", 0)):
        return None
    seconds = (run.finished_at - run.started_at).total_seconds()
    return seen / seconds if seconds > 0 else None
