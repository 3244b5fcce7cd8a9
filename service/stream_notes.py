"""What deliveries meet with: told to the log of the organisation, to the process's log lines and to its figures."""

import structlog

from audit.actors import SystemActor
from directory.changes import Change
from directory.stream_changes import NoteDeadLetter, NoteStreamFailed, NoteStreamRecovered, NoteStreamStuck
from provisioning.streaming import StoredStream
from service.administration import Administration
from service.errors import RefusedError
from service.metrics import Metrics
from service.wiring import Wiring
from streams.engine import Dead
from streams.outcomes import Outcome, Verdict
from streams.records import Batch

_log = structlog.get_logger("usher.streams")


def count_attempt(metrics: Metrics, stream: StoredStream, batch: Batch, outcome: Outcome) -> None:
    """Add one attempt to the figures of its kind of stream."""
    metrics.stream_batches.labels(stream.kind, outcome.verdict.value).inc()
    if outcome.verdict is Verdict.TAKEN:
        metrics.stream_events.labels(stream.kind).inc(len(batch.events))


class StreamNotes:
    """`streams.delivery.Notes` for the streams of organisations."""

    def __init__(self, wiring: Wiring, metrics: Metrics) -> None:
        self._wiring = wiring
        self._metrics = metrics

    def tried(self, stream: StoredStream, batch: Batch, outcome: Outcome) -> None:
        count_attempt(self._metrics, stream, batch, outcome)

    def dead(self, stream: StoredStream, dead: Dead) -> None:
        self._metrics.stream_dead_letters.labels(stream.kind).inc()
        self._say(stream, NoteDeadLetter(stream.stream_id, dead.leaf_index, dead.event_id, dead.reason))

    def failed(self, stream: StoredStream, reason: str) -> None:
        tell_failed(stream, reason)
        self._say(stream, NoteStreamFailed(stream.stream_id, reason))

    def stuck(self, stream: StoredStream, trouble: str) -> None:
        tell_stuck(stream, trouble)
        self._say(stream, NoteStreamStuck(stream.stream_id, trouble))

    def recovered(self, stream: StoredStream) -> None:
        tell_recovered(stream)
        self._say(stream, NoteStreamRecovered(stream.stream_id))

    def _say(self, stream: StoredStream, change: Change) -> None:
        administration = Administration(
            self._wiring, stream.organisation_id, SystemActor("streams"), kind="system"
        )
        try:
            administration.apply([change])
        except RefusedError as error:
            _log.info("stream has gone", organisation=stream.organisation_id, reason=str(error))


def tell_failed(stream: StoredStream, reason: str) -> None:
    """That a stream has stopped, and that somebody must look."""
    _log.error("stream stopped", **_named(stream), reason=reason)


def tell_stuck(stream: StoredStream, trouble: str) -> None:
    """That a stream has not got through for some minutes."""
    _log.warning("stream does not get through", **_named(stream), trouble=trouble)


def tell_recovered(stream: StoredStream) -> None:
    """That it gets through again."""
    _log.info("stream gets through again", **_named(stream))


def _named(stream: StoredStream) -> dict[str, str]:
    return {
        "organisation": stream.organisation_id,
        "stream": stream.stream_id,
        "kind": stream.kind,
        "host": stream.host,
    }
