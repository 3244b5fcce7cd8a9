"""Single sign-on of one organisation: what `reader.sso` and `writer.sso` are."""

import hashlib
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import psycopg
from sqlalchemy import (
    ColumnElement,
    Integer,
    LargeBinary,
    Text,
    bindparam,
    delete,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from directory.ids import ConnectionId, MemberId, SessionId
from provisioning.logins import Link, RecoveryCode, StoredDomain, StoredSession
from storage.bulk import BulkInsert
from storage.puts import Put
from storage.sets import in_set
from storage.sso_connections import ConnectionsReader, ConnectionsWriter
from storage.sso_tables import (
    login_link,
    login_session,
    logout_notice,
    oidc_client,
    oidc_code,
    oidc_token,
    recovery_code,
)
from storage.tables import domain
from storage.types import Id, Moment, is_id, read_moment, read_optional_moment
from storage.view import ORGANISATION, Row, View, is_own

# What is prepared goes to the driver directly, which raises errors of its own.
_REFUSED = (IntegrityError, sqlite3.IntegrityError, psycopg.errors.UniqueViolation)
_LONGEST_ADDRESS = 64
_LONGEST_USER_AGENT = 400
_AT = bindparam("at", type_=Moment)
_LIMIT = bindparam("row_limit", type_=Integer)
_CONNECTION = bindparam("of_connection", type_=Id)
_MEMBER = bindparam("of_member", type_=Id)

DOMAIN_COLUMNS: tuple[ColumnElement[object], ...] = (
    domain.c.domain,
    domain.c.state,
    domain.c.challenge,
    domain.c.claimed_at,
    domain.c.verified_at,
    domain.c.checked_at,
    domain.c.missing_since,
)
"""What `read_domain` reads, in its order."""

_SELECT_DOMAINS = (
    select(*DOMAIN_COLUMNS).where(domain.c.organisation_id == ORGANISATION).order_by(domain.c.domain)
)
_PUT_DOMAIN = Put(
    domain,
    key=("domain",),
    columns=("state", "challenge", "claimed_at", "verified_at", "checked_at", "missing_since"),
)
_DELETE_DOMAIN = delete(domain).where(
    domain.c.organisation_id == ORGANISATION, domain.c.domain == bindparam("named", type_=Text)
)

_LINKS = login_link.c
_LINK_COLUMNS = (_LINKS.connection_id, _LINKS.key, _LINKS.member_id, _LINKS.linked_by, _LINKS.linked_at)
_SELECT_LINK = select(*_LINK_COLUMNS).where(
    _LINKS.organisation_id == ORGANISATION,
    _LINKS.connection_id == _CONNECTION,
    _LINKS.key_sha256 == bindparam("digest", type_=LargeBinary),
)
_SELECT_LINKS_OF = (
    select(*_LINK_COLUMNS)
    .where(in_set(_LINKS.member_id, "member_ids"), is_own(_LINKS.organisation_id))
    .order_by(_LINKS.member_id, _LINKS.connection_id, _LINKS.linked_at, _LINKS.key_sha256)
)
_PUT_LINK = Put(
    login_link, key=("connection_id", "key_sha256"), columns=("key", "member_id", "linked_by", "linked_at")
)
_DELETE_LINKS = delete(login_link).where(
    is_own(_LINKS.organisation_id), _LINKS.member_id == _MEMBER, _LINKS.connection_id == _CONNECTION
)

_SESSIONS = login_session.c
SESSION_COLUMNS: tuple[ColumnElement[object], ...] = (
    _SESSIONS.id,
    _SESSIONS.organisation_id,
    _SESSIONS.member_id,
    _SESSIONS.connection_id,
    _SESSIONS.kind,
    _SESSIONS.login_id,
    _SESSIONS.auth_time,
    _SESSIONS.created_at,
    _SESSIONS.last_used_at,
    _SESSIONS.expires_at,
    _SESSIONS.name_id,
    _SESSIONS.session_index,
    _SESSIONS.address,
    _SESSIONS.user_agent,
    _SESSIONS.ended_at,
    _SESSIONS.end_reason,
)
"""What `read_session` reads, in its order."""

_IS_OPEN = (_SESSIONS.ended_at.is_(None), _SESSIONS.expires_at > _AT)
_SELECT_SESSION = select(*SESSION_COLUMNS).where(
    _SESSIONS.organisation_id == ORGANISATION, _SESSIONS.id == bindparam("of_session", type_=Id)
)
_SELECT_SESSIONS = (
    select(*SESSION_COLUMNS)
    .where(_SESSIONS.organisation_id == ORGANISATION, *_IS_OPEN)
    .order_by(_SESSIONS.created_at.desc(), _SESSIONS.id.desc())
    .limit(_LIMIT)
)
_SELECT_SESSIONS_OF = (
    select(*SESSION_COLUMNS)
    .where(_SESSIONS.member_id == _MEMBER, is_own(_SESSIONS.organisation_id), *_IS_OPEN)
    .order_by(_SESSIONS.created_at.desc(), _SESSIONS.id.desc())
    .limit(_LIMIT)
)
_SELECT_SUBJECT = (
    select(*SESSION_COLUMNS)
    .where(
        _SESSIONS.connection_id == _CONNECTION,
        _SESSIONS.subject_sha256 == bindparam("digest", type_=LargeBinary),
        is_own(_SESSIONS.organisation_id),
        *_IS_OPEN,
    )
    .order_by(_SESSIONS.created_at.desc(), _SESSIONS.id.desc())
)
_SELECT_SUBJECT_BY_INDEX = _SELECT_SUBJECT.where(_SESSIONS.session_index == bindparam("of_index", type_=Text))
_INSERT_SESSION = insert(login_session)
_END_SESSIONS = (
    update(login_session)
    .values(ended_at=_AT, end_reason=bindparam("new_reason", type_=Text))
    .where(is_own(_SESSIONS.organisation_id), *_IS_OPEN)
    .returning(_SESSIONS.id, _SESSIONS.member_id)
)
_END_BY_IDS = _END_SESSIONS.where(in_set(_SESSIONS.id, "named"))
_END_BY_MEMBERS = _END_SESSIONS.where(in_set(_SESSIONS.member_id, "named"))
_END_BY_CONNECTION = _END_SESSIONS.where(in_set(_SESSIONS.connection_id, "named"))
_REVOKE_TOKENS = (
    update(oidc_token)
    .values(revoked_at=_AT)
    .where(
        in_set(oidc_token.c.session_id, "session_ids"),
        is_own(oidc_token.c.organisation_id),
        oidc_token.c.revoked_at.is_(None),
    )
)
# A code that was exchanged says that the application knows of the session.
_QUEUE_NOTICES = insert(logout_notice).from_select(
    ("organisation_id", "client_id", "member_id", "session_id", "attempts", "due_at"),
    select(
        oidc_code.c.organisation_id,
        oidc_code.c.client_id,
        oidc_code.c.member_id,
        oidc_code.c.session_id,
        literal_column("0"),
        _AT,
    )
    .join(oidc_client, oidc_client.c.id == oidc_code.c.client_id)
    .where(
        in_set(oidc_code.c.session_id, "session_ids"),
        is_own(oidc_code.c.organisation_id),
        oidc_code.c.used_at.is_not(None),
        oidc_client.c.removed_at.is_(None),
        oidc_client.c.backchannel_logout_uri != literal_column("''"),
    )
    .distinct(),
)

_CODES = recovery_code.c
_SELECT_CODES = (
    select(_CODES.member_id, _CODES.digest, _CODES.created_at, _CODES.used_at)
    .where(_CODES.organisation_id == ORGANISATION)
    .order_by(_CODES.member_id, _CODES.digest)
)
_DELETE_CODES = delete(recovery_code).where(
    _CODES.organisation_id == ORGANISATION, _CODES.member_id == _MEMBER
)
_INSERT_CODES = BulkInsert(recovery_code, "organisation_id", "digest", "member_id", "created_at", "used_at")
_USE_CODE = (
    update(recovery_code)
    .values(used_at=_AT)
    .where(
        _CODES.organisation_id == ORGANISATION,
        _CODES.digest == bindparam("of_digest", type_=LargeBinary),
        _CODES.used_at.is_(None),
    )
    .returning(_CODES.member_id)
)


def digest_text(text: str) -> bytes:
    """What a text of any length is found by."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def read_domain(row: Row) -> StoredDomain:
    return StoredDomain(
        domain=row[0],
        state=row[1],
        challenge=row[2],
        claimed_at=read_moment(row[3]),
        verified_at=read_optional_moment(row[4]),
        checked_at=read_optional_moment(row[5]),
        missing_since=read_optional_moment(row[6]),
    )


def read_session(row: Row) -> StoredSession:
    return StoredSession(
        session_id=row[0],
        organisation_id=row[1],
        member_id=row[2],
        connection_id=row[3],
        kind=row[4],
        login_id=row[5],
        auth_time=read_moment(row[6]),
        created_at=read_moment(row[7]),
        last_used_at=read_moment(row[8]),
        expires_at=read_moment(row[9]),
        name_id=row[10],
        session_index=row[11],
        address=row[12],
        user_agent=row[13],
        ended_at=read_optional_moment(row[14]),
        end_reason=row[15],
    )


def _read_link(row: Row) -> Link:
    return Link(row[0], row[1], row[2], row[3], read_moment(row[4]))


class SSOView(ConnectionsReader):
    """The port `SSOReader`."""

    def domain_claims(self) -> list[StoredDomain]:
        return sorted(map(read_domain, self._rows(_SELECT_DOMAINS)), key=lambda one: one.domain)

    def link(self, connection_id: ConnectionId, key: str) -> Link | None:
        row = self._row(_SELECT_LINK, of_connection=connection_id, digest=digest_text(key))
        return None if row is None else _read_link(row)

    def links_of(self, member_ids: Collection[MemberId]) -> list[Link]:
        return [_read_link(row) for row in self._rows(_SELECT_LINKS_OF, member_ids=member_ids)]

    def session(self, session_id: SessionId) -> StoredSession | None:
        row = self._row(_SELECT_SESSION, of_session=session_id.lower()) if is_id(session_id) else None
        return None if row is None else read_session(row)

    def sessions(self, member_id: MemberId | None, now: datetime, limit: int) -> list[StoredSession]:
        """Those that have neither ended nor expired; whether one lay idle for too long is for the caller to say."""
        if member_id is None:
            rows = self._rows(_SELECT_SESSIONS, at=now, row_limit=limit)
        else:
            rows = self._rows(_SELECT_SESSIONS_OF, of_member=member_id, at=now, row_limit=limit)
        return [read_session(row) for row in rows]

    def sessions_of_subject(
        self, connection_id: ConnectionId, name_id: str, session_index: str, now: datetime
    ) -> list[StoredSession]:
        named = {"of_connection": connection_id, "digest": digest_text(name_id), "at": now}
        if session_index:
            rows = self._rows(_SELECT_SUBJECT_BY_INDEX, of_index=session_index, **named)
        else:
            rows = self._rows(_SELECT_SUBJECT, **named)
        return [read_session(row) for row in rows]

    def recovery_codes(self) -> list[RecoveryCode]:
        return [
            RecoveryCode(row[0], bytes(row[1]), read_moment(row[2]), read_optional_moment(row[3]))
            for row in self._rows(_SELECT_CODES)
        ]


class SSOChanges(SSOView, ConnectionsWriter):
    """The port `SSOWriter`."""

    def put_domain_claim(self, domain: StoredDomain) -> bool:
        """False, and nothing written, when the domain is to be verified and is another organisation's."""
        values = {
            "domain": domain.domain,
            "state": domain.state,
            "challenge": domain.challenge,
            "claimed_at": domain.claimed_at,
            "verified_at": domain.verified_at,
            "checked_at": domain.checked_at,
            "missing_since": domain.missing_since,
        }
        # Whose it is, the index decides: another organisation may be about to verify it at this moment.
        return self._is_written(_PUT_DOMAIN, values)

    def delete_domain(self, domain: str) -> None:
        self._run(_DELETE_DOMAIN, named=domain)

    def put_link(self, link: Link) -> None:
        """In place of whom the key was linked to."""
        _PUT_LINK(
            self,
            {
                "connection_id": link.connection_id,
                "key_sha256": digest_text(link.key),
                "key": link.key,
                "member_id": link.member_id,
                "linked_by": link.linked_by,
                "linked_at": link.linked_at,
            },
        )

    def delete_links_of(self, connection_id: ConnectionId, member_id: MemberId) -> int:
        return self._run(_DELETE_LINKS, of_connection=connection_id, of_member=member_id)

    def insert_session(self, session: StoredSession, token_sha256: bytes) -> None:
        self._insert(
            _INSERT_SESSION,
            id=session.session_id,
            token_sha256=token_sha256,
            member_id=session.member_id,
            connection_id=session.connection_id,
            kind=session.kind,
            login_id=session.login_id,
            auth_time=session.auth_time,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            expires_at=session.expires_at,
            name_id=session.name_id,
            session_index=session.session_index,
            subject_sha256=digest_text(session.name_id) if session.name_id else None,
            address=session.address[:_LONGEST_ADDRESS],
            user_agent=session.user_agent[:_LONGEST_USER_AGENT],
            ended_at=session.ended_at,
            end_reason=session.end_reason,
        )

    def end_sessions(
        self,
        at: datetime,
        reason: str,
        *,
        session_ids: Collection[SessionId] = (),
        member_ids: Collection[MemberId] = (),
        connection_id: ConnectionId | None = None,
    ) -> Mapping[MemberId, int]:
        """Sessions that have expired are over already: they are left as they are, and not counted."""
        named: dict[MemberId, int] = {}
        ended: list[str] = []
        for statement, ids in (
            (_END_BY_IDS, [one.lower() for one in session_ids if is_id(one)]),
            (_END_BY_MEMBERS, member_ids),
            (_END_BY_CONNECTION, () if connection_id is None else (connection_id,)),
        ):
            if ids:
                for session_id, member_id in self._pair_rows(statement, named=ids, at=at, new_reason=reason):
                    ended.append(session_id)
                    named[member_id] = named.get(member_id, 0) + 1
        if ended:
            self._run(_REVOKE_TOKENS, session_ids=ended, at=at)
            self._run(_QUEUE_NOTICES, session_ids=ended, at=at)
        return named

    def put_recovery_codes(self, member_id: MemberId, codes: Sequence[RecoveryCode]) -> None:
        """In place of all the member had."""
        self._run(_DELETE_CODES, of_member=member_id)
        organisation_id = self._organisation_id
        _INSERT_CODES(
            self._connection,
            ((organisation_id, one.digest, member_id, one.created_at, one.used_at) for one in codes),
        )

    def use_recovery_code(self, digest: bytes, at: datetime) -> MemberId | None:
        row = self._row(_USE_CODE, of_digest=digest, at=at)
        return None if row is None else row[0]

    def _is_written(self, put: Put, values: Mapping[str, object]) -> bool:
        try:
            with self._connection.begin_nested():
                put(self, values)
        except _REFUSED:
            return False
        return True


class SSOReading(View):
    """`sso` of a reader."""

    @property
    def sso(self) -> SSOView:
        return SSOView(self._database, self._connection, self._organisation_id)


class SSOWriting(View):
    """`sso` of a writer."""

    @property
    def sso(self) -> SSOChanges:
        return SSOChanges(self._database, self._connection, self._organisation_id)
