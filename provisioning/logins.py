"""Single sign-on as it is stored: connections, links, requests, sessions. Values, and the ports that hold them.

What an administrator says about it, and each login and logout, goes through `apply_changes` and is written by
`SSOWriter` in that transaction. `LoginStore` is what the edges need beside it: to find the organisation of a path or
of a session, and to use a request and an assertion once.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Protocol, Self

from directory.ids import ConnectionId, DirectoryId, MemberId, OrganisationId, SessionId


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """What an administrator decides about a connection. The defaults are those of the design.

    `identity_key` is `name_id`, or the Name of one attribute. `attribute_*` override the preset where not empty.
    `groups_separator` splits one value into several. `initiated_targets` are the addresses, a line each, that an
    IdP-initiated login may name in RelayState. `metadata_signer` is the pinned SHA-256 (hexadecimal) of the
    certificate that signs the metadata. `session_minutes` 0 means the service's own limit. `overlap_hours`: how long
    a certificate that the metadata no longer names goes on verifying. `default_role` is what just-in-time creation
    gives.
    """

    idp_entity_id: str = ""
    sso_url: str = ""
    sso_binding: str = "redirect"
    slo_url: str = ""
    slo_binding: str = "redirect"
    metadata_url: str = ""
    metadata_signer: str = ""
    overlap_hours: int = 72
    preset: str = "generic"
    identity_key: str = "name_id"
    attribute_mail: str = ""
    attribute_given_name: str = ""
    attribute_family_name: str = ""
    attribute_groups: str = ""
    attribute_external_id: str = ""
    groups_separator: str = ""
    require_signed_assertion: bool = False
    require_encrypted_assertion: bool = False
    refuse_expired_certificates: bool = False
    sign_requests: bool = False
    force_authn: bool = False
    requested_authn_context: str = ""
    idp_initiated: bool = False
    initiated_targets: str = ""
    clock_skew_seconds: int = 120
    jit: bool = False
    default_role: str = ""
    session_minutes: int = 0
    disabled: bool = False

    @classmethod
    def read(cls, stored: Mapping[str, str | int | bool]) -> Self:
        """The settings of a stored mapping, which was checked when it was stored; the rest have their defaults."""
        values: dict[str, Any] = {each.name: stored.get(each.name, each.default) for each in fields(cls)}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class IdPCertificate:
    """A signing certificate (DER). `state`: staged, active, retired. At `ends_at` an active one stops by itself."""

    sha256: str
    certificate: bytes
    state: str
    not_before: datetime
    not_after: datetime
    added_at: datetime
    ends_at: datetime | None = None
    noticed_days: int | None = None


@dataclass(frozen=True, slots=True)
class SPKey:
    """The public half of a key of ours. The private half is the secret `sp_key:<key_id>` of the connection (PEM).

    `state`: next (published, opens what is encrypted for it), active (signs as well), previous (as `next`).
    """

    key_id: str
    certificate: bytes
    state: str
    not_after: datetime
    added_at: datetime
    noticed_days: int | None = None


@dataclass(frozen=True, slots=True)
class MetadataCopy:
    """The identity provider's metadata that is in force, and what became of the last attempt to read it anew."""

    document: str
    etag: str
    taken_at: datetime
    valid_until: datetime | None
    checked_at: datetime
    failing_since: datetime | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class StoredConnection:
    """One connection whole. `version` steps with each change of what decides about logins."""

    connection_id: ConnectionId
    organisation_id: OrganisationId
    name: str
    settings: Mapping[str, str | int | bool]
    version: int
    created_at: datetime
    certificates: tuple[IdPCertificate, ...] = ()
    keys: tuple[SPKey, ...] = ()
    metadata: MetadataCopy | None = None

    @property
    def read(self) -> ConnectionSettings:
        return ConnectionSettings.read(self.settings)

    @property
    def directory_id(self) -> DirectoryId:
        """The directory that just-in-time logins over this connection write; there is one once `jit` was on."""
        return DirectoryId(self.connection_id)

    def trusted(self, now: datetime) -> tuple[IdPCertificate, ...]:
        """The certificates whose keys verify a signature now."""
        is_strict = self.read.refuse_expired_certificates
        return tuple(
            each
            for each in self.certificates
            if each.state == "active"
            and (each.ends_at is None or now < each.ends_at)
            and not (is_strict and each.not_after <= now)
        )


@dataclass(frozen=True, slots=True)
class StoredDomain:
    """A mail domain. `state`: pending, verified, missing (the proof is not found; warned), suspended.

    `challenge` is empty for what the operator vouched for, which is never looked up.
    """

    domain: str
    state: str
    challenge: str
    claimed_at: datetime
    verified_at: datetime | None
    checked_at: datetime | None
    missing_since: datetime | None = None

    @property
    def is_verified(self) -> bool:
        return self.state in {"verified", "missing"}


@dataclass(frozen=True, slots=True)
class Link:
    """Who signs in over the connection with this key."""

    connection_id: ConnectionId
    key: str
    member_id: MemberId
    linked_by: str
    linked_at: datetime


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session of a member. `kind`: login, breakglass (the sign-on settings only).

    It is live while `ended_at` is None, `expires_at` lies ahead and it was used within the idle limit.
    """

    session_id: SessionId
    organisation_id: OrganisationId
    member_id: MemberId
    connection_id: ConnectionId | None
    kind: str
    login_id: str
    auth_time: datetime
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    name_id: str = field(repr=False, default="")
    session_index: str = field(repr=False, default="")
    address: str = ""
    user_agent: str = ""
    ended_at: datetime | None = None
    end_reason: str = ""


@dataclass(frozen=True, slots=True)
class StoredTest:
    """A test login that has ended. It is good for enforcing while the connection has this version."""

    connection_id: ConnectionId
    test_id: str
    actor: str
    has_passed: bool
    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Enforcement:
    """Since when, by whom and over which connection the verified domains' people must sign in."""

    connection_id: ConnectionId
    enforced_by: str
    enforced_at: datetime
    suspended_at: datetime | None = None
    suspended_reason: str = ""


@dataclass(frozen=True, slots=True)
class RecoveryCode:
    member_id: MemberId
    digest: bytes = field(repr=False)
    created_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Who an assertion says has signed in, after the attribute map. `groups` are the values as sent, in order.

    `groups_withheld`: the identity provider left them out because they are too many; nothing is known of them.
    """

    key: str
    mail: str = ""
    given_name: str = ""
    family_name: str = ""
    display_name: str = ""
    external_id: str = ""
    groups: tuple[str, ...] = ()
    groups_withheld: bool = False


class SSOReader(Protocol):
    """Single sign-on of one organisation, in the transaction of the Reader that it was asked of."""

    def connections(self) -> list[StoredConnection]:
        """By name. Removed ones are left out."""

    def connection(self, connection_id: ConnectionId) -> StoredConnection | None: ...

    def sp_private_key(self, connection_id: ConnectionId, key_id: str) -> bytes | None:
        """PEM, opened."""

    def domain_claims(self) -> list[StoredDomain]:
        """By name; those that are not verified too."""

    def link(self, connection_id: ConnectionId, key: str) -> Link | None:
        """Exact: letters are compared as they are."""

    def links_of(self, member_ids: Collection[MemberId]) -> list[Link]:
        """By member and connection."""

    def session(self, session_id: SessionId) -> StoredSession | None: ...

    def sessions(self, member_id: MemberId | None, now: datetime, limit: int) -> list[StoredSession]:
        """Live ones, the newest first."""

    def sessions_of_subject(
        self, connection_id: ConnectionId, name_id: str, session_index: str, now: datetime
    ) -> list[StoredSession]:
        """Live sessions of what a LogoutRequest names; an empty index means all of the NameID."""

    def last_test(self, connection_id: ConnectionId, actor: str) -> StoredTest | None:
        """The newest by that actor."""

    def enforcement(self) -> Enforcement | None: ...

    def recovery_codes(self) -> list[RecoveryCode]:
        """Of everybody, by member; used ones too."""


class SSOWriter(SSOReader, Protocol):
    """The same as commands change it."""

    def put_connection(self, connection: StoredConnection, at: datetime) -> None:
        """Name, settings and version; certificates, keys and metadata have their own statements."""

    def remove_connection(self, connection_id: ConnectionId, at: datetime) -> None: ...

    def put_certificate(self, connection_id: ConnectionId, certificate: IdPCertificate) -> None: ...

    def put_key(self, connection_id: ConnectionId, key: SPKey, private_key: bytes | None) -> None:
        """`private_key` None leaves the stored one as it is."""

    def delete_key(self, connection_id: ConnectionId, key_id: str) -> None: ...

    def put_metadata(self, connection_id: ConnectionId, copy: MetadataCopy) -> None: ...

    def put_domain_claim(self, domain: StoredDomain) -> bool:
        """False, and nothing written, when the domain is to be verified and is another organisation's."""

    def delete_domain(self, domain: str) -> None: ...

    def put_link(self, link: Link) -> None:
        """In place of whom the key was linked to."""

    def delete_links_of(self, connection_id: ConnectionId, member_id: MemberId) -> int: ...

    def insert_session(self, session: StoredSession, token_sha256: bytes) -> None: ...

    def end_sessions(
        self,
        at: datetime,
        reason: str,
        *,
        session_ids: Collection[SessionId] = (),
        member_ids: Collection[MemberId] = (),
        connection_id: ConnectionId | None = None,
    ) -> Mapping[MemberId, int]:
        """End live sessions that any of the arguments names; how many of each member.

        What was handed to host applications for them ends in the same statement, and each application that wants to
        be told (back-channel logout) gets a row in the queue of notices.
        """

    def put_test(self, test: StoredTest) -> None: ...

    def put_enforcement(self, enforcement: Enforcement | None) -> None: ...

    def put_recovery_codes(self, member_id: MemberId, codes: Sequence[RecoveryCode]) -> None:
        """In place of all the member had."""

    def use_recovery_code(self, digest: bytes, at: datetime) -> MemberId | None:
        """Mark the code used; whose it is, or None when it is none that is good."""


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """An AuthnRequest of ours on its way. It is good once, in the browser that holds the cookie.

    `request_id` is the ID on the wire; `relay_state` the opaque key that comes back. `return_to` is a local path.
    `test_id` marks a test login, which opens no session; its `test_actor` began it.
    """

    request_id: str
    organisation_id: OrganisationId
    connection_id: ConnectionId
    relay_state: str
    browser_sha256: bytes = field(repr=False)
    return_to: str
    created_at: datetime
    expires_at: datetime
    force_authn: bool = False
    test_id: str = ""
    test_actor: str = ""


@dataclass(frozen=True, slots=True)
class LoginTest:
    """A test login that an administrator has begun: `secret_sha256` of the link, and when it and its result end.

    `result` is what the page shows, sealed, with the raw XML; None until the answer came.
    """

    test_id: str
    organisation_id: OrganisationId
    connection_id: ConnectionId
    actor: str
    secret_sha256: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime
    result: bytes | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Home:
    """Where people of a domain sign in. Told by the domain alone, never by whether somebody exists."""

    organisation_id: OrganisationId
    organisation_name: str
    connections: tuple[tuple[ConnectionId, str], ...]
    is_enforced: bool


class LoginView(Protocol):
    """What one request to the login edges may read, in one transaction."""

    def organisation_of_connection(self, connection_id: str) -> OrganisationId | None:
        """Also of a removed connection. A text that is no id is simply not found."""

    def home(self, domain: str) -> Home | None:
        """By a domain that its organisation has verified."""

    def session(self, token_sha256: bytes) -> StoredSession | None:
        """Live or ended."""

    def organisation_of_recovery_code(self, digest: bytes) -> OrganisationId | None:
        """Also of one that was used."""


class LoginStore(Protocol):
    """Logins across organisations. Each call is a transaction of its own."""

    def read(self) -> AbstractContextManager[LoginView]: ...

    def insert_request(self, request: LoginRequest) -> None: ...

    def request(self, request_id: str) -> LoginRequest | None:
        """Open or used; None when it was deleted, or never ours."""

    def use_request(
        self,
        *,
        organisation_id: OrganisationId,
        connection_id: ConnectionId,
        request_id: str | None,
        browser_sha256: bytes | None,
        assertion_id: str,
        keep_until: datetime,
        now: datetime,
    ) -> str:
        """Use a request and an assertion once, in one transaction that survives a restart.

        `request_id` None is an IdP-initiated login. Returns an empty text when both were unused and the request is
        open, of this connection and organisation, and of this browser; otherwise nothing is written and the text is
        `in_response_to_mismatch`, `browser_mismatch`, `expired` or `replayed`.
        """

    def touch_session(self, session_id: SessionId, at: datetime) -> None:
        """Note a use of the session; written at most once a minute."""

    def put_login_test(self, test: LoginTest) -> None: ...

    def login_test(self, test_id: str) -> LoginTest | None: ...

    def delete_expired(self, now: datetime, limit: int) -> int:
        """Delete requests, used assertions, tests and long ended sessions that are past; how many."""

    def connections_to_refresh(
        self, before: datetime, limit: int
    ) -> list[tuple[OrganisationId, ConnectionId]]:
        """With a metadata address, and not checked since the moment; the longest ago first."""

    def certificates_ending(
        self, now: datetime, days: int, limit: int
    ) -> list[tuple[OrganisationId, ConnectionId, str, datetime]]:
        """Organisation, connection, SHA-256 and end of live certificates not noted as that near; the next first."""

    def domains_to_check(
        self, *, pending_before: datetime, others_before: datetime, limit: int
    ) -> list[tuple[OrganisationId, StoredDomain]]:
        """Claimed with a challenge, and not looked up since the moment of their kind; the longest ago first."""

    def note_domain_check(self, organisation_id: OrganisationId, domain: str, at: datetime) -> None:
        """The domain was asked about and there was no answer; others have their turn before it is asked again."""
