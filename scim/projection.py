"""`attributes` and `excludedAttributes`: what of a resource is shown, and so what of it has to be read.

Names are matched in any case, with or without their URN; unknown ones select nothing. `id` and `schemas` always stay.
What only we say can be left out until it is named. Source: RFC 7644 section 3.9; RFC 7643 section 7, `returned`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from directory.schema import CORE_GROUP, CORE_USER, MEMBER, ResourceSchema
from scim.errors import BadRequestError

Selection: TypeAlias = dict[str, "Selection | None"]
"""Keys of a document with what of their value is meant; None for all of it."""

_ALWAYS = ("schemas", "id")

OURS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {CORE_USER: (MEMBER,), CORE_GROUP: ("members", "display")}
)
"""The keys that lead to what no client can say, by the schema of the resource it is part of."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What is shown: only `kept` where it is given, and never what is `dropped`."""

    kept: Selection | None = None
    dropped: Selection | None = None

    @property
    def is_whole(self) -> bool:
        return self.kept is None and self.dropped is None

    @property
    def shows_groups(self) -> bool:
        return self._shows("groups")

    @property
    def shows_grants(self) -> bool:
        return self._shows(MEMBER, "grants")

    @property
    def shows_members(self) -> bool:
        return self._shows("members")

    def _shows(self, name: str, sub: str = "") -> bool:
        """Whether something of an attribute, or of an attribute of an extension, is shown."""
        if self.kept is not None:
            if name not in self.kept:
                return False
            below = self.kept[name]
            return not sub or below is None or sub in below
        if self.dropped is not None and name in self.dropped:
            below = self.dropped[name]
            return below is not None and (not sub or below.get(sub, {}) is not None)
        return True

    def apply(self, document: dict[str, object]) -> dict[str, object]:
        """The document without what is not shown; `schemas` names only what is left."""
        if self.is_whole:
            return document
        shown = self._cut(document, self.kept, self.dropped)
        schemas = document["schemas"]
        assert isinstance(schemas, list)  # noqa: S101 - every resource is rendered with a list
        left = [urn for urn in schemas if urn == schemas[0] or urn in shown]
        shown.pop("schemas", None)
        shown.pop("id", None)
        return {"schemas": left, "id": document["id"], **shown}

    def apply_to_member(self, entry: dict[str, object]) -> dict[str, object]:
        """One entry of `members` without what is not shown."""
        kept = None if self.kept is None else self.kept["members"]
        dropped = None if self.dropped is None else self.dropped.get("members")
        return self._cut(entry, kept, dropped)

    @staticmethod
    def _cut(
        document: dict[str, object], kept: Selection | None, dropped: Selection | None
    ) -> dict[str, object]:
        if kept is not None:
            document = _keep(document, kept)
        return document if dropped is None else _drop(document, dropped)


def read_projection(
    attributes: str, excluded: str, schema: ResourceSchema, *, shows_ours: bool = True
) -> Projection:
    """Read both query parameters, each a list with commas."""
    return make_projection(attributes.split(","), excluded.split(","), schema, shows_ours=shows_ours)


def make_projection(
    attributes: Iterable[str], excluded: Iterable[str], schema: ResourceSchema, *, shows_ours: bool = True
) -> Projection:
    """Read both lists of names. Without `shows_ours`, what is `OURS` is shown only where it is named.

    Raises BadRequestError when both name something.
    """
    kept = [name for text in attributes if (name := text.strip())]
    dropped = [name for text in excluded if (name := text.strip())]
    if kept and dropped:
        raise BadRequestError("give attributes or excludedAttributes, not both (RFC 7644 section 3.9)")
    named = [keys for name in kept or dropped if (keys := _keys(name, schema))]
    ours = OURS[schema.urn]
    if kept:
        is_ours_kept = shows_ours or any(keys[: len(ours)] == ours for keys in named)
        return Projection(kept=_select(named), dropped=None if is_ours_kept else _select([ours]))
    left_out = [keys for keys in named if keys[0] not in _ALWAYS]
    return Projection(dropped=_select(left_out if shows_ours else [*left_out, ours]) or None)


def _select(paths: Iterable[Sequence[str]]) -> Selection:
    selection: Selection = {}
    for keys in paths:
        _mark(selection, keys)
    return selection


def _keys(name: str, schema: ResourceSchema) -> tuple[str, ...]:
    """The keys that lead to what a name means, from the outside in; none for an unknown name."""
    path = schema.find(name)
    if path is None:
        urn = schema.extension(name)
        return (urn,) if urn else ()
    keys = (path.urn, path.attribute.name) if path.urn else (path.attribute.name,)
    return (*keys, path.sub.name) if path.sub is not None else keys


def _mark(selection: Selection, keys: Sequence[str]) -> None:
    """Note that the last key is meant whole; what was noted below it is then part of it."""
    first, *rest = keys
    if not rest:
        selection[first] = None
        return
    below = selection.setdefault(first, {})
    if below is not None:
        _mark(below, rest)


def _keep(document: Mapping[str, object], selection: Selection) -> dict[str, object]:
    shown: dict[str, object] = {}
    for name, value in document.items():
        if name not in selection:
            continue
        below = selection[name]
        part = value if below is None else _cut_below(value, below, _keep)
        if part is not None:
            shown[name] = part
    return shown


def _drop(document: Mapping[str, object], selection: Selection) -> dict[str, object]:
    shown: dict[str, object] = {}
    for name, value in document.items():
        if name not in selection:
            shown[name] = value
            continue
        below = selection[name]
        part = None if below is None else _cut_below(value, below, _drop)
        if part is not None:
            shown[name] = part
    return shown


def _cut_below(
    value: object, below: Selection, cut: Callable[[Mapping[str, object], Selection], dict[str, object]]
) -> object:
    """What is left of a complex value, or of each entry of several; None when that is nothing."""
    if isinstance(value, Mapping):
        return cut(value, below) or None
    if isinstance(value, list):
        return [part for entry in value if isinstance(entry, Mapping) and (part := cut(entry, below))] or None
    return value
