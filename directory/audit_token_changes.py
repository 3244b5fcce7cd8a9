"""What is said about tokens that open the record to be read, as a closed union. A change is a statement."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PutAuditToken:
    """A new token that reads the organisation's record and nothing else. Only its digest is said."""

    token_id: str
    name: str
    prefix: str
    sha256: bytes = field(repr=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RevokeAuditToken:
    """The token, and every page that it has opened, reads nothing any more."""

    token_id: str


@dataclass(frozen=True, slots=True)
class OpenAuditSession:
    """Somebody has typed the token at the page of the record; `sha256` is the digest of what the browser holds."""

    token_id: str
    sha256: bytes = field(repr=False)
    expires_at: datetime


AuditTokenChange = PutAuditToken | RevokeAuditToken | OpenAuditSession
