"""Whole sets as one parameter, so that statements are built once and their text never depends on the size.

SQLite gets a JSON text and reads it by `json_each`; PostgreSQL gets an array.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, cast

import orjson
from sqlalchemy import BigInteger, BindParameter, ColumnElement, Text, bindparam, column
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import NULLTYPE, TypeDecorator, TypeEngine

from storage.types import Id

_Item = type[Text] | type[Id] | type[BigInteger]


class _SetOf(TypeDecorator[Collection[Any]]):
    """A set of texts, ids or whole numbers as one bound value."""

    impl = Text
    cache_ok = True

    def __init__(self, item: _Item) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(ARRAY(self.item(), dimensions=1))
        return dialect.type_descriptor(Text())

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        if dialect.name == "postgresql" and self.item is Id:
            # The statement says that this is an array of ids. They need no quotes, and the driver would look for some
            # in each of them.
            return lambda ids: "{" + ",".join(ids or ()) + "}"
        return super().bind_processor(dialect)

    def process_bind_param(self, value: Collection[Any] | None, dialect: Dialect) -> list[Any] | str:
        items = list(value or ())
        return items if dialect.name == "postgresql" else orjson.dumps(items).decode()


class _InSet(FunctionElement[bool]):
    """`column` is one of the set. No boolean to SQLAlchemy, which would compare it with 1 and lose the index."""

    type = NULLTYPE  # type: ignore[assignment]  # it is a condition all the same
    name = "in_set"
    inherit_cache = True


class _Pairs(FunctionElement[Any]):
    """The set's pairs as rows `first`, `second`. An id has 36 characters, and no mark stands between two."""

    name = "pairs"
    inherit_cache = True


@compiles(_InSet, "sqlite")
def _in_set_sqlite(element: _InSet, compiler: SQLCompiler, **options: object) -> str:
    member, values = element.clauses
    left, right = compiler.process(member, **options), compiler.process(values, **options)
    return f"{left} IN (SELECT value FROM json_each({right}))"  # noqa: S608 - what SQLAlchemy itself compiled


@compiles(_InSet, "postgresql")
def _in_set_postgresql(element: _InSet, compiler: SQLCompiler, **options: object) -> str:
    member, values = element.clauses
    return f"{compiler.process(member, **options)} = ANY ({compiler.process(values, **options)})"


@compiles(_Pairs, "sqlite")
def _pairs_sqlite(element: _Pairs, compiler: SQLCompiler, **options: object) -> str:
    (values,) = element.clauses
    rows = f"json_each({compiler.process(values, **options)})"
    return f"(SELECT substr(value, 1, 36) AS first, substr(value, 37) AS second FROM {rows})"  # noqa: S608


@compiles(_Pairs, "postgresql")
def _pairs_postgresql(element: _Pairs, compiler: SQLCompiler, **options: object) -> str:
    (values,) = element.clauses
    rows = f"unnest({compiler.process(values, **options)}) AS value"
    return f"(SELECT substr(value, 1, 36)::uuid AS first, substr(value, 37)::uuid AS second FROM {rows})"  # noqa: S608


def set_parameter(name: str, *, item: _Item = Id) -> BindParameter[Collection[Any]]:
    """A set as the value of a statement that is text: a JSON text on SQLite, an array on PostgreSQL."""
    return bindparam(name, type_=_SetOf(item))


def in_set(member: ColumnElement[Any], name: str, *, item: _Item = Id) -> ColumnElement[bool]:
    """Say that a column's value is in the set bound as `name`, of ids (or, by `item`, of texts or numbers)."""
    return cast("ColumnElement[bool]", _InSet(member, bindparam(name, type_=_SetOf(item))))


def pair_set(name: str) -> TableValuedAlias:
    """Give rows (`first`, `second`) of the set of id pairs bound as `name`; `join_pairs` makes its value."""
    rows = _Pairs(bindparam(name, type_=_SetOf(Text)))
    return rows.table_valued(column("first", Id), column("second", Id))


def join_pairs(values: Iterable[tuple[str, str]]) -> list[str]:
    """Make the value of a set of pairs. Ids only: both are of one fixed length."""
    return [first + second for first, second in values]
