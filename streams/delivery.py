"""Deliveries: whoever holds a lane reads, stores what it is going to send, sends, and stores what came of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from provisioning.ports import Clock
from provisioning.stream_settings import find_rest
from provisioning.streaming import (
    MOST_EVENTS,
    DueLane,
    HeldLane,
    Lane,
    LaneStore,
    SealedCheckpoint,
    SealedEvent,
    SealedLog,
    StoredStream,
)
from streams.engine import Dead, choose_last, decide
from streams.formats import measure_in
from streams.outcomes import Outcome, Verdict
from streams.records import Batch, EventRecord, make_batch

LEASE: Final = timedelta(seconds=90)
"""Longer than any one attempt takes."""

BATCHES_IN_TURN: Final = 20
"""Then it is somebody else's turn."""

_WINDOWS: Final = 20


class Destination(Protocol):
    """Where batches go. It is told nothing but what it is to send."""

    def send(self, batch: Batch) -> Outcome: ...


Open = Callable[[HeldLane], AbstractContextManager[Destination]]

Pick = Callable[[SealedEvent], bool]
"""Whether a stream wants the event. What it does not want moves its position and is not sent."""

Measure = Callable[[SealedEvent], int]
"""How many octets the event takes in a batch."""


class Notes(Protocol):
    """Where it is written down what deliveries meet with. A stream that has gone meanwhile is no matter."""

    def tried(self, stream: StoredStream, batch: Batch, outcome: Outcome) -> None:
        """What came of one attempt."""

    def dead(self, stream: StoredStream, dead: Dead) -> None:
        """The event was left out."""

    def failed(self, stream: StoredStream, reason: str) -> None:
        """The stream has stopped."""

    def stuck(self, stream: StoredStream, trouble: str) -> None:
        """The destination has not taken a batch for some minutes."""

    def recovered(self, stream: StoredStream) -> None:
        """It takes them again."""


class Turn(NamedTuple):
    """What came of a turn: the last outcome, None when nothing was sent, and whether it ended before the lane did."""

    outcome: Outcome | None
    has_more: bool = False


class Delivery:
    """Makes deliveries for one process. `chance` gives numbers from 0 up to 1."""

    def __init__(
        self,
        store: LaneStore,
        open_destination: Open,
        notes: Notes,
        *,
        clock: Clock,
        chance: Callable[[], float],
        owner: str,
        lease: timedelta = LEASE,
        batches_in_turn: int = BATCHES_IN_TURN,
        pick: Callable[[StoredStream], Pick] | None = None,
        measure: Callable[[StoredStream], Measure] = measure_in,
    ) -> None:
        self._store = store
        self._open = open_destination
        self._notes = notes
        self._clock = clock
        self._chance = chance
        self._owner = owner
        self._lease = lease
        self._batches = batches_in_turn
        self._pick = pick
        self._measure = measure

    def deliver(self, due: DueLane, *, is_stopping: Callable[[], bool] = lambda: False) -> Turn:
        """Take a turn: batches until there is nothing more, something comes back, or it is somebody else's."""
        now = self._clock()
        held = self._store.claim(due, self._owner, now, now + self._lease)
        if held is None:
            return Turn(None)
        lane, outcome, has_more = held.lane, None, False
        with self._open(held) as destination:
            for _ in range(self._batches):
                done, is_kept = self._send_next(lane, held.stream, destination)
                if done is not None:
                    outcome = done
                if is_kept is None:
                    return Turn(outcome)
                lane = is_kept
                if done is None and outcome is not None:
                    lane = replace(
                        lane, due_at=lane.due_at + find_rest(held.stream.kind, held.stream.settings)
                    )
                if done is None or done.verdict is Verdict.LATER or is_stopping():
                    break
            else:
                has_more = True
        self._store.save(lane, lease_until=None)
        return Turn(outcome, has_more)

    def _send_next(
        self, lane: Lane, stream: StoredStream, destination: Destination
    ) -> tuple[Outcome | None, Lane | None]:
        """One batch: what came back, and the lane as it is now; None in its place when it is ours no more."""
        lane, batch = self._next_batch(lane, stream)
        if batch is None:
            return None, replace(lane, due_at=self._clock())
        lane = replace(lane, batch_last=batch.last)
        # Before the first attempt, so that whoever takes over behind a crash sends the same under the same id.
        if not self._store.save(lane, lease_until=self._clock() + self._lease):
            return None, None
        outcome = destination.send(batch)
        self._notes.tried(stream, batch, outcome)
        step = decide(lane, batch, outcome, now=self._clock(), chance=self._chance())
        for dead in step.dead:
            self._notes.dead(stream, dead)
        if step.is_stuck:
            self._notes.stuck(stream, step.lane.trouble)
        if step.is_recovered:
            self._notes.recovered(stream)
        if step.is_over:
            self._store.finish(step.lane)
            return outcome, None
        if step.failure:
            self._store.save(step.lane, lease_until=None)
            self._notes.failed(stream, step.failure)
            return outcome, None
        if not self._store.save(step.lane, lease_until=self._clock() + self._lease):
            return outcome, None
        return outcome, step.lane

    def _next_batch(self, lane: Lane, stream: StoredStream) -> tuple[Lane, Batch | None]:
        """What is sent next, and the lane, which has moved past what the stream does not want."""
        log, measure = self._store.log(lane.organisation_id), self._measure(stream)
        if self._pick is not None:
            return _next_picked(log, lane, self._pick(stream), measure)
        if lane.batch_last is not None:
            events = [
                event
                for event in log.after(lane.position, min(lane.batch_last - lane.position, lane.size + 1))
                if event.leaf_index <= lane.batch_last
            ]
            return lane, make_batch(lane, events, lane.batch_last, _checkpoint(log, lane, lane.batch_last))
        # The head comes first: what is sealed between the two readings must not look like a gap.
        head = log.head() if lane.until is None else lane.until
        events = list(log.after(lane.position, lane.size))
        last = choose_last(lane, events, measure) if events else max(head, lane.position)
        if last == lane.position:
            return lane, None
        taken = [event for event in events if event.leaf_index <= last]
        return lane, make_batch(lane, taken, last, _checkpoint(log, lane, last))


def _next_picked(log: SealedLog, lane: Lane, pick: Pick, measure: Measure) -> tuple[Lane, Batch | None]:
    if lane.batch_last is not None:
        window = log.after(lane.position, lane.batch_last - lane.position)
        return lane, pick_from(make_batch(lane, window, lane.batch_last), pick)
    head = log.head()
    for _ in range(_WINDOWS):
        window = log.after(lane.position, MOST_EVENTS)
        behind = window[-1].leaf_index if window else lane.position
        end = behind if len(window) == MOST_EVENTS else max(head, behind)
        wanted = [event for event in window if pick(event)]
        last = choose_last(lane, wanted, measure) if wanted else end
        if wanted and last == wanted[-1].leaf_index:
            last = end
        if last == lane.position:
            break
        seen = [event for event in window if event.leaf_index <= last]
        batch = pick_from(make_batch(lane, seen, last), pick)
        if batch.records:
            return lane, batch
        lane = replace(lane, position=last)
    return lane, None


def pick_from(batch: Batch, pick: Pick) -> Batch:
    """The batch without the events that are not wanted. Gaps stay: nobody knows what was in them."""
    return replace(
        batch,
        records=tuple(
            record for record in batch.records if not isinstance(record, EventRecord) or pick(record.event)
        ),
    )


def _checkpoint(log: SealedLog, lane: Lane, last: int) -> SealedCheckpoint | None:
    """The checkpoint over all up to there: what reaches the head ends with it. One event is tried by itself."""
    return log.checkpoint(last + 1) if lane.size > 1 else None
