"""Scopes as a YAML file: read, put in an order in which parents come first, and turned into changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import yaml

from directory.changes import PutScope
from directory.facts import name_key
from directory.ids import ScopeId
from mappings.catalogue import ROOT_KIND
from mappings.scopes import ScopeGraph, ScopeNode
from mappings.yaml_nodes import NodeReader
from provisioning.ports import Mint
from service.errors import AmbiguousNameError, InputError, NotFoundError
from service.names import find_scope

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ScopeText:
    """One scope in a person's words. Parents are `organisation`, `kind/host id`, or an id. `line` 0: no file."""

    kind: str
    host_id: str
    name: str
    parents: tuple[str, ...] = (ROOT_KIND,)
    line: int = 0

    @property
    def key(self) -> _Key:
        return (self.kind, name_key(self.host_id))


def parse_scopes(text: str, *, source: str) -> list[ScopeText]:
    """Read a scopes file: a mapping with the one key `scopes`. Raises InputError with every fault and its line."""
    reader = NodeReader(source)
    tree = reader.read_tree(text)
    found: list[ScopeText] = []
    if tree is not None:
        fields = reader.fields(tree, "the scopes file", required=("scopes",))
        if "scopes" in fields:
            found = [_parse_scope(reader, node) for node in reader.items(fields["scopes"], "scopes")]
    lines: dict[_Key, int] = {}
    for scope in found:
        if scope.key in lines:
            reader.note_line(
                scope.line,
                f"{scope.kind}/{scope.host_id} stands twice, first on line {lines[scope.key]}",
            )
        lines.setdefault(scope.key, scope.line)
    if reader.faults:
        raise InputError([str(fault) for fault in sorted(reader.faults)])
    return found


def _parse_scope(reader: NodeReader, node: yaml.Node) -> ScopeText:
    what = "a scope"
    fields = reader.fields(node, what, required=("kind", "host_id", "name"), optional=("parents",))
    texts = {key: reader.text(value, f"{key} of {what}") for key, value in fields.items() if key != "parents"}
    parents: tuple[str, ...] = (ROOT_KIND,)
    if "parents" in fields:
        parents = tuple(name for name, _ in reader.texts(fields["parents"], f"parents of {what}"))
    return ScopeText(
        kind=texts.get("kind", ""),
        host_id=texts.get("host_id", ""),
        name=texts.get("name", ""),
        parents=parents,
        line=node.start_mark.line + 1,
    )


def plan_scopes(
    texts: Sequence[ScopeText], scopes: ScopeGraph, mint: Mint, *, source: str = ""
) -> list[PutScope]:
    """The changes that put these scopes, parents first; those that stand as wanted are left out.

    Raises: InputError for a parent that is nowhere, and for scopes that would cover each other.
    """
    named = {text.key: text for text in texts}
    ids = {key: _known_id(text, scopes) or ScopeId(mint.id()) for key, text in named.items()}
    faults: list[str] = []
    parents: dict[_Key, list[ScopeId]] = {}
    order: TopologicalSorter[_Key] = TopologicalSorter()
    for key, text in named.items():
        place = f"{source}:{text.line}: " if text.line else ""
        order.add(key)
        parents[key] = []
        for parent in text.parents:
            kind, _, host_id = parent.partition("/")
            parent_key = (kind, name_key(host_id))
            if parent_key in named:
                order.add(key, parent_key)
                parents[key].append(ids[parent_key])
                continue
            try:
                parents[key].append(find_scope(scopes, parent).scope_id)
            except (NotFoundError, AmbiguousNameError) as error:
                faults.append(f"{place}{error}")
    if faults:
        raise InputError(faults)
    try:
        ordered = list(order.static_order())
    except CycleError as error:
        path = " > ".join(f"{kind}/{host_id}" for kind, host_id in error.args[1])
        raise InputError([f"{source or 'these scopes'}: scopes would cover themselves: {path}"]) from error
    puts = [
        PutScope(ids[key], named[key].kind, named[key].name, named[key].host_id, tuple(parents[key]))
        for key in ordered
    ]
    return [put for put in puts if scopes.get(put.scope_id) != _node(put)]


def _known_id(text: ScopeText, scopes: ScopeGraph) -> ScopeId | None:
    known = scopes.by_host_id(text.kind, text.host_id)
    return None if known is None else known.scope_id


def _node(put: PutScope) -> ScopeNode:
    return ScopeNode(put.scope_id, put.kind, put.name, put.host_id, put.parents)
