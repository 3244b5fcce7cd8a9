"""From what drivers raise to errors that say what to do. The one table of them."""

import errno
import sqlite3
from collections.abc import Mapping

import psycopg
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

# Source: https://www.sqlite.org/rescode.html, the primary codes.
_SQLITE: Mapping[int, type[StorageError]] = {
    sqlite3.SQLITE_BUSY: DatabaseLockedError,
    sqlite3.SQLITE_LOCKED: DatabaseLockedError,
    sqlite3.SQLITE_READONLY: ReadOnlyDatabaseError,
    sqlite3.SQLITE_IOERR: DatabaseUnavailableError,
    sqlite3.SQLITE_CORRUPT: CorruptDatabaseError,
    sqlite3.SQLITE_NOTADB: CorruptDatabaseError,
    sqlite3.SQLITE_FULL: DiskFullError,
    sqlite3.SQLITE_CANTOPEN: DatabaseUnavailableError,
    sqlite3.SQLITE_PERM: ReadOnlyDatabaseError,
    sqlite3.SQLITE_TOOBIG: UnfitValueError,
    sqlite3.SQLITE_CONSTRAINT: ConflictError,
}

# Source: PostgreSQL 17 manual, appendix A. Whole codes first, then classes by their first two characters.
_SQLSTATES: Mapping[str, type[StorageError]] = {
    "25006": ReadOnlyDatabaseError,
    "40001": DatabaseLockedError,
    "40P01": DatabaseLockedError,
    "42501": ReadOnlyDatabaseError,
    "53100": DiskFullError,
    "55P03": DatabaseLockedError,
    "08": DatabaseUnavailableError,
    "22": UnfitValueError,
    "23": ConflictError,
    "28": DatabaseUnavailableError,
    "3D": DatabaseUnavailableError,
    "53": DatabaseUnavailableError,
    "54": UnfitValueError,
    "57": DatabaseUnavailableError,
    "58": DatabaseUnavailableError,
    "XX": CorruptDatabaseError,
}

_ERRNOS: Mapping[int, type[StorageError]] = {
    errno.EACCES: ReadOnlyDatabaseError,
    errno.EPERM: ReadOnlyDatabaseError,
    errno.EROFS: ReadOnlyDatabaseError,
    errno.ENOSPC: DiskFullError,
    errno.EDQUOT: DiskFullError,
}

_TEXTS: Mapping[type[StorageError], str] = {
    DatabaseLockedError: (
        "the database {where} is locked by somebody else: {why}; end what holds it open, then try again"
    ),
    ReadOnlyDatabaseError: (
        "the database {where} cannot be written: {why}; "
        "give the service's user the right to write to it (for SQLite to its folder too)"
    ),
    DiskFullError: "no room is left for the database {where}: {why}; free some space, nothing was changed",
    CorruptDatabaseError: (
        "the database {where} is damaged or no database of Usher's: {why}; restore it from a backup"
    ),
    DatabaseUnavailableError: (
        "the database {where} cannot be reached: {why}; check the address, and that it is running and lets us in "
        "(for SQLite: that its folder is there, and the service's user may read and write in it)"
    ),
    UnfitValueError: "the database {where} refuses a value: {why}; shorten it or take out control characters",
    ConflictError: "the database {where} refuses a row: {why}; another one like it is there, or one it needs is not",
}


def translate_error(error: BaseException, where: str) -> StorageError | None:
    """Give the error that says what to do, or None for what is no fault of the database or its data.

    `where` is the database's address without a password.
    """
    if isinstance(error, exc.TimeoutError):
        return DatabaseUnavailableError(
            f"no connection to the database {where} was free in time; give it more, or the service fewer threads"
        )
    original = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        kind = _SQLITE.get(getattr(original, "sqlite_errorcode", 0) & 0xFF)
    elif isinstance(original, psycopg.Error):
        kind = _kind_of_sqlstate(original)
    else:
        return None
    if kind is None:
        return None
    return kind(_TEXTS[kind].format(where=where, why=_first_line(original)))


def translate_os_error(error: OSError, where: str) -> StorageError:
    """Give the error for a file beside the database that the operating system refuses."""
    kind = _ERRNOS.get(error.errno or 0, DatabaseUnavailableError)
    return kind(_TEXTS[kind].format(where=where, why=error.strerror))


def _kind_of_sqlstate(error: psycopg.Error) -> type[StorageError] | None:
    state = error.sqlstate
    if state is None:
        # The driver itself refused: before a connection stood, after it broke, or a value it cannot write.
        if isinstance(error, psycopg.DataError):
            return UnfitValueError
        return DatabaseUnavailableError if isinstance(error, psycopg.OperationalError) else None
    return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2])


def _first_line(error: BaseException) -> str:
    """The driver's own words. Only the first line: a DETAIL line may repeat the row's values."""
    return next(iter(str(error).splitlines()), type(error).__name__).strip()
