"""Tokens of auditors and the pages opened with them: `reader.audit_tokens`, and whose a token or a cookie is."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import LargeBinary, Select, Text, bindparam, delete, insert, or_, select, update

from provisioning.audit_tokens import StoredAuditSession, StoredAuditToken
from storage.across import Across
from storage.audit_token_tables import audit_session, audit_token
from storage.engine import Database
from storage.types import Id, Moment, read_moment, read_optional_moment
from storage.view import ORGANISATION, Row, View

_TOUCHED_EACH = timedelta(minutes=1)
_LONGEST_ADDRESS = 64

_TOKENS, _SESSIONS = audit_token.c, audit_session.c
_AT = bindparam("at", type_=Moment)
_DIGEST = bindparam("digest", type_=LargeBinary)
_TOKEN = bindparam("of_token", type_=Id)
_COLUMNS = (
    _TOKENS.id,
    _TOKENS.organisation_id,
    _TOKENS.name,
    _TOKENS.prefix,
    _TOKENS.sha256,
    _TOKENS.created_at,
    _TOKENS.created_by,
    _TOKENS.expires_at,
    _TOKENS.revoked_at,
    _TOKENS.last_used_at,
    _TOKENS.last_used_from,
)
_SELECT: Select[Any] = select(*_COLUMNS)
_SELECT_OF_ORGANISATION = _SELECT.where(_TOKENS.organisation_id == ORGANISATION).order_by(
    _TOKENS.created_at, _TOKENS.id
)
_REVOKE = (
    update(audit_token)
    .values(revoked_at=bindparam("new_revoked_at", type_=Moment))
    .where(_TOKENS.organisation_id == ORGANISATION, _TOKENS.id == _TOKEN)
)
_INSERT = insert(audit_token)
_INSERT_SESSION = insert(audit_session)
_DELETE_OVER = delete(audit_session).where(
    _SESSIONS.organisation_id == ORGANISATION, _SESSIONS.expires_at <= _AT
)
_SELECT_BY_PREFIX = _SELECT.where(_TOKENS.prefix == bindparam("of_prefix", type_=Text))
_SELECT_SESSION: Select[Any] = (
    select(_SESSIONS.expires_at, *_COLUMNS)
    .join_from(audit_session, audit_token, _TOKENS.id == _SESSIONS.token_id)
    .where(_SESSIONS.sha256 == _DIGEST, _SESSIONS.organisation_id == _TOKENS.organisation_id)
)
_DELETE_SESSION = delete(audit_session).where(_SESSIONS.sha256 == _DIGEST)
_NOTE_USE = (
    update(audit_token)
    .values(last_used_at=_AT, last_used_from=bindparam("new_last_used_from", type_=Text))
    .where(
        _TOKENS.id == _TOKEN,
        or_(_TOKENS.last_used_at.is_(None), _TOKENS.last_used_at <= bindparam("before", type_=Moment)),
    )
)


class AuditTokensView(View):
    """Tokens of one organisation, to be read."""

    def all(self) -> list[StoredAuditToken]:
        return [_read_token(row) for row in self._rows(_SELECT_OF_ORGANISATION)]


class AuditTokensChanges(AuditTokensView):
    """Tokens of one organisation, to be changed."""

    def put(self, token: StoredAuditToken) -> None:
        if not self._run(_REVOKE, of_token=token.token_id, new_revoked_at=token.revoked_at):
            self._insert(
                _INSERT,
                id=token.token_id,
                name=token.name,
                prefix=token.prefix,
                sha256=token.sha256,
                created_at=token.created_at,
                created_by=token.created_by,
                expires_at=token.expires_at,
                revoked_at=token.revoked_at,
                last_used_at=None,
                last_used_from="",
            )

    def open_session(self, token_id: str, sha256: bytes, at: datetime, expires_at: datetime) -> None:
        self._run(_DELETE_OVER, at=at)
        self._insert(_INSERT_SESSION, sha256=sha256, token_id=token_id, created_at=at, expires_at=expires_at)


class AuditTokensReading(View):
    """`audit_tokens` of a reader."""

    @property
    def audit_tokens(self) -> AuditTokensView:
        return AuditTokensView(self._database, self._connection, self._organisation_id)


class AuditTokensWriting(View):
    """`audit_tokens` of a writer."""

    @property
    def audit_tokens(self) -> AuditTokensChanges:
        return AuditTokensChanges(self._database, self._connection, self._organisation_id)


class SQLAuditTokenStore:
    """`provisioning.audit_tokens.AuditTokenStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def token(self, prefix: str) -> StoredAuditToken | None:
        with self._database.read() as opened:
            row = Across(self._database, opened).row(_SELECT_BY_PREFIX, of_prefix=prefix)
        return None if row is None else _read_token(row)

    def session(self, sha256: bytes) -> StoredAuditSession | None:
        with self._database.read() as opened:
            row = Across(self._database, opened).row(_SELECT_SESSION, digest=sha256)
        return None if row is None else StoredAuditSession(_read_token(row[1:]), read_moment(row[0]))

    def end_session(self, sha256: bytes) -> None:
        with self._database.write() as opened:
            Across(self._database, opened).run(_DELETE_SESSION, digest=sha256)

    def note_use(self, token_id: str, at: datetime, address: str) -> None:
        with self._database.write() as opened:
            Across(self._database, opened).run(
                _NOTE_USE,
                of_token=token_id,
                at=at,
                new_last_used_from=address[:_LONGEST_ADDRESS],
                before=at - _TOUCHED_EACH,
            )


def _read_token(row: Row) -> StoredAuditToken:
    return StoredAuditToken(
        token_id=row[0],
        organisation_id=row[1],
        name=row[2],
        prefix=row[3],
        sha256=bytes(row[4]),
        created_at=read_moment(row[5]),
        created_by=row[6],
        expires_at=read_optional_moment(row[7]),
        revoked_at=read_optional_moment(row[8]),
        last_used_at=read_optional_moment(row[9]),
        last_used_from=row[10],
    )
