"""Host applications: their registrations, and the codes and tokens that sessions were handed on by.

Locks are taken in one order, session, code, token, so that the end of a session and a code that is presented twice
never wait for each other.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from directory.ids import ClientId
from provisioning.clients import LogoutNotice, SigningKey, StoredClient, StoredCode, StoredTokens
from storage.across import Across, is_storable
from storage.engine import Database
from storage.sealed_places import signing_key_place
from storage.sso_tables import login_session, logout_notice, oidc_client, oidc_code, oidc_token, signing_key
from storage.tables import member
from storage.types import Document, Id, Moment, read_document, read_moment, read_optional_moment
from storage.view import Row

_AT = bindparam("at", type_=Moment)
_DIGEST = bindparam("digest", type_=LargeBinary)
_CLIENT = bindparam("of_client", type_=Text)
_SESSION = bindparam("of_session", type_=Id)

_CLIENTS = oidc_client.c
_SELECT_CLIENTS = select(
    _CLIENTS.id,
    _CLIENTS.environment_id,
    _CLIENTS.name,
    _CLIENTS.secret_sha256,
    _CLIENTS.redirect_uris,
    _CLIENTS.logout_uris,
    _CLIENTS.backchannel_logout_uri,
    _CLIENTS.created_at,
).where(_CLIENTS.removed_at.is_(None))
_SELECT_CLIENT = _SELECT_CLIENTS.where(_CLIENTS.id == _CLIENT)
_UPDATE_CLIENT = (
    update(oidc_client)
    .values(
        name=bindparam("new_name", type_=Text),
        secret_sha256=bindparam("new_secret_sha256", type_=LargeBinary),
        redirect_uris=bindparam("new_redirect_uris", type_=Document),
        logout_uris=bindparam("new_logout_uris", type_=Document),
        backchannel_logout_uri=bindparam("new_backchannel_logout_uri", type_=Text),
        removed_at=bindparam("new_removed_at", type_=Moment),
    )
    .where(_CLIENTS.id == _CLIENT)
)
_INSERT_CLIENT = insert(oidc_client)

_CODES = oidc_code.c
_IS_CODE = _CODES.code_sha256 == _DIGEST
_INSERT_CODE = insert(oidc_code)
_TAKE_CODE = (
    update(oidc_code)
    .values(used_at=_AT)
    .where(_IS_CODE, _CODES.used_at.is_(None), _CODES.expires_at > _AT)
    .returning(
        _CODES.code_sha256,
        _CODES.client_id,
        _CODES.organisation_id,
        _CODES.member_id,
        _CODES.session_id,
        _CODES.redirect_uri,
        _CODES.scope,
        _CODES.nonce,
        _CODES.code_challenge,
        _CODES.auth_time,
        _CODES.created_at,
        _CODES.expires_at,
    )
)
_SELECT_USED_CODE = select(_CODES.session_id).where(_IS_CODE, _CODES.used_at.is_not(None))
_SELECT_SESSION_OF_CODE = select(_CODES.session_id).where(_IS_CODE)
_REVOKE_CODE = update(oidc_code).values(revoked_at=_AT).where(_IS_CODE, _CODES.revoked_at.is_(None))
_HOLD_CODE = (
    select(_CODES.session_id)
    .where(
        _IS_CODE,
        _CODES.client_id == _CLIENT,
        _CODES.session_id == _SESSION,
        _CODES.used_at.is_not(None),
        _CODES.revoked_at.is_(None),
    )
    .with_for_update(read=True)
)

_SESSIONS = login_session.c
_LOCK_SESSION = select(_SESSIONS.id).where(_SESSIONS.id == _SESSION).with_for_update(read=True)
_HOLD_LIVE_SESSION = _LOCK_SESSION.where(_SESSIONS.ended_at.is_(None), _SESSIONS.expires_at > _AT)

_TOKENS = oidc_token.c
_TOKEN_COLUMNS: tuple[ColumnElement[Any], ...] = (
    _TOKENS.access_sha256,
    _TOKENS.refresh_sha256,
    _TOKENS.code_sha256,
    _TOKENS.client_id,
    _TOKENS.organisation_id,
    _TOKENS.member_id,
    _TOKENS.session_id,
    _TOKENS.scope,
    _TOKENS.created_at,
    _TOKENS.access_expires_at,
    _TOKENS.expires_at,
    _TOKENS.revoked_at,
)
_INSERT_TOKENS = insert(oidc_token)
# Whose session has ended, or who is no member any more, has no token, whoever forgot to revoke it.
_IS_GOOD = and_(
    _TOKENS.revoked_at.is_(None),
    exists().where(
        _SESSIONS.id == _TOKENS.session_id,
        _SESSIONS.organisation_id == _TOKENS.organisation_id,
        _SESSIONS.ended_at.is_(None),
        _SESSIONS.expires_at > _AT,
    ),
    exists().where(
        member.c.id == _TOKENS.member_id,
        member.c.organisation_id == _TOKENS.organisation_id,
        member.c.is_active,
        member.c.deleted_at.is_(None),
    ),
    exists().where(_CLIENTS.id == _TOKENS.client_id, _CLIENTS.removed_at.is_(None)),
)
_SELECT_BY_ACCESS: Select[Any] = select(*_TOKEN_COLUMNS).where(
    _TOKENS.access_sha256 == _DIGEST, _TOKENS.access_expires_at > _AT, _IS_GOOD
)
_TAKE_REFRESH = (
    update(oidc_token)
    .values(refreshed_at=_AT)
    .where(
        _TOKENS.refresh_sha256 == _DIGEST,
        _TOKENS.refreshed_at.is_(None),
        _TOKENS.expires_at > _AT,
        _IS_GOOD,
    )
    .returning(*_TOKEN_COLUMNS)
)
_SELECT_REFRESHED = select(_TOKENS.code_sha256).where(
    _TOKENS.refresh_sha256 == _DIGEST, _TOKENS.refreshed_at.is_not(None)
)
_SELECT_CODE_OF = select(_TOKENS.code_sha256).where(
    or_(_TOKENS.access_sha256 == _DIGEST, _TOKENS.refresh_sha256 == _DIGEST), _TOKENS.client_id == _CLIENT
)
_REVOKE_TOKENS: Update = (
    update(oidc_token)
    .values(revoked_at=_AT)
    .where(_TOKENS.code_sha256 == _DIGEST, _TOKENS.revoked_at.is_(None))
)

_KEYS = signing_key.c
_SELECT_KEYS = (
    select(
        _KEYS.id,
        _KEYS.algorithm,
        _KEYS.public_jwk,
        _KEYS.private_jwk,
        _KEYS.state,
        _KEYS.created_at,
        _KEYS.gone_at,
    )
    .where(or_(_KEYS.gone_at.is_(None), _KEYS.gone_at > _AT))
    .order_by(
        case((_KEYS.state == "active", 0), (_KEYS.state == "next", 1), else_=2), _KEYS.created_at, _KEYS.id
    )
)
_UPDATE_KEY = (
    update(signing_key)
    .values(state=bindparam("new_state", type_=Text), gone_at=bindparam("new_gone_at", type_=Moment))
    .where(_KEYS.id == bindparam("of_key", type_=Text))
)
_INSERT_KEY = insert(signing_key)

_NOTICES = logout_notice.c
_IS_NOTICE = _NOTICES.id == bindparam("of_notice", type_=_NOTICES.id.type)
_SELECT_NOTICES = (
    select(
        _NOTICES.id,
        _NOTICES.client_id,
        _CLIENTS.backchannel_logout_uri,
        _NOTICES.organisation_id,
        _NOTICES.member_id,
        _NOTICES.session_id,
        _NOTICES.attempts,
        _NOTICES.due_at,
    )
    .join(oidc_client, _CLIENTS.id == _NOTICES.client_id)
    .where(_NOTICES.due_at <= _AT)
    .order_by(_NOTICES.due_at, _NOTICES.id)
    .limit(bindparam("row_limit", type_=Integer))
)
_DELETE_NOTICE = delete(logout_notice).where(_IS_NOTICE)
_POSTPONE_NOTICE = (
    update(logout_notice)
    .values(attempts=_NOTICES.attempts + literal_column("1"), due_at=bindparam("new_due_at", type_=Moment))
    .where(_IS_NOTICE)
)


def _read_client(row: Row) -> StoredClient:
    return StoredClient(
        client_id=row[0],
        environment_id=row[1],
        name=row[2],
        secret_sha256=None if row[3] is None else bytes(row[3]),
        redirect_uris=tuple(read_document(row[4])),
        logout_uris=tuple(read_document(row[5])),
        backchannel_logout_uri=row[6],
        created_at=read_moment(row[7]),
    )


def _read_code(row: Row) -> StoredCode:
    return StoredCode(
        code_sha256=bytes(row[0]),
        client_id=row[1],
        organisation_id=row[2],
        member_id=row[3],
        session_id=row[4],
        redirect_uri=row[5],
        scope=row[6],
        nonce=row[7],
        code_challenge=row[8],
        auth_time=read_moment(row[9]),
        created_at=read_moment(row[10]),
        expires_at=read_moment(row[11]),
    )


def _read_tokens(row: Row) -> StoredTokens:
    return StoredTokens(
        access_sha256=bytes(row[0]),
        refresh_sha256=None if row[1] is None else bytes(row[1]),
        code_sha256=bytes(row[2]),
        client_id=row[3],
        organisation_id=row[4],
        member_id=row[5],
        session_id=row[6],
        scope=row[7],
        created_at=read_moment(row[8]),
        access_expires_at=read_moment(row[9]),
        expires_at=read_moment(row[10]),
        revoked_at=read_optional_moment(row[11]),
    )


def _revoke(across: Across, code_sha256: bytes, now: datetime) -> None:
    """End what came of a code, and what would have come of it."""
    row = across.row(_SELECT_SESSION_OF_CODE, digest=code_sha256)
    if row is not None:
        across.rows(_LOCK_SESSION, of_session=row[0])
    across.run(_REVOKE_CODE, digest=code_sha256, at=now)
    across.run(_REVOKE_TOKENS, digest=code_sha256, at=now)


class SQLClientStore:
    """The port `ClientStore` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_client(self, client: StoredClient) -> None:
        """The environment of a stored client stays."""
        values: dict[str, object] = {
            "name": client.name,
            "secret_sha256": client.secret_sha256,
            "redirect_uris": client.redirect_uris,
            "logout_uris": client.logout_uris,
            "backchannel_logout_uri": client.backchannel_logout_uri,
            "removed_at": client.removed_at,
        }
        new = {f"new_{name}": value for name, value in values.items()}
        with self._database.write() as opened:
            if not Across(self._database, opened).run(_UPDATE_CLIENT, of_client=client.client_id, **new):
                opened.execute(
                    _INSERT_CLIENT,
                    {
                        "id": client.client_id,
                        "environment_id": client.environment_id,
                        "created_at": client.created_at,
                        **values,
                    },
                )

    def client(self, client_id: str) -> StoredClient | None:
        if not is_storable(client_id):
            return None
        with self._database.read() as opened:
            row = Across(self._database, opened).row(_SELECT_CLIENT, of_client=client_id)
        return None if row is None else _read_client(row)

    def clients(self) -> list[StoredClient]:
        """Removed ones are left out."""
        with self._database.read() as opened:
            found = [_read_client(row) for row in Across(self._database, opened).rows(_SELECT_CLIENTS)]
        return sorted(found, key=lambda one: (one.name, one.client_id))

    def insert_code(self, code: StoredCode) -> None:
        with self._database.write() as opened:
            opened.execute(
                _INSERT_CODE,
                {
                    "code_sha256": code.code_sha256,
                    "organisation_id": code.organisation_id,
                    "client_id": code.client_id,
                    "member_id": code.member_id,
                    "session_id": code.session_id,
                    "redirect_uri": code.redirect_uri,
                    "scope": code.scope,
                    "nonce": code.nonce,
                    "code_challenge": code.code_challenge,
                    "auth_time": code.auth_time,
                    "created_at": code.created_at,
                    "expires_at": code.expires_at,
                },
            )

    def take_code(self, code_sha256: bytes, now: datetime) -> StoredCode | None:
        """Source: RFC 6749 section 4.1.2 for a code that is used more than once."""
        with self._database.write() as opened:
            across = Across(self._database, opened)
            row = across.row(_TAKE_CODE, digest=code_sha256, at=now)
            if row is not None:
                return _read_code(row)
            if across.row(_SELECT_USED_CODE, digest=code_sha256) is not None:
                _revoke(across, code_sha256, now)
        return None

    def insert_tokens(self, tokens: StoredTokens) -> bool:
        """Session and code are held while it happens: either they end before, or the tokens end with them."""
        with self._database.write() as opened:
            across = Across(self._database, opened)
            session = {"of_session": tokens.session_id}
            if across.row(_HOLD_LIVE_SESSION, at=tokens.created_at, **session) is None:
                return False
            named = {"digest": tokens.code_sha256, "of_client": tokens.client_id, **session}
            if across.row(_HOLD_CODE, **named) is None:
                return False
            opened.execute(
                _INSERT_TOKENS,
                {
                    "access_sha256": tokens.access_sha256,
                    "refresh_sha256": tokens.refresh_sha256,
                    "organisation_id": tokens.organisation_id,
                    "code_sha256": tokens.code_sha256,
                    "client_id": tokens.client_id,
                    "member_id": tokens.member_id,
                    "session_id": tokens.session_id,
                    "scope": tokens.scope,
                    "created_at": tokens.created_at,
                    "access_expires_at": tokens.access_expires_at,
                    "expires_at": tokens.expires_at,
                },
            )
        return True

    def tokens_by_access(self, access_sha256: bytes, now: datetime) -> StoredTokens | None:
        with self._database.read() as opened:
            row = Across(self._database, opened).row(_SELECT_BY_ACCESS, digest=access_sha256, at=now)
        return None if row is None else _read_tokens(row)

    def take_refresh(self, refresh_sha256: bytes, now: datetime) -> StoredTokens | None:
        """Source: RFC 9700 section 4.14.2 for a refresh token that is used more than once."""
        with self._database.write() as opened:
            across = Across(self._database, opened)
            row = across.row(_TAKE_REFRESH, digest=refresh_sha256, at=now)
            if row is not None:
                return _read_tokens(row)
            used = across.row(_SELECT_REFRESHED, digest=refresh_sha256)
            if used is not None:
                _revoke(across, bytes(used[0]), now)
        return None

    def revoke_tokens(self, sha256: bytes, client_id: ClientId, now: datetime) -> bool:
        """All that came of the same code ends with it (RFC 7009 section 2.1)."""
        with self._database.write() as opened:
            across = Across(self._database, opened)
            row = across.row(_SELECT_CODE_OF, digest=sha256, of_client=client_id)
            if row is None:
                return False
            _revoke(across, bytes(row[0]), now)
        return True

    def signing_keys(self, now: datetime) -> list[SigningKey]:
        """The active one first, then what comes, then what was."""
        with self._database.read() as opened:
            rows = Across(self._database, opened).rows(_SELECT_KEYS, at=now)
        ring = self._database.key_ring
        return [
            SigningKey(
                key_id=row[0],
                algorithm=row[1],
                public_jwk=row[2],
                private_jwk=ring.open(bytes(row[3]), signing_key_place(row[0])).decode(),
                state=row[4],
                created_at=read_moment(row[5]),
                gone_at=read_optional_moment(row[6]),
            )
            for row in rows
        ]

    def put_signing_key(self, key: SigningKey) -> None:
        """Of a stored key only state and end are written."""
        with self._database.write() as opened:
            updated = Across(self._database, opened).run(
                _UPDATE_KEY, of_key=key.key_id, new_state=key.state, new_gone_at=key.gone_at
            )
            if not updated:
                sealed = self._database.key_ring.seal(key.private_jwk.encode(), signing_key_place(key.key_id))
                opened.execute(
                    _INSERT_KEY,
                    {
                        "id": key.key_id,
                        "algorithm": key.algorithm,
                        "public_jwk": key.public_jwk,
                        "private_jwk": sealed,
                        "state": key.state,
                        "created_at": key.created_at,
                        "gone_at": key.gone_at,
                    },
                )

    def notices_due(self, now: datetime, limit: int) -> list[LogoutNotice]:
        """The longest due first."""
        with self._database.read() as opened:
            rows = Across(self._database, opened).rows(_SELECT_NOTICES, at=now, row_limit=limit)
        return [
            LogoutNotice(
                notice_id=row[0],
                client_id=row[1],
                backchannel_logout_uri=row[2],
                organisation_id=row[3],
                member_id=row[4],
                session_id=row[5],
                attempts=row[6],
                due_at=read_moment(row[7]),
            )
            for row in rows
        ]

    def settle_notice(self, notice_id: int, *, delivered: bool, due_at: datetime | None) -> None:
        with self._database.write() as opened:
            across = Across(self._database, opened)
            if delivered or due_at is None:
                across.run(_DELETE_NOTICE, of_notice=notice_id)
            else:
                across.run(_POSTPONE_NOTICE, of_notice=notice_id, new_due_at=due_at)
