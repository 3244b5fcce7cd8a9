"""What people call things, and what they are told when it is not enough."""

import pytest

from directory.ids import ScopeId
from mappings.scopes import ScopeGraph, ScopeNode
from service.errors import AmbiguousNameError, NotFoundError
from service.names import find_scope, scope_label

ROOT = ScopeId("00000000-0000-7000-8000-000000000000")


def graph(*nodes: ScopeNode) -> ScopeGraph:
    return ScopeGraph([ScopeNode(ROOT, "organisation", "Acme", "acme", ()), *nodes], ROOT)


def unit(number: int, name: str) -> ScopeNode:
    return ScopeNode(ScopeId(f"00000000-0000-7000-8000-{number:012}"), "unit", name, f"u{number}", (ROOT,))


def test_scope_is_found_by_each_of_its_names() -> None:
    scopes = graph(unit(1, "Loft"))

    for name in ("LOFT", "unit/U1", "u1", "00000000-0000-7000-8000-000000000001"):
        assert find_scope(scopes, name) == unit(1, "Loft")
    assert find_scope(scopes, "organisation").scope_id == find_scope(scopes, "acme").scope_id == ROOT
    assert scope_label(find_scope(scopes, "organisation")) == "Acme (organisation)"


def test_candidates_are_told_and_the_rest_counted() -> None:
    scopes = graph(*(unit(number, "Loft") for number in range(1, 14)))

    with pytest.raises(AmbiguousNameError) as caught:
        find_scope(scopes, "loft")

    assert caught.value.candidates[0] == "Loft (unit/u1)"
    assert caught.value.candidates[-1] == "3 more"
    assert len(caught.value.candidates) == 11


def test_unknown_scope_is_told_how_to_be_named() -> None:
    with pytest.raises(NotFoundError, match="name one by kind/host id, name or id"):
        find_scope(graph(), "unit/none")
