import pytest

from service.reports import _percentile


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(50, 50.0), (99, 99.0), (100, 100.0), (0, 1.0)],
    ids=["p50", "p99", "worst", "p0"],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(percent: int, expected: float) -> None:
    assert _percentile([float(number) for number in range(1, 101)], percent) == expected


def test_one_value_is_every_percentile() -> None:
    assert _percentile([3.0], 50) == _percentile([3.0], 99) == 3.0


def test_nothing_has_no_percentile() -> None:
    assert _percentile([], 50) is None
