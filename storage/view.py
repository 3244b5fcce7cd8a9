"""What every store of one organisation stands on: a connection in a transaction, and the organisation's id.

Statements are built when their module is loaded and bind the organisation as `organisation`; `View` gives it to
each of them, so that none can be run for another.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Executable, Insert, bindparam
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from directory.ids import OrganisationId
from storage.engine import Database
from storage.types import Id

Row = tuple[Any, ...]

ORGANISATION = bindparam("organisation", type_=Id)
"""The organisation that a statement is about."""

_FETCH_ROWS = 2000


class _Checked(FunctionElement[str]):
    """A column that no index is to be chosen for."""

    type = Id()
    name = "checked"
    inherit_cache = True


@compiles(_Checked, "sqlite")
def _checked_sqlite(element: _Checked, compiler: SQLCompiler, **options: object) -> str:
    # Source: https://www.sqlite.org/optoverview.html, section 3.1.1.
    return f"+{compiler.process(element.clauses, **options)}"


@compiles(_Checked, "postgresql")
def _checked_postgresql(element: _Checked, compiler: SQLCompiler, **options: object) -> str:
    return compiler.process(element.clauses, **options)


def checked(column: ColumnElement[str]) -> ColumnElement[str]:
    """The column as one that no index is chosen for: something else leads to fewer rows."""
    return _Checked(column)


def is_own(column: ColumnElement[str]) -> ColumnElement[bool]:
    """Say that a row found by something narrower is the organisation's.

    SQLite takes an equality before a set, so `column == ORGANISATION` would make it read the whole organisation.
    """
    return checked(column) == ORGANISATION


def fetch_rows(connection: Connection, statement: Executable, parameters: Mapping[str, object]) -> list[Row]:
    """Run a query and give its rows as the driver does: moments and documents are not read yet.

    SQLAlchemy's own rows cost several times as much, which a thousand members would feel.
    """
    result = connection.execute(statement, dict(parameters))
    cursor: Any = result.cursor
    rows: list[Row] = cursor.fetchall()
    result.close()
    return rows


class View:
    """One organisation in one transaction."""

    def __init__(self, database: Database, connection: Connection, organisation_id: OrganisationId) -> None:
        self._database = database
        self._connection = connection
        self._organisation_id = organisation_id

    def _rows(self, statement: Executable, **parameters: object) -> list[Row]:
        """Run a query of the organisation; `fetch_rows` says what its rows are like."""
        parameters["organisation"] = self._organisation_id
        cursor = self._database.prepared.execute(self._connection, statement, parameters)
        rows: list[Row] = cursor.fetchall()
        cursor.close()
        return rows

    def _pair_rows(self, statement: Executable, **parameters: object) -> list[tuple[Any, Any]]:
        """Run a query of two columns."""
        return self._rows(statement, **parameters)

    def _row(self, statement: Executable, **parameters: object) -> Row | None:
        """The first row, or None."""
        return next(iter(self._rows(statement, **parameters)), None)

    def _count(self, statement: Executable, **parameters: object) -> int:
        """The number that a counting query gives."""
        return int(self._rows(statement, **parameters)[0][0])

    def _run(self, statement: Executable, **parameters: object) -> int:
        """Run a statement that writes; how many rows it wrote."""
        parameters["organisation"] = self._organisation_id
        cursor = self._database.prepared.execute(self._connection, statement, parameters)
        count: int = cursor.rowcount
        cursor.close()
        return count

    def _insert(self, statement: Insert, **values: object) -> None:
        """Insert one row of the organisation."""
        self._connection.execute(statement, {"organisation_id": self._organisation_id, **values})

    def _stream(self, statement: Executable, **parameters: object) -> Iterator[Row]:
        """Run a query and give its rows one by one, however many there are: never all in memory at once."""
        parameters["organisation"] = self._organisation_id
        result = self._connection.execute(statement, parameters, execution_options={"yield_per": _FETCH_ROWS})
        with contextlib.closing(result):
            for rows in result.partitions():
                yield from rows
