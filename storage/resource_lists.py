"""Statements for lists of SCIM resources, made once for each shape of a question and kept.

A page is read in two steps of one statement: which rows are in it, and what is shown of those. In one step, what is
shown would be read of every row that is passed over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Table,
    bindparam,
    exists,
    func,
    null,
    select,
)

from provisioning.resources import Direction
from storage.resource_columns import DIRECTORY, ResourceColumns
from storage.resource_filters import compile_plan
from storage.resource_order import Order, make_order
from storage.resource_plans import Plan
from storage.tables import directory
from storage.view import ORGANISATION, Row, checked

_Resource_co = TypeVar("_Resource_co", covariant=True)
_Statement = Select[*tuple[Any, ...]]

# The directory is looked up once for a statement, not the organisation of each row.
_DIRECTORY_IS_OWN = exists().where(directory.c.id == DIRECTORY, directory.c.organisation_id == ORGANISATION)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a list's statements depend on: the question without its values.

    `direction` is a cursor's, which stands at a row with a value to sort by where `has_key` says so.
    """

    plan: Plan | None
    sort: str
    is_descending: bool
    direction: Direction | None
    has_key: bool
    with_groups: bool
    with_grants: bool


@dataclass(frozen=True, slots=True)
class Statements:
    """`page` gives one row more than a page has; the last column of each is the key it is sorted by.

    It binds `row_limit`, `row_skip`, and what the order says about a cursor's place. `count` counts all rows.
    """

    page: _Statement
    count: _Statement
    order: Order


@dataclass(frozen=True, slots=True, eq=False)
class Listed(Generic[_Resource_co]):
    """A type of resource as lists read it. `select_rows` begins the statement about the rows of a page."""

    columns: ResourceColumns
    select_rows: Callable[[FromClause, Shape], _Statement]
    read: Callable[[Row], _Resource_co]

    def statements(self, shape: Shape, *, is_kept: bool) -> Statements:
        """Raises UnfitFilterError for an attribute that has no order."""
        return _kept_statements(self, shape) if is_kept else _make_statements(self, shape)


@lru_cache(maxsize=256)
def _kept_statements(listed: Listed[Any], shape: Shape) -> Statements:
    return _make_statements(listed, shape)


def _make_statements(listed: Listed[Any], shape: Shape) -> Statements:
    columns = listed.columns
    where: list[ColumnElement[bool]] = [_DIRECTORY_IS_OWN, columns.table.c.deleted_at.is_(None)]
    tables: frozenset[Table] = frozenset()
    is_driven = False
    if shape.plan is not None:
        compiled = compile_plan(shape.plan, columns)
        where.append(compiled.condition)
        tables, is_driven = compiled.tables, compiled.is_driven
    directory_id: ColumnElement[str] = columns.table.c.directory_id
    where.append((checked(directory_id) if is_driven else directory_id) == DIRECTORY)
    order = make_order(shape.sort, columns, is_descending=shape.is_descending, is_driven=is_driven)

    direction = shape.direction or Direction.FORWARD
    key = (null() if order.sorted is None else order.sorted.expression).label("sort_key")
    found: _Statement = select(columns.id.label("id"), key).select_from(_join(columns, tables | order.tables))
    found = found.where(*where)
    if shape.direction is not None:
        found = found.where(order.beyond(shape.direction, has_key=shape.has_key))
    found = found.limit(bindparam("row_limit", type_=Integer)).offset(bindparam("row_skip", type_=Integer))
    page = order.arrange(found, key, direction).subquery("page")
    rows = listed.select_rows(page.join(columns.table, columns.id == page.c.id), shape)
    rows = order.arrange(rows.add_columns(page.c.sort_key), page.c.sort_key, direction)
    count: _Statement = select(func.count()).select_from(_join(columns, tables)).where(*where)
    if shape.plan is None and columns.anything is not None:
        count = count.where(columns.anything)
    return Statements(rows, count, order)


def _join(columns: ResourceColumns, tables: frozenset[Table]) -> FromClause:
    """The rows that a condition looks at."""
    joined: FromClause = columns.table
    for table, condition in columns.joins.items():
        if table in tables:
            joined = joined.join(table, condition)
    return joined
