"""Host applications that sign people in over OpenID Connect: their registrations, codes, tokens and our keys."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from directory.ids import ClientId, EnvironmentId, MemberId, OrganisationId, SessionId


@dataclass(frozen=True, slots=True)
class StoredClient:
    """A host application of one environment. Addresses are compared exactly.

    `secret_sha256` None: a public client, which has no secret and proves itself by PKCE alone.
    """

    client_id: ClientId
    environment_id: EnvironmentId
    name: str
    secret_sha256: bytes | None = field(repr=False)
    redirect_uris: tuple[str, ...]
    logout_uris: tuple[str, ...]
    backchannel_logout_uri: str
    created_at: datetime
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredCode:
    """An authorization code, good once for at most a minute. `code_sha256` is all that is kept of it."""

    code_sha256: bytes = field(repr=False)
    client_id: ClientId
    organisation_id: OrganisationId
    member_id: MemberId
    session_id: SessionId
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    auth_time: datetime
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """An access token and perhaps a refresh token, as digests. They end with the session."""

    access_sha256: bytes = field(repr=False)
    refresh_sha256: bytes | None = field(repr=False)
    code_sha256: bytes = field(repr=False)
    client_id: ClientId
    organisation_id: OrganisationId
    member_id: MemberId
    session_id: SessionId
    scope: str
    created_at: datetime
    access_expires_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs ID and logout tokens. `public_jwk` is JSON; the private JWK is sealed and opened by the store.

    `state`: next (published, not used yet), active, retired (published until `gone_at`).
    """

    key_id: str
    algorithm: str
    public_jwk: str
    private_jwk: str = field(repr=False)
    state: str
    created_at: datetime
    gone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LogoutNotice:
    """One application that is to be told that one session has ended (OpenID Connect Back-Channel Logout 1.0)."""

    notice_id: int
    client_id: ClientId
    backchannel_logout_uri: str
    organisation_id: OrganisationId
    member_id: MemberId
    session_id: SessionId
    attempts: int
    due_at: datetime


class ClientStore(Protocol):
    """Registrations and what was handed out. Each call is a transaction of its own."""

    def put_client(self, client: StoredClient) -> None: ...

    def client(self, client_id: str) -> StoredClient | None:
        """A removed one is none."""

    def clients(self) -> list[StoredClient]:
        """By name."""

    def insert_code(self, code: StoredCode) -> None: ...

    def take_code(self, code_sha256: bytes, now: datetime) -> StoredCode | None:
        """The code, used from now on; None when it has expired. One used before revokes what it gave, and is None."""

    def insert_tokens(self, tokens: StoredTokens) -> bool:
        """False, and nothing written, when the session has ended or the code was presented twice meanwhile."""

    def tokens_by_access(self, access_sha256: bytes, now: datetime) -> StoredTokens | None:
        """Live, with a live session and an active member."""

    def take_refresh(self, refresh_sha256: bytes, now: datetime) -> StoredTokens | None:
        """Use a refresh token; each is good once, and one used twice revokes all that came of its code."""

    def revoke_tokens(self, sha256: bytes, client_id: ClientId, now: datetime) -> bool:
        """By either of the two digests."""

    def signing_keys(self, now: datetime) -> list[SigningKey]:
        """Those that are published: the active one first."""

    def put_signing_key(self, key: SigningKey) -> None: ...

    def notices_due(self, now: datetime, limit: int) -> list[LogoutNotice]: ...

    def settle_notice(self, notice_id: int, *, delivered: bool, due_at: datetime | None) -> None:
        """Delivered, given up (no further moment), or to be tried again."""
