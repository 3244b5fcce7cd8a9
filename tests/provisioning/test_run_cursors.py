"""The cursor of a directory moves with the data of a run, and only with all of it."""

from dataclasses import replace

import pytest

from directory.ids import DirectoryId
from provisioning.plans import DirectoryPlan
from provisioning.runs import FULL, Reading
from provisioning.state import Cursor
from tests.builders import MONDAY, World, put_user
from tests.provisioning.test_runs import hq, killed, plan_of, risky, submit

__all__ = ["hq"]

CURSOR = Cursor("syncrepl", {"server": "one"}, {"csn": "1"}, MONDAY)
FULLY = Reading("source-1", {"seen": 3}, method=FULL, method_reason="first", cursor=CURSOR)
SINCE = replace(FULLY, method="syncrepl", method_reason="", cursor=replace(CURSOR, mark={"csn": "2"}))


def stored(world: World, hq: DirectoryId) -> Cursor | None:
    return world.stored_directory(hq).cursor


def nothing(hq: DirectoryId) -> DirectoryPlan:
    return DirectoryPlan(hq, "1:")


def test_a_completed_run_leaves_its_cursor_and_says_how_it_read(world: World, hq: DirectoryId) -> None:
    record = submit(world, plan_of(hq, "ann"), FULLY)

    with world.read() as reader:
        assert reader.runs(hq, 1) == [record]
    assert (record.method, record.method_reason) == (FULL, "first")
    assert stored(world, hq) == CURSOR


def test_a_run_that_is_killed_before_its_end_does_not_move_the_cursor(world: World, hq: DirectoryId) -> None:
    submit(world, plan_of(hq, "ann"), FULLY)
    killed(world, plan_of(hq, "ann", "ben"), 2, SINCE)

    assert stored(world, hq) == CURSOR
    submit(world, plan_of(hq, "ann", "ben"), SINCE)
    assert stored(world, hq) == SINCE.cursor


def test_an_increment_that_finds_nothing_leaves_no_record_but_behind_a_failure(
    world: World, hq: DirectoryId
) -> None:
    submit(world, plan_of(hq, "ann"), FULLY)
    world.keeper.fail(world.claim(hq), "the server was down")
    recovered = submit(world, nothing(hq), SINCE)
    world.events()

    idle = submit(world, nothing(hq), SINCE)

    with world.read() as reader:
        assert recovered.run_id in {run.run_id for run in reader.runs(hq, 9)}
        assert idle.run_id not in {run.run_id for run in reader.runs(hq, 9)}
    assert idle.state == "completed"
    assert world.new_bodies() == []


def test_a_full_reading_that_does_not_come_to_its_end_is_followed_by_another(
    world: World, hq: DirectoryId
) -> None:
    submit(world, risky(plan_of(hq, "ann")), FULLY)
    assert stored(world, hq) == Cursor(full_due="the last full reading ended as blocked")

    submit(world, plan_of(hq, "ann"), FULLY)
    submit(world, nothing(hq), replace(FULLY, is_complete=False, reason="a limit"))
    assert stored(world, hq) == replace(CURSOR, full_due="the last full reading ended as partial")


def failing(hq: DirectoryId) -> DirectoryPlan:
    """A plan with a person who cannot be stored."""
    return DirectoryPlan(hq, "1:", put_users=(put_user("ann"), put_user("long", user_name="x" * 500)))


@pytest.mark.parametrize("reading", [FULLY, SINCE])
def test_what_could_not_be_stored_comes_again(world: World, hq: DirectoryId, reading: Reading) -> None:
    submit(world, plan_of(hq, "ann"), FULLY)
    before = stored(world, hq)

    record = submit(world, failing(hq), reading)

    assert record.counters["changes_failed"] == 1
    due = "not everything of the last full reading could be stored" if reading is FULLY else ""
    assert before is not None
    assert stored(world, hq) == replace(before, full_due=due)


def test_an_increment_that_is_held_leaves_the_cursor(world: World, hq: DirectoryId) -> None:
    submit(world, plan_of(hq, "ann"), FULLY)

    assert submit(world, risky(plan_of(hq, "ann", "ben")), SINCE).state == "blocked"

    assert stored(world, hq) == CURSOR
