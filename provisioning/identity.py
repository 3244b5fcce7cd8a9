"""Who a proven assertion speaks of: a member that is known, a guest with an invitation, or somebody new. Only reads.

The order decides: the link that was made once; else the directory user of the external id; else the mail, where this
organisation has verified its domain; else an open invitation; else just-in-time creation. A key is compared exactly.
Source: docs/decisions/0019-saml-identity.md
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from unicodedata import normalize

from directory.facts import find_fault, name_key
from directory.ids import ExternalId, MemberId
from provisioning.logins import ConnectionSettings, Person, StoredConnection
from provisioning.ports import Reader
from provisioning.state import MemberRecord, Seat, StoredDirectory, StoredInvitation, StoredUser
from provisioning.work import JUST_IN_TIME

_WHITESPACE = " \t\r\n"
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class IdentityDenial(StrEnum):
    """Why a proven person is not let in. Each is one of the reasons of `sso.login_denied`."""

    CONNECTION_UNKNOWN = "connection_unknown"
    CONNECTION_DISABLED = "connection_disabled"
    OTHER_CONNECTION_REQUIRED = "other_connection_required"
    IDENTITY_MISSING = "identity_missing"
    IDENTITY_AMBIGUOUS = "identity_ambiguous"
    NO_MEMBER = "no_member"
    DOMAIN_NOT_VERIFIED = "domain_not_verified"
    MEMBER_DEACTIVATED = "member_deactivated"
    MEMBER_BLOCKED = "member_blocked"
    SEAT_LIMIT_REACHED = "seat_limit_reached"


class LoginBy(StrEnum):
    """By what the person was recognised; `LINK` is every login after the first."""

    LINK = "link"
    EXTERNAL_ID = "external_id"
    MAIL = "mail"
    INVITATION = "invitation"
    JIT = "jit"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who it is. `record` is None for somebody who is to be made; `user` is the one of just-in-time creation."""

    by: LoginBy
    record: MemberRecord | None = None
    user: StoredUser | None = None
    invitation: StoredInvitation | None = None


@dataclass(frozen=True, slots=True)
class Unidentified:
    """Nobody is let in. `member_id`: whom the refusal is about, where that is known."""

    reason: IdentityDenial
    member_id: MemberId | None = None


def plain_person(person: Person) -> Person:
    """The person without whitespace around the texts that identify.

    XML's whitespace alone: a no-break space is a letter of somebody else's name, and not the end of this one.
    """
    return Person(
        key=person.key.strip(_WHITESPACE),
        mail=person.mail.strip(_WHITESPACE),
        given_name=person.given_name.strip(),
        family_name=person.family_name.strip(),
        display_name=person.display_name.strip(),
        external_id=person.external_id.strip(_WHITESPACE),
        groups=person.groups,
        groups_withheld=person.groups_withheld,
    )


def is_other_directory_active(directories: list[StoredDirectory]) -> bool:
    """Whether a directory of another kind says who the people are: then no login makes any."""
    return any(
        directory.kind != JUST_IN_TIME and directory.settings.get("paused") is not True
        for directory in directories
    )


def is_plain_mail(mail: str) -> bool:
    """Whether the address can stand for a person: what compares equal to it is the same text, but for its case.

    Compatibility forms, and letters that look like nothing, are somebody else's.
    """
    local, _, domain = mail.rpartition("@")
    # The Kelvin sign is a `k` in lower case, so the letters are asked for as well.
    is_one_form = normalize("NFKC", mail) == mail and name_key(mail) == mail.lower()
    return bool(local and domain) and mail.isprintable() and is_one_form


def in_domains(mail: str, domains: frozenset[str]) -> bool:
    return name_key(mail).rpartition("@")[2] in domains


def identify(
    person: Person, connection: StoredConnection, reader: Reader, *, now: datetime
) -> Identity | Unidentified:
    """Find out who it is, in view of what is stored. Changes nothing."""
    if not person.key or find_fault(person.key):
        return Unidentified(IdentityDenial.IDENTITY_MISSING)
    link = reader.sso.link(connection.connection_id, person.key)
    if link is not None:
        return _known(LoginBy.LINK, link.member_id, connection, person, reader)
    found = _by_external_id(person, connection, reader)
    if found is not None:
        return found
    return _by_mail(person, connection, reader, now=now)


def _known(
    by: LoginBy, member_id: MemberId, connection: StoredConnection, person: Person, reader: Reader
) -> Identity | Unidentified:
    record = reader.member_records([member_id], with_attributes=False).get(member_id)
    if record is None or record.is_deleted:
        return Unidentified(IdentityDenial.MEMBER_DEACTIVATED, member_id)
    if record.facts.is_blocked:
        return Unidentified(IdentityDenial.MEMBER_BLOCKED, member_id)
    if not record.is_active:
        return Unidentified(IdentityDenial.MEMBER_DEACTIVATED, member_id)
    if record.seat is Seat.WAITING:
        return Unidentified(IdentityDenial.SEAT_LIMIT_REACHED, member_id)
    return Identity(by, record, _own_user(member_id, connection, person, reader))


def _own_user(
    member_id: MemberId, connection: StoredConnection, person: Person, reader: Reader
) -> StoredUser | None:
    """The live user that a login over this connection made, if it is this member's."""
    users = reader.users_by_external_id(connection.directory_id, [ExternalId(person.key)])
    user = users.get(ExternalId(person.key))
    is_own = user is not None and user.member_id == member_id and user.deleted_at is None
    return user if is_own else None


def _by_external_id(
    person: Person, connection: StoredConnection, reader: Reader
) -> Identity | Unidentified | None:
    """The member of the directory user that is known by this id. What another login made counts for nothing here."""
    external_id = ExternalId(person.external_id or person.key)
    if find_fault(external_id):
        return None
    candidates = reader.members_by_external_id([external_id]).get(external_id, set())
    kinds = {directory.directory_id: directory.kind for directory in reader.directories()}
    members = {
        user.member_id
        for user in (reader.users_of_members(candidates) if candidates else [])
        if kinds[user.directory_id] != JUST_IN_TIME and external_id in {user.external_id, user.client_id}
    }
    if not members:
        return None
    if len(members) > 1:
        return Unidentified(IdentityDenial.IDENTITY_AMBIGUOUS)
    (member_id,) = members
    if any(link.connection_id == connection.connection_id for link in reader.sso.links_of([member_id])):
        # The person has another key here: whether that was renamed or given to somebody else, a human says.
        return Unidentified(IdentityDenial.IDENTITY_AMBIGUOUS, member_id)
    return _known(LoginBy.EXTERNAL_ID, member_id, connection, person, reader)


def _by_mail(
    person: Person, connection: StoredConnection, reader: Reader, *, now: datetime
) -> Identity | Unidentified:
    if not person.mail:
        return Unidentified(IdentityDenial.NO_MEMBER)
    if find_fault(person.mail) or not is_plain_mail(person.mail):
        return Unidentified(IdentityDenial.IDENTITY_AMBIGUOUS)
    key = name_key(person.mail)
    is_verified = in_domains(person.mail, reader.domains())
    members = reader.members_by_mail([key]).get(key, set())
    if members and is_verified:
        if len(members) > 1 or reader.sso.links_of(members):
            return Unidentified(IdentityDenial.IDENTITY_AMBIGUOUS)
        return _known(LoginBy.MAIL, members.pop(), connection, person, reader)
    invitation = None if members else _open_invitation(key, reader, now=now)
    if invitation is not None:
        return Identity(LoginBy.INVITATION, invitation=invitation)
    if not is_verified:
        return Unidentified(IdentityDenial.DOMAIN_NOT_VERIFIED)
    if not _may_create(connection.read, reader):
        return Unidentified(IdentityDenial.NO_MEMBER)
    if ExternalId(person.key) in reader.users_by_external_id(
        connection.directory_id, [ExternalId(person.key)]
    ):
        # Made by an earlier login, and ended or moved since: nobody is made a second time.
        return Unidentified(IdentityDenial.MEMBER_DEACTIVATED)
    return Identity(LoginBy.JIT)


def _may_create(settings: ConnectionSettings, reader: Reader) -> bool:
    return settings.jit and not is_other_directory_active(reader.directories())


def _open_invitation(key: str, reader: Reader, *, now: datetime) -> StoredInvitation | None:
    # As many as there are reserved seats: each open invitation holds one.
    reserved = reader.organisation().reserved
    standing = reader.invitations_due(_NEVER, reserved) if reserved else []
    return next((one for one in standing if name_key(one.mail) == key and one.ends_at > now), None)
