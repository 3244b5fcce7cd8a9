"""Many rows at once, past SQLAlchemy's own conversion of each value.

SQLite: `executemany` of plain tuples. PostgreSQL: COPY for inserts, `unnest` of one array for each column for
updates. The text of a statement and the conversion of its columns are worked out once, when the module is loaded.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import JSON, Boolean, Integer, LargeBinary, Table
from sqlalchemy.engine import Connection
from sqlalchemy.types import TypeEngine

from storage.types import Id, Moment, document_text, moment_writer

Row = tuple[Any, ...]
_Writer = Callable[[Any], Any]


def _is_postgresql(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _is_moment(column_type: TypeEngine[Any]) -> bool:
    return isinstance(column_type, Moment)


def _postgresql_type(column_type: TypeEngine[Any]) -> str:
    """The type of an array's items. Text stays without its length, for a cast would cut it silently."""
    if isinstance(column_type, Id):
        return "uuid"
    if isinstance(column_type, Moment):
        return "timestamptz"
    for kind, name in ((JSON, "jsonb"), (Boolean, "boolean"), (Integer, "bigint"), (LargeBinary, "bytea")):
        if isinstance(column_type, kind):
            return name
    return "text"


class _Columns:
    """The columns of a statement and how their values are written."""

    def __init__(self, table: Table, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.types = tuple(table.c[name].type for name in names)
        self._moments = [index for index, kind in enumerate(self.types) if _is_moment(kind)]
        self._documents = [index for index, kind in enumerate(self.types) if isinstance(kind, JSON)]

    def write(self, rows: Iterable[Row], moment_suffix: str) -> Iterable[Sequence[Any]]:
        """Give the rows as the drivers take them."""
        if not self._moments and not self._documents:
            return rows
        write_moment = moment_writer(moment_suffix)
        writers: list[tuple[int, _Writer]] = [(index, write_moment) for index in self._moments]
        writers += [(index, document_text) for index in self._documents]
        return self._written(rows, writers)

    @staticmethod
    def _written(rows: Iterable[Row], writers: list[tuple[int, _Writer]]) -> Iterator[Sequence[Any]]:
        for row in rows:
            values = list(row)
            for index, write in writers:
                value = values[index]
                if value is not None:
                    values[index] = write(value)
            yield values


class BulkInsert:
    """Insert rows into one table, always the same columns.

    With `ignore_present` a row that is there already is left as it is.
    """

    def __init__(self, table: Table, *columns: str, ignore_present: bool = False) -> None:
        self._columns = _Columns(table, columns)
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        ending = " ON CONFLICT DO NOTHING" if ignore_present else ""
        self._sqlite = f"INSERT INTO {table.name} ({names}) VALUES ({marks}){ending}"  # noqa: S608 - our own names
        self._copy = None if ignore_present else f"COPY {table.name} ({names}) FROM STDIN"
        arrays = ", ".join(f"%s::{_postgresql_type(kind)}[]" for kind in self._columns.types)
        self._unnest = f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays}){ending}"  # noqa: S608

    def __call__(self, connection: Connection, rows: Iterable[Row]) -> int:
        """Insert the rows; how many were."""
        cursor: Any = connection.connection.cursor()
        try:
            if not _is_postgresql(connection):
                cursor.executemany(self._sqlite, self._columns.write(rows, ""))
            elif self._copy is None:
                arrays = [list(values) for values in zip(*self._columns.write(rows, "+00"), strict=True)]
                if not arrays:
                    return 0
                cursor.execute(self._unnest, arrays)
            else:
                with cursor.copy(self._copy) as copy:
                    write_row = copy.write_row
                    for row in self._columns.write(rows, "+00"):
                        write_row(row)
            return max(int(cursor.rowcount), 0)
        finally:
            cursor.close()


class BulkUpdate:
    """Rewrite columns of rows of one organisation, found by `key`. Rows are key first, then the columns.

    Columns of `set_once` keep the moment they have until None clears it.
    """

    def __init__(self, table: Table, key: str, *columns: str, set_once: Sequence[str] = ()) -> None:
        self._columns = _Columns(table, (key, *columns))
        self._width = len(columns) + 1
        name = table.name

        def assignment(column: str, value: str) -> str:
            if column in set_once:
                return f"{column} = CASE WHEN {value} IS NULL THEN NULL ELSE coalesce({name}.{column}, {value}) END"
            return f"{column} = {value}"

        marks = ", ".join(assignment(column, f"?{index}") for index, column in enumerate(columns, start=2))
        self._sqlite = f"UPDATE {name} SET {marks} WHERE {key} = ?1 AND organisation_id = ?{self._width + 1}"  # noqa: S608
        assignments = ", ".join(assignment(column, f"v.{column}") for column in columns)
        arrays = ", ".join(f"%s::{_postgresql_type(kind)}[]" for kind in self._columns.types)
        self._postgresql = (
            f"UPDATE {name} SET {assignments} FROM unnest({arrays}) AS v({', '.join((key, *columns))}) "  # noqa: S608
            f"WHERE {name}.{key} = v.{key} AND {name}.organisation_id = %s"
        )

    def __call__(self, connection: Connection, organisation_id: str, rows: Iterable[Row]) -> int:
        """Update the rows that are the organisation's; how many were."""
        cursor: Any = connection.connection.cursor()
        try:
            if _is_postgresql(connection):
                arrays = [list(values) for values in zip(*self._columns.write(rows, "+00"), strict=True)]
                if not arrays:
                    return 0
                cursor.execute(self._postgresql, [*arrays, organisation_id])
            else:
                written = self._columns.write(rows, "")
                cursor.executemany(self._sqlite, ((*row, organisation_id) for row in written))
            return max(int(cursor.rowcount), 0)
        finally:
            cursor.close()
