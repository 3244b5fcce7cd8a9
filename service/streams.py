"""Log streams as this process sends them: who has something to do is looked for, and a few threads do it.

Any number of processes may do so at once: a delivery is held by a lease, and what an old fence writes is refused.
"""

import contextlib
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import zip_longest
from time import monotonic
from typing import Final

from audit.actors import ApiKeyActor
from audit.body import parse_body
from audit.events import FieldChange, Target
from directory.stream_changes import RemoveStream
from provisioning.ledger import Ledger
from provisioning.ports import EventQuery
from provisioning.stream_settings import PULL, STREAM_KINDS
from provisioning.streaming import LIVE, DueLane, HeldLane, Lane, LaneStore, StoredStream
from service.administration import Administration
from service.dispatch import guarded
from service.errors import InputError
from service.host_webhooks import HostWebhookNotes
from service.metrics import Metrics
from service.outside import guarded_targets, open_outgoing
from service.stream_notes import StreamNotes
from service.wiring import Wiring
from storage.covering import find_covering
from storage.host_webhooks import SQLHostWebhookStore
from storage.streams import SQLStreamStore
from streams.breaker import Breakers
from streams.delivery import BATCHES_IN_TURN, LEASE, Delivery, Turn
from streams.destinations import Destinations
from streams.host import HostWebhookSender, measure_for, pick_for
from streams.outcomes import Outcome, Verdict
from streams.posting import Poster
from streams.records import Batch, ProbeRecord
from web.outgoing import Outgoing

PUMP_SECONDS: Final = 1
"""How often it is looked for what is due: so long events are gathered into a batch."""

_THREADS: Final = 16
_OF_ORGANISATION: Final = 8
_MOST_DUE: Final = 400


@dataclass(frozen=True, slots=True)
class Way:
    """One kind of deliveries: where they are kept, and who makes them."""

    store: LaneStore
    delivery: Delivery


class StreamSender:
    """Sends for one process. `pump` is the job; `stop` and `close` end it, and close the way out."""

    def __init__(
        self,
        wiring: Wiring,
        metrics: Metrics,
        *,
        owner: str | None = None,
        lease: timedelta = LEASE,
        outgoing: Outgoing | None = None,
        batches_in_turn: int = BATCHES_IN_TURN,
    ) -> None:
        self._wiring = wiring
        self._metrics = metrics
        self._outgoing = outgoing or open_outgoing(wiring.settings)
        self._breakers = Breakers(monotonic)
        self._stopping = threading.Event()
        self._waiting: list[tuple[DueLane, Delivery]] = []
        self._busy: set[DueLane] = set()
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="usher-stream")
        owner = owner or f"{socket.gethostname()}:{os.getpid()}:{wiring.mint.id()[-12:]}"
        streams = SQLStreamStore(wiring.database)
        to_streams = Delivery(
            streams,
            make_destinations(wiring, self._outgoing).open,
            StreamNotes(wiring, metrics),
            clock=wiring.clock,
            chance=random.random,
            owner=owner,
            lease=lease,
            batches_in_turn=batches_in_turn,
        )
        self._hosts = SQLHostWebhookStore(wiring.database)
        to_hosts = Delivery(
            self._hosts,
            self._open_host,
            HostWebhookNotes(wiring, self._hosts, metrics),
            clock=wiring.clock,
            chance=random.random,
            owner=owner,
            lease=lease,
            pick=pick_for,
            measure=measure_for,
        )
        self._ways = (Way(streams, to_streams), Way(self._hosts, to_hosts))

    def pump(self) -> int:
        """Begin what is due, as far as threads and receivers allow; how many deliveries at once.

        The others follow as those end.
        """
        now = self._wiring.clock()
        self._hosts.include_new(now)
        found = [
            [(due, way.delivery) for due in way.store.due(now, _MOST_DUE)]
            for way in self._ways
            if not self._stopping.is_set()
        ]
        with self._changed:
            self._waiting = [one for turn in zip_longest(*found) for one in turn if one is not None]
            return self._begin()

    def wait(self) -> None:
        """Wait for all that was due when it was looked for, as far as receivers are not spared."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)

    def stop(self) -> None:
        """Let deliveries end behind their present batch."""
        with self._changed:
            self._stopping.set()

    def close(self) -> None:
        """Wait for them, and close the connections."""
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._outgoing.close()

    @contextlib.contextmanager
    def _open_host(self, held: HeldLane) -> Iterator[HostWebhookSender]:
        clock = self._wiring.clock
        yield HostWebhookSender(
            Poster(self._outgoing, clock), clock, held.stream, held.secrets, self._hosts.facts
        )

    def _begin(self) -> int:
        """Begin what there is room for; whoever calls holds the lock."""
        waiting, begun = self._waiting, 0
        self._waiting = []
        for due, delivery in waiting:
            if self._stopping.is_set():
                break
            if not self._enter(due):
                self._waiting.append((due, delivery))
                continue
            begun += 1
            self._pool.submit(guarded, self._metrics, "stream", partial(self._deliver, due, delivery))
        return begun

    def _enter(self, due: DueLane) -> bool:
        of_organisation = sum(one.organisation_id == due.organisation_id for one in self._busy)
        if due in self._busy or len(self._busy) >= _THREADS or of_organisation >= _OF_ORGANISATION:
            return False
        if not self._breakers.enter(due.host):
            return False
        self._busy.add(due)
        return True

    def _deliver(self, due: DueLane, delivery: Delivery) -> None:
        turn = Turn(None)
        try:
            turn = delivery.deliver(due, is_stopping=self._stopping.is_set)
        finally:
            has_failed = None if turn.outcome is None else turn.outcome.verdict is Verdict.LATER
            self._breakers.leave(due.host, has_failed=has_failed)
            with self._changed:
                self._busy.discard(due)
                if turn.has_more:
                    # At once, but behind those that wait.
                    self._waiting.append((due, delivery))
                self._begin()
                self._changed.notify_all()


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
        outgoing,
        guarded_targets(wiring.settings),
        wiring.clock,
        hostname=socket.gethostname() or "usher",
        find_checkpoint=partial(find_covering, wiring.database),
    )


def remove_stream(administration: Administration, stream: StoredStream) -> Outcome | None:
    """Remove a stream, and tell its destination as the last that it is sent; what came back. None: it was fetched.

    The stream is gone whatever comes back. Raises RefusedError.
    """
    wiring = administration.wiring
    with administration.read() as reader:
        secrets = reader.streams.secrets(stream.stream_id, STREAM_KINDS[stream.kind].secrets)
    administration.apply([RemoveStream(stream.stream_id)])
    if stream.kind == PULL:
        return None
    with administration.read() as reader:
        query = EventQuery(action="stream.removed", about=(stream.stream_id,), newest_first=True, limit=1)
        ((_, body),) = reader.events(query)
    event = parse_body(body)
    now = wiring.clock()
    record = ProbeRecord(body, event["id"], now, is_last=True)
    lane = Lane(stream.stream_id, stream.organisation_id, LIVE, 0, now)
    return _send_ahead(wiring, HeldLane(lane, stream, secrets), record)


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
    record = ProbeRecord(event.body, event.event_id, event.time)
    return _send_ahead(wiring, HeldLane(lane, stream, secrets), record)


def _send_ahead(wiring: Wiring, held: HeldLane, record: ProbeRecord) -> Outcome:
    with (
        open_outgoing(wiring.settings) as outgoing,
        make_destinations(wiring, outgoing).open(held) as destination,
    ):
        return destination.send(Batch(held.stream.stream_id, (record,)))
