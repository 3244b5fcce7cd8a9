"""What a client is told when the write path refuses: the one table from refusals to answers. A test proves it total.

Source: scim.md section 7; RFC 7644 section 3.12.
"""

from collections.abc import Mapping
from types import MappingProxyType

from provisioning.commands import Refused
from provisioning.errors import RefusalCode
from scim.errors import ConflictError, ForbiddenError, InvalidValueError, NotFoundError, SCIMError

# A full organisation is 403 without a scimType: 409 is read as "exists already" and `tooMany` is about filters.
ANSWERS: Mapping[RefusalCode, type[SCIMError]] = MappingProxyType(
    {
        RefusalCode.SEAT_LIMIT_REACHED: ForbiddenError,
        RefusalCode.OWNER_PROTECTED: ForbiddenError,
        RefusalCode.LAST_ADMIN: ForbiddenError,
        RefusalCode.STATE_MOVED: ConflictError,
        RefusalCode.APPROVAL_MISMATCH: ConflictError,
        RefusalCode.NOT_FOUND: NotFoundError,
        RefusalCode.INVALID: InvalidValueError,
        RefusalCode.IN_USE: ConflictError,
        RefusalCode.NOT_ALLOWED: ForbiddenError,
        # Of single sign-on, which no SCIM client speaks of.
        RefusalCode.ENTITY_ID_CHANGED: ConflictError,
        RefusalCode.DOMAIN_TAKEN: ConflictError,
        RefusalCode.NOT_TESTED: ForbiddenError,
        RefusalCode.RECOVERY_CODE_INVALID: ForbiddenError,
    }
)


def explain_refusal(refused: Refused) -> SCIMError:
    """The error that tells a client what the write path said, in the write path's own words."""
    return ANSWERS[refused.code](refused.message)
