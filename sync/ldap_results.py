"""What a server's result means, in words: its name in the standard, the server's own text, and what to do."""

import re
from types import MappingProxyType
from typing import Final

from sync.ber import Result, read_policy_error

POLICY_CONTROL: Final = "1.3.6.1.4.1.42.2.27.8.5.1"

# The names of the standard. Source: RFC 4511 appendix A.1.
_CODES: Final = MappingProxyType(
    {
        1: "operationsError",
        2: "protocolError",
        3: "timeLimitExceeded",
        4: "sizeLimitExceeded",
        7: "authMethodNotSupported",
        8: "strongerAuthRequired",
        10: "referral",
        11: "adminLimitExceeded",
        12: "unavailableCriticalExtension",
        13: "confidentialityRequired",
        32: "noSuchObject",
        34: "invalidDNSyntax",
        48: "inappropriateAuthentication",
        49: "invalidCredentials",
        50: "insufficientAccessRights",
        51: "busy",
        52: "unavailable",
        53: "unwillingToPerform",
        80: "other",
    }
)
_REMEDIES: Final = MappingProxyType(
    {
        1: "the account may not be bound; check bind_dn",
        8: "the server wants a safe connection; use tls ldaps or starttls",
        12: "the server cannot read by pages, which a complete reading needs",
        13: "the server wants a safe connection; use tls ldaps or starttls",
        32: "there is no such base; correct user_bases or group_bases",
        34: "the base is no distinguished name; correct user_bases or group_bases",
        50: "the account may not read there; give it the right to",
        53: "the server may refuse pages of this size, or the account; lower page_size",
    }
)
# What servers say of a refused password. Source: draft-behera-ldap-password-policy-11 section 6.2.
_POLICY_ERRORS: Final = MappingProxyType(
    {0: "the password has expired", 1: "the account is locked", 2: "the password must be changed first"}
)
# Active Directory puts a Windows error code into its text. Source: [MS-ERREF] section 2.2.
_WINDOWS_ERRORS: Final = MappingProxyType(
    {
        "525": "there is no such account",
        "52e": "the password is wrong",
        "530": "the account may not log on at this time",
        "532": "the password has expired",
        "533": "the account is disabled",
        "701": "the account has expired",
        "773": "the password must be changed first",
        "775": "the account is locked",
    }
)
_WINDOWS_ERROR: Final = re.compile(r"\bdata ([0-9a-f]{3,4})\b", re.IGNORECASE)


def describe_result(result: Result) -> str:
    """The result in words, with the remedy where one is known."""
    name = _CODES.get(result.code, "result")
    text = f" ({result.text})" if result.text else ""
    matched = f", the nearest entry is '{result.matched_dn}'" if result.matched_dn else ""
    remedy = f"; {_REMEDIES[result.code]}" if result.code in _REMEDIES else ""
    return f"{name} {result.code}{text}{matched}{remedy}"


def policy_error(result: Result) -> str:
    """What the password policy says against the account; empty when nothing."""
    value = result.controls.get(POLICY_CONTROL)
    error = read_policy_error(value) if value else None
    return "" if error is None else _POLICY_ERRORS.get(error, f"its password policy refuses it ({error})")


def describe_refusal(result: Result) -> str:
    """Why a bind was refused, in words where the server gives a code for them."""
    said = policy_error(result)
    code = _WINDOWS_ERROR.search(result.text)
    if not said and code is not None:
        said = _WINDOWS_ERRORS.get(code[1].lower(), "")
    if not said and result.code == 49:
        said = "bind_dn or the password is wrong, or the account is locked"
    return f"{said}; {describe_result(result)}" if said else describe_result(result)
