"""Log streams as this process sends them: who has something to do is looked for, and a few threads do it.

Any number of processes may do so at once: a delivery is held by a lease, and what an old fence writes is refused.
"""

import os
import random
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Final

import structlog

from audit.actors import ApiKeyActor, SystemActor
from audit.events import FieldChange, Target
from directory.changes import Change
from directory.ids import OrganisationId, StreamId
from directory.stream_changes import NoteDeadLetter, NoteStreamFailed
from provisioning.ledger import Ledger
from provisioning.stream_settings import PULL, STREAM_KINDS
from provisioning.streaming import LIVE, DueLane, HeldLane, Lane, StoredStream
from service.administration import Administration
from service.dispatch import guarded
from service.errors import InputError, RefusedError
from service.metrics import Metrics
from service.outside import guarded_targets, open_outgoing
from service.wiring import Wiring
from storage.streams import SQLStreamStore
from streams.breaker import Breakers
from streams.delivery import LEASE, Delivery
from streams.destinations import Destinations
from streams.engine import Dead
from streams.outcomes import Outcome, Verdict
from streams.records import Batch, ProbeRecord
from web.outgoing import Outgoing

PUMP_SECONDS: Final = 1
"""How often it is looked for what is due: so long events are gathered into a batch."""

_THREADS: Final = 16
_MOST_DUE: Final = 400

_log = structlog.get_logger("usher.streams")


class StreamNotes:
    """Writes into the log what deliveries meet with."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def dead(self, organisation_id: OrganisationId, stream_id: StreamId, dead: Dead) -> None:
        """The event was left out."""
        self._say(organisation_id, NoteDeadLetter(stream_id, dead.leaf_index, dead.event_id, dead.reason))

    def failed(self, organisation_id: OrganisationId, stream_id: StreamId, reason: str) -> None:
        """The stream has stopped."""
        _log.warning("stream stopped", organisation=organisation_id, stream=stream_id, reason=reason)
        self._say(organisation_id, NoteStreamFailed(stream_id, reason))

    def _say(self, organisation_id: OrganisationId, change: Change) -> None:
        administration = Administration(self._wiring, organisation_id, SystemActor("streams"), kind="system")
        try:
            administration.apply([change])
        except RefusedError as error:
            _log.info("stream has gone", organisation=organisation_id, reason=str(error))


class StreamSender:
    """Sends for one process. `pump` is the job; `stop` and `close` end it."""

    def __init__(
        self, wiring: Wiring, metrics: Metrics, *, owner: str | None = None, lease: timedelta = LEASE
    ) -> None:
        self._wiring = wiring
        self._metrics = metrics
        self._store = SQLStreamStore(wiring.database)
        self._outgoing = open_outgoing(wiring.settings)
        self._breakers = Breakers(monotonic)
        self._stopping = threading.Event()
        self._busy: set[tuple[StreamId, str]] = set()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="usher-stream")
        self._delivery = Delivery(
            self._store,
            make_destinations(wiring, self._outgoing).open,
            StreamNotes(wiring),
            clock=wiring.clock,
            chance=random.random,
            owner=owner or f"{socket.gethostname()}:{os.getpid()}:{wiring.mint.id()[-12:]}",
            lease=lease,
        )

    def pump(self) -> int:
        """Begin what is due, as far as threads and receivers allow; how many deliveries."""
        begun = 0
        for due in self._store.due(self._wiring.clock(), _MOST_DUE):
            if self._stopping.is_set():
                break
            if self._enter(due):
                begun += 1
                self._pool.submit(guarded, self._metrics, "stream", partial(self._deliver, due))
        return begun

    def wait(self) -> None:
        """Wait for what has begun; nothing more can be begun then."""
        self._pool.shutdown(wait=True)

    def stop(self) -> None:
        """Let deliveries end behind their present batch."""
        self._stopping.set()

    def close(self) -> None:
        """Wait for them, and close the connections."""
        self._stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._outgoing.close()

    def _enter(self, due: DueLane) -> bool:
        key = (due.stream_id, due.track)
        with self._lock:
            if key in self._busy or len(self._busy) >= _THREADS or not self._breakers.enter(due.host):
                return False
            self._busy.add(key)
            return True

    def _deliver(self, due: DueLane) -> None:
        outcome: Outcome | None = None
        try:
            outcome = self._delivery.deliver(due, is_stopping=self._stopping.is_set)
        finally:
            has_failed = None if outcome is None else outcome.verdict is Verdict.LATER
            self._breakers.leave(due.host, has_failed=has_failed)
            with self._lock:
                self._busy.discard((due.stream_id, due.track))


def note_pull(wiring: Wiring) -> Callable[[StoredStream, int], None]:
    """Writes into the log that a pull stream was fetched."""

    def note(stream: StoredStream, after: int) -> None:
        administration = Administration(
            wiring, stream.organisation_id, ApiKeyActor(stream.stream_id), kind="api_request"
        )
        administration.record(
            "log.read",
            (FieldChange("query", None, "pull"), FieldChange("first", None, after + 1)),
            [Target("stream", stream.stream_id)],
        )

    return note


def make_destinations(wiring: Wiring, outgoing: Outgoing) -> Destinations:
    """Where streams of this service go, over one way out."""
    return Destinations(
        outgoing, guarded_targets(wiring.settings), wiring.clock, hostname=socket.gethostname() or "usher"
    )


def probe_stream(administration: Administration, stream: StoredStream) -> Outcome:
    """Write a real event and send it ahead of its place in the log; what came back.

    Once it is sealed, the event comes again with its position, as every other.
    """
    if stream.kind == PULL:
        raise InputError(["nothing is sent to a pull stream; fetch from it with its token"])
    wiring = administration.wiring
    ledger = Ledger(
        organisation_id=administration.organisation_id,
        actor=administration.actor,
        now=wiring.clock(),
        mint=wiring.mint,
        kind=administration.kind,
    )
    ledger.record(
        "stream.tested", (Target("stream", stream.stream_id),), (FieldChange("name", None, stream.name),)
    )
    with administration.unit_of_work.write() as writer:
        writer.append_events(ledger.rows)
        secrets = writer.streams.secrets(stream.stream_id, STREAM_KINDS[stream.kind].secrets)
    (event,) = ledger.rows
    lane = Lane(stream.stream_id, stream.organisation_id, LIVE, 0, event.time)
    batch = Batch(stream.stream_id, (ProbeRecord(event.body, event.event_id, event.time),))
    with open_outgoing(wiring.settings) as outgoing:
        destination = make_destinations(wiring, outgoing).make(HeldLane(lane, stream, secrets))
        return destination.send(batch)
