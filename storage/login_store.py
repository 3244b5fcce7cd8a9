"""Logins across organisations: whose a path, a domain or a cookie is; requests and assertions that are good once."""

import contextlib
import hmac
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from directory.facts import name_key
from directory.ids import ConnectionId, OrganisationId, SessionId
from provisioning.logins import (
    ConnectionSettings,
    Home,
    LoginRequest,
    LoginTest,
    LoginView,
    StoredDomain,
    StoredSession,
)
from storage.across import Across, is_storable
from storage.bulk import BulkInsert
from storage.engine import Database
from storage.sealed_places import login_test_place
from storage.sets import in_set
from storage.sso import DOMAIN_COLUMNS, SESSION_COLUMNS, digest_text, read_domain, read_session
from storage.sso_tables import (
    connection,
    enforcement,
    idp_certificate,
    login_request,
    login_session,
    login_test,
    oidc_code,
    oidc_token,
    recovery_code,
    sp_key,
    used_assertion,
)
from storage.tables import domain, organisation
from storage.types import Id, Moment, is_id, read_document, read_moment
from storage.view import Row

KEEP_REQUESTS = timedelta(hours=1)
"""How long a request is told from a forged one after its end."""

KEEP_SESSIONS = timedelta(days=30)
"""How long sessions are kept after the moment at which they would have expired."""

_TOUCHED_EACH = timedelta(minutes=1)
_AT = bindparam("at", type_=Moment)
_BEFORE = bindparam("before", type_=Moment)
_LIMIT = bindparam("row_limit", type_=Integer)
_ORGANISATION = bindparam("organisation", type_=Id)
_DIGEST = bindparam("digest", type_=LargeBinary)

_CONNECTIONS = connection.c
_SELECT_ORGANISATION_OF = select(_CONNECTIONS.organisation_id).where(
    _CONNECTIONS.id == bindparam("of_connection", type_=Id)
)
_SELECT_HOME = (
    select(domain.c.organisation_id, organisation.c.name, enforcement.c.connection_id)
    .join(organisation, organisation.c.id == domain.c.organisation_id)
    .outerjoin(
        enforcement,
        and_(enforcement.c.organisation_id == domain.c.organisation_id, enforcement.c.suspended_at.is_(None)),
    )
    .where(
        domain.c.domain == bindparam("named", type_=Text),
        # The first condition is word for word the index's.
        domain.c.state != literal_column("'pending'"),
        domain.c.state.in_((literal_column("'verified'"), literal_column("'missing'"))),
    )
)
_SELECT_CONNECTIONS_OF = select(_CONNECTIONS.id, _CONNECTIONS.name, _CONNECTIONS.settings).where(
    _CONNECTIONS.organisation_id == _ORGANISATION, _CONNECTIONS.removed_at.is_(None)
)
_SELECT_ORGANISATION_OF_CODE = select(recovery_code.c.organisation_id).where(
    recovery_code.c.digest == _DIGEST
)
_SELECT_SESSION = select(*SESSION_COLUMNS).where(login_session.c.token_sha256 == _DIGEST)

_REQUESTS = login_request.c
_INSERT_REQUEST = insert(login_request)
_SELECT_REQUEST = select(
    _REQUESTS.id,
    _REQUESTS.organisation_id,
    _REQUESTS.connection_id,
    _REQUESTS.relay_state,
    _REQUESTS.browser_sha256,
    _REQUESTS.return_to,
    _REQUESTS.created_at,
    _REQUESTS.expires_at,
    _REQUESTS.force_authn,
    _REQUESTS.test_id,
    _REQUESTS.test_actor,
    _REQUESTS.used_at,
).where(_REQUESTS.id == bindparam("of_request", type_=Text))
_LOCK_REQUEST = _SELECT_REQUEST.with_for_update()
_USE_REQUEST = (
    update(login_request).values(used_at=_AT).where(_REQUESTS.id == bindparam("of_request", type_=Text))
)
_INSERT_ASSERTION = BulkInsert(
    used_assertion,
    "assertion_sha256",
    "organisation_id",
    "kept_until",
    ignore_present=True,
)

_SELECT_LAST_USE = select(login_session.c.last_used_at).where(
    login_session.c.id == bindparam("of_session", type_=Id)
)
_TOUCH_SESSION = (
    update(login_session)
    .values(last_used_at=_AT)
    .where(login_session.c.id == bindparam("of_session", type_=Id), login_session.c.last_used_at <= _BEFORE)
)

_TESTS = login_test.c
_SELECT_TEST = select(
    _TESTS.id,
    _TESTS.organisation_id,
    _TESTS.connection_id,
    _TESTS.actor,
    _TESTS.secret_sha256,
    _TESTS.created_at,
    _TESTS.expires_at,
    _TESTS.result,
).where(_TESTS.id == bindparam("of_test", type_=Text))
_UPDATE_TEST = (
    update(login_test)
    .values(
        expires_at=bindparam("new_expires_at", type_=Moment),
        result=bindparam("new_result", type_=LargeBinary),
    )
    .where(_TESTS.organisation_id == _ORGANISATION, _TESTS.id == bindparam("of_test", type_=Text))
)
_INSERT_TEST = insert(login_test)


def _delete_oldest(table: Table, key: ColumnElement[Any], moment: ColumnElement[Any]) -> Delete:
    """Delete so many rows whose moment is past, the earliest first."""
    oldest = select(key).where(moment < _BEFORE).order_by(moment).limit(_LIMIT)
    return delete(table).where(key.in_(oldest))


_DELETE_REQUESTS = _delete_oldest(login_request, _REQUESTS.id, _REQUESTS.expires_at)
_DELETE_ASSERTIONS = _delete_oldest(
    used_assertion, used_assertion.c.assertion_sha256, used_assertion.c.kept_until
)
_DELETE_TESTS = _delete_oldest(login_test, _TESTS.id, _TESTS.expires_at)
_DELETE_TOKENS = _delete_oldest(oidc_token, oidc_token.c.access_sha256, oidc_token.c.expires_at)
_SELECT_OLD_SESSIONS = (
    select(login_session.c.id)
    .where(login_session.c.expires_at < _BEFORE)
    .order_by(login_session.c.expires_at)
    .limit(_LIMIT)
)
_DELETE_CODES_OF = delete(oidc_code).where(in_set(oidc_code.c.session_id, "session_ids"))
_DELETE_TOKENS_OF = delete(oidc_token).where(in_set(oidc_token.c.session_id, "session_ids"))
_DELETE_SESSIONS = delete(login_session).where(in_set(login_session.c.id, "session_ids"))

_LIVE_CONNECTION = and_(_CONNECTIONS.metadata_url != literal_column("''"), _CONNECTIONS.removed_at.is_(None))
_SELECT_NEVER_READ = (
    select(_CONNECTIONS.organisation_id, _CONNECTIONS.id)
    .where(_LIVE_CONNECTION, _CONNECTIONS.metadata_checked_at.is_(None))
    .limit(_LIMIT)
)
_SELECT_TO_READ = (
    select(_CONNECTIONS.organisation_id, _CONNECTIONS.id)
    .where(_LIVE_CONNECTION, _CONNECTIONS.metadata_checked_at < _BEFORE)
    .order_by(_CONNECTIONS.metadata_checked_at)
    .limit(_LIMIT)
)

_IS_CLAIMED = domain.c.challenge != literal_column("''")
_SELECT_NEVER_CHECKED = (
    select(domain.c.organisation_id, *DOMAIN_COLUMNS)
    .where(_IS_CLAIMED, domain.c.checked_at.is_(None))
    .limit(_LIMIT)
)
_IS_PENDING = domain.c.state == literal_column("'pending'")
_CHECKED_BEFORE = (
    select(domain.c.organisation_id, *DOMAIN_COLUMNS)
    .where(_IS_CLAIMED, domain.c.checked_at < _BEFORE)
    .order_by(domain.c.checked_at)
    .limit(_LIMIT)
)
_SELECT_PENDING_TO_CHECK = _CHECKED_BEFORE.where(_IS_PENDING)
_SELECT_OTHERS_TO_CHECK = _CHECKED_BEFORE.where(~_IS_PENDING)
_NOTE_CHECK = (
    update(domain)
    .values(checked_at=bindparam("at", type_=Moment))
    .where(
        domain.c.organisation_id == bindparam("of_organisation", type_=Id),
        domain.c.domain == bindparam("named", type_=Text),
    )
)


def _select_ending(table: Table) -> Select[Any]:
    columns = table.c
    return (
        select(columns.organisation_id, columns.connection_id, columns.sha256, columns.not_after)
        .join(
            connection,
            and_(
                _CONNECTIONS.id == columns.connection_id,
                _CONNECTIONS.organisation_id == columns.organisation_id,
                _CONNECTIONS.removed_at.is_(None),
            ),
        )
        .where(
            columns.not_after <= _BEFORE,
            or_(
                columns.noticed_days.is_(None),
                columns.noticed_days > bindparam("days", type_=Integer),
            ),
        )
        .order_by(columns.not_after)
        .limit(_LIMIT)
    )


_SELECT_CERTIFICATES_ENDING = _select_ending(idp_certificate).where(
    idp_certificate.c.state != literal_column("'retired'"),
    or_(idp_certificate.c.ends_at.is_(None), idp_certificate.c.ends_at > _AT),
)
_SELECT_KEYS_ENDING = _select_ending(sp_key)


def _read_request(row: Row) -> LoginRequest:
    return LoginRequest(
        request_id=row[0],
        organisation_id=row[1],
        connection_id=row[2],
        relay_state=row[3],
        browser_sha256=bytes(row[4]),
        return_to=row[5],
        created_at=read_moment(row[6]),
        expires_at=read_moment(row[7]),
        force_authn=bool(row[8]),
        test_id=row[9],
        test_actor=row[10],
    )


class _LoginView:
    """The port `LoginView`: one transaction."""

    def __init__(self, across: Across) -> None:
        self._across = across

    def organisation_of_connection(self, connection_id: str) -> OrganisationId | None:
        if not is_id(connection_id):
            return None
        row = self._across.row(_SELECT_ORGANISATION_OF, of_connection=connection_id.lower())
        return None if row is None else row[0]

    def home(self, domain: str) -> Home | None:
        """Connections by name; those that are switched off are left out, and all but the obligatory one."""
        row = self._across.row(_SELECT_HOME, named=name_key(domain)) if is_storable(domain) else None
        if row is None:
            return None
        organisation_id, name, enforced = row
        found = [
            (connection_id, called)
            for connection_id, called, settings in self._across.rows(
                _SELECT_CONNECTIONS_OF, organisation=organisation_id
            )
            if enforced in {None, connection_id}
            and not ConnectionSettings.read(read_document(settings)).disabled
        ]
        return Home(
            organisation_id,
            name,
            tuple(sorted(found, key=lambda one: (one[1], one[0]))),
            is_enforced=enforced is not None,
        )

    def session(self, token_sha256: bytes) -> StoredSession | None:
        row = self._across.row(_SELECT_SESSION, digest=token_sha256)
        return None if row is None else read_session(row)

    def organisation_of_recovery_code(self, digest: bytes) -> OrganisationId | None:
        row = self._across.row(_SELECT_ORGANISATION_OF_CODE, digest=digest)
        return None if row is None else row[0]


class SQLLoginStore:
    """The port `LoginStore` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.contextmanager
    def read(self) -> Iterator[LoginView]:
        with self._reading() as across:
            yield _LoginView(across)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Across]:
        with self._database.read() as opened:
            yield Across(self._database, opened)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Across]:
        with self._database.write() as opened:
            yield Across(self._database, opened)

    def insert_request(self, request: LoginRequest) -> None:
        with self._database.write() as opened:
            opened.execute(
                _INSERT_REQUEST,
                {
                    "id": request.request_id,
                    "organisation_id": request.organisation_id,
                    "connection_id": request.connection_id,
                    "relay_state": request.relay_state,
                    "browser_sha256": request.browser_sha256,
                    "return_to": request.return_to,
                    "created_at": request.created_at,
                    "expires_at": request.expires_at,
                    "force_authn": request.force_authn,
                    "test_id": request.test_id,
                    "test_actor": request.test_actor,
                },
            )

    def request(self, request_id: str) -> LoginRequest | None:
        if not is_storable(request_id):
            return None
        with self._reading() as across:
            row = across.row(_SELECT_REQUEST, of_request=request_id)
        return None if row is None else _read_request(row)

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
        """The request's row is locked while it is looked at, an assertion's key is unique: one of two is first."""
        digest = digest_text(f"{connection_id} {assertion_id}")
        with self._database.write() as opened:
            across = Across(self._database, opened)
            if request_id is not None:
                row = across.row(_LOCK_REQUEST, of_request=request_id) if is_storable(request_id) else None
                if row is None or row[1:3] != (organisation_id, connection_id):
                    return "in_response_to_mismatch"
                if not hmac.compare_digest(bytes(row[4]), browser_sha256 or b""):
                    return "browser_mismatch"
                if row[11] is not None:
                    return "replayed"
                if read_moment(row[7]) <= now:
                    return "expired"
            if not _INSERT_ASSERTION(opened, [(digest, organisation_id, keep_until)]):
                return "replayed"
            if request_id is not None:
                across.run(_USE_REQUEST, of_request=request_id, at=now)
        return ""

    def touch_session(self, session_id: SessionId, at: datetime) -> None:
        """Looked at first: nearly every call finds a use of the same minute, and need not wait to write."""
        before = at - _TOUCHED_EACH
        with self._reading() as across:
            row = across.row(_SELECT_LAST_USE, of_session=session_id)
        if row is None or read_moment(row[0]) > before:
            return
        with self._writing() as across:
            across.run(_TOUCH_SESSION, of_session=session_id, at=at, before=before)

    def put_login_test(self, test: LoginTest) -> None:
        """Of a stored test only its end and its result are written; the result is sealed here."""
        ring = self._database.key_ring
        sealed = (
            None
            if test.result is None
            else ring.seal(test.result, login_test_place(test.organisation_id, test.test_id))
        )
        with self._database.write() as opened:
            updated = Across(self._database, opened).run(
                _UPDATE_TEST,
                organisation=test.organisation_id,
                of_test=test.test_id,
                new_expires_at=test.expires_at,
                new_result=sealed,
            )
            if not updated:
                opened.execute(
                    _INSERT_TEST,
                    {
                        "id": test.test_id,
                        "organisation_id": test.organisation_id,
                        "connection_id": test.connection_id,
                        "actor": test.actor,
                        "secret_sha256": test.secret_sha256,
                        "created_at": test.created_at,
                        "expires_at": test.expires_at,
                        "result": sealed,
                    },
                )

    def login_test(self, test_id: str) -> LoginTest | None:
        """The result is opened."""
        if not is_storable(test_id):
            return None
        with self._reading() as across:
            row = across.row(_SELECT_TEST, of_test=test_id)
        if row is None:
            return None
        test = LoginTest(
            test_id=row[0],
            organisation_id=row[1],
            connection_id=row[2],
            actor=row[3],
            secret_sha256=bytes(row[4]),
            created_at=read_moment(row[5]),
            expires_at=read_moment(row[6]),
        )
        if row[7] is None:
            return test
        return replace(
            test,
            result=self._database.key_ring.open(
                bytes(row[7]), login_test_place(test.organisation_id, test.test_id)
            ),
        )

    def delete_expired(self, now: datetime, limit: int) -> int:
        """At most so many of each kind. Codes go with their session; tokens too, at the latest when they end."""
        with self._writing() as across:
            deleted = across.run(_DELETE_REQUESTS, before=now - KEEP_REQUESTS, row_limit=limit)
            deleted += across.run(_DELETE_ASSERTIONS, before=now, row_limit=limit)
            deleted += across.run(_DELETE_TESTS, before=now, row_limit=limit)
            deleted += across.run(_DELETE_TOKENS, before=now, row_limit=limit)
            old = [
                row[0]
                for row in across.rows(_SELECT_OLD_SESSIONS, before=now - KEEP_SESSIONS, row_limit=limit)
            ]
            if old:
                for statement in (_DELETE_CODES_OF, _DELETE_TOKENS_OF, _DELETE_SESSIONS):
                    deleted += across.run(statement, session_ids=old)
        return deleted

    def connections_to_refresh(
        self, before: datetime, limit: int
    ) -> list[tuple[OrganisationId, ConnectionId]]:
        with self._reading() as across:
            rows = across.rows(_SELECT_NEVER_READ, row_limit=limit)
            if len(rows) < limit:
                rows += across.rows(_SELECT_TO_READ, before=before, row_limit=limit - len(rows))
        return [(row[0], row[1]) for row in rows]

    def certificates_ending(
        self, now: datetime, days: int, limit: int
    ) -> list[tuple[OrganisationId, ConnectionId, str, datetime]]:
        """The identity providers' and our own. One that has ended is still told, until that is noted."""
        near = {"before": now + timedelta(days=days), "days": days, "row_limit": limit}
        with self._reading() as across:
            rows = across.rows(_SELECT_CERTIFICATES_ENDING, at=now, **near)
            rows += across.rows(_SELECT_KEYS_ENDING, **near)
        found = [(row[0], row[1], row[2], read_moment(row[3])) for row in rows]
        return sorted(found, key=lambda one: (one[3], one[1], one[2]))[:limit]

    def domains_to_check(
        self, *, pending_before: datetime, others_before: datetime, limit: int
    ) -> list[tuple[OrganisationId, StoredDomain]]:
        with self._reading() as across:
            rows = across.rows(_SELECT_NEVER_CHECKED, row_limit=limit)
            for statement, before in (
                (_SELECT_PENDING_TO_CHECK, pending_before),
                (_SELECT_OTHERS_TO_CHECK, others_before),
            ):
                if len(rows) < limit:
                    rows += across.rows(statement, before=before, row_limit=limit - len(rows))
        return [(row[0], read_domain(row[1:])) for row in rows]

    def note_domain_check(self, organisation_id: OrganisationId, domain: str, at: datetime) -> None:
        with self._writing() as across:
            across.run(_NOTE_CHECK, of_organisation=organisation_id, named=domain, at=at)
