"""A run that is cut off anywhere: the next one brings everybody where an undisturbed run would have."""

import pytest

from directory.changes import GroupMatch
from directory.ids import DirectoryId
from sync.run import run_directory
from tests.builders import MakeWorld, World
from tests.sync.builders import eid, group, person

PEOPLE = 1_100
"""More than two batches of a run."""
STAFF = 5_000_001


class _CutOffError(Exception):
    pass


def export_of(numbers: range, *, members: range) -> str:
    return "".join(
        [
            "dn: ou=people,o=x\nobjectClass: organizationalUnit\nou: people\n\n",
            *(person(number) for number in numbers),
            group(STAFF, "staff", *(f"u{number}" for number in members)),
        ]
    )


def cut_off(world: World, directory_id: DirectoryId, *, after: int) -> None:
    """Run, and be killed behind the batch of this number."""
    calls = 0

    def progress(_done: int, _people: int) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise _CutOffError

    claim = world.claim(directory_id)
    with pytest.raises(_CutOffError):
        run_directory(claim, keeper=world.keeper, exports=world.folder, progress=progress)


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_first_import_that_was_cut_off_is_completed_by_the_next_run(world: World, after: int) -> None:
    directory_id = world.put_ldif()
    world.export(export_of(range(PEOPLE), members=range(PEOPLE)))
    cut_off(world, directory_id, after=after)

    completed = world.run(directory_id)

    assert completed.state == "completed"
    assert len(world.in_group(directory_id, eid(STAFF))) == PEOPLE
    actions = world.events()
    assert actions.count("user.created") == PEOPLE
    assert actions.count("group.member_added") == PEOPLE
    assert actions.count("group.created") == 1
    assert world.run(directory_id).plan_hash == ""


def test_removals_that_were_cut_off_are_completed_by_the_next_run(new_world: MakeWorld) -> None:
    world = new_world(plan="Enterprise", seat_limit=-1)
    directory_id = world.put_ldif(guard_removed_memberships_percent=100, guard_group_loss_percent=100)
    world.export(export_of(range(PEOPLE), members=range(PEOPLE)))
    world.run(directory_id)
    staff = world.group(directory_id, eid(STAFF)).group_id
    world.put_rule(GroupMatch(staff), scope=world.put_scope("Gothenburg"))
    world.export(export_of(range(PEOPLE), members=range(10)))
    cut_off(world, directory_id, after=2)

    world.run(directory_id)

    assert len(world.in_group(directory_id, eid(STAFF))) == 10
    assert world.state.seated == 11
    assert world.run(directory_id).plan_hash == ""


def test_a_group_that_vanishes_behind_a_run_that_was_cut_off_is_deleted(world: World) -> None:
    directory_id = world.put_ldif(guard_removed_memberships_percent=100, guard_group_loss_percent=100)
    world.export(export_of(range(PEOPLE), members=range(PEOPLE)))
    cut_off(world, directory_id, after=1)
    text = export_of(range(PEOPLE), members=range(0))
    world.export(text[: text.rindex("dn: cn=staff")])

    world.run(directory_id)

    assert "group.deleted" in world.events()
