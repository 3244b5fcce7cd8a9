"""From what drivers raise to errors that say what to do."""

import errno
import sqlite3

import psycopg
import pytest
from psycopg import errors as postgresql
from sqlalchemy import exc

from storage.errors import (
    ConflictError,
    CorruptDatabaseError,
    DatabaseLockedError,
    DatabaseUnavailableError,
    DiskFullError,
    ReadOnlyDatabaseError,
    StorageError,
    UnfitValueError,
)
from storage.translation import translate_error, translate_os_error


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, DatabaseLockedError),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, DatabaseLockedError),
        (sqlite3.SQLITE_READONLY_DIRECTORY, ReadOnlyDatabaseError),
        (sqlite3.SQLITE_FULL, DiskFullError),
        (sqlite3.SQLITE_IOERR_WRITE, DatabaseUnavailableError),
        (sqlite3.SQLITE_CORRUPT, CorruptDatabaseError),
        (sqlite3.SQLITE_NOTADB, CorruptDatabaseError),
        (sqlite3.SQLITE_CANTOPEN, DatabaseUnavailableError),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, ConflictError),
        (sqlite3.SQLITE_TOOBIG, UnfitValueError),
    ],
)
def test_codes_of_sqlite(code: int, kind: type[StorageError]) -> None:
    translated = translate_error(sqlite_error(code), "sqlite:///usher.db")
    assert type(translated) is kind
    assert "sqlite:///usher.db" in str(translated)
    assert "as SQLite says it" in str(translated)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (postgresql.DiskFull, DiskFullError),
        (postgresql.TooManyConnections, DatabaseUnavailableError),
        (postgresql.ReadOnlySqlTransaction, ReadOnlyDatabaseError),
        (postgresql.InsufficientPrivilege, ReadOnlyDatabaseError),
        (postgresql.SerializationFailure, DatabaseLockedError),
        (postgresql.DeadlockDetected, DatabaseLockedError),
        (postgresql.LockNotAvailable, DatabaseLockedError),
        (postgresql.UniqueViolation, ConflictError),
        (postgresql.StringDataRightTruncation, UnfitValueError),
        (postgresql.ProgramLimitExceeded, UnfitValueError),
        (postgresql.ConnectionFailure, DatabaseUnavailableError),
        (postgresql.InvalidPassword, DatabaseUnavailableError),
        (postgresql.InvalidCatalogName, DatabaseUnavailableError),
        (postgresql.AdminShutdown, DatabaseUnavailableError),
        (postgresql.IoError, DatabaseUnavailableError),
        (postgresql.DataCorrupted, CorruptDatabaseError),
        (psycopg.OperationalError, DatabaseUnavailableError),
        (psycopg.DataError, UnfitValueError),
    ],
)
def test_codes_of_postgresql(error: type[psycopg.Error], kind: type[StorageError]) -> None:
    assert type(translate_error(error("as PostgreSQL says it"), "postgresql://db")) is kind


@pytest.mark.parametrize(
    "error",
    [
        sqlite_error(sqlite3.SQLITE_ERROR),
        sqlite3.ProgrammingError("no code at all"),
        postgresql.UndefinedTable("x"),
        psycopg.ProgrammingError("no state at all"),
        exc.ArgumentError("x"),
        ValueError("x"),
    ],
)
def test_faults_of_the_code_are_left_alone(error: Exception) -> None:
    assert translate_error(error, "db") is None


def test_what_sqlalchemy_wrapped_is_unwrapped() -> None:
    wrapped = exc.OperationalError("SELECT 1", {}, sqlite_error(sqlite3.SQLITE_FULL))
    assert type(translate_error(wrapped, "db")) is DiskFullError


def test_a_pool_without_a_free_connection() -> None:
    assert type(translate_error(exc.TimeoutError("x"), "db")) is DatabaseUnavailableError


def test_details_of_a_row_are_not_repeated() -> None:
    error = postgresql.UniqueViolation("duplicate key\nDETAIL:  Key (mail)=(ada@example.org) already exists.")
    assert "ada@example.org" not in str(translate_error(error, "db"))


def test_an_error_without_words_is_named_by_its_kind() -> None:
    assert "LockNotAvailable" in str(translate_error(postgresql.LockNotAvailable(), "db"))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.EACCES, ReadOnlyDatabaseError),
        (errno.EROFS, ReadOnlyDatabaseError),
        (errno.ENOSPC, DiskFullError),
        (errno.ENOENT, DatabaseUnavailableError),
        (None, DatabaseUnavailableError),
    ],
)
def test_refusals_of_the_operating_system(code: int | None, kind: type[StorageError]) -> None:
    assert type(translate_os_error(OSError(code, "as the system says it"), "db")) is kind
