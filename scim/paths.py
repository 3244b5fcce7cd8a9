"""Paths of PATCH operations, and the filters within them evaluated on the entries of one attribute.

Source: RFC 7644 section 3.5.2, Figure 7; with attributes of an extension under its URN, and an extension whole.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import assert_never

from directory.errors import FilterSyntaxError
from directory.filters import (
    And,
    Comparison,
    Filter,
    Not,
    Operator,
    Or,
    Present,
    ValuePath,
    parse_filter,
)
from directory.schema import Attribute, Kind, Path, ResourceSchema, comparison_key
from scim.errors import InvalidPathError
from scim.values import EXTENSIONS, read_boolean, shown

EntryTest = Callable[[Mapping[str, object]], bool]

MAX_TERMS = 100
_NAME = r"[A-Za-z$][A-Za-z0-9_$-]*"
_FORM = re.compile(rf"(?:[uU][rR][nN]:[A-Za-z0-9._:%+~-]*:)?{_NAME}(?:\.{_NAME})?")
_ORDER = frozenset({Operator.GT, Operator.GE, Operator.LT, Operator.LE})


@dataclass(frozen=True, slots=True)
class PatchPath:
    """What an operation is about: the attribute of `path`, the entries of it that `filter` matches, their `sub`.

    An extension as a whole is a complex attribute named by its URN. `path` itself names no sub-attribute.
    """

    path: Path
    filter: Filter | None = None
    sub: Attribute | None = None

    @property
    def text(self) -> str:
        brackets = "[...]" if self.filter is not None else ""
        return f"{self.path.text}{brackets}{f'.{self.sub.name}' if self.sub is not None else ''}"


def parse_patch_path(text: str, schema: ResourceSchema) -> PatchPath | None:
    """Parse a path in any case; None for an attribute or sub-attribute that is not known here.

    Raises InvalidPathError with the position of a fault.
    """
    text = text.strip()
    if "[" in text:
        return _parse_value_path(text, schema)
    extension = schema.extension(text)
    if extension:
        return PatchPath(Path("", EXTENSIONS[extension]))
    found = schema.find(text)
    if found is not None:
        return PatchPath(Path(found.urn, found.attribute), None, found.sub)
    form = _FORM.match(text)
    if form is None or form.end() != len(text):
        position = form.end() if form is not None else 0
        raise InvalidPathError(f"the path {shown(text)} is wrong at position {position}")
    return None


def _parse_value_path(text: str, schema: ResourceSchema) -> PatchPath | None:
    end = text.rfind("]") + 1
    try:
        tree = parse_filter(text[:end] if end else text, max_terms=MAX_TERMS)
    except FilterSyntaxError as error:
        raise InvalidPathError(f"the path {shown(text)}: {error}") from error
    tail = text[end:]
    if not isinstance(tree, ValuePath) or (tail and not re.fullmatch(rf"\.{_NAME}", tail)):
        raise InvalidPathError(f"the path {shown(text)} is wrong at position {end}")
    found = schema.find(tree.path)
    if found is None:
        return None
    if found.sub is not None or not found.attribute.is_multi_valued:
        raise InvalidPathError(f"{found.text} has no entries that a filter could choose from")
    sub = found.attribute.sub_attribute(tail[1:]) if tail else None
    if (tail and sub is None) or not _knows(found.attribute, tree.filter):
        return None
    return PatchPath(Path(found.urn, found.attribute), tree.filter, sub)


def _knows(attribute: Attribute, tree: Filter) -> bool:
    """Whether the filter names sub-attributes only. Raises InvalidPathError for a comparison that makes no sense."""
    for leaf in leaves(tree):
        sub = attribute.sub_attribute(leaf.path)
        if sub is None:
            return False
        if isinstance(leaf, Comparison):
            _check_operand(leaf, sub)
    return True


def count_terms(tree: Filter) -> int:
    return sum(1 for _ in leaves(tree))


def leaves(tree: Filter) -> Iterator[Comparison | Present | ValuePath]:
    match tree:
        case Comparison() | Present() | ValuePath():
            yield tree
        case Not(inner):
            yield from leaves(inner)
        case And(terms) | Or(terms):
            for term in terms:
                yield from leaves(term)
        case _:
            assert_never(tree)


def _check_operand(leaf: Comparison, sub: Attribute) -> None:
    """Source: RFC 7644 Table 3; a boolean may be the text that names it."""
    value = leaf.value
    if value is None:
        return
    if sub.kind is Kind.BOOLEAN:
        if leaf.operator not in (Operator.EQ, Operator.NE) or read_boolean(value) is None:
            raise InvalidPathError(f"{sub.name} is a boolean: it takes eq or ne, and true or false")
    elif not isinstance(value, str):
        raise InvalidPathError(f"{sub.name} compares with a text in double quotes")
    elif sub.kind is Kind.BINARY and leaf.operator in _ORDER:
        raise InvalidPathError(f"{sub.name} is binary and has no order")


def compile_entry_filter(tree: Filter, attribute: Attribute) -> EntryTest:
    """Make the filter of a path into a test of one entry of the attribute; `parse_patch_path` has checked it.

    `ne` and `eq null` hold of an absent value; an empty text counts as absent for `pr` and for null.
    Source: RFC 7644 section 3.4.2.2
    """
    match tree:
        case Comparison():
            return _compile_comparison(tree, attribute)
        case Present(path):
            name = _name(attribute, path)
            return lambda entry: entry.get(name) not in (None, "")
        case Not(inner):
            test = compile_entry_filter(inner, attribute)
            return lambda entry: not test(entry)
        case And(terms):
            tests = [compile_entry_filter(term, attribute) for term in terms]
            return lambda entry: all(test(entry) for test in tests)
        case Or(terms):
            tests = [compile_entry_filter(term, attribute) for term in terms]
            return lambda entry: any(test(entry) for test in tests)
        case ValuePath(path):
            raise InvalidPathError(f"{shown(path)} has no entries that a filter could choose from")
        case _:
            assert_never(tree)


def _name(attribute: Attribute, path: str) -> str:
    sub = attribute.sub_attribute(path)
    return sub.name if sub is not None else path


def _compile_comparison(leaf: Comparison, attribute: Attribute) -> EntryTest:
    sub = attribute.sub_attribute(leaf.path) or Attribute(leaf.path)
    name = sub.name
    if leaf.value is None:
        wants_absent = leaf.operator is Operator.EQ
        return lambda entry: (entry.get(name) in (None, "")) is wants_absent
    if sub.kind is Kind.BOOLEAN:
        wanted = read_boolean(leaf.value)
        wants_equal = leaf.operator is Operator.EQ
        return lambda entry: (entry.get(name) is wanted) is wants_equal
    holds = _text_test(leaf.operator, comparison_key(str(leaf.value), is_case_exact=sub.is_case_exact))
    of_absent = leaf.operator is Operator.NE

    def test(entry: Mapping[str, object]) -> bool:
        value = entry.get(name)
        if not isinstance(value, str):
            return of_absent
        return holds(comparison_key(value, is_case_exact=sub.is_case_exact))

    return test


def _text_test(operator: Operator, wanted: str) -> Callable[[str], bool]:
    match operator:
        case Operator.EQ:
            return lambda key: key == wanted
        case Operator.NE:
            return lambda key: key != wanted
        case Operator.CO:
            return lambda key: bool(key) and wanted in key
        case Operator.SW:
            return lambda key: bool(key) and key.startswith(wanted)
        case Operator.EW:
            return lambda key: bool(key) and key.endswith(wanted)
        case Operator.GT:
            return lambda key: key > wanted
        case Operator.GE:
            return lambda key: key >= wanted
        case Operator.LT:
            return lambda key: key < wanted
        case Operator.LE:
            return lambda key: key <= wanted
        case _:
            assert_never(operator)
