"""How streams are, for whoever watches the service: figures by kind and state, and what the doctor says of each."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from shlex import quote
from typing import Final, NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from directory.ids import OrganisationId
from provisioning.stream_settings import PULL
from provisioning.streaming import ACTIVE, ERROR, LIVE, PAUSED, Lag, StoredStream
from service.wiring import Wiring
from storage.host_webhooks import SQLHostWebhookStore
from storage.stream_health import stream_health
from streams.engine import TELL_AFTER

LONGEST_LAG: Final = timedelta(minutes=15)
"""A stream that is further behind needs somebody to look."""


class StreamTrouble(NamedTuple):
    """One stream that somebody should look at. `is_stopped`: it will not go on by itself."""

    about: str
    text: str
    remedy: str
    is_stopped: bool = False


class StreamFigures(Collector):
    """Figures of all streams, read when they are asked for. Kinds and states are few, whatever customers add."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def collect(self) -> Iterator[Metric]:
        labels = ["kind", "state"]
        count = GaugeMetricFamily("usher_streams", "Streams, and webhooks to hosts.", labels=labels)
        events = GaugeMetricFamily(
            "usher_stream_lag_events", "Sealed events that wait to be sent.", labels=labels
        )
        seconds = GaugeMetricFamily(
            "usher_stream_lag_seconds", "How long the first of them has been sealed.", labels=labels
        )
        now = self._wiring.clock()
        for one in stream_health(self._wiring.database):
            named = [one.kind, one.state]
            count.add_metric(named, one.streams)
            events.add_metric(named, one.lag_events)
            seconds.add_metric(named, lag_seconds(one.since, now))
        yield from (count, events, seconds)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: it would read the database while the application is being put together."""
        return ()


def lag_seconds(since: datetime | None, now: datetime) -> float:
    """How long the first event that waits has been sealed."""
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)


def find_stream_troubles(wiring: Wiring) -> Iterator[StreamTrouble]:
    """Every stream and webhook that has stopped, does not get through, or is far behind."""
    now = wiring.clock()
    for organisation in wiring.store.organisations():
        with wiring.unit_of_work(organisation.organisation_id).read() as reader:
            lanes = {lane.stream_id: lane for lane in reader.streams.lanes() if lane.track == LIVE}
            found = [
                (one, lanes[one.stream_id], reader.streams.lag(lanes[one.stream_id]))
                for one in reader.streams.streams()
            ]
        for one, lane, lag in found:
            about = f"stream '{one.name}' of '{organisation.name}'"
            remedy = f"usher stream resume {quote(one.name)} -o {quote(organisation.name)}"
            yield from _judge(one, about, remedy, lag, lane.attempts, lane.trouble, now)
    hosts = SQLHostWebhookStore(wiring.database)
    for webhook in hosts.webhooks():
        progress = hosts.progress(webhook.webhook_id)
        yield from _judge(
            webhook.as_stream(OrganisationId("")),
            f"webhook '{webhook.name}'",
            f"usher webhook resume {quote(webhook.name)}",
            Lag(progress.lag_events, progress.since),
            progress.attempts,
            progress.trouble,
            now,
        )


def _judge(
    one: StoredStream, about: str, resume: str, lag: Lag, attempts: int, trouble: str, now: datetime
) -> Iterator[StreamTrouble]:
    behind = timedelta(seconds=lag_seconds(lag.since, now))
    waiting = f"{lag.events} events wait, the first for {int(behind.total_seconds() // 60)} min"
    if one.state == ERROR:
        yield StreamTrouble(
            about, f"stopped: {one.reason}; {waiting}", f"mend what it says, then '{resume}'", is_stopped=True
        )
    elif one.state == PAUSED and lag.events:
        yield StreamTrouble(about, f"is paused; {waiting}", f"'{resume}' before the retention overtakes it")
    elif one.state == ACTIVE and attempts >= TELL_AFTER:
        yield StreamTrouble(
            about, f"does not get through ({trouble}); {waiting}", "look at the destination; it is tried on"
        )
    elif behind > LONGEST_LAG and one.kind != PULL:
        yield StreamTrouble(
            about, f"is behind: {waiting}", "is the service running, and the destination quick enough?"
        )
    elif behind > LONGEST_LAG:
        yield StreamTrouble(about, f"is not fetched: {waiting}", "does its reader still run?")
