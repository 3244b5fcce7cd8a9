"""Nested groups: closures, knots and shortest ways, compared with a plain search."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory import graph as graph_module
from directory.errors import NestingLimitError
from directory.graph import GroupGraph
from directory.ids import GroupId

Edge = tuple[GroupId, GroupId]

group_ids = st.integers(0, 12).map(lambda number: GroupId(f"g{number:02}"))
edge_lists = st.lists(st.tuples(group_ids, group_ids), max_size=40)


def group(number: int) -> GroupId:
    return GroupId(f"g{number}")


def chain(length: int) -> list[Edge]:
    """g0 holds g1, g1 holds g2, and so on."""
    return [(group(number), group(number + 1)) for number in range(length)]


def plain_reach(edges: list[Edge], start: GroupId) -> set[GroupId]:
    found: set[GroupId] = set()
    pending = {child for parent, child in edges if parent == start}
    while pending:
        found |= pending
        pending = {child for parent, child in edges if parent in found} - found
    return found


def test_ancestors_reach_through_every_level() -> None:
    graph = GroupGraph(chain(3))

    assert graph.ancestors(group(3)) == {group(0), group(1), group(2)}
    assert graph.descendants(group(0)) == {group(1), group(2), group(3)}
    assert graph.ancestors(group(0)) == frozenset()


def test_a_group_without_edges_has_nothing_around_it() -> None:
    graph = GroupGraph(chain(1))

    assert graph.ancestors(GroupId("other")) == frozenset()
    assert graph.descendants(GroupId("other")) == frozenset()
    assert graph.path(group(0), GroupId("other")) == ()
    assert GroupId("other") not in graph
    assert group(0) in graph
    assert len(graph) == 2


def test_a_group_in_a_cycle_contains_itself() -> None:
    graph = GroupGraph([*chain(2), (group(2), group(0)), (group(2), group(9))])

    assert graph.ancestors(group(0)) == {group(0), group(1), group(2)}
    assert graph.descendants(group(1)) == {group(0), group(1), group(2), group(9)}


def test_cycles_names_each_knot_once_and_a_self_member_alone() -> None:
    edges = [
        *chain(2),
        (group(2), group(1)),
        (group(2), group(2)),
        (group(7), group(7)),
        (group(7), group(0)),
    ]

    assert GroupGraph(edges).cycles() == [(group(1), group(2)), (group(7),)]


def test_path_is_the_shortest_nesting() -> None:
    graph = GroupGraph([*chain(4), (group(1), group(4))])

    assert graph.path(group(0), group(4)) == (group(0), group(1), group(4))
    assert graph.path(group(4), group(0)) == ()
    assert graph.path(group(2), group(2)) == (group(2),)


def test_path_ends_in_a_cycle() -> None:
    graph = GroupGraph([*chain(2), (group(2), group(0))])

    assert graph.path(group(8), group(1)) == ()
    assert graph.path(group(2), group(1)) == (group(2), group(0), group(1))


def test_too_many_groups_are_refused() -> None:
    GroupGraph(chain(3), max_groups=4)

    with pytest.raises(NestingLimitError, match="more than 3 nested groups"):
        GroupGraph(chain(3), max_groups=3)


def test_remembered_answers_stay_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module, "MAX_REMEMBERED", 10)
    graph = GroupGraph(chain(30))

    assert [len(graph.ancestors(group(number))) for number in range(31)] == list(range(31))
    assert [len(graph.ancestors(group(number))) for number in range(31)] == list(range(31))


def test_deep_nesting_needs_no_recursion() -> None:
    depth = 20_000
    graph = GroupGraph([*chain(depth), (group(depth), group(depth - 1))])

    assert len(graph.ancestors(group(depth))) == depth + 1
    assert len(graph.descendants(group(0))) == depth
    assert graph.cycles() == [(group(depth - 1), group(depth))]
    assert len(graph.path(group(0), group(depth))) == depth + 1


def test_five_thousand_groups_with_deep_chains_and_knots_are_walked() -> None:
    edges = [edge for number, edge in enumerate(chain(5_000)) if number % 50 != 49]
    edges += [(group(number + 40), group(number)) for number in range(0, 5_000, 500)]
    edges += [(group(number), group((number * 7919) % 5_000)) for number in range(0, 5_000, 3)]

    graph = GroupGraph(edges)
    knots = graph.cycles()
    for number in range(5_000):
        graph.ancestors(group(number))
        graph.descendants(group(number))

    assert knots


@given(edges=edge_lists, asked=st.lists(group_ids, min_size=1))
def test_closures_agree_with_a_plain_search(edges: list[Edge], asked: list[GroupId]) -> None:
    graph = GroupGraph(edges)
    upward = [(child, parent) for parent, child in edges]

    for group_id in asked:
        assert graph.descendants(group_id) == plain_reach(edges, group_id)
        assert graph.ancestors(group_id) == plain_reach(upward, group_id)


@given(edges=edge_lists)
def test_cycles_are_the_groups_that_reach_themselves(edges: list[Edge]) -> None:
    graph = GroupGraph(edges)
    looped = {child for _, child in edges if child in plain_reach(edges, child)}

    knots = graph.cycles()

    assert sorted(member for knot in knots for member in knot) == sorted(looped)
    for knot in knots:
        assert all(plain_reach(edges, member) >= set(knot) for member in knot)


@given(edges=edge_lists, ends=st.tuples(group_ids, group_ids))
def test_path_walks_edges_and_exists_when_the_group_is_reached(edges: list[Edge], ends: Edge) -> None:
    graph = GroupGraph(edges)
    ancestor, inner = ends

    path = graph.path(ancestor, inner)

    if path:
        assert (path[0], path[-1]) == ends
        assert set(pairwise(path)) <= set(edges)
        assert path == GroupGraph(reversed(edges)).path(ancestor, inner)
    else:
        assert ancestor not in plain_reach([(child, parent) for parent, child in edges], inner)
        assert ancestor != inner or inner not in graph
