"""What is said about single sign-on, as a closed union: connections, certificates, domains, logins, sessions.

A change is a statement, as in `directory.changes`. Private keys are said once and never repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from directory.ids import ConnectionId, MemberId, SessionId


@dataclass(frozen=True, slots=True)
class PutConnection:
    """A SAML identity provider of the organisation, new or with new settings (`provisioning.logins` lists them)."""

    connection_id: ConnectionId
    name: str
    settings: Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class RemoveConnection:
    """Nobody signs in over the connection any more. Its links stay, for the record; its sessions end."""

    connection_id: ConnectionId


@dataclass(frozen=True, slots=True)
class PutIdPCertificate:
    """A signing certificate (DER) of the identity provider: `staged` verifies nothing yet, `active` does."""

    connection_id: ConnectionId
    certificate: bytes
    state: str = "active"


@dataclass(frozen=True, slots=True)
class RetireIdPCertificate:
    """The certificate of this SHA-256 (hexadecimal) verifies nothing from `ends_at` on, or from now on."""

    connection_id: ConnectionId
    sha256: str
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NoteCertificateEnding:
    """A certificate of the connection, the identity provider's or our own, ends within so many days."""

    connection_id: ConnectionId
    sha256: str
    days: int


@dataclass(frozen=True, slots=True)
class PutSPKey:
    """A key of ours for one connection: `next` is published and decrypts, `active` signs as well."""

    connection_id: ConnectionId
    key_id: str
    certificate: bytes
    private_key: bytes = field(repr=False, default=b"")
    state: str = "active"


@dataclass(frozen=True, slots=True)
class RetireSPKey:
    """The key is neither published nor used any more, and its private half is destroyed."""

    connection_id: ConnectionId
    key_id: str


@dataclass(frozen=True, slots=True)
class TakeMetadata:
    """The identity provider's metadata as read: the copy that is in force from now on.

    `settings` are those that the document decides; they go over the connection's own. Certificates (DER) that are new
    become active beside the old; those that are not named any more are retired after the overlap.
    """

    connection_id: ConnectionId
    document: str
    settings: Mapping[str, str | int | bool]
    certificates: tuple[bytes, ...]
    etag: str = ""
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class NoteMetadataFailure:
    """The metadata could not be refreshed; the last good copy stays in force."""

    connection_id: ConnectionId
    reason: str


@dataclass(frozen=True, slots=True)
class ClaimDomain:
    """The organisation says that the domain is its own; the TXT record `challenge` is to prove it."""

    domain: str
    challenge: str


@dataclass(frozen=True, slots=True)
class VerifyDomain:
    """The proof was found. Refused while the domain is another organisation's."""

    domain: str


@dataclass(frozen=True, slots=True)
class NoteDomainMissing:
    """The proof of a verified domain was not found this time: a warning first, after the grace enforcement rests."""

    domain: str


@dataclass(frozen=True, slots=True)
class ReleaseDomain:
    """The domain is nobody's again."""

    domain: str


@dataclass(frozen=True, slots=True)
class LinkLogin:
    """Who signs in over the connection with this key is the member.

    `linked_by`: external_id, mail, invitation, jit, relink. Refused when the key is linked to another member, except
    by `relink`, which moves it and ends the member's other links of the connection.
    """

    connection_id: ConnectionId
    key: str
    member_id: MemberId
    linked_by: str


@dataclass(frozen=True, slots=True)
class FollowMail:
    """The member's address is another one now. For those whom no directory manages: there the directory says it."""

    member_id: MemberId
    mail: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """The member has signed in. `token_sha256` is the digest of what the browser holds.

    It comes last in its command, in view of what the rest led to: who is not active is refused, who waits for a seat
    gets no session. `kind` is `login`, or `breakglass` of a recovery code. `name_id` (canonical text of the NameID
    element) and `session_index` serve single logout alone. `assertion_id`, `issuer`, `linked_by` and `groups` (the
    values as sent) are for the record.
    """

    session_id: SessionId
    token_sha256: bytes = field(repr=False)
    member_id: MemberId
    connection_id: ConnectionId | None
    login_id: str
    auth_time: datetime
    expires_at: datetime
    kind: str = "login"
    name_id: str = field(repr=False, default="")
    session_index: str = field(repr=False, default="")
    address: str = ""
    user_agent: str = ""
    assertion_id: str = ""
    issuer: str = ""
    linked_by: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndSession:
    """`reason`: logout, idp_logout, revoked, replaced, connection_removed."""

    session_id: SessionId
    reason: str


@dataclass(frozen=True, slots=True)
class EndSessionsOf:
    """All sessions of the member."""

    member_id: MemberId
    reason: str


@dataclass(frozen=True, slots=True)
class DenyLogin:
    """Somebody was not let in. `reason` is one of `saml.errors.Denial`; `reference` is what the page shows."""

    connection_id: ConnectionId | None
    reason: str
    reference: str
    numbers: tuple[tuple[str, str | int], ...] = ()
    member_id: MemberId | None = None


@dataclass(frozen=True, slots=True)
class RecordTest:
    """A test login over the connection in its present version, by the actor of the command."""

    connection_id: ConnectionId
    test_id: str
    has_passed: bool
    version: int
    failed_check: str = ""


@dataclass(frozen=True, slots=True)
class EnforceLogin:
    """People of the verified domains sign in over the connection only. Needs a passed test by the same actor."""

    connection_id: ConnectionId


@dataclass(frozen=True, slots=True)
class LiftEnforcement:
    """Enforcement ends; `suspended` is the system's own, which ends by itself when its reason does."""

    reason: str
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class ResumeEnforcement:
    """What was suspended holds again."""


@dataclass(frozen=True, slots=True)
class PutRecoveryCodes:
    """The member may get in by each of these codes once, limited to the sign-on settings. Older codes end.

    At most two members, the owner among them. An empty tuple takes the member out.
    """

    member_id: MemberId
    digests: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class UseRecoveryCode:
    """A code was given; it is good once. Refused as `recovery_code_invalid` when it is none."""

    digest: bytes = field(repr=False)
    session: OpenSession


SSOChange = (
    PutConnection
    | RemoveConnection
    | PutIdPCertificate
    | RetireIdPCertificate
    | NoteCertificateEnding
    | PutSPKey
    | RetireSPKey
    | TakeMetadata
    | NoteMetadataFailure
    | ClaimDomain
    | VerifyDomain
    | NoteDomainMissing
    | ReleaseDomain
    | LinkLogin
    | FollowMail
    | OpenSession
    | EndSession
    | EndSessionsOf
    | DenyLogin
    | RecordTest
    | EnforceLogin
    | LiftEnforcement
    | ResumeEnforcement
    | PutRecoveryCodes
    | UseRecoveryCode
)
