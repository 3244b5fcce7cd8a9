"""What adds up within an hour, and which limits it is beyond, each at its edge."""

from datetime import timedelta
from types import MappingProxyType

import pytest

from directory.ids import DirectoryId, GroupId
from provisioning.guard import GuardLimits
from provisioning.push_guard import Crossing, PushWindow
from tests.builders import MONDAY

STAFF, TEAM = GroupId("staff"), GroupId("team")
LIMITS = GuardLimits()


def window(active_users: int = 100, memberships: int = 100) -> PushWindow:
    return PushWindow(DirectoryId("hq"), MONDAY, active_users, memberships)


@pytest.mark.parametrize(("minutes", "is_open"), [(0, True), (59, True), (60, False), (600, False)])
def test_a_window_is_open_for_an_hour(minutes: int, is_open: bool) -> None:
    assert window().is_open(MONDAY + timedelta(minutes=minutes)) is is_open


@pytest.mark.parametrize(
    ("active_users", "lost", "is_crossed"),
    [(100, 10, False), (100, 11, True), (5, 5, False), (500, 50, False), (500, 51, True)],
)
def test_users_are_lost_up_to_ten_or_ten_percent(active_users: int, lost: int, is_crossed: bool) -> None:
    crossing = window(active_users=active_users).minus(lost, {}, {}, LIMITS).crossing(LIMITS)

    assert crossing == Crossing(users=is_crossed)
    assert bool(crossing) is is_crossed


@pytest.mark.parametrize(("lost", "is_crossed"), [(20, False), (21, True)])
def test_memberships_end_up_to_twenty_percent(lost: int, is_crossed: bool) -> None:
    assert window().minus(0, {TEAM: lost}, {TEAM: 50}, LIMITS).crossing(LIMITS) == Crossing(
        memberships=is_crossed
    )


@pytest.mark.parametrize(("lost", "is_crossed"), [(10, False), (11, True)])
def test_a_few_memberships_never_count_however_small_the_directory(lost: int, is_crossed: bool) -> None:
    total = window(memberships=12).minus(0, {TEAM: lost}, {TEAM: 12}, LIMITS)

    assert total.crossing(LIMITS) == Crossing(memberships=is_crossed)


@pytest.mark.parametrize(
    ("size", "lost", "is_crossed"),
    [(51, 26, True), (51, 25, False), (50, 50, False), (100, 50, False), (100, 51, True)],
)
def test_a_big_group_may_lose_half(size: int, lost: int, is_crossed: bool) -> None:
    crossing = window(memberships=10_000).minus(0, {TEAM: lost}, {TEAM: size}, LIMITS).crossing(LIMITS)

    assert crossing == Crossing(groups=frozenset({TEAM} if is_crossed else ()))


def test_removals_add_up_and_a_group_keeps_the_size_it_had_before_the_first() -> None:
    total = window(memberships=10_000)
    for _ in range(3):
        total = total.minus(2, {STAFF: 20, TEAM: 1}, {STAFF: 100, TEAM: 40}, LIMITS)

    assert (total.users_lost, total.memberships_lost) == (6, 63)
    assert total.groups == {STAFF: (100, 60)}
    assert total.crossing(LIMITS).groups == {STAFF}


def test_a_group_of_which_nothing_is_known_is_not_guarded() -> None:
    assert window().minus(0, {TEAM: 1}, {}, LIMITS).groups == {}


def test_limits_are_those_of_the_directory() -> None:
    limits = GuardLimits(removed_users=0, removed_users_percent=0, group_size=1, group_loss_percent=10)

    crossing = window().minus(1, {TEAM: 1}, {TEAM: 2}, limits).crossing(limits)

    assert crossing == Crossing(users=True, groups=frozenset({TEAM}))
    assert crossing.limits == ("group_loss_percent", "removed_users")
    assert Crossing(memberships=True).limits == ("removed_memberships_percent",)
    assert Crossing().limits == ()


def test_a_window_begins_with_nothing_lost() -> None:
    begun = window()

    assert (begun.users_lost, begun.memberships_lost, begun.crossed_at) == (0, 0, None)
    assert begun.groups == MappingProxyType({})
    assert not begun.crossing(LIMITS)
