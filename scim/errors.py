"""Errors as SCIM tells them, one class for each row of RFC 7644 Table 9 and for each further status.

An error is for an administrator to read: identity providers show `detail` as it stands. It says what, which one and
what to do, and never holds a secret or another organisation's name. Source: RFC 7644 section 3.12, RFC 9865
section 2.1.
"""

from typing import ClassVar

ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"


class SCIMError(Exception):
    """Root of the package. `status` and `scim_type` belong to the class."""

    status: ClassVar[int] = 500
    scim_type: ClassVar[str] = ""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def to_body(self) -> dict[str, object]:
        body: dict[str, object] = {
            "schemas": [ERROR_URN],
            "status": str(self.status),
            "detail": self.detail,
        }
        if self.scim_type:
            body["scimType"] = self.scim_type
        return body


class InvalidSyntaxError(SCIMError):
    """The body is not JSON, not an object, or not of the request's form."""

    status = 400
    scim_type = "invalidSyntax"


class InvalidFilterError(SCIMError):
    status = 400
    scim_type = "invalidFilter"


class InvalidPathError(SCIMError):
    status = 400
    scim_type = "invalidPath"


class InvalidValueError(SCIMError):
    status = 400
    scim_type = "invalidValue"


class NoTargetError(SCIMError):
    """A PATCH path whose filter matches nothing, or a `remove` without a path."""

    status = 400
    scim_type = "noTarget"


class MutabilityError(SCIMError):
    """A read-only attribute with another value than it has."""

    status = 400
    scim_type = "mutability"


class TooManyError(SCIMError):
    status = 400
    scim_type = "tooMany"


class InvalidVersionError(SCIMError):
    status = 400
    scim_type = "invalidVers"


class SensitiveError(SCIMError):
    """Something in the URL that must not stand in one. Source: RFC 7644 section 7.5.2."""

    status = 403
    scim_type = "sensitive"


class InvalidCursorError(SCIMError):
    status = 400
    scim_type = "invalidCursor"


class ExpiredCursorError(SCIMError):
    status = 400
    scim_type = "expiredCursor"


class InvalidCountError(SCIMError):
    status = 400
    scim_type = "invalidCount"


class BadRequestError(SCIMError):
    """A request that no row of Table 9 describes."""

    status = 400


class UnauthorizedError(SCIMError):
    status = 401


class ForbiddenError(SCIMError):
    """No seat, the owner's protection, a paused directory."""

    status = 403


class NotFoundError(SCIMError):
    status = 404


class MethodNotAllowedError(SCIMError):
    """`allowed` are the methods that the resource has."""

    status = 405

    def __init__(self, detail: str, allowed: tuple[str, ...]) -> None:
        super().__init__(detail)
        self.allowed = allowed


class UniquenessError(SCIMError):
    status = 409
    scim_type = "uniqueness"


class ConflictError(SCIMError):
    """A cycle of bulkIds. Source: RFC 7644 section 3.7.1."""

    status = 409


class PreconditionFailedError(SCIMError):
    status = 412


class TooLargeError(SCIMError):
    status = 413


class UnsupportedMediaTypeError(SCIMError):
    status = 415


class TooManyRequestsError(SCIMError):
    """`retry_after` is in whole seconds."""

    status = 429

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class NotImplementedHereError(SCIMError):
    status = 501
