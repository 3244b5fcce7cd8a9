"""From errors to exit codes: 0 done, 1 refused, 2 usage, 3 outside failure. The one table of them."""

from collections.abc import Mapping
from typing import Final

from audit.errors import AuditError
from directory.errors import DirectoryError
from mappings.errors import MappingError
from provisioning.errors import ProvisioningError
from saml.errors import SAMLError
from service.errors import (
    FileAccessError,
    MissingKeyError,
    ServerStartError,
    ServiceError,
    SettingsError,
)
from service.slapd import SlapdError
from storage.errors import (
    ConflictError,
    DatabaseAddressError,
    StorageError,
    UnfitValueError,
    UnknownEnvironmentError,
    UnknownOrganisationError,
)
from sync.errors import DialectError, SyncError
from web.outgoing import OutgoingError

DONE: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
OUTSIDE: Final = 3

EXPECTED: Final = (
    ServiceError,
    StorageError,
    MappingError,
    DirectoryError,
    ProvisioningError,
    SyncError,
    SAMLError,
    OutgoingError,
    AuditError,
    OSError,
)
"""Roots of everything that may be told in a line. Whatever else is raised is a fault of ours."""

# The nearest class in an error's own order of classes decides.
_EXITS: Final[Mapping[type[BaseException], int]] = {
    ServiceError: REFUSED,
    SettingsError: USAGE,
    FileAccessError: OUTSIDE,
    MissingKeyError: OUTSIDE,
    ServerStartError: OUTSIDE,
    SlapdError: OUTSIDE,
    StorageError: OUTSIDE,
    UnknownOrganisationError: REFUSED,
    UnknownEnvironmentError: REFUSED,
    ConflictError: REFUSED,
    UnfitValueError: REFUSED,
    DatabaseAddressError: USAGE,
    MappingError: REFUSED,
    DirectoryError: REFUSED,
    ProvisioningError: REFUSED,
    SyncError: OUTSIDE,
    DialectError: REFUSED,
    SAMLError: REFUSED,
    OutgoingError: OUTSIDE,
    AuditError: REFUSED,
    OSError: OUTSIDE,
}


def exit_code(error: BaseException) -> int:
    """The exit code of an expected error."""
    return next(_EXITS[kind] for kind in type(error).__mro__ if kind in _EXITS)


def error_document(error: BaseException) -> dict[str, object]:
    """What a program reads of an error."""
    told: dict[str, object] = {
        "code": getattr(error, "code", "outside_failure"),
        "message": error_text(error),
    }
    for part in ("candidates", "faults", "event_id"):
        value = getattr(error, part, None)
        if value:
            told[part] = [str(item) for item in value] if isinstance(value, tuple) else value
    return {"error": told}


def error_text(error: BaseException) -> str:
    """What a person reads of an error."""
    if isinstance(error, OSError) and error.strerror:
        where = f"'{error.filename}': " if error.filename else ""
        return f"{where}{error.strerror}"
    return str(error) or type(error).__name__
