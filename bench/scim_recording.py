"""What SQL a request runs, written down so that the same can be run without the application.

Requests run in this process against the real application; every statement that this thread gives to SQLite's driver
is kept, with the transaction that it stands in. What another thread writes (the request log) is not.

Ids that the application minted for the request become slots, as do the ids and the name of the user that the request
is about. A replay fills them anew, so that unique keys hold and rows grow as they do with the application.
"""

import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flask.testing import FlaskClient
from sqlalchemy import event

from bench.scim_place import DATABASE, Pushed
from service.app import create_app
from service.settings import Settings
from service.wiring import SystemMint, Wiring, wire
from storage.secrets import KeyRing

MARKER, USER, MEMBER = "marker", "user", "member"
"""Slots for what tells a user's name from others', for the user's id, and for the member's that it is linked to."""
_LEFT_OUT = frozenset({"scim_request", "token", "sqlite_sequence"})
_BEGINNINGS = {"BEGIN": False, "BEGIN IMMEDIATE": True}
Piece = str | tuple[str]
"""A text as it stands, or the name of a slot in a tuple of one."""


@dataclass(frozen=True, slots=True)
class Statement:
    """`rows` hold the parameters of each execution. `slots` say which of them are made anew, by row and place."""

    sql: str
    rows: list[list[Any]]
    is_many: bool
    slots: list[tuple[int, int, bool, list[Piece]]]


@dataclass(frozen=True, slots=True)
class Transaction:
    is_write: bool
    statements: list[Statement]


@dataclass(frozen=True, slots=True)
class Recording:
    """One request. `minted` are the slots that need a fresh id. `grown`: how many rows each table gained by it."""

    transactions: list[Transaction]
    minted: list[str]
    status: int
    headers: list[tuple[str, str]]
    body: list[Piece]
    grown: Mapping[str, int]


@dataclass(slots=True)
class _Tape:
    """What one thread does while it is on. `run` counts what SQLite itself says that it ran."""

    thread: int = 0
    said: list[tuple[str, list[Any], bool]] = field(default_factory=list)
    run: int = 0

    @property
    def runs(self) -> bool:
        return self.thread == threading.get_ident()

    def note(self, sql: str, rows: list[Any], *, is_many: bool = False) -> None:
        if self.runs and not sql.startswith("PRAGMA"):
            self.said.append((sql, rows, is_many))

    def count(self, sql: str) -> None:
        # What a trigger runs is told as a comment.
        if self.runs and not sql.startswith(("PRAGMA", "--")):
            self.run += 1

    def clear(self) -> None:
        self.said.clear()
        self.run = 0

    def check(self) -> None:
        """Nothing was run by a way that is not noted, or a replay would do less than the application does."""
        noted = sum(len(rows) if is_many else 1 for _, rows, is_many in self.said)
        assert noted == self.run, f"SQLite ran {self.run} statements, and {noted} were noted"


def _connection_class(tape: _Tape) -> type[sqlite3.Connection]:
    """A connection that notes what is asked of it."""

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, parameters: Any = (), /) -> Self:  # noqa: ANN401 - the driver's
            tape.note(sql, [list(parameters)])
            return super().execute(sql, parameters)

        def executemany(self, sql: str, parameters: Iterable[Any], /) -> Self:
            rows = [list(row) for row in parameters]
            tape.note(sql, rows, is_many=True)
            return super().executemany(sql, rows)

    class Connection(sqlite3.Connection):
        def __init__(self, *args: Any, **parameters: Any) -> None:  # noqa: ANN401 - the driver's
            super().__init__(*args, **parameters)
            self.set_trace_callback(tape.count)

        # The driver's own short cut makes a plain cursor.
        def execute(self, sql: str, parameters: Any = (), /) -> Any:  # noqa: ANN401 - the driver's
            return self.cursor().execute(sql, parameters)

        def executemany(self, sql: str, parameters: Iterable[Any], /) -> Any:  # noqa: ANN401 - the driver's
            return self.cursor().executemany(sql, parameters)

        def cursor(self, factory: Any = Cursor) -> Any:  # noqa: ANN401 - the driver's
            return super().cursor(factory)

        def commit(self) -> None:
            if self.in_transaction:
                tape.note("COMMIT", [])
            super().commit()

        def rollback(self) -> None:
            if self.in_transaction:
                tape.note("ROLLBACK", [])
            super().rollback()

    return Connection


class _Witness(SystemMint):
    """Remembers the ids that it minted."""

    def __init__(self) -> None:
        super().__init__()
        self.minted: list[str] = []

    def id(self) -> str:
        minted = super().id()
        self.minted.append(minted)
        return minted


class Recorder:
    """The real application over a pushed directory's database, in this process, for as long as this is entered."""

    def __init__(self, pushed: Pushed) -> None:
        self._pushed = pushed
        self._tape = _Tape()
        self._mint = _Witness()
        settings = Settings(database_url=pushed.url)
        self.wiring: Wiring = wire(settings, KeyRing({"bench": bytes(32)}, "bench"), mint=self._mint)
        connection_class = _connection_class(self._tape)

        def connect(_dialect: object, _record: object, _args: object, parameters: dict[str, object]) -> None:
            parameters["factory"] = connection_class

        event.listen(self.wiring.database.engine, "do_connect", connect)
        self.client: FlaskClient = create_app(self.wiring).test_client()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.wiring.close()

    @property
    def file(self) -> Path:
        return self._pushed.folder / DATABASE

    def ask(self, method: str, path: str, *, body: object = None) -> tuple[int, list[tuple[str, str]], bytes]:
        """Raises AssertionError when anything but a success is answered."""
        answer = self.client.open(
            f"{self._pushed.base}{path}",
            method=method,
            json=body,
            headers={"Authorization": f"Bearer {self._pushed.token}"},
        )
        assert 200 <= answer.status_code < 300, (method, path, answer.status_code, answer.text[:1000])
        return answer.status_code, list(answer.headers.items()), answer.data

    def record(
        self, method: str, path: str, *, body: object = None, known: Mapping[str, str] | None = None
    ) -> Recording:
        """Record a request; `known` are texts of it, and of whom it is about, that become slots of these names."""
        before = count_rows(self.file)
        self._tape.clear()
        self._mint.minted.clear()
        self._tape.thread = threading.get_ident()
        try:
            status, headers, answer = self.ask(method, path, body=body)
        finally:
            self._tape.thread = 0
        self._tape.check()
        after = count_rows(self.file)
        slots = {text: slot for slot, text in (known or {}).items()}
        minted = {text: f"minted{number}" for number, text in enumerate(self._mint.minted)}
        texts = {**minted, **slots}
        return Recording(
            transactions=_transactions(self._tape.said, texts),
            minted=list(minted.values()),
            status=status,
            headers=[
                (name, value)
                for name, value in headers
                if name.lower() not in {"content-length", "transfer-encoding", "date", "server"}
            ],
            body=_pieces(answer.decode(), texts),
            grown={table: after[table] - before[table] for table in after if after[table] != before[table]},
        )


def count_rows(file: Path) -> dict[str, int]:
    """The rows of each table that a replay must write as the application does."""
    connection = sqlite3.connect(file)
    try:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in names
            if name not in _LEFT_OUT
        }
    finally:
        connection.close()


def _transactions(said: list[tuple[str, list[Any], bool]], texts: Mapping[str, str]) -> list[Transaction]:
    transactions: list[Transaction] = []
    open_now: Transaction | None = None
    for sql, rows, is_many in said:
        if sql in _BEGINNINGS:
            assert open_now is None, "a transaction inside another"
            open_now = Transaction(_BEGINNINGS[sql], [])
        elif sql in {"COMMIT", "ROLLBACK"}:
            assert open_now is not None
            # A view that ends is rolled back or committed alike; a write that is rolled back is no success.
            assert sql == "COMMIT" or not open_now.is_write, "a write was rolled back"
            transactions.append(open_now)
            open_now = None
        else:
            assert open_now is not None, f"outside of any transaction: {sql}"
            open_now.statements.append(_statement(sql, rows, texts, is_many=is_many))
    assert open_now is None, "a transaction was left open"
    return transactions


def _statement(sql: str, rows: list[Any], texts: Mapping[str, str], *, is_many: bool) -> Statement:
    slots: list[tuple[int, int, bool, list[Piece]]] = []
    for at, row in enumerate(rows):
        for place, value in enumerate(row):
            if not isinstance(value, str | bytes):
                continue
            # Bytes that are no text (a ciphertext) hold no id; Latin-1 keeps each of them as it is.
            text = value if isinstance(value, str) else value.decode("latin-1")
            pieces = _pieces(text, texts)
            if any(isinstance(piece, tuple) for piece in pieces):
                slots.append((at, place, isinstance(value, bytes), pieces))
    return Statement(sql, rows, is_many, slots)


def _pieces(text: str, texts: Mapping[str, str]) -> list[Piece]:
    pieces: list[Piece] = [text]
    for known, slot in texts.items():
        if known not in text:
            continue
        split: list[Piece] = []
        for piece in pieces:
            if isinstance(piece, tuple):
                split.append(piece)
                continue
            for number, part in enumerate(piece.split(known)):
                if number:
                    split.append((slot,))
                if part:
                    split.append(part)
        pieces = split
    return pieces
