"""The scope graph of an organisation: which place covers which, asked live and never expanded (B-R6).

A node reaches the root through any of its parents. A node that does not is covered by nothing, not even by
itself, and covers nothing: a broken graph takes access away and never gives any.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from directory.facts import name_key
from directory.ids import ScopeId

# Beyond this many node ids all remembered lineages are dropped, so that a deep graph cannot fill memory.
MAX_REMEMBERED = 2_000_000

Lineage = Mapping[ScopeId, int]


@dataclass(frozen=True, slots=True)
class ScopeNode:
    """A place of the host application. `host_id` is the host's own id; the root alone has no parents."""

    scope_id: ScopeId
    kind: str
    name: str
    host_id: str
    parents: tuple[ScopeId, ...]

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"


class ScopeGraph:
    """The nodes of one organisation under its root. Immutable; lineages are found when first asked for.

    Of several nodes with one id the last counts.
    """

    __slots__ = ("_by_host_id", "_children", "_lineages", "_nodes", "_reached", "_remembered", "_root")

    def __init__(self, nodes: Iterable[ScopeNode], root: ScopeId) -> None:
        self._root = root
        self._nodes = {node.scope_id: node for node in nodes}
        self._children: dict[ScopeId, list[ScopeId]] = {}
        self._by_host_id: dict[tuple[str, str], list[ScopeNode]] = {}
        for node in self._nodes.values():
            self._by_host_id.setdefault((node.kind, name_key(node.host_id)), []).append(node)
            for parent in node.parents:
                self._children.setdefault(parent, []).append(node.scope_id)
        self._reached = self._below(root) | {root} if root in self._nodes else frozenset[ScopeId]()
        self._lineages: dict[ScopeId, Lineage] = {}
        self._remembered = 0

    def plus(self, node: ScopeNode) -> "ScopeGraph":
        """The graph with one more node. Costs copies of its tables, so that thousands can be added one by one."""
        if node.scope_id in self._nodes or node.scope_id in self._children or node.scope_id == self._root:
            others = (known for known in self._nodes.values() if known.scope_id != node.scope_id)
            return ScopeGraph((*others, node), self._root)
        grown = ScopeGraph((), self._root)
        grown._nodes = {**self._nodes, node.scope_id: node}
        grown._children = self._children.copy()
        for parent in node.parents:
            grown._children[parent] = [*grown._children.get(parent, ()), node.scope_id]
        grown._by_host_id = self._by_host_id.copy()
        key = (node.kind, name_key(node.host_id))
        grown._by_host_id[key] = [*grown._by_host_id.get(key, ()), node]
        is_reached = any(parent in self._reached for parent in node.parents)
        grown._reached = self._reached | {node.scope_id} if is_reached else self._reached
        return grown

    @property
    def root(self) -> ScopeId:
        return self._root

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, scope_id: object) -> bool:
        return scope_id in self._nodes

    def get(self, scope_id: ScopeId) -> ScopeNode | None:
        """The node, whether it reaches the root or not."""
        return self._nodes.get(scope_id)

    def nodes(self) -> tuple[ScopeNode, ...]:
        """All nodes, in the order in which they were given."""
        return tuple(self._nodes.values())

    def kinds(self) -> frozenset[str]:
        """The kinds that have a node which reaches the root: those that a mapping can name."""
        return frozenset(self._nodes[scope_id].kind for scope_id in self._reached)

    def by_host_id(self, kind: str, host_id: str) -> ScopeNode | None:
        """The node of a kind with the host's id, compared by `name_key`; None also where nodes share it."""
        found = self._by_host_id.get((kind, name_key(host_id)), [])
        return found[0] if len(found) == 1 else None

    def sharing_host_id(self, node: ScopeNode) -> tuple[ScopeNode, ...]:
        """The other nodes of the same kind with the same host id."""
        found = self._by_host_id.get((node.kind, name_key(node.host_id)), [])
        return tuple(other for other in found if other.scope_id != node.scope_id)

    def covers(self, scope_id: ScopeId, resource_id: ScopeId) -> bool:
        """Whether a scope is the resource or anywhere above it."""
        return scope_id in self.lineage(resource_id)

    def ancestors(self, scope_id: ScopeId) -> tuple[ScopeId, ...]:
        """All nodes above a node, each once, nearest first, the root last."""
        return tuple(self.lineage(scope_id))[1:]

    def descendants(self, scope_id: ScopeId) -> frozenset[ScopeId]:
        """All nodes that the scope covers, without itself."""
        if scope_id not in self._reached:
            return frozenset()
        return self._below(scope_id)

    def children(self, scope_id: ScopeId) -> tuple[ScopeId, ...]:
        """The nodes that name this one as a parent."""
        return tuple(self._children.get(scope_id, ()))

    def lineage(self, scope_id: ScopeId) -> Lineage:
        """The node and all that cover it, in the order of `ancestors`, each with its place in that order.

        Empty for an unknown node and for one that does not reach the root.
        """
        known = self._lineages.get(scope_id)
        if known is not None:
            return known
        if scope_id not in self._reached:
            return {}
        lineage = self._find_lineage(scope_id)
        self._remembered += len(lineage)
        if self._remembered > MAX_REMEMBERED:
            self._lineages = {}
            self._remembered = len(lineage)
        self._lineages[scope_id] = lineage
        return lineage

    def _find_lineage(self, scope_id: ScopeId) -> Lineage:
        found = {scope_id: 0}
        queue = deque([scope_id])
        while queue:
            here = queue.popleft()
            if here == self._root:
                continue
            for parent in self._nodes[here].parents:
                if parent in self._reached and parent not in found:
                    found[parent] = len(found)
                    queue.append(parent)
        if len(found) > 1:
            del found[self._root]
            found[self._root] = 0
        return {node: place for place, node in enumerate(found)}

    def _below(self, scope_id: ScopeId) -> frozenset[ScopeId]:
        found: set[ScopeId] = set()
        pending = [scope_id]
        while pending:
            for child in self._children.get(pending.pop(), ()):
                if child not in found and child != self._root:
                    found.add(child)
                    pending.append(child)
        return frozenset(found - {scope_id})


class ScopeKindLike(Protocol):
    """What a scope kind of the catalogue says about the kinds above it."""

    @property
    def parents(self) -> tuple[str, ...]: ...

    @property
    def has_several_parents(self) -> bool: ...


class ScopeFaultCode(StrEnum):
    UNKNOWN_KIND = "unknown_kind"
    NO_PARENT = "no_parent"
    PARENT_MISSING = "parent_missing"
    PARENT_KIND = "parent_kind"
    SEVERAL_PARENTS = "several_parents"
    CYCLE = "cycle"
    CHILD_KIND = "child_kind"
    DUPLICATE_HOST_ID = "duplicate_host_id"


@dataclass(frozen=True, slots=True)
class ScopeFault:
    """Why a node cannot be put. `scopes` are the nodes concerned; for a cycle its whole path, closed."""

    code: ScopeFaultCode
    text: str
    scopes: tuple[ScopeId, ...]

    def __str__(self) -> str:
        return self.text


def check_scope(
    graph: ScopeGraph, node: ScopeNode, *, kinds: Mapping[str, ScopeKindLike]
) -> list[ScopeFault]:
    """All faults that putting the node, new or in place of its former self, would bring into the graph."""
    kind = kinds.get(node.kind)
    if kind is None:
        known = ", ".join(sorted(kinds))
        text = f"{node}: the catalogue has no scope kind {node.kind!r}; it has {known}"
        return [ScopeFault(ScopeFaultCode.UNKNOWN_KIND, text, (node.scope_id,))]
    return [
        *_check_parents(graph, node, kind),
        *_check_children(graph, node, kinds),
        *_check_cycle(graph, node),
        *_check_host_id(graph, node),
    ]


def _check_parents(graph: ScopeGraph, node: ScopeNode, kind: ScopeKindLike) -> Iterable[ScopeFault]:
    parents = dict.fromkeys(node.parents)
    allowed = " or ".join(kind.parents) or "nothing"
    if not parents and (kind.parents or node.scope_id != graph.root):
        text = f"{node} has no parent; put it below {allowed}"
        yield ScopeFault(ScopeFaultCode.NO_PARENT, text, (node.scope_id,))
    if len(parents) > 1 and not kind.has_several_parents:
        text = f"{node} has {len(parents)} parents; a {node.kind} has one"
        yield ScopeFault(ScopeFaultCode.SEVERAL_PARENTS, text, tuple(parents))
    for parent_id in parents:
        parent = graph.get(parent_id)
        if parent is None:
            text = f"{node}: there is no parent {parent_id!r}"
            yield ScopeFault(ScopeFaultCode.PARENT_MISSING, text, (parent_id,))
        elif parent.kind not in kind.parents:
            text = f"{node} cannot be below {parent}; put it below {allowed}"
            yield ScopeFault(ScopeFaultCode.PARENT_KIND, text, (parent_id,))


def _check_children(
    graph: ScopeGraph, node: ScopeNode, kinds: Mapping[str, ScopeKindLike]
) -> Iterable[ScopeFault]:
    former = graph.get(node.scope_id)
    if former is None or former.kind == node.kind:
        return
    for child_id in graph.children(node.scope_id):
        child = graph.get(child_id)
        if child is not None and child.kind in kinds and node.kind not in kinds[child.kind].parents:
            text = f"{node} was a {former.kind} and still holds {child}; move that first"
            yield ScopeFault(ScopeFaultCode.CHILD_KIND, text, (child_id,))


def _check_cycle(graph: ScopeGraph, node: ScopeNode) -> Iterable[ScopeFault]:
    """Walk up from the node's new parents; a walk that comes back to the node has found a shortest cycle."""
    below: dict[ScopeId, ScopeId] = {}
    queue = deque([(parent, node.scope_id) for parent in node.parents])
    while queue and node.scope_id not in below:
        here, came_from = queue.popleft()
        if here not in below:
            below[here] = came_from
            found = graph.get(here)
            queue.extend((parent, here) for parent in (found.parents if found else ()))
    if node.scope_id in below:
        path = [node.scope_id]
        while below[path[-1]] != node.scope_id:
            path.append(below[path[-1]])
        path.append(node.scope_id)
        shown = " > ".join(str(node if step == node.scope_id else graph.get(step)) for step in path)
        yield ScopeFault(ScopeFaultCode.CYCLE, f"{node} would cover itself: {shown}", tuple(path))


def _check_host_id(graph: ScopeGraph, node: ScopeNode) -> Iterable[ScopeFault]:
    others = graph.sharing_host_id(node)
    if others:
        text = f"{node} has the host id {node.host_id!r} of {others[0]}; host ids of one kind are unique"
        yield ScopeFault(ScopeFaultCode.DUPLICATE_HOST_ID, text, tuple(other.scope_id for other in others))
