"""Who has signed in, as host applications are told: the member, and what the member holds at this moment."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from directory.facts import name_key
from directory.ids import EnvironmentId, MemberId, OrganisationId, SessionId
from mappings.scopes import ScopeGraph
from provisioning.logins import LoginStore, StoredSession
from provisioning.models import ModelCache
from provisioning.ports import Reader

MOST_GRANTS = 50
"""As many grants stand in an ID token; of more it tells the number, and userinfo has the list."""


class Readable(Protocol):
    """What the provider needs of a unit of work."""

    def read(self) -> AbstractContextManager[Reader]: ...


OpenOrganisation = Callable[[OrganisationId], Readable]


@dataclass(frozen=True, slots=True)
class Person:
    """A member with a live session. `grants` are (role, scope) as they are held, never multiplied."""

    session: StoredSession
    environment_id: EnvironmentId
    organisation_name: str
    name: str
    mail: str
    is_mail_verified: bool
    grants: tuple[tuple[str, str], ...]
    access_version: int


class People:
    """Reads people. `is_live` tells whether a stored session is good now."""

    def __init__(
        self,
        open_organisation: OpenOrganisation,
        logins: LoginStore,
        models: ModelCache,
        is_live: Callable[[StoredSession, datetime], bool],
    ) -> None:
        self._open = open_organisation
        self._logins = logins
        self._models = models
        self._is_live = is_live

    def find(
        self, organisation_id: OrganisationId, member_id: MemberId, session_id: SessionId, now: datetime
    ) -> Person | None:
        """The person of a session; None when the session is over, or the member is not active.

        To be asked about is a use of the session: who works at the host application is not idle.
        """
        person = self._read(organisation_id, member_id, session_id, now)
        if person is not None:
            self._logins.touch_session(session_id, now)
        return person

    def _read(
        self, organisation_id: OrganisationId, member_id: MemberId, session_id: SessionId, now: datetime
    ) -> Person | None:
        with self._open(organisation_id).read() as reader:
            session = reader.sso.session(session_id)
            if session is None or session.member_id != member_id or not self._is_live(session, now):
                return None
            record = reader.member_records([member_id], with_attributes=False).get(member_id)
            if record is None or record.is_deleted or not record.is_active:
                return None
            state = reader.organisation()
            scopes = self._models.get(reader, state).scopes
            domain = name_key(record.mail).rpartition("@")[2]
            return Person(
                session=session,
                environment_id=state.environment_id,
                organisation_name=state.name,
                name=record.display_name,
                mail=record.mail,
                is_mail_verified=bool(domain) and domain in reader.domains(),
                grants=tuple(sorted(set(_held(reader, member_id, scopes)))),
                access_version=state.access_version,
            )


def _held(reader: Reader, member_id: MemberId, scopes: ScopeGraph) -> Iterator[tuple[str, str]]:
    """Role and scope: `organisation`, or `kind/the host's own id`, as the decision call takes it."""
    for each in reader.grants_of(member_id):
        node = scopes.get(each.grant.scope_id)
        if node is not None:
            is_root = node.scope_id == scopes.root
            yield each.grant.role, node.kind if is_root else f"{node.kind}/{node.host_id}"


def person_claims(person: Person, *, is_whole: bool) -> dict[str, Any]:
    """What is said of a person. `is_whole`: all grants, however many."""
    grants = [{"role": role, "scope": scope} for role, scope in person.grants]
    claims: dict[str, Any] = {
        "sub": person.session.member_id,
        "name": person.name,
        "organisation": person.session.organisation_id,
        "organisation_name": person.organisation_name,
        "roles": sorted({role for role, _ in person.grants}),
        "access_version": person.access_version,
        "sid": person.session.session_id,
        "session_ends_at": int(person.session.expires_at.timestamp()),
    }
    if person.mail:
        claims |= {"email": person.mail, "email_verified": person.is_mail_verified}
    if is_whole or len(grants) <= MOST_GRANTS:
        claims["grants"] = grants
    else:
        claims["grants_count"] = len(grants)
    return claims
