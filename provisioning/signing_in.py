"""A proven login, in the one transaction that finds out who it is and lets the person in, or refuses.

`sign_in` does it; `rehearse_login` says what it would do and changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from audit.actors import LoginActor
from directory.changes import AcceptInvitation, AddMembers, Change, PutGroup, PutUser, RemoveMembers
from directory.facts import GroupFacts, UserFacts, find_fault, name_key
from directory.ids import ConnectionId, DirectoryId, ExternalId, MemberId, RoleId, ScopeId
from directory.sso_changes import DenyLogin, FollowMail, LinkLogin, OpenSession
from provisioning.apply import apply_changes, open_rehearsal
from provisioning.commands import Command, Refused
from provisioning.errors import ProvisioningError, RefusalCode
from provisioning.identity import (
    Identity,
    IdentityDenial,
    LoginBy,
    Unidentified,
    identify,
    in_domains,
    is_other_directory_active,
    is_plain_mail,
    plain_person,
)
from provisioning.logins import Person, StoredConnection, StoredSession
from provisioning.models import ModelCache
from provisioning.ports import Clock, Mint, Reader, UnitOfWork
from provisioning.state import Seat

MOST_GROUPS = 1000
"""Group values of one login that are taken over."""

_KIND = "sso_assertion"


@dataclass(frozen=True, slots=True)
class LoginOutcome:
    """What became of a login, or would become of it. `denial` None: the person is let in.

    `by` is how the person was recognised. `roles` and `seat` are what the member holds afterwards.
    """

    denial: str | None
    member_id: MemberId | None = None
    by: LoginBy | None = None
    session: StoredSession | None = None
    roles: tuple[tuple[RoleId, ScopeId], ...] = ()
    seat: Seat | None = None

    @property
    def linked_by(self) -> str:
        """How the link was made by this very login; empty for one that stood before."""
        return "" if self.by in {None, LoginBy.LINK} else str(self.by)


class _DeniedError(ProvisioningError):
    """Leaves nothing of the login behind."""

    code = "login_denied"

    def __init__(self, reason: IdentityDenial, member_id: MemberId | None = None) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.member_id = member_id


class LoginExchange:
    """What a login says, worked out under the organisation's lock. `session` None: nobody is to be signed in.

    The session's `member_id` is found out here. A draft (a disabled connection) may be rehearsed only.
    """

    def __init__(
        self,
        connection_id: ConnectionId,
        person: Person,
        session: OpenSession | None,
        *,
        clock: Clock,
        mint: Mint,
    ) -> None:
        self._connection_id = connection_id
        self._person = plain_person(person)
        self._session = session
        self._clock = clock
        self._mint = mint
        self._by: LoginBy | None = None
        self._member_id = MemberId("")
        self.outcome: LoginOutcome | None = None

    def changes(self, reader: Reader) -> tuple[Change, ...]:
        """Who it is, and what follows. Raises what `sign_in` knows when nobody is let in."""
        connection = reader.sso.connection(self._connection_id)
        if connection is None:
            raise _DeniedError(IdentityDenial.CONNECTION_UNKNOWN)
        if connection.read.disabled and self._session is not None:
            raise _DeniedError(IdentityDenial.CONNECTION_DISABLED)
        found = identify(self._person, connection, reader, now=self._clock())
        if isinstance(found, Unidentified):
            raise _DeniedError(found.reason, found.member_id)
        if self._session is not None and self._is_passing_by(found, reader):
            member_id = None if found.record is None else found.record.member_id
            raise _DeniedError(IdentityDenial.OTHER_CONNECTION_REQUIRED, member_id)
        self._by = found.by
        self._member_id = found.record.member_id if found.record else MemberId(self._mint.id())
        return (*self._facts(found, connection, reader), *self._statements(found))

    def _is_passing_by(self, found: Identity, reader: Reader) -> bool:
        """Whether people of this address must sign in over another connection; guests, of others, need not."""
        enforcement = reader.sso.enforcement()
        if (
            enforcement is None
            or enforcement.suspended_at is not None
            or enforcement.connection_id == self._connection_id
        ):
            return False
        mails = (self._person.mail, "" if found.record is None else found.record.mail)
        return any(in_domains(mail, reader.domains()) for mail in mails)

    def _facts(self, found: Identity, connection: StoredConnection, reader: Reader) -> Iterator[Change]:
        """What the login says of somebody whom logins make: name, mail and groups."""
        if found.by is not LoginBy.JIT and found.user is None:
            return
        yield PutUser(self._user(found, reader), member_id=self._member_id)
        if not self._person.groups_withheld and not is_other_directory_active(reader.directories()):
            yield from self._groups(found, connection, reader)

    def _user(self, found: Identity, reader: Reader) -> UserFacts:
        person = self._person
        given, family = _name(person.given_name), _name(person.family_name)
        mails: tuple[str, ...] = (person.mail,)
        if found.user is not None and not self._may_follow(person.mail, reader):
            mails = found.user.mails
        display_name = _name(person.display_name) or f"{given} {family}".strip() or mails[0]
        return UserFacts(
            external_id=ExternalId(person.key),
            user_name=mails[0],
            display_name=display_name,
            given_name=given,
            family_name=family,
            mails=mails,
        )

    def _may_follow(self, mail: str, reader: Reader) -> bool:
        """An identity provider vouches for the addresses of verified domains only, and for nobody else's."""
        if not is_plain_mail(mail) or find_fault(mail) or not in_domains(mail, reader.domains()):
            return False
        key = name_key(mail)
        return not reader.members_by_mail([key]).get(key, set()) - {self._member_id}

    def _groups(self, found: Identity, connection: StoredConnection, reader: Reader) -> Iterator[Change]:
        """The groups are as asserted: those that are new to us come into being, memberships follow."""
        directory_id = connection.directory_id
        wanted = list(
            dict.fromkeys(
                ExternalId(value) for value in self._person.groups if value.strip() and not find_fault(value)
            )
        )[:MOST_GROUPS]
        stored = reader.groups_by_external_id(directory_id, wanted) if wanted else {}
        present: set[ExternalId] = set()
        if found.user is not None:
            pairs = reader.groups_of_users([found.user.user_id])
            groups = reader.groups_by_id([group_id for group_id, _ in pairs]) if pairs else {}
            present = {group.external_id for group in groups.values()}
        user = (ExternalId(self._person.key),)
        for group in wanted:
            if group not in stored:
                yield PutGroup(GroupFacts(group, group))
            if group not in present:
                yield AddMembers(group, user)
        for group in sorted(present.difference(wanted)):
            yield RemoveMembers(group, user)

    def _statements(self, found: Identity) -> Iterator[Change]:
        if found.invitation is not None:
            yield AcceptInvitation(found.invitation.invitation_id, self._member_id)
        if found.by is not LoginBy.LINK:
            yield LinkLogin(self._connection_id, self._person.key, self._member_id, found.by)
        elif found.user is None and self._person.mail:
            yield FollowMail(self._member_id, self._person.mail)
        if self._session is not None:
            linked_by = "" if found.by is LoginBy.LINK else found.by.value
            yield replace(
                self._session,
                member_id=self._member_id,
                connection_id=self._connection_id,
                linked_by=linked_by,
                groups=self._person.groups[:MOST_GROUPS],
            )

    def conclude(self, reader: Reader) -> None:
        """Read what the person holds now, and the session."""
        record = reader.member_records([self._member_id], with_attributes=False)[self._member_id]
        session = None if self._session is None else reader.sso.session(self._session.session_id)
        self.outcome = LoginOutcome(
            denial=IdentityDenial.SEAT_LIMIT_REACHED if record.seat is Seat.WAITING else None,
            member_id=record.member_id,
            by=self._by,
            session=session,
            roles=tuple(sorted(held.grant.pair for held in record.held)),
            seat=record.seat,
        )


def _name(text: str) -> str:
    """A name as it can be stored; one that can not is left out."""
    return "" if find_fault(text) else text


def sign_in(
    connection_id: ConnectionId,
    person: Person,
    session: OpenSession,
    *,
    reference: str,
    unit_of_work: UnitOfWork,
    clock: Clock,
    mint: Mint,
    models: ModelCache,
    request_id: str = "",
) -> LoginOutcome:
    """Let a proven person in, or refuse and write down why under the reference.

    `session` needs no member and no connection: they are found out. Request and assertion have been used before this
    is called (`LoginStore.use_request`), so that a crash in here costs the person a login and opens nothing.
    """
    exchange = LoginExchange(connection_id, person, session, clock=clock, mint=mint)
    command = _command(connection_id, session.login_id, request_id, session.address)
    applied = None
    try:
        applied = apply_changes(
            command, unit_of_work=unit_of_work, clock=clock, mint=mint, models=models, exchange=exchange
        )
    except _DeniedError as denied:
        outcome = LoginOutcome(denied.reason, denied.member_id)
    else:
        outcome = _outcome(exchange, applied)
    if outcome.denial is not None:
        is_known = outcome.denial != IdentityDenial.CONNECTION_UNKNOWN
        denial = DenyLogin(
            connection_id if is_known else None, outcome.denial, reference, member_id=outcome.member_id
        )
        denied_command = replace(command, changes=(denial,))
        apply_changes(denied_command, unit_of_work=unit_of_work, clock=clock, mint=mint, models=models)
    return outcome


def _command(connection_id: ConnectionId, login_id: str, request_id: str = "", address: str = "") -> Command:
    return Command(
        actor=LoginActor(login_id),
        changes=(),
        kind=_KIND,
        directory_id=DirectoryId(connection_id),
        request_id=request_id,
        address=address,
        refuse_when_full=True,
    )


def _outcome(exchange: LoginExchange, applied: object) -> LoginOutcome:
    if isinstance(applied, Refused):
        is_full = applied.code is RefusalCode.SEAT_LIMIT_REACHED
        return LoginOutcome(IdentityDenial.SEAT_LIMIT_REACHED if is_full else IdentityDenial.NO_MEMBER)
    assert exchange.outcome is not None  # noqa: S101 - concluded in the transaction that was applied
    return exchange.outcome


def rehearse_login(
    connection_id: ConnectionId,
    person: Person,
    *,
    login_id: str,
    unit_of_work: UnitOfWork,
    clock: Clock,
    mint: Mint,
    models: ModelCache,
) -> LoginOutcome:
    """What signing in would do, for a test login: who it is, the roles and the seat. Drafts too; changes nothing."""
    exchange = LoginExchange(connection_id, person, None, clock=clock, mint=mint)
    with open_rehearsal(unit_of_work=unit_of_work, clock=clock, mint=mint, models=models) as rehearsal:
        try:
            applied, _ = rehearsal.take(_command(connection_id, login_id), exchange)
        except _DeniedError as denied:
            outcome = LoginOutcome(denied.reason, denied.member_id)
        else:
            outcome = _outcome(exchange, applied)
    return outcome
