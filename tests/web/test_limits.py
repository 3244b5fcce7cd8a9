"""A bucket for each key: filled by time, emptied by use, and bounded in number."""

import pytest

from web.limits import RateLimit


class HandTimer:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def timer() -> HandTimer:
    return HandTimer()


def test_the_burst_goes_through_and_the_next_waits(timer: HandTimer) -> None:
    limit = RateLimit(rate=0.5, burst=3, timer=timer)

    assert [limit.take("a") for _ in range(5)] == [0, 0, 0, 2, 2]


def test_the_bucket_fills_with_time_and_never_beyond_the_burst(timer: HandTimer) -> None:
    limit = RateLimit(rate=2, burst=2, timer=timer)
    for _ in range(3):
        limit.take("a")

    timer.now += 0.5
    assert [limit.take("a"), limit.take("a")] == [0, 1]
    timer.now += 1000
    assert [limit.take("a") for _ in range(3)] == [0, 0, 1]


def test_one_key_takes_nothing_from_another(timer: HandTimer) -> None:
    limit = RateLimit(rate=1, burst=1, timer=timer)

    assert [limit.take("a"), limit.take("b"), limit.take("a"), limit.take("b")] == [0, 0, 1, 1]


def test_only_so_many_keys_are_remembered_and_the_longest_unseen_goes_first(timer: HandTimer) -> None:
    limit = RateLimit(rate=1, burst=1, timer=timer, capacity=2)
    limit.take("a")
    limit.take("b")
    limit.take("a")
    limit.take("c")

    assert limit.take("a") == 1
    assert limit.take("b") == 0


def test_a_rate_that_is_very_slow_says_how_long_it_takes(timer: HandTimer) -> None:
    limit = RateLimit(rate=0.01, burst=1, timer=timer)
    limit.take("a")

    assert limit.take("a") == 100


@pytest.mark.parametrize(("rate", "burst", "capacity"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_limit_that_lets_nothing_through_is_a_fault(
    timer: HandTimer, rate: float, burst: int, capacity: int
) -> None:
    with pytest.raises(ValueError, match="a limit needs"):
        RateLimit(rate=rate, burst=burst, timer=timer, capacity=capacity)
