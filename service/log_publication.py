"""What the sealed log shows to everybody: the latest checkpoint of each log, and figures of the sealer.

A checkpoint says how many events there are and one hash. Whoever keeps one can tell later whether the log was
changed since, so it is given to whoever knows the organisation's id.
"""

from collections.abc import Iterable, Iterator

from flask import Blueprint, Response
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from werkzeug.exceptions import NotFound

from directory.ids import OrganisationId
from provisioning.sealing import HEADS_LOG, SERVICE_LOG
from service.names import is_id
from service.sealer import seal_lag
from service.wiring import Wiring
from storage.sealing import SQLSealing

_NAMED = {"service": SERVICE_LOG, "heads": HEADS_LOG}


def log_blueprint(wiring: Wiring) -> Blueprint:
    """`GET /audit/<organisation id>/checkpoint`; `service` and `heads` are the logs of the service itself."""
    blueprint = Blueprint("audit", __name__)
    sealing = SQLSealing(wiring.database)

    @blueprint.get("/audit/<log>/checkpoint")
    def show_checkpoint(log: str) -> Response:
        if log not in _NAMED and not is_id(log):
            raise NotFound("there is no such log; name it by the organisation's id")
        with sealing.read(_NAMED.get(log) or OrganisationId(log.lower())) as reader:
            checkpoint = reader.checkpoint()
        if checkpoint is None:
            raise NotFound("nothing of this log is sealed yet")
        answer = Response(checkpoint.note, content_type="text/plain; charset=utf-8")
        answer.headers["Cache-Control"] = "no-cache"
        return answer

    return blueprint


class SealFigures(Collector):
    """How far the sealer is, read when it is asked for."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._sealing = SQLSealing(wiring.database)

    def collect(self) -> Iterator[Metric]:
        status = self._sealing.status()
        with self._sealing.read(HEADS_LOG) as heads:
            signed = heads.size()
        gauges: dict[str, tuple[str, float]] = {
            "usher_seal_lag_seconds": (
                "How long the oldest event has waited to be sealed.",
                seal_lag(status, self._wiring.clock()).total_seconds(),
            ),
            "usher_unsealed_events": ("Committed events that are not sealed yet.", status.unsealed),
            "usher_replay_differences": (
                "Differences between the log and the tables that the last nightly check found.",
                status.replay_misfits,
            ),
        }
        for name, (told, value) in gauges.items():
            gauge = GaugeMetricFamily(name, told)
            gauge.add_metric([], value)
            yield gauge
        checkpoints = CounterMetricFamily("usher_checkpoints", "Checkpoints signed, of all logs.")
        checkpoints.add_metric([], signed)
        yield checkpoints

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: it would read the database while the application is being put together."""
        return ()
