"""The database: connections, transactions and the one writer at a time that SQLite allows.

Knows no table. Errors of drivers leave `read` and `write` as errors of `storage.errors`.
"""

import contextlib
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg
from psycopg.types.string import TextLoader
from sqlalchemy import create_engine, event, exc
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from mappings.catalogue import Catalogue, load_catalogue
from storage.errors import DatabaseAddressError, DatabaseLockedError, NestedWriteError
from storage.prepared import PreparedStatements
from storage.secrets import KeyRing
from storage.translation import translate_error
from storage.types import document_text

_ADDRESS_FORMS = "sqlite:////path/to/usher.db or postgresql://user@host/database"
# A transaction that its thread forgot would hold back every sealer and vacuum of the whole cluster.
_IDLE_IN_TRANSACTION_SECONDS = 300
_CONNECT_SECONDS = 10
# What SQLite keeps of a database in memory, and what of it while a whole table is read once.
_CACHE_KIB = 65_536
_PASSING_CACHE_KIB = 2_048
# PostgreSQL's advisory locks are numbers; this one is "Usher" in ASCII.
_MIGRATION_LOCK = 0x5573686572


class CatalogueCache:
    """Parsed catalogues by the digest of their text, the least lately used dropped first. Safe between threads."""

    def __init__(self, capacity: int = 32) -> None:
        self._capacity = capacity
        self._catalogues: OrderedDict[str, Catalogue] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, sha256: str) -> Catalogue | None:
        with self._lock:
            kept = self._catalogues.get(sha256)
            if kept is not None:
                self._catalogues.move_to_end(sha256)
            return kept

    def load(self, sha256: str, text: str, *, source: str) -> Catalogue:
        """Parse the text and keep the result under its digest."""
        parsed = load_catalogue(text, source=source)
        with self._lock:
            self._catalogues[sha256] = parsed
            while len(self._catalogues) > self._capacity:
                self._catalogues.popitem(last=False)
        return parsed


class Database:
    """One open database. Made by `open_database`; `close` it."""

    def __init__(self, engine: Engine, *, key_ring: KeyRing, lock_seconds: float) -> None:
        self.engine = engine
        self.key_ring = key_ring
        self.catalogues = CatalogueCache()
        self.prepared = PreparedStatements(engine.dialect)
        self._lock_seconds = lock_seconds
        self._countdown = 0
        self._write_lock = threading.Lock()
        self._writer_thread: int | None = None
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._writing: Engine = engine
        self._reading: Engine = engine
        if self.is_sqlite:
            self._writing = engine.execution_options(is_writer=True)
        else:
            self._reading = engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )

    def is_turn(self, number: int, *, every: int) -> bool:
        """Count `number` more things of this process: True with the first, and whenever `every` more are full.

        Threads may miss one or two of them.
        """
        self._countdown -= number
        if self._countdown >= 0:
            return False
        self._countdown = every
        return True

    @property
    def address(self) -> str:
        """Where it lies, without a password."""
        return self.engine.url.render_as_string(hide_password=True)

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.engine.url.database or "") if self.is_sqlite else None

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one moment of the database and changes nothing."""
        with self._translated(), self._reading.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write. Committed at the end, rolled back whole when left by an exception."""
        turn = self._turn() if self.is_sqlite else contextlib.nullcontext()
        with self._translated(), turn, self._writing.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write_durably(self) -> Iterator[Connection]:
        """The same, and what it has committed, with all that was committed before, outlives a power cut.

        Source: https://www.sqlite.org/pragma.html#pragma_synchronous; PostgreSQL 17 manual, section 28.4.
        """
        if not self.is_sqlite:
            with self.write() as connection:
                connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
                yield connection
            return
        with self._translated(), self._turn(), self._writing.connect() as connection:
            usual = _execute_outside(connection, "PRAGMA synchronous")
            _execute_outside(connection, "PRAGMA synchronous=FULL")
            try:
                with connection.begin():
                    yield connection
            finally:
                _execute_outside(connection, f"PRAGMA synchronous={usual}")

    @contextlib.contextmanager
    def migrate(self) -> Iterator[Connection]:
        """A transaction that may change tables. It waits, as long as it takes, for another that does the same."""
        with self._translated(), self.engine.connect() as connection:
            if self.is_sqlite:
                with self._turn(), _without_foreign_keys(connection):
                    writing = connection.execution_options(is_writer=True)
                    with writing.begin():
                        yield writing
            else:
                with connection.begin():
                    connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
                    yield connection

    @contextlib.contextmanager
    def passing_through(self, connection: Connection) -> Iterator[None]:
        """For queries that read whole tables once: SQLite would fill its cache with what is not asked for again.

        A transaction that writes keeps the whole cache, which holds what it has changed.
        """
        if not self.is_sqlite or connection.get_execution_options().get("is_writer", False):
            yield
            return
        connection.exec_driver_sql(f"PRAGMA cache_size=-{_PASSING_CACHE_KIB}").close()
        try:
            yield
        finally:
            connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE_KIB}").close()

    def checkpoint(self) -> None:
        """Move what SQLite's write-ahead log holds into the file, as far as no reader is in the way."""
        if self.is_sqlite:
            with self._translated(), self.engine.connect() as connection:
                _execute_outside(connection, "PRAGMA wal_checkpoint(PASSIVE)")

    def truncate_log(self) -> bool:
        """Empty SQLite's write-ahead log, which still holds what was overwritten; False while a reader needs it.

        Source: https://www.sqlite.org/pragma.html#pragma_wal_checkpoint
        """
        if not self.is_sqlite:
            return True
        with self._translated(), self._turn(), self.engine.connect() as connection:
            return bool(_execute_outside(connection, "PRAGMA wal_checkpoint(TRUNCATE)") == 0)

    def close(self) -> None:
        """Close every connection that lies idle."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """This process's turn to write: SQLite's own waiting is unfair and makes some wait for seconds."""
        thread = threading.get_ident()
        if self._writer_thread == thread:
            raise NestedWriteError(
                f"a second write was begun inside a write to {self.address}; end the first before the second"
            )
        if not self._write_lock.acquire(timeout=self._lock_seconds):
            raise DatabaseLockedError(
                f"another write to the database {self.address} has not ended within {self._lock_seconds:g} seconds; "
                "try again"
            )
        self._writer_thread = thread
        try:
            yield
        finally:
            self._writer_thread = None
            self._write_lock.release()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (exc.SQLAlchemyError, sqlite3.Error, psycopg.Error) as err:
            translated = translate_error(err, self.address)
            if translated is None:
                raise
            raise translated from err


def open_database(
    url: str,
    *,
    key_ring: KeyRing,
    is_fully_synchronous: bool = False,
    lock_seconds: float = 30,
    pool_size: int = 10,
) -> Database:
    """Open `sqlite:///path` or `postgresql://...`; nothing is read or made yet.

    `is_fully_synchronous`: SQLite waits for the disk at each commit, so that a power cut loses none.
    `lock_seconds`: how long a write waits for its turn, and whoever for a connection. `pool_size`: connections kept;
    of a server's there are no more than that.
    """
    try:
        address = make_url(url)
    except exc.ArgumentError as err:
        # The text is not repeated: it may hold a password.
        raise DatabaseAddressError(f"the database's address is not of the form {_ADDRESS_FORMS}") from err
    if address.get_backend_name() == "sqlite":
        engine = _open_sqlite(
            address, is_fully_synchronous=is_fully_synchronous, lock_seconds=lock_seconds, pool_size=pool_size
        )
    elif address.get_backend_name() == "postgresql":
        engine = _open_postgresql(address, lock_seconds=lock_seconds, pool_size=pool_size)
    else:
        raise DatabaseAddressError(
            f"a database of the kind {address.drivername!r} is not supported; use {_ADDRESS_FORMS}"
        )
    return Database(engine, key_ring=key_ring, lock_seconds=lock_seconds)


def _open_sqlite(address: URL, *, is_fully_synchronous: bool, lock_seconds: float, pool_size: int) -> Engine:
    if address.database in {None, "", ":memory:"}:
        raise DatabaseAddressError(
            "a database in memory would be lost; name a file: sqlite:////path/to/usher.db"
        )
    engine = create_engine(
        address,
        json_serializer=document_text,
        json_deserializer=orjson.loads,
        pool_size=pool_size,
        pool_timeout=lock_seconds,
        connect_args={"timeout": min(lock_seconds, 5), "cached_statements": 512},
    )
    synchronous = "FULL" if is_fully_synchronous else "NORMAL"
    pragmas = (
        "PRAGMA journal_mode=WAL",
        f"PRAGMA synchronous={synchronous}",
        "PRAGMA foreign_keys=ON",
        # What is deleted is overwritten, so that erased names leave the file. Many builds do so anyway.
        "PRAGMA secure_delete=ON",
        "PRAGMA temp_store=MEMORY",
        f"PRAGMA cache_size=-{_CACHE_KIB}",
    )

    def connect(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
        # The driver's own BEGIN is deferred, and a lock taken late fails at once instead of waiting.
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(pragma).close()

    def begin(connection: Connection) -> None:
        is_writer = connection.get_execution_options().get("is_writer", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", begin)
    return engine


def _open_postgresql(address: URL, *, lock_seconds: float, pool_size: int) -> Engine:
    engine = create_engine(
        address.set(drivername="postgresql+psycopg"),
        json_serializer=document_text,
        json_deserializer=orjson.loads,
        connect_args={"connect_timeout": _CONNECT_SECONDS},
        pool_pre_ping=True,
        pool_size=pool_size,
        pool_timeout=lock_seconds,
        max_overflow=0,
    )
    settings = (
        "SET TIME ZONE 'UTC'",
        # A plan kept for sets of any size compares each row with each item: 0.3 s for 1,000 of 20,000 people.
        "SET plan_cache_mode = force_custom_plan",
        # A search for fifty of a million rows looks dear to the planner; to compile it takes longer than to run it.
        "SET jit = off",
        f"SET lock_timeout = {int(lock_seconds * 1000)}",
        f"SET idle_in_transaction_session_timeout = {_IDLE_IN_TRANSACTION_SECONDS * 1000}",
    )

    def connect(connection: psycopg.Connection[Any], _record: ConnectionPoolEntry) -> None:
        connection.adapters.register_loader("uuid", TextLoader)
        for setting in settings:
            connection.execute(setting)
        connection.commit()

    event.listen(engine, "connect", connect)
    return engine


@contextlib.contextmanager
def _without_foreign_keys(connection: Connection) -> Iterator[None]:
    """Let a table be made anew while others refer to it. Must stand outside of the transaction, says SQLite."""
    _execute_outside(connection, "PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        _execute_outside(connection, "PRAGMA foreign_keys=ON")


def _execute_outside(connection: Connection, statement: str) -> Any:  # noqa: ANN401 - what the driver gives
    """Past SQLAlchemy, which would begin a transaction; the first value, if the statement gives any."""
    cursor = connection.connection.cursor()
    cursor.execute(statement)
    row = cursor.fetchone()
    cursor.close()
    return row and row[0]
