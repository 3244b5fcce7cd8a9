"""Statements that ask about no organisation in particular: what they find says whose it is."""

from sqlalchemy import Executable
from sqlalchemy.engine import Connection

from storage.engine import Database
from storage.view import Row


def is_storable(text: str) -> bool:
    """Whether a database takes the text at all. What a stranger sends may hold NUL, or half of a surrogate pair."""
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Across:
    """Runs statements that were built beforehand, in one transaction."""

    __slots__ = ("_connection", "_database")

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection

    def rows(self, statement: Executable, **parameters: object) -> list[Row]:
        """Run a query, or a statement that returns what it wrote; `fetch_rows` says what rows are like."""
        cursor = self._database.prepared.execute(self._connection, statement, parameters)
        rows: list[Row] = cursor.fetchall()
        cursor.close()
        return rows

    def row(self, statement: Executable, **parameters: object) -> Row | None:
        """The first row, or None."""
        return next(iter(self.rows(statement, **parameters)), None)

    def run(self, statement: Executable, **parameters: object) -> int:
        """Run a statement that writes; how many rows it wrote."""
        cursor = self._database.prepared.execute(self._connection, statement, parameters)
        count: int = cursor.rowcount
        cursor.close()
        return count
