"""Plans of filters as SQL conditions.

Every test is true or false and never NULL, or `not` would lose rows. The folding and the patterns of databases
differ, and are not used. Values are bound, always.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, assert_never

from sqlalchemy import (
    ColumnElement,
    Integer,
    Table,
    Text,
    and_,
    bindparam,
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
from storage.resource_plans import (
    AllOf,
    AnyOf,
    Check,
    Constant,
    HasSchema,
    NotThat,
    Plan,
    Some,
    Tested,
    slot_name,
)
from storage.sets import in_set
from storage.tables import scim_user
from storage.types import Id, Moment

_Condition = ColumnElement[bool]
_COMPARISONS: Mapping[Check, Callable[[ColumnElement[Any], ColumnElement[Any]], _Condition]] = (
    MappingProxyType(
        {
            Check.EQUAL: operator.eq,
            Check.ABOVE: operator.gt,
            Check.FROM: operator.ge,
            Check.BELOW: operator.lt,
            Check.UP_TO: operator.le,
        }
    )
)


@dataclass(frozen=True, slots=True)
class Compiled:
    """`tables` are read beside the resource's own. `is_driven`: an index leads to the few rows that may fit."""

    condition: ColumnElement[bool]
    tables: frozenset[Table]
    is_driven: bool


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


def compile_plan(plan: Plan, columns: ResourceColumns) -> Compiled:
    """Make a condition over the rows of `columns.table` and the tables beside it."""
    compiler = _Compiler(columns)
    condition = compiler.compile(plan, is_top=True)
    return Compiled(condition, frozenset(compiler.tables), compiler.is_driven)


@dataclass(slots=True)
class _Compiler:
    columns: ResourceColumns
    tables: set[Table] = field(default_factory=set)
    is_driven: bool = False

    def compile(self, plan: Plan, *, is_top: bool) -> _Condition:
        """`is_top`: rows for which this does not hold are not wanted, whatever else holds."""
        match plan:
            case AllOf(plans):
                return and_(true(), *(self.compile(one, is_top=is_top) for one in plans))
            case AnyOf(plans):
                return or_(false(), *(self.compile(one, is_top=False) for one in plans))
            case NotThat(inner):
                return not_(self.compile(inner, is_top=False))
            case Constant(holds):
                return true() if holds else false()
            case HasSchema(urn):
                return self._has_schema(urn)
            case Some():
                self.is_driven |= is_top and plan.is_found
                sources = self.columns.entries[plan.attribute]
                return or_(
                    *(
                        self._exists(entries, _compile_of_entry(inner, entries), is_found=plan.is_found)
                        for entries, inner in zip(sources, plan.inner, strict=True)
                    )
                )
            case Tested(place):
                operand = self.columns.operands[place]
                if isinstance(operand, TextOperand | BooleanOperand) and operand.table is not None:
                    self.tables.add(operand.table)
                self.is_driven |= is_top and _is_driving(plan.test, operand)
                return _compile_test(plan, operand)
            case _:
                assert_never(plan)

    def _has_schema(self, urn: str) -> _Condition:
        condition = self.columns.schemas[urn]
        if condition is None:
            return true()
        self.tables.add(scim_user)
        return condition

    def _exists(self, entries: Entries, condition: _Condition, *, is_found: bool) -> _Condition:
        if is_found:
            # SQLite answers an EXISTS row by row; this it begins with.
            where = [condition] if entries.scope is None else [entries.scope, condition]
            return self.columns.id.in_(select(entries.owner).select_from(entries.rows).where(*where))
        found = select(literal(1)).select_from(entries.rows).where(entries.link, condition)
        return found.correlate(self.columns.table).exists()


def _compile_of_entry(plan: Plan, entries: Entries) -> _Condition:
    match plan:
        case AllOf(plans):
            return and_(true(), *(_compile_of_entry(one, entries) for one in plans))
        case AnyOf(plans):
            return or_(false(), *(_compile_of_entry(one, entries) for one in plans))
        case NotThat(inner):
            return not_(_compile_of_entry(inner, entries))
        case Constant(holds):
            return true() if holds else false()
        case Tested(place):
            return _compile_test(plan, entries.subs[place])
        case Some() | HasSchema():  # pragma: no cover - no entry has entries
            raise AssertionError(plan)
        case _:
            assert_never(plan)


def _text_operand(operand: Operand) -> TextOperand | None:
    match operand:
        case TextOperand():
            return operand
        case AddressOperand():
            return operand.id
        case VersionOperand():
            return operand.text
        case _:
            return None


def _is_driving(test: Check, operand: Operand) -> bool:
    text = _text_operand(operand)
    if text is None:
        return False
    return test is Check.ID or (
        text.guard is not None and test in (Check.EQUAL, Check.ANY_FORM, Check.BETWEEN, Check.FROM)
    )


def _compile_test(tested: Tested, operand: Operand) -> _Condition:
    match operand:
        case BooleanOperand():
            if tested.test is Check.TRUE:
                return operand.is_true
            return true() if operand.is_set is None else operand.is_set
        case MomentOperand():
            moment = bindparam(slot_name(tested.slot), type_=Moment)
            return true() if tested.test is Check.SET else _COMPARISONS[tested.test](operand.column, moment)
        case GrantNameOperand():
            if tested.test is Check.SET:
                return true()
            return in_set(cast(operand.scope_id, Text) + operand.role, slot_name(tested.slot), item=Text)
        case ConstantOperand():
            return true()
        case TextOperand():
            return _compile_text(tested, operand)
        case AddressOperand():
            return _compile_text(tested, operand.id)
        case VersionOperand():
            return _compile_text(tested, operand.text)
        case _:
            assert_never(operand)


def _compile_text(tested: Tested, operand: TextOperand) -> _Condition:
    is_set = true() if operand.is_set is None else operand.is_set
    if tested.test is Check.SET:
        return is_set
    return and_(is_set, _compile_text_of_some(tested, operand))


def _compile_text_of_some(tested: Tested, operand: TextOperand) -> _Condition:
    """A test of a text that is there."""
    values = [bindparam(slot_name(tested.slot + index), type_=Text) for index in range(3)]
    key, guard = operand.key, true() if operand.guard is None else operand.guard
    match tested.test:
        case Check.FILLED:
            return key != literal("", Text)
        case Check.ID:
            return (key if operand.id is None else operand.id) == bindparam(slot_name(tested.slot), type_=Id)
        case Check.EQUAL:
            return and_(guard, key == values[0])
        case Check.ANY_FORM:
            return and_(guard, or_(*(key == form for form in values)))
        case Check.CONTAINS:
            return _Position(key, values[0]) > 0
        case Check.BETWEEN:
            return and_(guard, operand.ordered >= values[0], operand.ordered < values[1])
        case Check.ENDS:
            return _Tail(key, bindparam(slot_name(tested.slot + 1), type_=Integer)) == values[0]
        case _:
            return _COMPARISONS[tested.test](operand.ordered, values[0])
