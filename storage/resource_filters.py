"""Filters of SCIM clients as SQL conditions.

Every leaf is true or false and never NULL, or `not` would lose rows. Values are bound, always: the text of a
statement follows the shape of a filter and never what it asks for. Texts compare by keys made in Python; the folding
and the patterns of databases differ, and are not used.
Source: RFC 7644 section 3.4.2.2
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, assert_never

from sqlalchemy import (
    ColumnElement,
    Integer,
    Table,
    Text,
    and_,
    cast,
    false,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

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
from storage.sets import in_values
from storage.types import Id, Moment, is_id

Condition = ColumnElement[bool]
GrantNames = Callable[[], Iterable[tuple[str, str, str]]]
"""Gives (role, scope, name of the grant) for all that anybody may hold. Asked for only when a filter needs it."""

_PARTS = frozenset({Operator.CO, Operator.SW, Operator.EW})
_ORDERS = frozenset({Operator.GT, Operator.GE, Operator.LT, Operator.LE})
_BOOLEANS = {"true": True, "false": False}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_LAST_CHARACTER = "\U0010ffff"
_TEXT_TESTS: dict[Operator, Callable[[str, str], bool]] = {
    Operator.EQ: str.__eq__,
    Operator.NE: str.__ne__,
    Operator.CO: str.__contains__,
    Operator.SW: str.startswith,
    Operator.EW: str.endswith,
    Operator.GT: str.__gt__,
    Operator.GE: str.__ge__,
    Operator.LT: str.__lt__,
    Operator.LE: str.__le__,
}


class _Position(FunctionElement[int]):
    """Where the second text begins in the first, counted from 1; 0: nowhere."""

    type = Integer()
    name = "position_of"
    inherit_cache = True


class _Tail(FunctionElement[str]):
    """The last characters of a text, as many as the second argument says."""

    type = Text()
    name = "tail_of"
    inherit_cache = True


@compiles(_Position, "sqlite")
def _position_sqlite(element: _Position, compiler: SQLCompiler, **options: object) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(_Position, "postgresql")
def _position_postgresql(element: _Position, compiler: SQLCompiler, **options: object) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


@compiles(_Tail, "sqlite")
def _tail_sqlite(element: _Tail, compiler: SQLCompiler, **options: object) -> str:
    text, length = element.clauses
    return f"substr({compiler.process(text, **options)}, -{compiler.process(length, **options)})"


@compiles(_Tail, "postgresql")
def _tail_postgresql(element: _Tail, compiler: SQLCompiler, **options: object) -> str:
    return f"right({compiler.process(element.clauses, **options)})"


@dataclass(frozen=True, slots=True)
class Compiled:
    """`tables` are read beside the resource's own. `is_driven`: an index leads to the few rows that may fit."""

    condition: Condition
    tables: frozenset[Table]
    is_driven: bool


def compile_condition(tree: Filter, columns: ResourceColumns, grant_names: GrantNames) -> Compiled:
    """Make a condition over the rows of `columns.table` and the tables beside it.

    Raises UnfitFilterError for an unknown attribute and for an operator or a value that the attribute cannot take.
    """
    compiler = _Compiler(columns, grant_names)
    condition = compiler.compile(tree, is_top=True)
    return Compiled(condition, frozenset(compiler.tables), compiler.is_driven)


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


@dataclass(slots=True)
class _Compiler:
    columns: ResourceColumns
    grant_names: GrantNames
    tables: set[Table] = field(default_factory=set)
    is_driven: bool = False

    def compile(self, tree: Filter, *, is_top: bool) -> Condition:
        """`is_top`: rows for which this does not hold are not wanted, whatever else holds."""
        match tree:
            case And(terms):
                return and_(*(self.compile(term, is_top=is_top) for term in terms))
            case Or(terms):
                return or_(*(self.compile(term, is_top=False) for term in terms))
            case Not(inner):
                return not_(self.compile(inner, is_top=False))
            case ValuePath(text, inner):
                return self._value_path(text, inner, is_top=is_top)
            case Present(text):
                return self._present(text)
            case Comparison(text, operator, value):
                if self._is_schemas(text):
                    return self._schemas(operator, value)
                return self._comparison(find_path(text, self.columns), operator, value, is_top=is_top)
            case _:
                assert_never(tree)

    # Attributes of the resource

    def _comparison(self, path: Path, operator: Operator, value: Value, *, is_top: bool) -> Condition:
        if path.attribute.is_multi_valued:
            return self._plural_comparison(path, operator, value, is_top=is_top)
        if path.leaf.kind is Kind.COMPLEX:
            if value is None:
                return self._singular_null(path, operator)
            path = self._value_of(path)
        operand = self.columns.operands[path.text]
        if is_top and isinstance(operand, TextOperand | AddressOperand):
            text = operand.id if isinstance(operand, AddressOperand) else operand
            is_few = operator is Operator.EQ or (operator is Operator.SW and text.id is None)
            self.is_driven |= is_few and value is not None and (text.guard is not None or text.id is not None)
        return self._leaf(path.text, path.leaf, self._note(operand), operator, value)

    def _singular_null(self, path: Path, operator: Operator) -> Condition:
        """A complex attribute has no value when none of its sub-attributes has one."""
        is_set = or_(*(_is_set(operand) for operand in self._operands_of(path)))
        return is_set if operator is Operator.NE else not_(is_set)

    def _operands_of(self, path: Path) -> list[Operand]:
        return [
            self._note(self.columns.operands[f"{path.text}.{sub.name}"])
            for sub in path.attribute.sub_attributes
        ]

    def _value_of(self, path: Path) -> Path:
        """What stands for a complex attribute in a comparison."""
        value = path.attribute.sub_attribute("value")
        if value is None:
            names = ", ".join(sub.name for sub in path.attribute.sub_attributes)
            raise UnfitFilterError(f"'{path.text}' has parts; filter by one of them: {names}")
        return Path(path.urn, path.attribute, value)

    def _note(self, operand: Operand) -> Operand:
        table = operand.table if isinstance(operand, TextOperand | BooleanOperand) else None
        if table is not None:
            self.tables.add(table)
        return operand

    def _present(self, text: str) -> Condition:
        if self._is_schemas(text):
            return true()
        path = find_path(text, self.columns)
        if path.attribute.is_multi_valued:
            subs = [path.sub] if path.sub else path.attribute.sub_attributes
            return self._some(
                path,
                lambda entries: or_(*(_is_present(entries.subs[sub.name]) for sub in subs)),
                is_found=False,
            )
        if path.leaf.kind is Kind.COMPLEX:
            return or_(*map(_is_present, self._operands_of(path)))
        return _is_present(self._note(self.columns.operands[path.text]))

    # Multi-valued attributes

    def _plural_comparison(self, path: Path, operator: Operator, value: Value, *, is_top: bool) -> Condition:
        if value is None:
            subs = [path.sub or path.attribute.sub_attribute("value")]
            names = [sub.name for sub in subs if sub] or [sub.name for sub in path.attribute.sub_attributes]
            some = self._some(
                path, lambda entries: or_(*(_is_set(entries.subs[name]) for name in names)), is_found=False
            )
            return some if operator is Operator.NE else not_(some)
        target = path if path.sub else self._value_of(path)
        if operator is Operator.NE:
            # No entry is equal, and so an absent attribute matches.
            return not_(self._plural_comparison(target, Operator.EQ, value, is_top=False))
        sub = target.leaf
        tree = Comparison(sub.name, operator, value)
        return self._some_of(target, tree, is_top=is_top)

    def _value_path(self, text: str, inner: Filter, *, is_top: bool) -> Condition:
        if self._is_schemas(text):
            raise UnfitFilterError("'schemas' has no parts; compare it as a whole")
        path = find_path(text, self.columns)
        if path.sub is not None or not path.attribute.is_multi_valued:
            raise UnfitFilterError(
                f"'{path.text}' holds one value; brackets are for attributes that hold several"
            )
        return self._some_of(path, inner, is_top=is_top)

    def _some_of(self, path: Path, inner: Filter, *, is_top: bool) -> Condition:
        """One entry fits all of a filter of its sub-attributes."""
        sources = self.columns.entries[self._name_of(path)]
        is_found = all(_is_found(entries, inner) for entries in sources)
        if is_top and is_found:
            self.is_driven = True
        return self._some(
            path, lambda entries: self._of_entry(inner, path.attribute, entries), is_found=is_found
        )

    def _some(self, path: Path, test: Callable[[Entries], Condition], *, is_found: bool) -> Condition:
        """Say that some entry passes a test. `is_found`: few do, and an index leads to them."""
        return or_(
            *(self._exists(entries, test(entries), is_found=is_found) for entries in self._sources(path))
        )

    def _sources(self, path: Path) -> tuple[Entries, ...]:
        return self.columns.entries[self._name_of(path)]

    @staticmethod
    def _name_of(path: Path) -> str:
        return Path(path.urn, path.attribute).text

    def _exists(self, entries: Entries, condition: Condition, *, is_found: bool) -> Condition:
        if is_found:
            # SQLite answers an EXISTS row by row; this it begins with.
            where = [condition] if entries.scope is None else [entries.scope, condition]
            return self.columns.id.in_(select(entries.owner).select_from(entries.rows).where(*where))
        found = select(literal(1)).select_from(entries.rows).where(entries.link, condition)
        return found.correlate(self.columns.table).exists()

    def _of_entry(self, tree: Filter, attribute: Attribute, entries: Entries) -> Condition:
        match tree:
            case And(terms):
                return and_(*(self._of_entry(term, attribute, entries) for term in terms))
            case Or(terms):
                return or_(*(self._of_entry(term, attribute, entries) for term in terms))
            case Not(inner):
                return not_(self._of_entry(inner, attribute, entries))
            case Present(text):
                return _is_present(entries.subs[_find_sub(attribute, text).name])
            case Comparison(text, operator, value):
                sub = _find_sub(attribute, text)
                return self._leaf(
                    f"{attribute.name}.{sub.name}", sub, entries.subs[sub.name], operator, value
                )
            case ValuePath():
                raise UnfitFilterError(f"there are no brackets inside of those of '{attribute.name}'")
            case _:
                assert_never(tree)

    # Schemas

    def _is_schemas(self, text: str) -> bool:
        return text.lower() in ("schemas", f"{self.columns.schema.urn}:schemas".lower())

    def _schemas(self, operator: Operator, value: Value) -> Condition:
        """`schemas` is worked out: the core's always stands there, an extension's where it has a value."""
        if value is None:
            return true() if operator is Operator.NE else false()
        if not isinstance(value, str):
            raise UnfitFilterError("'schemas' holds texts; put the value in double quotes")
        if operator is Operator.NE:
            return not_(self._schemas(Operator.EQ, value))
        found: list[Condition] = []
        for urn, condition in self.columns.schemas.items():
            if _TEXT_TESTS[operator](urn.lower(), value.lower()):
                if condition is not None and self.columns.schemas_table is not None:
                    self.tables.add(self.columns.schemas_table)
                found.append(true() if condition is None else condition)
        return or_(false(), *found)

    # Leaves

    def _leaf(
        self, name: str, attribute: Attribute, operand: Operand, operator: Operator, value: Value
    ) -> Condition:
        if value is None:
            is_set = _is_set(operand)
            return is_set if operator is Operator.NE else not_(is_set)
        if operator in _ORDERS and attribute.kind in (Kind.BOOLEAN, Kind.BINARY):
            raise UnfitFilterError(f"'{name}' has no order; '{operator}' does not apply to it")
        if isinstance(operand, BooleanOperand):
            return _compare_boolean(name, operand, operator, value)
        if not isinstance(value, str):
            raise UnfitFilterError(f"'{name}' holds a text; put the value in double quotes")
        match operand:
            case TextOperand():
                return _compare_text(operand, operator, value)
            case VersionOperand():
                return _compare_text(operand.text, operator, value)
            case ConstantOperand():
                exact = operand.is_case_exact
                own, key = (comparison_key(text, is_case_exact=exact) for text in (operand.value, value))
                return true() if _TEXT_TESTS[operator](own, key) else false()
            case MomentOperand():
                return _compare_moment(name, operand, operator, value)
            case AddressOperand():
                return _compare_address(name, operand, operator, value)
            case GrantNameOperand():
                return self._compare_grant_name(operand, operator, value)
            case _:
                assert_never(operand)

    def _compare_grant_name(self, operand: GrantNameOperand, operator: Operator, value: str) -> Condition:
        key, test = comparison_key(value, is_case_exact=False), _TEXT_TESTS[operator]
        found = [
            scope_id + role
            for role, scope_id, name in self.grant_names()
            if test(comparison_key(name, is_case_exact=False), key)
        ]
        return in_values(cast(operand.scope_id, Text) + operand.role, found)


def _find_sub(attribute: Attribute, text: str) -> Attribute:
    sub = attribute.sub_attribute(text)
    if sub is None:
        raise UnfitFilterError(f"an entry of '{attribute.name}' has no attribute '{_shown(text)}'")
    return sub


def _is_set(operand: Operand) -> Condition:
    is_set = operand.is_set if isinstance(operand, TextOperand | BooleanOperand) else None
    return true() if is_set is None else is_set


def _is_found(entries: Entries, tree: Filter) -> bool:
    """Whether an index leads to the entries that may fit."""
    match tree:
        case And(terms):
            return any(_is_found(entries, term) for term in terms)
        case Comparison(text, operator, value):
            return text.lower() == "value" and operator in entries.found_by and value is not None
        case _:
            return False


def _is_present(operand: Operand) -> Condition:
    """Neither absent nor empty; false and 0 are there."""
    match operand:
        case TextOperand(id=None):
            is_filled = operand.key != _bind("")
            return is_filled if operand.is_set is None else and_(operand.is_set, is_filled)
        case BooleanOperand():
            return true() if operand.is_set is None else operand.is_set
        case _:
            return true()


def _compare_boolean(name: str, operand: BooleanOperand, operator: Operator, value: Value) -> Condition:
    """A boolean, or one in quotes as Entra sends it. Where none is set, false is meant (RFC 7643 section 2.4)."""
    wanted = _BOOLEANS.get(value.lower()) if isinstance(value, str) else value
    if operator in _PARTS or not isinstance(wanted, bool):
        raise UnfitFilterError(f"'{name}' is true or false; '{operator}' does not apply to such a value")
    return operand.is_true if wanted is (operator is Operator.EQ) else not_(operand.is_true)


def _bind(value: str) -> ColumnElement[str]:
    return literal(value, Text)


def _compare_text(operand: TextOperand, operator: Operator, value: str) -> Condition:
    key = comparison_key(value, is_case_exact=operand.is_case_exact)
    condition = _compare_id(operand, operator, key)
    if condition is None:
        condition = _compare_key(operand, operator, value, key)
    if operand.is_set is None:
        return condition
    if operator is Operator.NE:
        return or_(not_(operand.is_set), condition)
    return and_(operand.is_set, condition)


def _compare_id(operand: TextOperand, operator: Operator, key: str) -> Condition | None:
    """By the index of the id, where that will do. What is no id would be refused by PostgreSQL, and equals none."""
    if operand.id is None or operator not in (Operator.EQ, Operator.NE):
        return None
    if not is_id(key) or key != key.lower():
        return false() if operator is Operator.EQ else true()
    wanted = literal(key, Id)
    return operand.id == wanted if operator is Operator.EQ else operand.id != wanted


def _compare_key(operand: TextOperand, operator: Operator, value: str, key: str) -> Condition:
    column, ordered = operand.key, operand.ordered
    match operator:
        case Operator.EQ:
            return _guarded(operand, _equals(operand, value, key))
        case Operator.NE:
            return not_(_equals(operand, value, key))
        case Operator.CO:
            return _Position(column, _bind(key)) > 0 if key else true()
        case Operator.SW:
            end = upper_bound(key)
            is_below = true() if end is None else ordered < _bind(end)
            return _guarded(operand, and_(ordered >= _bind(key), is_below)) if key else true()
        case Operator.EW:
            return _Tail(column, literal(len(key), Integer)) == _bind(key) if key else true()
        case Operator.GT:
            return ordered > _bind(key)
        case Operator.GE:
            return ordered >= _bind(key)
        case Operator.LT:
            return ordered < _bind(key)
        case Operator.LE:
            return ordered <= _bind(key)
        case _:
            assert_never(operator)


def _equals(operand: TextOperand, value: str, key: str) -> Condition:
    if operand.is_as_sent and not value.isascii():
        forms = (value, key, unicodedata.normalize("NFD", value))
        return or_(*(operand.key == _bind(form) for form in forms))
    return operand.key == _bind(key)


def _guarded(operand: TextOperand, condition: Condition) -> Condition:
    return condition if operand.guard is None else and_(operand.guard, condition)


def _compare_moment(name: str, operand: MomentOperand, operator: Operator, value: str) -> Condition:
    column: ColumnElement[Any] = operand.column
    moment = literal(_read_moment(name, value), Moment)
    match operator:
        case Operator.EQ:
            return column == moment
        case Operator.NE:
            return column != moment
        case Operator.GT:
            return column > moment
        case Operator.GE:
            return column >= moment
        case Operator.LT:
            return column < moment
        case Operator.LE:
            return column <= moment
        case _:
            raise UnfitFilterError(f"'{name}' is a moment; '{operator}' does not apply to it")


def _read_moment(name: str, value: str) -> datetime:
    """A moment without a zone is UTC. Source: RFC 7643 section 2.3.5"""
    try:
        moment = datetime.fromisoformat(value if _MOMENT.fullmatch(value) else "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnfitFilterError(
            f"'{name}' is a moment; write it like \"2026-01-31T08:00:00Z\", not {_shown(value)!r}"
        ) from error


def _compare_address(name: str, operand: AddressOperand, operator: Operator, value: str) -> Condition:
    """An address is equal when it ends as ours does; what stands before, the database does not know."""
    if operator not in (Operator.EQ, Operator.NE):
        raise UnfitFilterError(f"'{name}' can be compared by 'eq' and 'ne' only")
    path, _, last = value.rpartition("/")
    if not path.endswith(f"/{operand.segment}"):
        return false() if operator is Operator.EQ else true()
    return _compare_text(operand.id, operator, last)


def _shown(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}..."
