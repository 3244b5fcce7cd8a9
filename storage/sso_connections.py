"""Connections of one organisation: settings, certificates, our keys, metadata, tests and enforcement."""

import hashlib
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Text, bindparam, case, delete, insert, null, select, update

from directory.ids import ConnectionId
from provisioning.logins import (
    Enforcement,
    IdPCertificate,
    MetadataCopy,
    SPKey,
    StoredConnection,
    StoredTest,
)
from storage.puts import Put
from storage.sealed_places import sp_key_place
from storage.sets import in_set
from storage.sso_tables import connection, connection_metadata, enforcement, idp_certificate, sp_key, sso_test
from storage.types import Document, Id, Moment, is_id, read_document, read_moment, read_optional_moment
from storage.view import ORGANISATION, Row, View, is_own

_CONNECTIONS = connection.c
_CONNECTION = bindparam("of_connection", type_=Id)
_AT = bindparam("at", type_=Moment)
_SELECT_CONNECTIONS = select(
    _CONNECTIONS.id,
    _CONNECTIONS.organisation_id,
    _CONNECTIONS.name,
    _CONNECTIONS.settings,
    _CONNECTIONS.version,
    _CONNECTIONS.created_at,
).where(_CONNECTIONS.organisation_id == ORGANISATION, _CONNECTIONS.removed_at.is_(None))
_SELECT_CONNECTION = _SELECT_CONNECTIONS.where(_CONNECTIONS.id == _CONNECTION)
_NEW_URL = bindparam("new_metadata_url", type_=Text)
_UPDATE_CONNECTION = (
    update(connection)
    .values(
        name=bindparam("new_name", type_=Text),
        settings=bindparam("new_settings", type_=Document),
        version=bindparam("new_version", type_=_CONNECTIONS.version.type),
        # Another address has not been read yet.
        metadata_checked_at=case(
            (_CONNECTIONS.metadata_url == _NEW_URL, _CONNECTIONS.metadata_checked_at), else_=null()
        ),
        metadata_url=_NEW_URL,
        updated_at=_AT,
    )
    .where(_CONNECTIONS.organisation_id == ORGANISATION, _CONNECTIONS.id == _CONNECTION)
)
_INSERT_CONNECTION = insert(connection)
_REMOVE_CONNECTION = (
    update(connection)
    .values(removed_at=_AT)
    .where(
        _CONNECTIONS.organisation_id == ORGANISATION,
        _CONNECTIONS.id == _CONNECTION,
        _CONNECTIONS.removed_at.is_(None),
    )
)
_NOTE_CHECKED = (
    update(connection)
    .values(metadata_checked_at=_AT)
    .where(_CONNECTIONS.organisation_id == ORGANISATION, _CONNECTIONS.id == _CONNECTION)
)

_CERTIFICATES = idp_certificate.c
_SELECT_CERTIFICATES = (
    select(
        _CERTIFICATES.connection_id,
        _CERTIFICATES.sha256,
        _CERTIFICATES.certificate,
        _CERTIFICATES.state,
        _CERTIFICATES.not_before,
        _CERTIFICATES.not_after,
        _CERTIFICATES.added_at,
        _CERTIFICATES.ends_at,
        _CERTIFICATES.noticed_days,
    )
    .where(in_set(_CERTIFICATES.connection_id, "connection_ids"), is_own(_CERTIFICATES.organisation_id))
    .order_by(_CERTIFICATES.added_at, _CERTIFICATES.sha256)
)
_PUT_CERTIFICATE = Put(
    idp_certificate,
    key=("connection_id", "sha256"),
    columns=("state", "ends_at", "noticed_days"),
)

_KEYS = sp_key.c
_KEY = bindparam("of_key", type_=Text)
_SELECT_KEYS = (
    select(
        _KEYS.connection_id,
        _KEYS.key_id,
        _KEYS.certificate,
        _KEYS.state,
        _KEYS.not_after,
        _KEYS.added_at,
        _KEYS.noticed_days,
    )
    .where(in_set(_KEYS.connection_id, "connection_ids"), is_own(_KEYS.organisation_id))
    .order_by(_KEYS.added_at, _KEYS.key_id)
)
_SELECT_PRIVATE_KEY = select(_KEYS.private_key).where(
    _KEYS.organisation_id == ORGANISATION, _KEYS.connection_id == _CONNECTION, _KEYS.key_id == _KEY
)
_KEY_COLUMNS = ("certificate", "sha256", "state", "not_after", "added_at", "noticed_days")
_PUT_KEY = Put(sp_key, key=("connection_id", "key_id"), columns=_KEY_COLUMNS)
_PUT_WHOLE_KEY = Put(sp_key, key=("connection_id", "key_id"), columns=(*_KEY_COLUMNS, "private_key"))
_DELETE_KEYS = delete(sp_key).where(_KEYS.organisation_id == ORGANISATION, _KEYS.connection_id == _CONNECTION)
_DELETE_KEY = _DELETE_KEYS.where(_KEYS.key_id == _KEY)

_METADATA = connection_metadata.c
_SELECT_METADATA = select(
    _METADATA.connection_id,
    _METADATA.document,
    _METADATA.etag,
    _METADATA.taken_at,
    _METADATA.valid_until,
    _METADATA.checked_at,
    _METADATA.failing_since,
    _METADATA.failure,
).where(in_set(_METADATA.connection_id, "connection_ids"), is_own(_METADATA.organisation_id))
_PUT_METADATA = Put(
    connection_metadata,
    key=("connection_id",),
    columns=("document", "etag", "taken_at", "valid_until", "checked_at", "failing_since", "failure"),
)

_TESTS = sso_test.c
_SELECT_TEST = select(_TESTS.test_id, _TESTS.has_passed, _TESTS.version, _TESTS.at).where(
    _TESTS.organisation_id == ORGANISATION,
    _TESTS.connection_id == _CONNECTION,
    _TESTS.actor == bindparam("by_actor", type_=Text),
)
_PUT_TEST = Put(sso_test, key=("connection_id", "actor"), columns=("test_id", "has_passed", "version", "at"))

_SELECT_ENFORCEMENT = select(
    enforcement.c.connection_id,
    enforcement.c.enforced_by,
    enforcement.c.enforced_at,
    enforcement.c.suspended_at,
    enforcement.c.suspended_reason,
).where(enforcement.c.organisation_id == ORGANISATION)
_DELETE_ENFORCEMENT = delete(enforcement).where(enforcement.c.organisation_id == ORGANISATION)
_INSERT_ENFORCEMENT = insert(enforcement)


def _read_certificate(row: Row) -> IdPCertificate:
    return IdPCertificate(
        sha256=row[1],
        certificate=bytes(row[2]),
        state=row[3],
        not_before=read_moment(row[4]),
        not_after=read_moment(row[5]),
        added_at=read_moment(row[6]),
        ends_at=read_optional_moment(row[7]),
        noticed_days=row[8],
    )


def _read_key(row: Row) -> SPKey:
    return SPKey(
        key_id=row[1],
        certificate=bytes(row[2]),
        state=row[3],
        not_after=read_moment(row[4]),
        added_at=read_moment(row[5]),
        noticed_days=row[6],
    )


def _read_metadata(row: Row) -> MetadataCopy:
    return MetadataCopy(
        document=row[1],
        etag=row[2],
        taken_at=read_moment(row[3]),
        valid_until=read_optional_moment(row[4]),
        checked_at=read_moment(row[5]),
        failing_since=read_optional_moment(row[6]),
        failure=row[7],
    )


def _by_connection(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return found


class ConnectionsReader(View):
    """Connections as they stand."""

    def connections(self) -> list[StoredConnection]:
        # Not in the order of a database, which is not the same on both.
        return sorted(
            self._whole(self._rows(_SELECT_CONNECTIONS)), key=lambda one: (one.name, one.connection_id)
        )

    def connection(self, connection_id: ConnectionId) -> StoredConnection | None:
        if not is_id(connection_id):
            return None
        found = self._whole(self._rows(_SELECT_CONNECTION, of_connection=connection_id.lower()))
        return found[0] if found else None

    def _whole(self, rows: list[Row]) -> list[StoredConnection]:
        if not rows:
            return []
        ids = [row[0] for row in rows]
        certificates = _by_connection(self._rows(_SELECT_CERTIFICATES, connection_ids=ids))
        keys = _by_connection(self._rows(_SELECT_KEYS, connection_ids=ids))
        copies = {row[0]: _read_metadata(row) for row in self._rows(_SELECT_METADATA, connection_ids=ids)}
        return [
            StoredConnection(
                connection_id=row[0],
                organisation_id=row[1],
                name=row[2],
                settings=read_document(row[3]),
                version=row[4],
                created_at=read_moment(row[5]),
                certificates=tuple(map(_read_certificate, certificates.get(row[0], ()))),
                keys=tuple(map(_read_key, keys.get(row[0], ()))),
                metadata=copies.get(row[0]),
            )
            for row in rows
        ]

    def sp_private_key(self, connection_id: ConnectionId, key_id: str) -> bytes | None:
        row = self._row(_SELECT_PRIVATE_KEY, of_connection=connection_id, of_key=key_id)
        if row is None or row[0] is None:
            return None
        return self._database.key_ring.open(bytes(row[0]), self._key_place(connection_id, key_id))

    def _key_place(self, connection_id: ConnectionId, key_id: str) -> bytes:
        return sp_key_place(self._organisation_id, connection_id, key_id)

    def last_test(self, connection_id: ConnectionId, actor: str) -> StoredTest | None:
        row = self._row(_SELECT_TEST, of_connection=connection_id, by_actor=actor)
        if row is None:
            return None
        return StoredTest(connection_id, row[0], actor, bool(row[1]), row[2], read_moment(row[3]))

    def enforcement(self) -> Enforcement | None:
        row = self._row(_SELECT_ENFORCEMENT)
        if row is None:
            return None
        return Enforcement(row[0], row[1], read_moment(row[2]), read_optional_moment(row[3]), row[4])


class ConnectionsWriter(ConnectionsReader):
    """Connections as commands change them."""

    def put_connection(self, connection: StoredConnection, at: datetime) -> None:
        """Certificates, keys and metadata have their own statements."""
        url = str(connection.settings.get("metadata_url", ""))
        updated = self._run(
            _UPDATE_CONNECTION,
            of_connection=connection.connection_id,
            new_name=connection.name,
            new_settings=connection.settings,
            new_version=connection.version,
            new_metadata_url=url,
            at=at,
        )
        if not updated:
            self._insert(
                _INSERT_CONNECTION,
                id=connection.connection_id,
                name=connection.name,
                settings=connection.settings,
                version=connection.version,
                metadata_url=url,
                created_at=connection.created_at,
                updated_at=at,
            )

    def remove_connection(self, connection_id: ConnectionId, at: datetime) -> None:
        """Our keys for it are destroyed. What it was stays for the record, and its links."""
        if self._run(_REMOVE_CONNECTION, of_connection=connection_id, at=at):
            self._run(_DELETE_KEYS, of_connection=connection_id)

    def put_certificate(self, connection_id: ConnectionId, certificate: IdPCertificate) -> None:
        """Of a stored certificate only state, end and notice are written."""
        _PUT_CERTIFICATE(
            self,
            {
                "connection_id": connection_id,
                "sha256": certificate.sha256,
                "certificate": certificate.certificate,
                "state": certificate.state,
                "not_before": certificate.not_before,
                "not_after": certificate.not_after,
                "added_at": certificate.added_at,
                "ends_at": certificate.ends_at,
                "noticed_days": certificate.noticed_days,
            },
        )

    def put_key(self, connection_id: ConnectionId, key: SPKey, private_key: bytes | None) -> None:
        """`private_key` None leaves the stored one as it is."""
        values: dict[str, object] = {
            "connection_id": connection_id,
            "key_id": key.key_id,
            "certificate": key.certificate,
            "sha256": hashlib.sha256(key.certificate).hexdigest(),
            "state": key.state,
            "not_after": key.not_after,
            "added_at": key.added_at,
            "noticed_days": key.noticed_days,
        }
        if private_key is None:
            _PUT_KEY(self, values)
            return
        sealed = self._database.key_ring.seal(private_key, self._key_place(connection_id, key.key_id))
        _PUT_WHOLE_KEY(self, {**values, "private_key": sealed})

    def delete_key(self, connection_id: ConnectionId, key_id: str) -> None:
        self._run(_DELETE_KEY, of_connection=connection_id, of_key=key_id)

    def put_metadata(self, connection_id: ConnectionId, copy: MetadataCopy) -> None:
        _PUT_METADATA(
            self,
            {
                "connection_id": connection_id,
                "document": copy.document,
                "etag": copy.etag,
                "taken_at": copy.taken_at,
                "valid_until": copy.valid_until,
                "checked_at": copy.checked_at,
                "failing_since": copy.failing_since,
                "failure": copy.failure,
            },
        )
        self._run(_NOTE_CHECKED, of_connection=connection_id, at=copy.checked_at)

    def put_test(self, test: StoredTest) -> None:
        """In place of the actor's earlier one."""
        _PUT_TEST(
            self,
            {
                "connection_id": test.connection_id,
                "actor": test.actor,
                "test_id": test.test_id,
                "has_passed": test.has_passed,
                "version": test.version,
                "at": test.at,
            },
        )

    def put_enforcement(self, enforcement: Enforcement | None) -> None:
        self._run(_DELETE_ENFORCEMENT)
        if enforcement is not None:
            self._insert(
                _INSERT_ENFORCEMENT,
                connection_id=enforcement.connection_id,
                enforced_by=enforcement.enforced_by,
                enforced_at=enforcement.enforced_at,
                suspended_at=enforcement.suspended_at,
                suspended_reason=enforcement.suspended_reason,
            )
