"""A plan in words, its hash, and its parts in transactions."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from directory.changes import (
    AddMembers,
    AddSubgroups,
    DeactivateUser,
    DeleteGroup,
    DeleteUser,
    DirectoryChange,
    PutGroup,
    PutUser,
    RemoveMembers,
    RemoveSubgroups,
)
from directory.ids import DirectoryId, ExternalId
from provisioning.plans import DirectoryPlan, entry_of
from tests.builders import external, put_group, put_user


def pair(group: str, member: str) -> tuple[ExternalId, ExternalId]:
    return external(group), external(member)


PLAN = DirectoryPlan(
    directory_id=DirectoryId("d"),
    base="1:",
    put_users=(put_user("ann"), put_user("bob", active=False)),
    deactivate=(external("old"),),
    put_groups=(put_group("team"),),
    delete_groups=(external("gone"),),
    add_members=(pair("team", "ann"), pair("team", "cid")),
    remove_members=(pair("team", "bob"), pair("night", "ann")),
    add_subgroups=(pair("team", "night"),),
    remove_subgroups=(pair("team", "day"),),
    waiting_out=((external("missing"), 1),),
)


def test_a_plan_says_what_it_would_do_a_change_a_line() -> None:
    assert list(PLAN.lines()) == [
        "deactivate user old",
        "put group team Team",
        "put user ann ann",
        "put disabled user bob bob",
        "add member ann in team",
        "add member cid in team",
        "remove member bob from team",
        "remove member ann from night",
        "nest group night in team",
        "take out group day from team",
        "delete group gone",
    ]


def test_a_plan_goes_from_those_who_leave_to_groups_that_are_gone() -> None:
    assert list(PLAN.batches(2)) == [
        (DeactivateUser(external("old"), "absent"),),
        (put_group("team"),),
        (
            AddSubgroups(external("team"), (external("night"),)),
            RemoveSubgroups(external("team"), (external("day"),)),
        ),
        (
            put_user("ann"),
            put_user("bob", active=False),
            RemoveMembers(external("night"), (external("ann"),)),
            RemoveMembers(external("team"), (external("bob"),)),
            AddMembers(external("team"), (external("ann"),)),
        ),
        (AddMembers(external("team"), (external("cid"),)),),
        (DeleteGroup(external("gone")),),
    ]
    assert PLAN.count_people() == 4


@pytest.mark.parametrize("size", [1, 2, 10])
def test_what_is_rehearsed_says_everything_of_its_people_and_of_all_groups(size: int) -> None:
    parts = list(PLAN.rehearsals(size))

    assert parts[0][:3] == (
        put_group("team"),
        AddSubgroups(external("team"), (external("night"),)),
        RemoveSubgroups(external("team"), (external("day"),)),
    )
    assert all(part[:3] == parts[0][:3] and part[-1] == DeleteGroup(external("gone")) for part in parts)
    assert parts[0][3] == DeactivateUser(external("old"), "absent")
    people = [change for part in parts for change in part[3:-1]]
    if size == 1:
        assert people == [
            DeactivateUser(external("old"), "absent"),
            put_user("ann"),
            RemoveMembers(external("night"), (external("ann"),)),
            AddMembers(external("team"), (external("ann"),)),
            put_user("bob", active=False),
            RemoveMembers(external("team"), (external("bob"),)),
            AddMembers(external("team"), (external("cid"),)),
        ]
    assert len(parts) == -(-4 // size)


def test_a_plan_of_groups_alone_is_rehearsed_in_one_part() -> None:
    assert list(DirectoryPlan(DirectoryId("d"), "", put_groups=(put_group("team"),)).rehearsals(5)) == [
        (put_group("team"),)
    ]
    assert list(DirectoryPlan(DirectoryId("d"), "").rehearsals(5)) == [()]


def test_fingerprints_of_groups_come_last_and_only_where_there_is_one() -> None:
    settled = PutGroup(put_group("a").group, b"1")
    plan = replace(PLAN, put_groups=(settled, put_group("b")))

    assert list(plan.group_fingerprints(5)) == [(settled,)]
    assert put_group("a") in list(plan.batches(5))[1]


EMPTY = DirectoryPlan(DirectoryId("d"), "1:")


def test_a_plan_without_a_change_is_empty() -> None:
    assert EMPTY.is_empty
    assert list(EMPTY.batches(5)) == []


@pytest.mark.parametrize(
    "part",
    [
        {"put_users": PLAN.put_users},
        {"deactivate": PLAN.deactivate},
        {"put_groups": PLAN.put_groups},
        {"delete_groups": PLAN.delete_groups},
        {"add_members": PLAN.add_members},
        {"remove_members": PLAN.remove_members},
        {"add_subgroups": PLAN.add_subgroups},
        {"remove_subgroups": PLAN.remove_subgroups},
        {"waiting_out": PLAN.waiting_out},
    ],
    ids=lambda part: next(iter(part)),
)
def test_anything_to_write_makes_a_plan(part: dict[str, tuple[object, ...]]) -> None:
    assert not replace(EMPTY, **part).is_empty  # type: ignore[arg-type]  # a part of PLAN


@pytest.mark.parametrize(
    "move",
    [
        lambda plan: replace(plan, base="2:"),
        lambda plan: replace(plan, directory_id=DirectoryId("e")),
        lambda plan: replace(plan, deactivate=()),
        lambda plan: replace(plan, put_users=plan.put_users[::-1]),
        lambda plan: replace(plan, put_users=(PutUser(plan.put_users[0].user, b"1"), *plan.put_users[1:])),
        lambda plan: replace(plan, put_groups=(put_group("team", "Other"),)),
        lambda plan: replace(plan, add_members=plan.add_members[:1]),
    ],
)
def test_the_hash_is_of_everything_and_of_the_state_it_was_made_on(
    move: Callable[[DirectoryPlan], DirectoryPlan],
) -> None:
    assert move(PLAN).hash != PLAN.hash
    assert replace(PLAN).hash == PLAN.hash


def test_a_name_with_a_line_break_does_not_read_as_two_changes() -> None:
    one = replace(EMPTY, put_groups=(put_group("a", "A\nput group b B"),))
    two = replace(EMPTY, put_groups=(put_group("a", "A"), put_group("b", "B")))

    assert one.hash != two.hash


@pytest.mark.parametrize(
    "change",
    [
        put_user("x"),
        DeactivateUser(external("x")),
        DeleteUser(external("x")),
        put_group("x"),
        DeleteGroup(external("x")),
        AddMembers(external("x"), ()),
        RemoveMembers(external("x"), ()),
        AddSubgroups(external("x"), ()),
        RemoveSubgroups(external("x"), ()),
    ],
)
def test_each_change_names_the_entry_that_it_is_about(change: DirectoryChange) -> None:
    assert entry_of(change) == "x"
