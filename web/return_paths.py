"""Where a browser may be led back to after a login: to our own authorization endpoint or the record's page."""

import re

AUTHORIZE_PATH = "/oidc/authorize"
LOGGED_OUT_PATH = "/oidc/logout/done"
"""Where the browser goes when the identity provider has signed the person out as well."""
RECORD_PATH = "/console/audit"
"""The page of the record, and what lies below it."""
MAX_RETURN = 4096

# The path is exact, so that nothing in it can be escaped, doubled or led upwards; the query is of the characters that
# RFC 3986 section 3.4 allows there.
_EVENT = "/events/[0-9a-f-]{36}(?:/proof)?"
_RETURN = re.compile(
    rf"(?:{AUTHORIZE_PATH}|{RECORD_PATH}(?:{_EVENT}|/reports/[a-z-]{{1,40}})?)(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?",
    re.ASCII,
)


def is_return_path(text: str) -> bool:
    """Whether a login may lead back there."""
    return len(text) <= MAX_RETURN and _RETURN.fullmatch(text) is not None
