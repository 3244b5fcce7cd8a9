"""Tokens that open an organisation's record to be read, as they are stored, and the ports of whoever stores them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from directory.ids import OrganisationId


@dataclass(frozen=True, slots=True)
class StoredAuditToken:
    """A token's row. Nothing in it opens the record."""

    token_id: str
    organisation_id: OrganisationId
    name: str
    prefix: str
    sha256: bytes = field(repr=False)
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    last_used_from: str = ""

    def is_live(self, now: datetime) -> bool:
        """Whether the token opens the record."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


@dataclass(frozen=True, slots=True)
class StoredAuditSession:
    """A page that reads by a token. It ends with the token at the latest."""

    token: StoredAuditToken
    expires_at: datetime

    def is_live(self, now: datetime) -> bool:
        return now < self.expires_at and self.token.is_live(now)


class AuditTokenReader(Protocol):
    """The organisation's tokens."""

    def all(self) -> list[StoredAuditToken]:
        """Revoked ones too, the oldest first."""


class AuditTokenWriter(AuditTokenReader, Protocol):
    """The organisation's tokens, to be changed."""

    def put(self, token: StoredAuditToken) -> None:
        """Of a stored token only the revocation is written."""

    def open_session(self, token_id: str, sha256: bytes, at: datetime, expires_at: datetime) -> None:
        """And forget the sessions that are over."""


class AuditTokenStore(Protocol):
    """Whose a token or a cookie is. Each call is a transaction of its own."""

    def token(self, prefix: str) -> StoredAuditToken | None: ...

    def session(self, sha256: bytes) -> StoredAuditSession | None: ...

    def end_session(self, sha256: bytes) -> None: ...

    def note_use(self, token_id: str, at: datetime, address: str) -> None:
        """Keep when and from where the token was last used; at most once a minute."""
