"""The graph of nested groups: who is above whom, through any number of levels and in spite of cycles.

Directories allow cycles and groups that are their own members; both are facts here, not errors. Nothing
recurses.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from directory.errors import NestingLimitError
from directory.ids import GroupId

MAX_GROUPS = 1_000_000
# Beyond this many group ids all remembered answers are dropped, so that a deep nesting cannot fill memory.
MAX_REMEMBERED = 5_000_000

_Edges = Mapping[GroupId, set[GroupId]]


class GroupGraph:
    """Nesting of groups, from (parent, child) edges. Of a group without an edge nothing is known.

    Answers are remembered, so a graph is made anew when an edge changes. Raises NestingLimitError beyond
    `max_groups`.
    """

    __slots__ = ("_above", "_below", "_children", "_parents")

    def __init__(self, edges: Iterable[tuple[GroupId, GroupId]], *, max_groups: int = MAX_GROUPS) -> None:
        self._children: dict[GroupId, set[GroupId]] = {}
        self._parents: dict[GroupId, set[GroupId]] = {}
        for parent, child in edges:
            self._add(parent, max_groups)
            self._add(child, max_groups)
            self._children[parent].add(child)
            self._parents[child].add(parent)
        self._above = _Memory()
        self._below = _Memory()

    def __len__(self) -> int:
        return len(self._children)

    def __contains__(self, group_id: object) -> bool:
        return group_id in self._children

    def ancestors(self, group_id: GroupId) -> frozenset[GroupId]:
        """Every group that contains the group, at any level; a group in a cycle contains itself."""
        return self._closure(group_id, self._parents, self._above, self._children)

    def descendants(self, group_id: GroupId) -> frozenset[GroupId]:
        """Every group inside the group, at any level; a group in a cycle is inside itself."""
        return self._closure(group_id, self._children, self._below, self._parents)

    def cycles(self) -> list[tuple[GroupId, ...]]:
        """The groups that contain themselves: a sorted tuple for each knot of cycles, a self-member alone."""
        return sorted(
            tuple(sorted(component))
            for component in _strong_components(self._children)
            if len(component) > 1 or component[0] in self._children[component[0]]
        )

    def path(self, ancestor: GroupId, group: GroupId) -> tuple[GroupId, ...]:
        """A shortest nesting from `ancestor` down to `group`, both included; empty when there is none.

        Of several shortest ones the choice is always the same.
        """
        if group not in self._parents:
            return ()
        inner: dict[GroupId, GroupId | None] = {group: None}
        queue = deque([group])
        while queue and ancestor not in inner:
            here = queue.popleft()
            for parent in sorted(self._parents[here] - inner.keys()):
                inner[parent] = here
                queue.append(parent)
        steps: list[GroupId] = []
        step = ancestor if ancestor in inner else None
        while step is not None:
            steps.append(step)
            step = inner[step]
        return tuple(steps)

    def _add(self, group_id: GroupId, max_groups: int) -> None:
        if group_id in self._children:
            return
        if len(self._children) == max_groups:
            raise NestingLimitError(
                f"more than {max_groups} nested groups; narrow the group filter of the directory"
            )
        self._children[group_id] = set()
        self._parents[group_id] = set()

    def _closure(
        self, group_id: GroupId, edges: _Edges, memory: "_Memory", back: _Edges
    ) -> frozenset[GroupId]:
        if group_id not in edges:
            return frozenset()
        known = memory.sets.get(group_id)
        if known is not None:
            return known
        answer = frozenset(_reach(group_id, edges, memory.sets))
        # What a group reaches, and is reached by, is its knot: all of it has the same answer, held once.
        knot = answer & _reach(group_id, back, {}) if group_id in answer else {group_id}
        memory.remember(knot, answer)
        return answer


class _Memory:
    __slots__ = ("_size", "sets")

    def __init__(self) -> None:
        self.sets: dict[GroupId, frozenset[GroupId]] = {}
        self._size = 0

    def remember(self, groups: Iterable[GroupId], answer: frozenset[GroupId]) -> None:
        self._size += len(answer)
        if self._size > MAX_REMEMBERED:
            self.sets.clear()
            self._size = len(answer)
        self.sets.update(dict.fromkeys(groups, answer))


def _reach(start: GroupId, edges: _Edges, known: Mapping[GroupId, frozenset[GroupId]]) -> set[GroupId]:
    """All groups reached from one. Takes over whole what is known of a group on the way."""
    found: set[GroupId] = set()
    pending = list(edges[start])
    while pending:
        group = pending.pop()
        if group in found:
            continue
        found.add(group)
        beyond = known.get(group)
        if beyond is None:
            pending.extend(edges[group])
        else:
            found |= beyond
    return found


def _strong_components(edges: _Edges) -> Iterator[list[GroupId]]:
    """Tarjan's strongly connected components, with a stack of its own."""
    order: dict[GroupId, int] = {}
    low: dict[GroupId, int] = {}
    pending: dict[GroupId, None] = {}
    for start in edges:
        walk = [] if start in order else [(start, iter(edges[start]))]
        while walk:
            group, rest = walk[-1]
            if group not in order:
                order[group] = low[group] = len(order)
                pending[group] = None
            for child in rest:
                if child not in order:
                    walk.append((child, iter(edges[child])))
                    break
                if child in pending:
                    low[group] = min(low[group], order[child])
            else:
                walk.pop()
                if walk:
                    outer = walk[-1][0]
                    low[outer] = min(low[outer], low[group])
                if low[group] == order[group]:
                    yield _pop_until(group, pending)


def _pop_until(group: GroupId, pending: dict[GroupId, None]) -> list[GroupId]:
    popped = [pending.popitem()[0]]
    while popped[-1] != group:
        popped.append(pending.popitem()[0])
    return popped
