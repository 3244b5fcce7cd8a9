"""SCIM filters (RFC 7644 section 3.4.2.2): parse, render, evaluate.

One tree serves every front end: SCIM queries compile it to SQL, mapping predicates evaluate it here. Knows no
schema: an attribute is a path, its values are text.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, TypeVar, assert_never

from directory.errors import FilterSyntaxError
from directory.facts import name_key

MAX_LENGTH = 16_384
MAX_DEPTH = 32

Attributes = Mapping[str, tuple[str, ...]]
Matcher = Callable[[Attributes], bool]
Value = str | int | float | bool | None

_T = TypeVar("_T", str, Decimal, datetime)


class Operator(StrEnum):
    """The comparisons of RFC 7644 Table 3. `pr` takes no value and is a node of its own, `Present`."""

    EQ = "eq"
    NE = "ne"
    CO = "co"
    SW = "sw"
    EW = "ew"
    GT = "gt"
    GE = "ge"
    LT = "lt"
    LE = "le"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path` as written, with its URN prefix if it had one."""

    path: str
    operator: Operator
    value: Value

    def __post_init__(self) -> None:
        fault = _operand_fault(self.operator, self.value)
        if fault is not None:
            raise ValueError(fault)


@dataclass(frozen=True, slots=True)
class Present:
    path: str


@dataclass(frozen=True, slots=True)
class Not:
    filter: "Filter"


@dataclass(frozen=True, slots=True)
class And:
    """Two terms or more."""

    terms: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Two terms or more."""

    terms: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class ValuePath:
    """One element of the multi-valued `path` satisfies `filter`, which names the element's sub-attributes."""

    path: str
    filter: "Filter"


Filter = And | Or | Not | Comparison | Present | ValuePath

_TEXT_OPERATORS = frozenset({Operator.CO, Operator.SW, Operator.EW})
_ORDER_OPERATORS = frozenset({Operator.GT, Operator.GE, Operator.LT, Operator.LE})
_SIGNS: Mapping[Operator, frozenset[int]] = {
    Operator.EQ: frozenset({0}),
    Operator.NE: frozenset({-1, 1}),
    Operator.GT: frozenset({1}),
    Operator.GE: frozenset({0, 1}),
    Operator.LT: frozenset({-1}),
    Operator.LE: frozenset({-1, 0}),
}
_LITERALS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
_OPERATORS: Mapping[str, Operator] = {operator.value: operator for operator in Operator}

_SPACE = " \t\r\n"
_TOKEN = re.compile(
    rf"""[{_SPACE}]*(?:
      (?P<text>"(?:[^"\\\x00-\x1f]|\\.)*")
    | (?P<mark>[()\[\]])
    | (?P<word>[^{_SPACE}()\[\]"]+)
    | (?P<open>")
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_NAME = r"[A-Za-z$][A-Za-z0-9_$-]*"
_PATH = re.compile(rf"(?:[uU][rR][nN]:[A-Za-z0-9._:%+~-]*:)?{_NAME}(?:\.{_NAME})?")
_SUB_ATTRIBUTE = re.compile(rf"\.{_NAME}")
# The bounds keep every number finite and every comparison cheap.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
# Attributes of these schemas are known by their bare names as well.
_BARE_SCHEMAS = (
    "urn:ietf:params:scim:schemas:core:2.0:user:",
    "urn:ietf:params:scim:schemas:core:2.0:group:",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user:",
)


def parse_filter(
    text: str, *, max_terms: int = 200, max_length: int = MAX_LENGTH, max_depth: int = MAX_DEPTH
) -> Filter:
    """Parse a filter. Keywords in any case; `and` binds tighter than `or`, `not` needs parentheses.

    `emails[type eq "work"].value sw "a"` is outside of the standard's grammar; it means the same as
    `emails[type eq "work" and value sw "a"]`.
    Raises FilterSyntaxError with the position of the fault; also for more than `max_terms` comparisons,
    `max_length` characters or `max_depth` nested brackets, and for an order or a part asked of a boolean.
    Source: RFC 7644 section 3.4.2.2, Figure 1; a value path with a sub-attribute is what Microsoft Entra sends for
    a matching attribute of a multi-valued one ("Develop and plan provisioning for a SCIM endpoint").
    """
    if len(text) > max_length:
        raise FilterSyntaxError(f"the filter is longer than {max_length} characters", position=max_length)
    return _Parser(text, max_terms, max_depth).parse()


def render_filter(tree: Filter) -> str:
    """Render a filter so that `parse_filter` gives the same tree."""
    match tree:
        case Comparison(path, operator, value):
            return f"{path} {operator} {json.dumps(value, ensure_ascii=False)}"
        case Present(path):
            return f"{path} pr"
        case Not(inner):
            return f"not ({render_filter(inner)})"
        case And(terms):
            return " and ".join(_render_term(term, And, Or) for term in terms)
        case Or(terms):
            return " or ".join(_render_term(term, Or) for term in terms)
        case ValuePath(path, inner):
            return f"{path}[{render_filter(inner)}]"
        case _:
            assert_never(tree)


def matches(tree: Filter, attributes: Attributes) -> bool:
    """Whether attributes satisfy a filter; `compile_filter` says how."""
    return compile_filter(tree)(attributes)


def compile_filter(tree: Filter) -> Matcher:
    """Make a filter into a predicate over attributes keyed by flat paths (`userName`, `emails.value`).

    Paths compare case-insensitively and text by `name_key`; a boolean is the text `true` or `false`. One of
    several values is enough. Of an absent attribute only `eq null` holds, not even `ne`, so that a missing
    value gives nothing unless the filter says `not` or `null`. A number compares with values that are JSON
    numbers. In an order, a moment with its time zone compares with such moments, other text by `name_key`.
    Sub-attributes of one element stand at the same index of their tuples. Where the tuples differ in length
    the elements cannot be told apart, and a `ValuePath` that names several of them does not hold.
    """
    match tree:
        case Comparison(path, operator, value):
            return _compile_comparison(path, operator, value)
        case Present(path):
            return _compile_some(path, bool)
        case Not(inner):
            matcher = compile_filter(inner)
            return lambda attributes: not matcher(attributes)
        case And(terms):
            matchers = tuple(map(compile_filter, terms))
            return lambda attributes: all(matcher(attributes) for matcher in matchers)
        case Or(terms):
            matchers = tuple(map(compile_filter, terms))
            return lambda attributes: any(matcher(attributes) for matcher in matchers)
        case ValuePath(path, inner):
            return _compile_value_path(path, inner)
        case _:
            assert_never(tree)


def attribute_names(tree: Filter) -> frozenset[str]:
    """Every path that the filter names, as written; inside a value path with its prefix (`emails.type`)."""
    match tree:
        case Comparison(path) | Present(path):
            return frozenset({path})
        case Not(inner):
            return attribute_names(inner)
        case And(terms) | Or(terms):
            return frozenset[str]().union(*map(attribute_names, terms))
        case ValuePath(path, inner):
            return frozenset(f"{path}.{name}" for name in attribute_names(inner))
        case _:
            assert_never(tree)


def _render_term(term: Filter, *looser: type[And | Or]) -> str:
    text = render_filter(term)
    return f"({text})" if isinstance(term, looser) else text


def _compile_comparison(path: str, operator: Operator, value: Value) -> Matcher:
    if value is None:
        present = _compile_some(path, bool)
        return present if operator is Operator.NE else lambda attributes: not present(attributes)
    if isinstance(value, str):
        return _compile_some(path, _text_test(operator, value))
    if isinstance(value, bool):
        return _compile_some(path, _text_test(operator, json.dumps(value)))
    return _compile_some(path, _order_test(operator, _read_number, Decimal(str(value))))


def _compile_some(path: str, test: Callable[[str], bool]) -> Matcher:
    """Some value passes the test. An empty text counts as absent."""
    read = _reader(path)
    return lambda attributes: any(test(text) for text in read(attributes) if text)


def _compile_value_path(path: str, inner: Filter) -> Matcher:
    matcher = compile_filter(inner)
    readers = [(name, _reader(f"{path}.{name}")) for name in attribute_names(inner)]

    def holds(attributes: Attributes) -> bool:
        columns = {name: values for name, read in readers if (values := read(attributes))}
        lengths = {len(values) for values in columns.values()}
        if len(lengths) != 1:
            return False
        return any(
            matcher({name: (values[index],) for name, values in columns.items()})
            for index in range(lengths.pop())
        )

    return holds


def _reader(path: str) -> Callable[[Attributes], tuple[str, ...]]:
    keys = _attribute_keys(path)

    def read(attributes: Attributes) -> tuple[str, ...]:
        found = attributes.get(path)
        if found is not None:
            return found
        lowered = {name.lower(): values for name, values in attributes.items()}
        return next((lowered[key] for key in keys if key in lowered), ())

    return read


def _attribute_keys(path: str) -> tuple[str, ...]:
    """The keys under which a path may be found, best first. `emails` alone means `emails.value`."""
    lowered = path.lower()
    keys = [lowered]
    if lowered.startswith(_BARE_SCHEMAS):
        keys.append(lowered.rpartition(":")[2])
    if "." not in lowered.rpartition(":")[2]:
        keys += [f"{key}.value" for key in keys]
    return tuple(keys)


def _text_test(operator: Operator, wanted: str) -> Callable[[str], bool]:
    key = name_key(wanted)
    match operator:
        case Operator.EQ:
            return lambda text: name_key(text) == key
        case Operator.NE:
            return lambda text: name_key(text) != key
        case Operator.CO:
            return lambda text: key in name_key(text)
        case Operator.SW:
            return lambda text: name_key(text).startswith(key)
        case Operator.EW:
            return lambda text: name_key(text).endswith(key)
        case Operator.GT | Operator.GE | Operator.LT | Operator.LE:
            moment = _read_moment(wanted)
            if moment is not None:
                return _order_test(operator, _read_moment, moment)
            return _order_test(operator, name_key, key)
        case _:
            assert_never(operator)


def _order_test(operator: Operator, read: Callable[[str], _T | None], wanted: _T) -> Callable[[str], bool]:
    signs = _SIGNS[operator]

    def holds(text: str) -> bool:
        value = read(text)
        return value is not None and (value > wanted) - (value < wanted) in signs

    return holds


def _read_number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _read_moment(text: str) -> datetime | None:
    if not _MOMENT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _operand_fault(operator: Operator, value: Value) -> str | None:
    """Why the operator cannot take the value. Source: RFC 7644 Table 3"""
    if operator in _TEXT_OPERATORS and not isinstance(value, str):
        return f"{operator} needs a text"
    if operator in _ORDER_OPERATORS and (value is None or isinstance(value, bool)):
        return f"{operator} needs a text or a number"
    return None


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


class _Parser:
    """Recursive descent; its depth is bounded, chains of `and` and `or` are loops."""

    __slots__ = ("_depth", "_left", "_max_depth", "_max_terms", "_token", "_tokens")

    def __init__(self, text: str, max_terms: int, max_depth: int) -> None:
        # Read as they are asked for: of a filter that is refused, the rest is not looked at.
        self._tokens = map(_read_token, _TOKEN.finditer(text))
        self._token = next(self._tokens)
        self._max_terms = max_terms
        self._max_depth = max_depth
        self._left = max_terms
        self._depth = 0

    def parse(self) -> Filter:
        tree = self._alternatives(inside_brackets=False)
        self._expect("end", "", "the end, 'and' or 'or'")
        return tree

    def _alternatives(self, *, inside_brackets: bool) -> Filter:
        terms = [self._conjunction(inside_brackets=inside_brackets)]
        while self._take_word("or"):
            terms.append(self._conjunction(inside_brackets=inside_brackets))
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _conjunction(self, *, inside_brackets: bool) -> Filter:
        terms = [self._term(inside_brackets=inside_brackets)]
        while self._take_word("and"):
            terms.append(self._term(inside_brackets=inside_brackets))
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _term(self, *, inside_brackets: bool) -> Filter:
        if self._token.text == "(":
            return self._enclosed(")", inside_brackets=inside_brackets)
        if self._take_word("not"):
            if self._token.text != "(":
                raise self._fault("'not' needs a filter in parentheses")
            return Not(self._enclosed(")", inside_brackets=inside_brackets))
        return self._attribute_term(inside_brackets=inside_brackets)

    def _attribute_term(self, *, inside_brackets: bool) -> Filter:
        token = self._token
        if token.kind != "word":
            raise self._fault("expected an attribute")
        if not _PATH.fullmatch(token.text):
            raise self._fault(f"{_shown(token.text)} is not an attribute path")
        self._advance()
        if self._token.text == "[":
            if inside_brackets:
                raise self._fault("brackets inside brackets")
            return self._value_path(token)
        return self._expression(token.text, token.position)

    def _value_path(self, token: _Token) -> Filter:
        inner = self._enclosed("]", inside_brackets=True)
        sub = self._token
        if not (sub.kind == "word" and sub.text.startswith(".")):
            return ValuePath(token.text, inner)
        if not _SUB_ATTRIBUTE.fullmatch(sub.text):
            raise self._fault(f"{_shown(sub.text)} is not a sub-attribute")
        self._advance()
        last = self._expression(sub.text[1:], sub.position)
        terms = inner.terms if isinstance(inner, And) else (inner,)
        return ValuePath(token.text, And((*terms, last)))

    def _expression(self, path: str, position: int) -> Filter:
        if self._left == 0:
            raise FilterSyntaxError(f"more than {self._max_terms} comparisons", position=position)
        self._left -= 1
        if self._take_word("pr"):
            return Present(path)
        operator = _OPERATORS.get(self._token.text.lower())
        if operator is None:
            raise self._fault(f"expected an operator after {_shown(path)}")
        self._advance()
        return Comparison(path, operator, self._operand(operator))

    def _enclosed(self, closing: str, *, inside_brackets: bool) -> Filter:
        if self._depth == self._max_depth:
            raise self._fault(f"more than {self._max_depth} nested brackets")
        self._depth += 1
        self._advance()
        tree = self._alternatives(inside_brackets=inside_brackets)
        self._expect("mark", closing, f"'{closing}', 'and' or 'or'")
        self._depth -= 1
        self._advance()
        return tree

    def _operand(self, operator: Operator) -> Value:
        value = self._value()
        fault = _operand_fault(operator, value)
        if fault is not None:
            raise self._fault(fault)
        self._advance()
        return value

    def _value(self) -> Value:
        token = self._token
        if token.kind == "text":
            return self._text_value(token.text)
        if token.kind == "word":
            if token.text in _LITERALS:
                return _LITERALS[token.text]
            if _NUMBER.fullmatch(token.text):
                return float(token.text) if set(token.text) & set(".eE") else int(token.text)
            raise self._fault(f"{_shown(token.text)} is not a value; a text stands in double quotes")
        raise self._fault("expected a value")

    def _text_value(self, text: str) -> str:
        try:
            value = str(json.loads(text))
            value.encode()
        except ValueError as error:
            raise self._fault("a text that is not a JSON string") from error
        if "\0" in value:
            raise self._fault("a text with the character NUL")
        return value

    def _take_word(self, word: str) -> bool:
        taken = self._token.kind == "word" and self._token.text.lower() == word
        if taken:
            self._advance()
        return taken

    def _expect(self, kind: str, text: str, wanted: str) -> None:
        if self._token.kind != kind or self._token.text != text:
            raise self._fault(f"expected {wanted}")

    def _advance(self) -> None:
        self._token = next(self._tokens)

    def _fault(self, message: str) -> FilterSyntaxError:
        if self._token.kind == "open":
            message = "a text without its closing quote"
        return FilterSyntaxError(message, position=self._token.position)


def _read_token(found: re.Match[str]) -> _Token:
    kind = found.lastgroup or "end"
    return _Token(kind, found[kind], found.start(kind))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
