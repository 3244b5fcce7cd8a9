"""Errors of the database, as an operator can act on them. Texts name the database, never a password."""

import provisioning.errors


class StorageError(Exception):
    """Root of the package. `code` is a stable slug; the text says what, which one, and what to do."""

    code = "storage_error"


class UnknownOrganisationError(StorageError):
    """No organisation has this id."""

    code = "unknown_organisation"

    def __init__(self, organisation_id: str) -> None:
        super().__init__(
            f"there is no organisation {organisation_id!r}; list them with 'usher organisation list'"
        )
        self.organisation_id = organisation_id


class UnknownEnvironmentError(StorageError):
    """No environment has this id."""

    code = "unknown_environment"

    def __init__(self, environment_id: str) -> None:
        super().__init__(
            f"there is no environment {environment_id!r}; load its catalogue with 'usher environment load' first"
        )
        self.environment_id = environment_id


class ConflictError(StorageError):
    """A row that must be the only one of its kind is there already, or one that it needs is not."""

    code = "storage_conflict"


class UnfitValueError(StorageError, provisioning.errors.UnfitValueError):
    """The database refuses a value: too long, or text with a NUL character."""

    code = "unfit_value"


class DatabaseAddressError(StorageError):
    """An address that is none of the two kinds of database."""

    code = "database_address"


class DatabaseUnavailableError(StorageError):
    """The database cannot be reached or opened."""

    code = "database_unavailable"


class DatabaseLockedError(StorageError):
    """Somebody else holds the database, or the lock that a write needs, for too long."""

    code = "database_locked"


class ReadOnlyDatabaseError(StorageError):
    """The database may be read but not written."""

    code = "database_read_only"


class DiskFullError(StorageError):
    """No room is left where the database lies."""

    code = "disk_full"


class CorruptDatabaseError(StorageError):
    """The file is damaged, or is no database."""

    code = "database_corrupt"


class NewerDatabaseError(StorageError):
    """The database was upgraded by a newer release than this one."""

    code = "database_newer"


class OutdatedDatabaseError(StorageError):
    """The database must be upgraded before this release can use it."""

    code = "database_outdated"


class NestedWriteError(StorageError):
    """A thread asks for the write lock that it holds itself: a fault of the caller, which would wait for ever."""

    code = "nested_write"


class KeyRingError(StorageError):
    """The text of a key ring that cannot be used. Never repeats a key."""

    code = "key_ring_invalid"


class SealError(StorageError):
    """A sealed value that does not open: of another row, changed, or under a key that the ring lacks."""

    code = "seal_broken"


class LogForkedError(StorageError):
    """The stored log is not the one that was signed: signing it would make two logs of one. Sealing stands still."""

    code = "log_forked"


class LogKeyMissingError(StorageError):
    """A key that must sign the log is not where keys are kept."""

    code = "log_key_missing"
