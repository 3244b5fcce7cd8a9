"""The limits that stop a plan, each at its edge."""

from dataclasses import replace
from typing import TypedDict, Unpack

import pytest

from provisioning.guard import GuardLimits, PlanCounts, crossed_limits, guard_limits

QUIET = PlanCounts(
    users_read=100,
    users_stored=100,
    active_users_stored=100,
    removed_users=0,
    memberships_stored=100,
    removed_memberships=0,
    entries_read=200,
    entries_rejected=0,
)


class Counts(TypedDict, total=False):
    users_read: int
    users_stored: int
    active_users_stored: int
    removed_users: int
    memberships_stored: int
    removed_memberships: int
    entries_read: int
    entries_rejected: int


def crossed(limits: GuardLimits | None = None, **values: Unpack[Counts]) -> tuple[str, ...]:
    return crossed_limits(replace(QUIET, **values), limits or GuardLimits())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"users_read": 0}, "no user was read while 100 are stored"),
        ({"removed_users": 11}, "11 of 100 active users would be deactivated; the limit is 10"),
        (
            {"active_users_stored": 500, "removed_users": 51},
            "51 of 500 active users would be deactivated; the limit is 50",
        ),
        ({"removed_memberships": 21}, "21 of 100 memberships would end; the limit is 20 %"),
        ({"entries_rejected": 3}, "3 of 200 entries were rejected; the limit is 1 %"),
    ],
)
def test_a_limit_is_crossed_in_words_with_its_numbers(values: Counts, words: str) -> None:
    assert crossed(**values) == (words,)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"users_read": 0, "users_stored": 0},
        {"removed_users": 10},
        {"active_users_stored": 5, "removed_users": 5},
        {"active_users_stored": 500, "removed_users": 50},
        {"removed_memberships": 20},
        {"memberships_stored": 0},
        {"entries_rejected": 2},
        {"entries_read": 0},
    ],
)
def test_at_its_edge_a_limit_is_not_crossed(values: Counts) -> None:
    assert crossed(**values) == ()


@pytest.mark.parametrize(
    ("before", "after", "stops"),
    [(51, 25, True), (51, 26, False), (50, 0, False), (100, 50, False), (100, 49, True)],
)
def test_a_big_group_may_lose_half(before: int, after: int, stops: bool) -> None:
    counts = replace(QUIET, shrinking=(("admins", before, after),))

    found = crossed_limits(counts, GuardLimits())

    words = f"group 'admins' would shrink from {before} to {after} members; the limit is a loss of 50 %"
    assert found == ((words,) if stops else ())


def test_limits_are_settings_of_the_directory() -> None:
    limits = guard_limits({"guard_removed_users": 1, "guard_rejected_percent": 50, "file": "x.ldif"})

    assert limits == GuardLimits(removed_users=1, rejected_percent=50)
    assert crossed(GuardLimits(removed_users=0, removed_users_percent=1), removed_users=2) == (
        "2 of 100 active users would be deactivated; the limit is 1",
    )


def test_all_limits_that_are_crossed_are_named() -> None:
    assert len(crossed(users_read=0, removed_users=100, removed_memberships=100, entries_rejected=200)) == 4
