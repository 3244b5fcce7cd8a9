"""What a SCIM client's filter asks for, apart from what it asks with.

A filter is taken apart into a plan, which says what is tested where, and the values that are bound. Statements are
made of plans and kept by them: filters of one shape share a statement, whatever they ask with. Here the attributes
are found, operators and values judged, and texts brought into the form in which they compare.
Source: RFC 7644 section 3.4.2.2
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from types import MappingProxyType
from typing import assert_never

from directory.filters import And, Comparison, Filter, Not, Operator, Or, Present, Value, ValuePath
from directory.schema import ENTERPRISE, Attribute, Kind, Mutability, Path, comparison_key
from provisioning.errors import UnfitFilterError
from storage.resource_columns import (
    AddressOperand,
    BooleanOperand,
    ConstantOperand,
    Entries,
    GrantNameOperand,
    MomentOperand,
    Operand,
    ResourceColumns,
    TextOperand,
    VersionOperand,
)
from storage.types import is_id

GrantNames = Callable[[], Iterable[tuple[str, str, str]]]
"""Gives (role, scope, name of the grant) for all that anybody holds. Asked for only when a filter needs it."""

_PARTS = frozenset({Operator.CO, Operator.SW, Operator.EW})
_ORDERS = frozenset({Operator.GT, Operator.GE, Operator.LT, Operator.LE})
_BOOLEANS: Mapping[str, bool] = MappingProxyType({"true": True, "false": False})
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_LAST_CHARACTER = "\U0010ffff"
_CONSTANT_TESTS: Mapping[Operator, Callable[[str, str], bool]] = MappingProxyType(
    {
        Operator.EQ: str.__eq__,
        Operator.CO: str.__contains__,
        Operator.SW: str.startswith,
        Operator.EW: str.endswith,
        Operator.GT: str.__gt__,
        Operator.GE: str.__ge__,
        Operator.LT: str.__lt__,
        Operator.LE: str.__le__,
    }
)


class Check(Enum):
    """What is asked of one operand. Those with values say how many they take."""

    SET = auto()
    FILLED = auto()
    TRUE = auto()
    # One value.
    EQUAL = auto()
    ID = auto()
    CONTAINS = auto()
    FROM = auto()
    ABOVE = auto()
    BELOW = auto()
    UP_TO = auto()
    AMONG = auto()
    # Two values.
    BETWEEN = auto()
    ENDS = auto()
    # Three values.
    ANY_FORM = auto()


@dataclass(frozen=True, slots=True)
class Tested:
    """A test of the operand at `place`. Its values are those from `slot` on."""

    place: str
    test: Check
    slot: int = 0


@dataclass(frozen=True, slots=True)
class Some:
    """Some entry of an attribute passes; `inner` has a plan for each set of its entries.

    `is_found`: an index leads to the entries, whatever the number of resources.
    """

    attribute: str
    inner: tuple["Plan", ...]
    is_found: bool


@dataclass(frozen=True, slots=True)
class Constant:
    holds: bool


@dataclass(frozen=True, slots=True)
class HasSchema:
    urn: str


@dataclass(frozen=True, slots=True)
class AllOf:
    plans: tuple["Plan", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    plans: tuple["Plan", ...]


@dataclass(frozen=True, slots=True)
class NotThat:
    plan: "Plan"


Plan = Tested | Some | Constant | HasSchema | AllOf | AnyOf | NotThat
"""What a filter asks for, without what it asks with. Equal plans make equal statements."""


def plan_filter(
    tree: Filter, columns: ResourceColumns, grant_names: GrantNames
) -> tuple[Plan, dict[str, object]]:
    """Take a filter apart into a plan and the values to bind.

    Raises UnfitFilterError for an unknown attribute and for an operator or a value that the attribute cannot take.
    """
    planner = _Planner(columns, grant_names)
    plan = planner.plan(tree)
    return plan, {slot_name(index): value for index, value in enumerate(planner.values)}


def find_path(text: str, columns: ResourceColumns) -> Path:
    """Find the attribute of a filter. Raises UnfitFilterError for one that is unknown or never told.

    An enterprise attribute goes without its URN as well: Entra asks `manager eq "..."`. Source: Microsoft, "Develop
    and plan provisioning for a SCIM endpoint", requests for reference attributes.
    """
    schema = columns.schema
    path = schema.find(text)
    if path is None and ENTERPRISE in schema.extensions:
        path = schema.find(f"{ENTERPRISE}:{text}")
    if path is None:
        raise UnfitFilterError(f"there is no attribute '{_shown(text)}' to filter by; check its spelling")
    if path.attribute.mutability is Mutability.WRITE_ONLY:
        raise UnfitFilterError(f"'{path.text}' cannot be filtered by; its values are not kept")
    return path


def upper_bound(prefix: str) -> str | None:
    """The least text, in the order of code points, that is above every text with this prefix. None: there is none."""
    kept = prefix.rstrip(_LAST_CHARACTER)
    if not kept:
        return None
    last = ord(kept[-1]) + 1
    # No text holds a surrogate: U+D7FF is followed by U+E000.
    return kept[:-1] + ("\ue000" if last == 0xD800 else chr(last))


def slot_name(index: int) -> str:
    """What a value of a plan is bound as."""
    return f"value_{index}"


@dataclass(slots=True)
class _Planner:
    columns: ResourceColumns
    grant_names: GrantNames
    values: list[object] = field(default_factory=list)

    def plan(self, tree: Filter) -> Plan:
        match tree:
            case And(terms):
                return AllOf(tuple(map(self.plan, terms)))
            case Or(terms):
                return AnyOf(tuple(map(self.plan, terms)))
            case Not(inner):
                return NotThat(self.plan(inner))
            case ValuePath(text, inner):
                return self._value_path(text, inner)
            case Present(text):
                return self._present(text)
            case Comparison(text, operator, value):
                return self._comparison(text, operator, value)
            case _:
                assert_never(tree)

    def _comparison(self, text: str, operator: Operator, value: Value) -> Plan:
        if operator is Operator.NE:
            # No value is equal: so an absent attribute matches, and a multi-valued one by all of its entries.
            return NotThat(self._comparison(text, Operator.EQ, value))
        if self._is_schemas(text):
            return self._schemas(operator, value)
        path = find_path(text, self.columns)
        if path.attribute.is_multi_valued:
            return self._plural_comparison(path, operator, value)
        if path.leaf.kind is not Kind.COMPLEX:
            operand = self.columns.operands[path.text]
            return self._leaf(path.text, path.text, path.leaf, operand, operator, value)
        if value is None:
            return NotThat(AnyOf(tuple(Tested(place, Check.SET) for place in _parts(path))))
        path = _value_of(path)
        return self._leaf(path.text, path.text, path.leaf, self.columns.operands[path.text], operator, value)

    def _present(self, text: str) -> Plan:
        if self._is_schemas(text):
            return Constant(True)
        path = find_path(text, self.columns)
        if path.attribute.is_multi_valued:
            names = [sub.name for sub in ([path.sub] if path.sub else path.attribute.sub_attributes)]
            return self._some_of_any(path, names, is_filled=True)
        if path.leaf.kind is Kind.COMPLEX:
            return AnyOf(tuple(_presence(place, self.columns.operands[place]) for place in _parts(path)))
        return _presence(path.text, self.columns.operands[path.text])

    # Multi-valued attributes

    def _plural_comparison(self, path: Path, operator: Operator, value: Value) -> Plan:
        if value is None:
            sub = path.sub or path.attribute.sub_attribute("value")
            names = [sub.name] if sub else [sub.name for sub in path.attribute.sub_attributes]
            return NotThat(self._some_of_any(path, names, is_filled=False))
        sub = _value_of(path).leaf if path.sub is None else path.sub
        return self._some(path, Comparison(sub.name, operator, value))

    def _value_path(self, text: str, inner: Filter) -> Plan:
        if self._is_schemas(text):
            raise UnfitFilterError("'schemas' has no parts; compare it as a whole")
        path = find_path(text, self.columns)
        if path.sub is not None or not path.attribute.is_multi_valued:
            raise UnfitFilterError(
                f"'{path.text}' holds one value; brackets are for attributes that hold several"
            )
        return self._some(path, inner)

    def _some(self, path: Path, inner: Filter) -> Plan:
        """One entry fits the whole of a filter of its sub-attributes."""
        attribute = Path(path.urn, path.attribute)
        sources = self.columns.entries[attribute.text]
        plans = tuple(self._of_entry(inner, path.attribute, entries) for entries in sources)
        return Some(attribute.text, plans, is_found=all(_is_found(entries, inner) for entries in sources))

    def _some_of_any(self, path: Path, names: Sequence[str], *, is_filled: bool) -> Plan:
        """Some entry has one of these sub-attributes."""
        attribute = Path(path.urn, path.attribute)
        plans = tuple(
            AnyOf(
                tuple(
                    _presence(name, entries.subs[name]) if is_filled else Tested(name, Check.SET)
                    for name in names
                )
            )
            for entries in self.columns.entries[attribute.text]
        )
        return Some(attribute.text, plans, is_found=False)

    def _of_entry(self, tree: Filter, attribute: Attribute, entries: Entries) -> Plan:
        match tree:
            case And(terms):
                return AllOf(tuple(self._of_entry(term, attribute, entries) for term in terms))
            case Or(terms):
                return AnyOf(tuple(self._of_entry(term, attribute, entries) for term in terms))
            case Not(inner):
                return NotThat(self._of_entry(inner, attribute, entries))
            case Present(text):
                sub = _find_sub(attribute, text)
                return _presence(sub.name, entries.subs[sub.name])
            case Comparison(text, Operator.NE, value):
                return NotThat(self._of_entry(Comparison(text, Operator.EQ, value), attribute, entries))
            case Comparison(text, operator, value):
                sub = _find_sub(attribute, text)
                name = f"{attribute.name}.{sub.name}"
                return self._leaf(name, sub.name, sub, entries.subs[sub.name], operator, value)
            case ValuePath():
                raise UnfitFilterError(f"there are no brackets inside of those of '{attribute.name}'")
            case _:
                assert_never(tree)

    # Schemas

    def _is_schemas(self, text: str) -> bool:
        return text.lower() in ("schemas", f"{self.columns.schema.urn}:schemas".lower())

    def _schemas(self, operator: Operator, value: Value) -> Plan:
        """`schemas` is worked out: the core's always stands there, an extension's where it has a value."""
        if value is None:
            return Constant(False)
        if not isinstance(value, str):
            raise UnfitFilterError("'schemas' holds texts; put the value in double quotes")
        test = _CONSTANT_TESTS[operator]
        return AnyOf(
            tuple(HasSchema(urn) for urn in self.columns.schemas if test(urn.lower(), value.lower()))
        )

    # Leaves

    def _leaf(
        self, name: str, place: str, attribute: Attribute, operand: Operand, operator: Operator, value: Value
    ) -> Plan:
        """`name` is the attribute as a client knows it, `place` where its operand is found."""
        if value is None:
            return NotThat(Tested(place, Check.SET))
        if operator in _ORDERS and attribute.kind in (Kind.BOOLEAN, Kind.BINARY):
            raise UnfitFilterError(f"'{name}' has no order; '{operator}' does not apply to it")
        if isinstance(operand, BooleanOperand):
            is_true = Tested(place, Check.TRUE)
            return is_true if _read_boolean(name, operator, value) else NotThat(is_true)
        if not isinstance(value, str):
            raise UnfitFilterError(f"'{name}' holds a text; put the value in double quotes")
        match operand:
            case TextOperand():
                return self._text(place, operand, operator, value)
            case VersionOperand():
                return self._text(place, operand.text, operator, value)
            case ConstantOperand():
                keys = [
                    comparison_key(text, is_case_exact=operand.is_case_exact)
                    for text in (operand.value, value)
                ]
                return Constant(_CONSTANT_TESTS[operator](*keys))
            case MomentOperand():
                return self._moment(name, place, operator, value)
            case AddressOperand():
                return self._address(name, place, operand, operator, value)
            case GrantNameOperand():
                return self._grant_name(place, operator, value)
            case _:
                assert_never(operand)

    def _tested(self, place: str, test: Check, *values: object) -> Tested:
        slot = len(self.values)
        self.values.extend(values)
        return Tested(place, test, slot)

    def _text(self, place: str, operand: TextOperand, operator: Operator, value: str) -> Plan:
        key = comparison_key(value, is_case_exact=operand.is_case_exact)
        match operator:
            case Operator.EQ if operand.id is not None:
                # What is no id of ours equals none, and PostgreSQL would refuse to compare it.
                is_own = is_id(key) and key == key.lower()
                return self._tested(place, Check.ID, key) if is_own else Constant(False)
            case Operator.EQ if operand.is_as_sent and not value.isascii():
                forms = (value, key, unicodedata.normalize("NFD", value))
                return self._tested(place, Check.ANY_FORM, *forms)
            case Operator.EQ:
                return self._tested(place, Check.EQUAL, key)
            case Operator.CO | Operator.SW | Operator.EW if not key:
                return Tested(place, Check.SET)
            case Operator.CO:
                return self._tested(place, Check.CONTAINS, key)
            case Operator.SW:
                end = upper_bound(key)
                if end is None:
                    return self._tested(place, Check.FROM, key)
                return self._tested(place, Check.BETWEEN, key, end)
            case Operator.EW:
                return self._tested(place, Check.ENDS, key, len(key))
            case _:
                return self._tested(place, _ORDER_TESTS[operator], key)

    def _moment(self, name: str, place: str, operator: Operator, value: str) -> Plan:
        if operator in _PARTS:
            raise UnfitFilterError(f"'{name}' is a moment; '{operator}' does not apply to it")
        test = Check.EQUAL if operator is Operator.EQ else _ORDER_TESTS[operator]
        return self._tested(place, test, _read_moment(name, value))

    def _address(
        self, name: str, place: str, operand: AddressOperand, operator: Operator, value: str
    ) -> Plan:
        """An address is equal when it ends as ours does; what stands before, the database does not know."""
        if operator is not Operator.EQ:
            raise UnfitFilterError(f"'{name}' can be compared by 'eq' and 'ne' only")
        path, _, last = value.rpartition("/")
        if not path.endswith(f"/{operand.segment}"):
            return Constant(False)
        return self._text(place, operand.id, operator, last)

    def _grant_name(self, place: str, operator: Operator, value: str) -> Plan:
        key, test = comparison_key(value, is_case_exact=False), _CONSTANT_TESTS[operator]
        found = [
            scope_id + role
            for role, scope_id, name in self.grant_names()
            if test(comparison_key(name, is_case_exact=False), key)
        ]
        return self._tested(place, Check.AMONG, found)


_ORDER_TESTS: Mapping[Operator, Check] = MappingProxyType(
    {
        Operator.GT: Check.ABOVE,
        Operator.GE: Check.FROM,
        Operator.LT: Check.BELOW,
        Operator.LE: Check.UP_TO,
    }
)


def _parts(path: Path) -> Sequence[str]:
    """The places of a complex attribute's parts."""
    return [f"{path.text}.{sub.name}" for sub in path.attribute.sub_attributes]


def _value_of(path: Path) -> Path:
    """What stands for a complex attribute in a comparison."""
    value = path.attribute.sub_attribute("value")
    if value is None:
        names = ", ".join(sub.name for sub in path.attribute.sub_attributes)
        raise UnfitFilterError(f"'{path.text}' has parts; filter by one of them: {names}")
    return Path(path.urn, path.attribute, value)


def _find_sub(attribute: Attribute, text: str) -> Attribute:
    sub = attribute.sub_attribute(text)
    if sub is None:
        raise UnfitFilterError(f"an entry of '{attribute.name}' has no attribute '{_shown(text)}'")
    return sub


def _is_found(entries: Entries, tree: Filter) -> bool:
    """Whether an index leads to the entries that may fit."""
    match tree:
        case And(terms):
            return any(_is_found(entries, term) for term in terms)
        case Comparison(text, operator, value):
            return text.lower() == "value" and operator in entries.found_by and value is not None
        case _:
            return False


def _presence(place: str, operand: Operand) -> Tested:
    """Neither absent nor empty; false and 0 are there."""
    return Tested(place, Check.FILLED if isinstance(operand, TextOperand) else Check.SET)


def _read_boolean(name: str, operator: Operator, value: Value) -> bool:
    """A boolean, or one in quotes as Entra sends it."""
    wanted = _BOOLEANS.get(value.lower()) if isinstance(value, str) else value
    if operator in _PARTS or not isinstance(wanted, bool):
        raise UnfitFilterError(f"'{name}' is true or false; '{operator}' does not apply to such a value")
    return wanted


def _read_moment(name: str, value: str) -> datetime:
    """A moment without a zone is UTC. Source: RFC 7643 section 2.3.5"""
    try:
        moment = datetime.fromisoformat(value if _MOMENT.fullmatch(value) else "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnfitFilterError(
            f"'{name}' is a moment; write it like \"2026-01-31T08:00:00Z\", not {_shown(value)!r}"
        ) from error


def _shown(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}..."
