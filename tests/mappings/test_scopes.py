"""The scope graph: what covers what, and which nodes may not be put."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.ids import ScopeId
from mappings import scopes as scopes_module
from mappings.catalogue import ScopeKind
from mappings.scopes import ScopeFaultCode, ScopeGraph, ScopeNode, check_scope

KINDS: Mapping[str, ScopeKind] = {
    "organisation": ScopeKind("organisation", "Organisation", ()),
    "building": ScopeKind("building", "Building", ("organisation",)),
    "unit": ScopeKind("unit", "Unit", ("building", "organisation")),
    "tag": ScopeKind("tag", "Tag", ("organisation", "tag"), has_several_parents=True),
}


def put(scope_id: str, *parents: str, kind: str = "unit", host_id: str = "") -> ScopeNode:
    return ScopeNode(ScopeId(scope_id), kind, scope_id, host_id or scope_id, tuple(map(ScopeId, parents)))


ROOT = put("root", kind="organisation")
HOUSE = put("house", "root", kind="building")
FLAT = put("flat", "house")
SHED = put("shed", "root")


def small_graph(*more: ScopeNode) -> ScopeGraph:
    return ScopeGraph([ROOT, HOUSE, FLAT, SHED, *more], ROOT.scope_id)


def ids(*names: str) -> tuple[ScopeId, ...]:
    return tuple(map(ScopeId, names))


# Covering


def test_a_scope_covers_itself_and_everything_below() -> None:
    graph = small_graph()

    assert all(graph.covers(ROOT.scope_id, node.scope_id) for node in graph.nodes())
    assert graph.covers(HOUSE.scope_id, FLAT.scope_id)
    assert graph.covers(FLAT.scope_id, FLAT.scope_id)


def test_a_scope_covers_nothing_above_or_beside_it() -> None:
    graph = small_graph()

    assert not graph.covers(FLAT.scope_id, HOUSE.scope_id)
    assert not graph.covers(HOUSE.scope_id, SHED.scope_id)


def test_a_node_is_covered_through_any_of_its_parents() -> None:
    graph = ScopeGraph(
        [ROOT, put("a", "root"), put("b", "root"), put("both", "a", "b"), put("below", "both")], ROOT.scope_id
    )

    assert graph.covers(ScopeId("a"), ScopeId("below"))
    assert graph.covers(ScopeId("b"), ScopeId("below"))
    assert graph.ancestors(ScopeId("below")) == ids("both", "a", "b", "root")


def test_a_node_with_a_missing_parent_is_covered_by_nothing() -> None:
    graph = small_graph(put("lost", "gone"), put("below", "lost"))

    for scope_id in ids("lost", "below"):
        assert scope_id in graph
        assert not graph.covers(ROOT.scope_id, scope_id)
        assert not graph.covers(scope_id, scope_id)
        assert graph.ancestors(scope_id) == ()
        assert graph.descendants(scope_id) == frozenset()


def test_a_node_with_one_missing_parent_is_covered_through_the_other() -> None:
    graph = small_graph(put("half", "gone", "house"))

    assert graph.ancestors(ScopeId("half")) == ids("house", "root")
    assert not graph.covers(ScopeId("gone"), ScopeId("half"))


def test_an_unreachable_parent_covers_nothing() -> None:
    graph = small_graph(put("lost", "gone"), put("half", "lost", "house"))

    assert not graph.covers(ScopeId("lost"), ScopeId("half"))
    assert graph.ancestors(ScopeId("half")) == ids("house", "root")


def test_an_unknown_node_is_covered_by_nothing() -> None:
    graph = small_graph()

    assert not graph.covers(ROOT.scope_id, ScopeId("nowhere"))
    assert not graph.covers(ScopeId("nowhere"), ScopeId("nowhere"))
    assert graph.get(ScopeId("nowhere")) is None
    assert graph.descendants(ScopeId("nowhere")) == frozenset()


def test_without_its_root_a_graph_covers_nothing() -> None:
    graph = ScopeGraph([HOUSE, FLAT], ROOT.scope_id)

    assert not graph.covers(HOUSE.scope_id, FLAT.scope_id)
    assert graph.kinds() == frozenset()


def test_a_cycle_away_from_the_root_covers_nothing() -> None:
    graph = small_graph(put("x", "y"), put("y", "x"))

    assert not graph.covers(ScopeId("x"), ScopeId("y"))


def test_a_cycle_that_hangs_on_the_root_ends_every_walk() -> None:
    graph = small_graph(put("x", "root", "y"), put("y", "x"))

    assert graph.ancestors(ScopeId("x")) == ids("y", "root")
    assert graph.ancestors(ScopeId("y")) == ids("x", "root")
    assert graph.descendants(ScopeId("x")) == {ScopeId("y")}


def test_parents_of_the_root_are_not_followed() -> None:
    graph = ScopeGraph([put("root", "house", kind="organisation"), HOUSE], ROOT.scope_id)

    assert graph.ancestors(ROOT.scope_id) == ()
    assert graph.descendants(HOUSE.scope_id) == frozenset()


def test_ancestors_are_nearest_first_and_the_root_last() -> None:
    graph = ScopeGraph([ROOT, put("a", "root"), put("b", "a"), put("c", "root", "b", "a")], ROOT.scope_id)

    assert graph.ancestors(ScopeId("c")) == ids("b", "a", "root")
    assert graph.ancestors(ROOT.scope_id) == ()


def test_descendants_are_all_that_is_covered() -> None:
    assert small_graph().descendants(ROOT.scope_id) == {HOUSE.scope_id, FLAT.scope_id, SHED.scope_id}
    assert small_graph().children(ROOT.scope_id) == (HOUSE.scope_id, SHED.scope_id)
    assert small_graph().children(FLAT.scope_id) == ()


# Finding


def test_a_node_is_found_by_its_host_id_in_any_spelling() -> None:
    graph = small_graph(put("s1", "root", host_id="Unit-STRASSE"))

    assert graph.by_host_id("unit", "unit-straße") == graph.get(ScopeId("s1"))
    assert graph.by_host_id("building", "unit-straße") is None
    assert graph.by_host_id("unit", "other") is None


def test_a_host_id_that_nodes_share_finds_none() -> None:
    graph = small_graph(put("s1", "root", host_id="12a"), put("s2", "root", host_id="12A"))

    assert graph.by_host_id("unit", "12a") is None


def test_kinds_are_those_that_reach_the_root() -> None:
    graph = small_graph(put("lost", "gone", kind="tag"))

    assert graph.kinds() == {"organisation", "building", "unit"}
    assert len(graph) == 5
    assert graph.root == ROOT.scope_id


# Size


def test_a_chain_of_ten_thousand_needs_no_recursion() -> None:
    depth = 10_000
    graph = ScopeGraph(
        [ROOT, put("n0", "root"), *(put(f"n{i}", f"n{i - 1}") for i in range(1, depth))], ROOT.scope_id
    )

    assert len(graph.ancestors(ScopeId(f"n{depth - 1}"))) == depth
    assert len(graph.descendants(ScopeId("n0"))) == depth - 1


def test_remembered_lineages_stay_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scopes_module, "MAX_REMEMBERED", 5)
    graph = small_graph()

    for _ in range(2):
        assert [len(graph.ancestors(node.scope_id)) for node in graph.nodes()] == [0, 1, 2, 1]


def test_fifty_thousand_nodes_are_built_and_asked() -> None:
    nodes = [ROOT, *(put(f"n{i}", f"n{i // 8}" if i >= 8 else "root") for i in range(1, 50_000))]

    graph = ScopeGraph(nodes, ROOT.scope_id)
    covered = sum(graph.covers(ScopeId("n1"), node.scope_id) for node in nodes)

    assert covered == len(graph.descendants(ScopeId("n1"))) + 1


# Checking


def faults(graph: ScopeGraph, node: ScopeNode) -> list[ScopeFaultCode]:
    return [fault.code for fault in check_scope(graph, node, kinds=KINDS)]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (put("new", "house"), []),
        (put("flat", "root"), []),
        (put("root", kind="organisation"), []),
        (put("t", "root", kind="tag"), []),
        (put("new", "house", kind="castle"), [ScopeFaultCode.UNKNOWN_KIND]),
        (put("new"), [ScopeFaultCode.NO_PARENT]),
        (put("new", kind="organisation"), [ScopeFaultCode.NO_PARENT]),
        (put("new", "gone"), [ScopeFaultCode.PARENT_MISSING]),
        (put("new", "flat"), [ScopeFaultCode.PARENT_KIND]),
        (put("new", "root", kind="organisation"), [ScopeFaultCode.PARENT_KIND]),
        (put("new", "root", "house"), [ScopeFaultCode.SEVERAL_PARENTS]),
        (put("new", "root", "root"), []),
        (put("new", "root", host_id="FLAT"), [ScopeFaultCode.DUPLICATE_HOST_ID]),
        (put("new", "root", host_id="house"), []),
        (put("house", "root", kind="unit"), [ScopeFaultCode.CHILD_KIND]),
        (put("shed", "root", kind="building"), []),
        (put("house", "root", kind="organisation"), [ScopeFaultCode.PARENT_KIND]),
        (put("new", "gone", "shed"), ["several_parents", "parent_missing", "parent_kind"]),
    ],
)
def test_check_scope_finds_every_fault(node: ScopeNode, expected: list[str]) -> None:
    assert faults(small_graph(), node) == expected


def test_a_node_of_several_parents_needs_a_kind_that_has_them() -> None:
    graph = small_graph(put("t1", "root", kind="tag"), put("t2", "root", kind="tag"))

    assert faults(graph, put("t3", "t1", "t2", kind="tag")) == []


def test_a_cycle_is_refused_with_its_whole_path() -> None:
    graph = small_graph(*(put(f"t{i}", f"t{i - 1}" if i else "root", kind="tag") for i in range(4)))

    (fault,) = check_scope(graph, put("t1", "root", "t3", kind="tag"), kinds=KINDS)

    assert fault.code is ScopeFaultCode.CYCLE
    assert fault.scopes == ids("t1", "t2", "t3", "t1")
    assert str(fault) == "tag 't1' would cover itself: tag 't1' > tag 't2' > tag 't3' > tag 't1'"


def test_a_node_that_is_its_own_parent_is_a_cycle() -> None:
    assert faults(small_graph(), put("t", "t", kind="tag")) == [
        ScopeFaultCode.PARENT_MISSING,
        ScopeFaultCode.CYCLE,
    ]


def test_a_cycle_elsewhere_does_not_hold_the_check_up() -> None:
    graph = small_graph(put("x", "y", kind="tag"), put("y", "x", kind="tag"))

    assert faults(graph, put("z", "x", kind="tag")) == []


def test_a_fault_says_what_which_and_what_to_do() -> None:
    (missing,) = check_scope(small_graph(), put("new", "gone"), kinds=KINDS)
    (misplaced,) = check_scope(small_graph(), put("new", "flat"), kinds=KINDS)
    (unknown,) = check_scope(small_graph(), put("new", "root", kind="castle"), kinds=KINDS)

    assert str(missing) == "unit 'new': there is no parent 'gone'"
    assert str(misplaced) == "unit 'new' cannot be below unit 'flat'; put it below building or organisation"
    assert str(unknown).endswith("it has building, organisation, tag, unit")


# The graph agrees with a plain search

names = st.integers(0, 9).map(lambda number: f"n{number}")
graphs = st.dictionaries(names, st.lists(names | st.just("root"), max_size=3, unique=True))


def plain_cover(parents: Mapping[str, list[str]], scope: str, resource: str) -> bool:
    """Both reach the root, and some way up from the resource meets the scope."""

    def above(start: str) -> set[str]:
        found, pending = {start}, {start}
        while pending:
            pending = {up for node in pending - {"root"} for up in parents.get(node, ())} - found
            found |= pending
        return found

    known = {"root", *parents}
    reaching = {node for node in known if "root" in above(node)}
    return {scope, resource} <= reaching and scope in above(resource)


@given(parents=graphs)
def test_covers_agrees_with_a_plain_search(parents: dict[str, list[str]]) -> None:
    graph = ScopeGraph([ROOT, *(put(name, *above) for name, above in parents.items())], ROOT.scope_id)
    everything = ["root", *(f"n{number}" for number in range(10))]

    for scope in everything:
        covered = {other for other in everything if plain_cover(parents, scope, other)}
        assert {other for other in everything if graph.covers(ScopeId(scope), ScopeId(other))} == covered
        assert graph.descendants(ScopeId(scope)) == covered - {scope}


@given(parents=graphs, added=st.tuples(names, st.lists(names | st.just("root"), max_size=3, unique=True)))
def test_a_graph_with_one_more_node_is_the_graph_of_all(
    parents: dict[str, list[str]], added: tuple[str, list[str]]
) -> None:
    name, above = added
    nodes = [ROOT, *(put(known, *others) for known, others in parents.items())]
    node = put(name, *above)

    grown = ScopeGraph(nodes, ROOT.scope_id).plus(node)

    expected = ScopeGraph([*(one for one in nodes if one.scope_id != node.scope_id), node], ROOT.scope_id)
    assert set(grown.nodes()) == set(expected.nodes())
    for one in expected.nodes():
        assert grown.get(one.scope_id) == one
        assert dict(grown.lineage(one.scope_id)) == dict(expected.lineage(one.scope_id))
        assert set(grown.children(one.scope_id)) == set(expected.children(one.scope_id))
        assert grown.by_host_id(one.kind, one.host_id) == expected.by_host_id(one.kind, one.host_id)
        assert grown.descendants(one.scope_id) == expected.descendants(one.scope_id)
