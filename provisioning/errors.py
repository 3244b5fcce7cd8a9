"""Faults of the write path, and the codes of its expected refusals."""

from enum import StrEnum


class ProvisioningError(Exception):
    """Root of the package."""

    code = "provisioning_error"


class StaleFenceError(ProvisioningError):
    """Another run has taken the directory over; this one stops without writing."""

    code = "stale_fence"


class UnfitValueError(ProvisioningError):
    """The store cannot keep a value; what it was part of is left out."""

    code = "unfit_value"


class UnfitFilterError(ProvisioningError):
    """A filter or an order that parses and asks for what resources do not have or cannot be compared by."""

    code = "unfit_filter"


class RefusalCode(StrEnum):
    """Why a command was refused. Each edge has a table from these to its own answers."""

    SEAT_LIMIT_REACHED = "seat_limit_reached"
    OWNER_PROTECTED = "owner_protected"
    LAST_ADMIN = "last_admin"
    STATE_MOVED = "state_moved"
    APPROVAL_MISMATCH = "approval_mismatch"
    NOT_FOUND = "not_found"
    INVALID = "invalid"
    IN_USE = "in_use"
    NOT_ALLOWED = "not_allowed"
    ENTITY_ID_CHANGED = "entity_id_changed"
    DOMAIN_TAKEN = "domain_taken"
    NOT_TESTED = "not_tested"
    RECOVERY_CODE_INVALID = "recovery_code_invalid"


class Refusal(Exception):  # noqa: N818 - an expected outcome on its way to becoming `Refused`, not an error
    """Rolls the command back; `apply_changes` turns it into a `Refused` and its event. Never leaves the package."""

    def __init__(
        self,
        code: RefusalCode,
        message: str,
        *,
        numbers: tuple[tuple[str, str | int], ...] = (),
        subject: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.numbers = numbers
        self.subject = subject
