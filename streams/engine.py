"""What a delivery does next, as functions of what is stored and what came back. Keeps no clock and does nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, assert_never

from provisioning.streaming import MOST_EVENTS, Lane, SealedEvent
from streams.outcomes import Outcome, Verdict
from streams.records import Batch, CheckpointRecord, EventRecord, GapRecord

MOST_BYTES: Final = 1_048_576 - 4096
"""Of a batch, without what a destination puts around it."""

MOST_DEAD_IN_ROW: Final = 10
"""Events that are not taken one behind the other before the stream stops: then it is not the events."""

TELL_AFTER: Final = 8
"""Failures in a row, some minutes of them, behind which it is told that a stream does not get through."""

_LONGEST_WAIT: Final = 300.0
_LONGEST_TROUBLE: Final = 400


@dataclass(frozen=True, slots=True)
class Dead:
    """An event that the destination does not take."""

    leaf_index: int
    event_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """What to store. `dead` are written down before the lane; `failure` stops the stream; `is_over` ends a replay.

    `is_stuck` and `is_recovered` are what somebody should hear of: once for each time of trouble.
    """

    lane: Lane
    dead: tuple[Dead, ...] = ()
    failure: str = ""
    is_over: bool = False
    is_stuck: bool = False
    is_recovered: bool = False


def choose_last(lane: Lane, events: Sequence[SealedEvent], sizes: Callable[[SealedEvent], int]) -> int:
    """The end of the next batch: as many events as it may have and 1 MiB holds, but one at least.

    `events` lie behind the lane's position. A replay whose last events were removed goes to its end.
    """
    total = 0
    last = lane.position
    for number, event in enumerate(events):
        if lane.until is not None and event.leaf_index > lane.until:
            return lane.until
        total += sizes(event)
        if number and (total > MOST_BYTES or number >= lane.size):
            return last
        last = event.leaf_index
    if lane.until is not None and len(events) < lane.size:
        return lane.until
    return last


def decide(lane: Lane, batch: Batch, outcome: Outcome, *, now: datetime, chance: float) -> Step:
    """What follows from an answer. `chance` is from 0 up to, not including, 1."""
    match outcome.verdict:
        case Verdict.TAKEN:
            return _go_on(lane, batch, outcome, now)
        case Verdict.LATER:
            wait = max(back_off(lane.attempts, chance), outcome.retry_seconds)
            return Step(
                replace(
                    lane,
                    attempts=lane.attempts + 1,
                    due_at=now + timedelta(seconds=wait),
                    trouble=outcome.text[:_LONGEST_TROUBLE],
                ),
                is_stuck=lane.attempts + 1 == TELL_AFTER,
            )
        case Verdict.UNFIT:
            return _narrow(lane, batch, outcome, now)
        case Verdict.REFUSED:
            return _stop(lane, outcome.text)
        case _:
            assert_never(outcome.verdict)


def back_off(attempts: int, chance: float) -> float:
    """Seconds to wait behind so many failures: full jitter between 1 s and what doubles up to 5 min."""
    ceiling = min(_LONGEST_WAIT, 2.0 ** min(attempts + 1, 10))
    return 1.0 + chance * (ceiling - 1.0)


def _go_on(lane: Lane, batch: Batch, outcome: Outcome, now: datetime) -> Step:
    dead = tuple(_dead(batch.records[place], outcome) for place in outcome.unfit if _is_event(batch, place))
    is_any_taken = len(dead) < len(batch.events) or not dead
    count = 0 if is_any_taken else lane.dead_in_row + len(dead)
    if count >= MOST_DEAD_IN_ROW:
        return _stop(lane, _nothing_taken(outcome))
    return _acknowledge(lane, batch, dead, now, dead_in_row=count)


def _acknowledge(
    lane: Lane, batch: Batch, dead: tuple[Dead, ...], now: datetime, *, dead_in_row: int
) -> Step:
    last = lane.position if batch.last is None else batch.last
    done = replace(
        lane,
        position=last,
        batch_last=None,
        size=min(lane.size * 2, MOST_EVENTS),
        attempts=0,
        dead_in_row=dead_in_row,
        due_at=now,
        acknowledged_at=now,
        trouble="",
    )
    return Step(
        done,
        dead,
        is_over=lane.until is not None and last >= lane.until,
        is_recovered=lane.attempts >= TELL_AFTER,
    )


def _narrow(lane: Lane, batch: Batch, outcome: Outcome, now: datetime) -> Step:
    """Send the first half by itself; an event that stands alone is left out. What is small enough is not unfit."""
    events = [record.event for record in batch.records if isinstance(record, EventRecord)]
    if len(events) > 1:
        half = len(events) // 2
        return Step(replace(lane, size=half, batch_last=events[half - 1].leaf_index, due_at=now))
    gap = batch.records[0]
    if isinstance(gap, GapRecord) and len(batch.records) > 1:
        # It goes alone, so that it is told whatever becomes of the event.
        return Step(replace(lane, size=1, batch_last=gap.last, due_at=now))
    if isinstance(batch.records[-1], CheckpointRecord):
        # The same without it; a batch of one event never has one.
        return Step(replace(lane, size=1, batch_last=batch.last, due_at=now))
    if not events:
        return _stop(lane, f"{outcome.text} to the notice of a gap")
    if isinstance(batch.records[-1], GapRecord):
        return Step(replace(lane, size=1, batch_last=events[0].leaf_index, due_at=now))
    if lane.dead_in_row + 1 >= MOST_DEAD_IN_ROW:
        return _stop(lane, _nothing_taken(outcome))
    step = _acknowledge(
        lane, batch, (_dead(batch.records[0], outcome),), now, dead_in_row=lane.dead_in_row + 1
    )
    # What follows may be unfit too: it is tried one by one before batches grow again.
    return replace(step, lane=replace(step.lane, size=1, acknowledged_at=lane.acknowledged_at))


def _stop(lane: Lane, why: str) -> Step:
    trouble = why[:_LONGEST_TROUBLE]
    return Step(replace(lane, trouble=trouble, attempts=lane.attempts + 1), failure=trouble)


def _nothing_taken(outcome: Outcome) -> str:
    return f"{outcome.text} to {MOST_DEAD_IN_ROW} events one behind the other; check what the destination expects"


def _is_event(batch: Batch, place: int) -> bool:
    return isinstance(batch.records[place], EventRecord)


def _dead(record: object, outcome: Outcome) -> Dead:
    assert isinstance(record, EventRecord)  # noqa: S101 - whoever calls has looked
    return Dead(record.event.leaf_index, record.event.event_id, outcome.text[:_LONGEST_TROUBLE])
