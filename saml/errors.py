"""Why a message is refused: a closed list. The person sees none of it, the administrator and the log see it."""

from enum import StrEnum


class Denial(StrEnum):
    """The reason of `sso.login_denied`. Each is searchable by the reference that the person was shown."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    XML_REFUSED = "xml_refused"
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_INVALID = "signature_invalid"
    SIGNATURE_SHAPE = "signature_shape"
    ALGORITHM_REFUSED = "algorithm_refused"
    ENCRYPTION_REQUIRED = "encryption_required"
    DECRYPTION_FAILED = "decryption_failed"
    VERSION_MISMATCH = "version_mismatch"
    STATUS_NOT_SUCCESS = "status_not_success"
    ISSUER_MISMATCH = "issuer_mismatch"
    AUDIENCE_MISMATCH = "audience_mismatch"
    RECIPIENT_MISMATCH = "recipient_mismatch"
    DESTINATION_MISMATCH = "destination_mismatch"
    CONFIRMATION_MISSING = "confirmation_missing"
    CONDITIONS_INVALID = "conditions_invalid"
    AUTHN_STATEMENT_MISSING = "authn_statement_missing"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    VALID_TOO_LONG = "valid_too_long"
    AUTHN_TOO_OLD = "authn_too_old"
    UNSOLICITED = "unsolicited"
    IN_RESPONSE_TO_MISMATCH = "in_response_to_mismatch"
    BROWSER_MISMATCH = "browser_mismatch"
    REPLAYED = "replayed"
    RELAY_STATE_REFUSED = "relay_state_refused"
    IDENTITY_MISSING = "identity_missing"
    IDENTITY_AMBIGUOUS = "identity_ambiguous"
    IDENTITY_TEXT_REFUSED = "identity_text_refused"
    CONNECTION_UNKNOWN = "connection_unknown"
    CONNECTION_DISABLED = "connection_disabled"
    OTHER_CONNECTION_REQUIRED = "other_connection_required"
    CERTIFICATE_MISSING = "certificate_missing"
    NO_MEMBER = "no_member"
    DOMAIN_NOT_VERIFIED = "domain_not_verified"
    MEMBER_DEACTIVATED = "member_deactivated"
    MEMBER_BLOCKED = "member_blocked"
    SEAT_LIMIT_REACHED = "seat_limit_reached"
    RATE_LIMITED = "rate_limited"
    LOGOUT_REFUSED = "logout_refused"
    RECOVERY_CODE_INVALID = "recovery_code_invalid"


class SAMLError(Exception):
    """The root of this package's errors."""

    code = "saml"


class LoginDenied(SAMLError):  # noqa: N818 - it is a refusal, and no fault of ours
    """A message that opens no session.

    `check` is the named check that failed, `found` and `expected` are for the administrator's test login and for the
    event where they hold no personal data; `words` say both in a sentence. None of it
    reaches the person at the browser.
    """

    code = "login_denied"

    def __init__(
        self, reason: Denial, *, check: str = "", found: str = "", expected: str = "", words: str = ""
    ) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.check = check
        self.found = found
        self.expected = expected
        self.words = words or (f"found {found}, expected {expected}" if found or expected else "")


class MetadataError(SAMLError):
    """A metadata document that is not taken: what is wrong with it, and what to do."""

    code = "metadata"
