"""The order of lists of SCIM resources, and the place of a cursor in it.

Resources without a value come last in ascending and first in descending order, on every database; ties go by id.
Source: RFC 7644 section 3.4.2.3
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, assert_never

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Table,
    Text,
    UnaryExpression,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)

from directory.schema import Kind, Path
from provisioning.errors import UnfitFilterError
from provisioning.resources import Direction, Position
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
from storage.resource_plans import find_path
from storage.types import Moment, read_moment
from storage.view import checked

_Expression = ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class _Sorted:
    """An expression to sort by. `write` makes a key of what a driver gives, `read` makes a value of the key again."""

    expression: _Expression
    is_nullable: bool = True
    write: Callable[[Any], str] = str
    read: Callable[[str], object] = str
    type: type[Any] = Text


@dataclass(frozen=True, slots=True)
class Order:
    """The order of one list: by `sorted`, if there is that, then by `row_id`."""

    row_id: ColumnElement[str]
    sorted: _Sorted | None
    is_descending: bool
    tables: frozenset[Table]

    def key_of(self, value: object) -> str | None:
        """The key of a row in a cursor, from what a driver gives for the expression."""
        return None if self.sorted is None or value is None else self.sorted.write(value)

    def arrange(
        self, statement: Select[*tuple[Any, ...]], key: _Expression, direction: Direction
    ) -> Select[*tuple[Any, ...]]:
        """Put a statement's rows into this order, or into the opposite one. `key` is the expression or names it."""
        is_backward = direction is Direction.BACKWARD
        terms: list[UnaryExpression[Any]] = []
        if self.sorted is not None:
            is_down = self.is_descending is not is_backward
            term = key.desc() if is_down else key.asc()
            if self.sorted.is_nullable:
                term = term.nulls_first() if is_down else term.nulls_last()
            terms.append(term)
        terms.append(self.row_id.desc() if is_backward else self.row_id.asc())
        return statement.order_by(*terms)

    def place(self, position: Position) -> dict[str, object]:
        """The values that `beyond` binds."""
        if self.sorted is None or position.key is None:
            return {"after_id": position.id}
        return {"after_id": position.id, "after_key": self.sorted.read(position.key)}

    def beyond(self, direction: Direction, *, has_key: bool) -> ColumnElement[bool]:
        """Say that a row lies behind a position, seen in its direction. `has_key`: the row there has a value."""
        is_backward = direction is Direction.BACKWARD
        own_id = bindparam("after_id", type_=Text)
        is_next = self.row_id < own_id if is_backward else self.row_id > own_id
        if self.sorted is None:
            return is_next
        key = self.sorted.expression
        # Without a value: last on the way up, first on the way down, whichever way a cursor leads.
        is_down = self.is_descending is not is_backward
        if not has_key:
            ties = and_(key.is_(None), is_next)
            return or_(ties, key.is_not(None)) if is_down else ties
        own_key = bindparam("after_key", type_=self.sorted.type)
        # The outer comparison is one that an index serves.
        if is_down:
            behind = and_(key <= own_key, or_(key < own_key, is_next))
        else:
            behind = and_(key >= own_key, or_(key > own_key, is_next))
        if not self.sorted.is_nullable:
            return behind
        behind = and_(key.is_not(None), behind)
        return behind if is_down else or_(behind, key.is_(None))


def make_order(sort: str, columns: ResourceColumns, *, is_descending: bool, is_driven: bool) -> Order:
    """The order by an attribute, or by id alone. Raises UnfitFilterError for an attribute that has no order.

    `is_driven`: an index leads to few rows, and must not be given up for one that is in the order of ids.
    """
    row_id: ColumnElement[str] = checked(columns.order_id) if is_driven else columns.order_id
    if not sort:
        return Order(row_id, None, is_descending, frozenset())
    path = find_path(sort, columns)
    if path.attribute.is_multi_valued:
        return Order(row_id, _first_entry(path, columns), is_descending, frozenset())
    operand = columns.operands.get(path.text)
    if operand is None or path.leaf.kind is Kind.BINARY:
        raise _unfit(path.text)
    table = operand.table if isinstance(operand, TextOperand | BooleanOperand) else None
    return Order(row_id, _sorted(path, operand), is_descending, frozenset([] if table is None else [table]))


def _unfit(text: str) -> UnfitFilterError:
    return UnfitFilterError(f"there is no order by '{text}'; sort by an attribute with simple values")


def _sorted(path: Path, operand: Operand) -> _Sorted | None:
    """None for what is the same for all."""
    match operand:
        case TextOperand(is_as_sent=True):
            return _Sorted(replace(operand, key=func.nullif(operand.key, literal("", Text))).ordered)
        case TextOperand():
            return _Sorted(operand.ordered, is_nullable=operand.is_set is not None)
        case BooleanOperand():
            number = cast(operand.is_true, Integer)
            known = number if operand.is_set is None else case((operand.is_set, number))
            return _Sorted(known, operand.is_set is not None, read=int, type=Integer)
        case MomentOperand():
            return _Sorted(operand.column, False, _write_moment, datetime.fromisoformat, Moment)
        case VersionOperand():
            return _Sorted(operand.column, False, read=int, type=Integer)
        case AddressOperand():
            return _sorted(path, operand.id)
        case ConstantOperand():
            return None
        case GrantNameOperand():
            raise _unfit(path.text)
        case _:
            assert_never(operand)


def _first_entry(path: Path, columns: ResourceColumns) -> _Sorted | None:
    """The value of the primary entry or else of the first. Source: RFC 7644 section 3.4.2.3"""
    sub = path.sub or path.attribute.sub_attribute("value")
    if sub is None or sub.kind is Kind.BINARY:
        raise _unfit(path.text)
    found: list[_Sorted] = []
    for entries in columns.entries[Path(path.urn, path.attribute).text]:
        by = _sorted(path, entries.subs[sub.name])
        if by is None:
            return None
        found.append(replace(by, expression=_of_first(entries, by.expression, columns)))
    expressions = [by.expression for by in found]
    expression = expressions[0] if len(expressions) == 1 else func.coalesce(*expressions)
    return replace(found[0], expression=expression, is_nullable=True)


def _of_first(entries: Entries, expression: _Expression, columns: ResourceColumns) -> _Expression:
    rows = select(expression).select_from(entries.rows).where(entries.link)
    return rows.order_by(*entries.order).limit(1).correlate(columns.table).scalar_subquery()


def _write_moment(value: str | datetime) -> str:
    return read_moment(value).isoformat()
