"""Steps on members come to what they would come to one by one."""

from collections.abc import Sequence
from typing import assert_never

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from directory.filters import parse_filter
from scim.errors import InvalidPathError
from scim.members import (
    MEMBERS,
    AddIds,
    ClearAll,
    MemberChange,
    MemberStep,
    RemoveIds,
    RemoveMatching,
    ReplaceIds,
    fold_steps,
)
from scim.paths import compile_entry_filter

IDS = st.lists(st.sampled_from("abcdefABCDEF"), max_size=4).map(tuple)
FILTERS = st.sampled_from(['value eq "a"', 'value sw "b"', 'value ne "c"', 'not (VALUE co "d")']).map(
    parse_filter
)
STEPS: st.SearchStrategy[MemberStep] = (
    st.builds(AddIds, IDS)
    | st.builds(RemoveIds, IDS)
    | st.builds(ReplaceIds, IDS)
    | st.just(ClearAll())
    | st.builds(RemoveMatching, FILTERS)
)


def take_steps(members: set[str], steps: Sequence[MemberStep]) -> set[str]:
    """The oracle: sets, one step after the other."""
    for step in steps:
        match step:
            case AddIds(ids):
                members = members | {member.lower() for member in ids}
            case RemoveIds(ids):
                members = members - {member.lower() for member in ids}
            case ReplaceIds(ids):
                members = {member.lower() for member in ids}
            case ClearAll():
                members = set()
            case RemoveMatching(tree):
                test = compile_entry_filter(tree, MEMBERS)
                members = {member for member in members if not test({"value": member})}
            case _:
                assert_never(step)
    return members


def take_change(members: set[str], change: MemberChange) -> set[str]:
    if change.is_whole:
        return set(change.added)
    tests = [compile_entry_filter(tree, MEMBERS) for tree in change.matching]
    left = {member for member in members if not any(test({"value": member}) for test in tests)}
    return (left - set(change.removed)) | set(change.added)


@example({"a"}, [AddIds(("A", "b")), RemoveMatching(parse_filter('value eq "a"'))])
@given(st.sets(st.sampled_from("abcdef")), st.lists(STEPS, max_size=6))
def test_any_steps_come_to_what_sets_say(members: set[str], steps: list[MemberStep]) -> None:
    change = fold_steps(steps)

    assert take_change(members, change) == take_steps(members, steps)
    assert not set(change.added) & set(change.removed)
    assert len(set(change.added)) == len(change.added)
    if change.is_whole:
        assert (change.removed, change.matching) == ((), ())


def test_no_step_changes_nothing() -> None:
    assert fold_steps(()) == MemberChange()


def test_the_last_word_on_an_id_counts() -> None:
    assert fold_steps([AddIds(("A",)), RemoveIds(("a", "b")), AddIds(("b",))]) == MemberChange(
        added=("b",), removed=("a",)
    )


def test_a_filter_on_what_members_are_may_come_first() -> None:
    tree = parse_filter('type eq "Group"')
    change = fold_steps([RemoveMatching(tree), AddIds(("a",))])
    assert change == MemberChange(added=("a",), matching=(tree,))


def test_a_filter_on_what_members_are_cannot_choose_among_ids_just_added() -> None:
    with pytest.raises(InvalidPathError):
        fold_steps([AddIds(("a",)), RemoveMatching(parse_filter('type eq "Group"'))])
