"""What a delivery does next, for every answer there may be."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from directory.ids import OrganisationId, StreamId
from provisioning.streaming import Lane, SealedCheckpoint, SealedEvent
from streams.breaker import Breakers
from streams.engine import MOST_BYTES, MOST_DEAD_IN_ROW, TELL_AFTER, Step, back_off, choose_last, decide
from streams.outcomes import TAKEN, Outcome, Verdict, judge, parse_retry_after
from streams.records import (
    CheckpointRecord,
    EventRecord,
    GapRecord,
    find_records,
    make_batch,
    record_id,
    record_time,
)
from streams.webhook import parse_secret, render_secret
from tests.streams.test_syslog import NOW, event

LANE = Lane(StreamId("s"), OrganisationId("o"), "live", 4, NOW)
UNFIT = Outcome(Verdict.UNFIT, "answered 400")


def events(*places: int) -> list[SealedEvent]:
    return [event(place) for place in places]


def step(lane: Lane, found: Sequence[SealedEvent], last: int, outcome: Outcome, chance: float = 0.5) -> Step:
    return decide(lane, make_batch(lane, found, last), outcome, now=NOW, chance=chance)


def test_a_batch_has_so_many_events_as_fit() -> None:
    found = events(5, 6, 7, 8)

    assert choose_last(LANE, found, lambda _: 10) == 8
    assert choose_last(LANE, found, lambda _: MOST_BYTES // 2) == 6
    assert choose_last(LANE, found, lambda _: MOST_BYTES * 2) == 5
    assert choose_last(replace(LANE, size=3), found, lambda _: 10) == 7
    assert choose_last(LANE, [], lambda _: 10) == 4


def test_a_replay_ends_at_its_end_even_when_that_was_removed() -> None:
    replayed = replace(LANE, track="replay", until=7)

    assert choose_last(replayed, events(5, 6, 9), lambda _: 10) == 7
    assert choose_last(replayed, events(5, 6), lambda _: 10) == 7
    assert choose_last(replace(replayed, size=2), events(5, 6), lambda _: 10) == 6
    assert step(replayed, events(5, 6), 7, TAKEN).is_over
    assert not step(replayed, events(5, 6), 6, TAKEN).is_over


def test_what_was_taken_moves_the_position_and_lets_batches_grow() -> None:
    tried = replace(LANE, size=4, attempts=3, dead_in_row=2, batch_last=6, trouble="answered 500")

    after = step(tried, events(5, 6), 6, TAKEN).lane

    assert after == replace(LANE, position=6, size=8, acknowledged_at=NOW)


def test_a_failure_waits_and_keeps_the_batch() -> None:
    tried = replace(LANE, batch_last=6, attempts=2)
    later = Outcome(Verdict.LATER, "answered 503", 40.0)

    after = step(tried, events(5, 6), 6, later).lane

    assert after == replace(tried, attempts=3, due_at=NOW + timedelta(seconds=40), trouble="answered 503")


def test_trouble_of_some_minutes_is_told_once_and_so_is_its_end() -> None:
    later = Outcome(Verdict.LATER, "answered 503")
    found = events(5)

    told = [
        step(replace(LANE, attempts=attempts), found, 5, later).is_stuck for attempts in range(TELL_AFTER + 3)
    ]

    assert [place for place, is_told in enumerate(told) if is_told] == [TELL_AFTER - 1]
    assert step(replace(LANE, attempts=TELL_AFTER), found, 5, TAKEN).is_recovered
    assert not step(replace(LANE, attempts=TELL_AFTER - 1), found, 5, TAKEN).is_recovered


@pytest.mark.parametrize(
    ("attempts", "chance", "seconds"),
    [(0, 0.0, 1.0), (0, 1.0, 2.0), (3, 1.0, 16.0), (3, 0.5, 8.5), (50, 1.0, 300.0), (5000, 0.0, 1.0)],
)
def test_waiting_is_jittered_between_a_second_and_five_minutes(
    attempts: int, chance: float, seconds: float
) -> None:
    assert back_off(attempts, chance) == seconds


def test_a_batch_that_is_not_fit_is_halved() -> None:
    after = step(LANE, events(5, 6, 7, 9, 10), 10, UNFIT).lane

    assert (after.size, after.batch_last, after.position) == (2, 6, 4)


def test_an_event_that_is_not_fit_is_left_out_and_the_next_tried_alone() -> None:
    done = step(replace(LANE, size=1), events(5), 5, UNFIT)

    assert [(one.leaf_index, one.event_id, one.reason) for one in done.dead] == [
        (5, "event-5", "answered 400")
    ]
    assert (done.lane.position, done.lane.size, done.lane.dead_in_row) == (5, 1, 1)
    assert done.lane.acknowledged_at is None


def test_a_gap_is_told_apart_from_an_event_that_is_not_fit() -> None:
    before = step(LANE, events(7), 7, UNFIT).lane
    assert before.batch_last == 6
    behind = step(LANE, events(5), 8, UNFIT).lane
    assert behind.batch_last == 5

    stopped = step(LANE, [], 6, UNFIT)
    assert stopped.failure == "answered 400 to the notice of a gap"
    assert stopped.lane.position == 4


def test_a_checkpoint_is_told_apart_from_an_event_that_is_not_fit() -> None:
    signed = SealedCheckpoint(6, "note", NOW)

    batch = make_batch(LANE, events(5), 5, signed)
    retried = decide(LANE, batch, UNFIT, now=NOW, chance=0.5)

    assert [record_id(one) for one in batch.records] == ["event-5", "checkpoint-6"]
    # A batch of one has no checkpoint, so that what is refused now is the event.
    assert (retried.lane.size, retried.lane.batch_last, retried.dead) == (1, 5, ())
    assert record_time(CheckpointRecord(signed), NOW) == NOW
    taken = decide(LANE, batch, replace(TAKEN, unfit=(1,)), now=NOW, chance=0.5)
    assert (taken.dead, taken.lane.position) == ((), 5)


def test_who_takes_no_event_at_all_is_stopped() -> None:
    tried = replace(LANE, size=1, dead_in_row=MOST_DEAD_IN_ROW - 1)
    assert step(tried, events(5), 5, UNFIT).failure.startswith("answered 400 to 10 events")

    some = replace(TAKEN, unfit=(0, 1))
    many = replace(LANE, dead_in_row=MOST_DEAD_IN_ROW - 2)
    assert step(many, events(5, 6), 6, some).failure
    assert step(LANE, events(5, 6), 6, some).lane.dead_in_row == 2
    taken = step(many, events(5, 6, 7), 7, some)
    assert ([one.leaf_index for one in taken.dead], taken.lane.dead_in_row) == ([5, 6], 0)


def test_a_gap_that_an_index_does_not_take_is_no_event() -> None:
    assert step(LANE, events(7), 7, replace(TAKEN, unfit=(0,))).dead == ()


def test_a_refusal_stops() -> None:
    stopped = step(LANE, events(5), 5, Outcome(Verdict.REFUSED, "x" * 1000))

    assert (len(stopped.failure), stopped.lane.position) == (400, 4)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.TAKEN),
        (204, Verdict.TAKEN),
        (307, Verdict.REFUSED),
        (400, Verdict.UNFIT),
        (401, Verdict.REFUSED),
        (404, Verdict.LATER),
        (408, Verdict.LATER),
        (410, Verdict.REFUSED),
        (413, Verdict.UNFIT),
        (429, Verdict.LATER),
        (500, Verdict.LATER),
    ],
)
def test_each_status_means_one_thing(status: int, verdict: Verdict) -> None:
    assert judge(status, {}, NOW).verdict is verdict


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0.0),
        ("120", 120.0),
        ("999999999999", 3600.0),
        ("Sun, 01 Mar 2026 12:31:15 GMT", 59.876544),
        ("Sun, 01 Mar 2026 12:31:15 -0000", 59.876544),
        ("Sun, 01 Mar 2020 12:31:15 GMT", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
    ],
)
def test_a_wish_to_wait_is_read_and_bounded(text: str, seconds: float) -> None:
    assert parse_retry_after(text, NOW) == pytest.approx(seconds)


def test_records_name_every_gap() -> None:
    records = find_records(events(6, 7, 9), 4, 11, is_replay=False)

    assert [(one.first, one.last) for one in records if isinstance(one, GapRecord)] == [
        (5, 5),
        (8, 8),
        (10, 11),
    ]


def test_a_body_without_a_time_has_the_time_of_its_sending() -> None:
    bare = EventRecord(SealedEvent(1, b"{}", "e", NOW, {}))

    assert record_time(bare, NOW) == NOW


def test_a_host_that_fails_is_spared_and_then_tried_by_one() -> None:
    seconds = [0.0]
    breakers = Breakers(lambda: seconds[0])
    assert [breakers.enter("a") for _ in range(5)] == [True] * 4 + [False]
    for _ in range(3):
        breakers.leave("a", has_failed=True)
    breakers.leave("a", has_failed=None)

    assert (breakers.enter("a"), breakers.enter("b")) == (False, True)
    seconds[0] = 31.0
    assert (breakers.enter("a"), breakers.enter("a")) == (True, False)
    breakers.leave("a", has_failed=False)
    assert breakers.enter("a")
    breakers.leave("a", has_failed=False)
    breakers.leave("b", has_failed=None)


def test_secrets_are_read_in_their_own_form() -> None:
    assert parse_secret(render_secret(b"key").encode()) == b"key"
    assert parse_secret(b"whsec_***") == b"whsec_***"
    assert parse_secret(b"plain") == b"plain"
