"""Secrets of directories and connections: sealed for the row they stand in, and never shown."""

from datetime import datetime

from sqlalchemy import LargeBinary, String, bindparam, delete, insert, select, update

from directory.ids import OrganisationId
from storage.secrets import bind_place
from storage.tables import secret
from storage.types import Id, Moment
from storage.view import View, is_own

_SECRETS = secret.c
_IS_AT = (
    _SECRETS.holder == bindparam("of_holder", type_=Id),
    _SECRETS.name == bindparam("named", type_=String),
    is_own(_SECRETS.organisation_id),
)
_SELECT_SECRET = select(_SECRETS.sealed).where(*_IS_AT)
_UPDATE_SECRET = (
    update(secret)
    .values(
        sealed=bindparam("new_sealed", type_=LargeBinary),
        changed_at=bindparam("new_changed_at", type_=Moment),
    )
    .where(*_IS_AT)
)
_INSERT_SECRET = insert(secret)
_DELETE_SECRET = delete(secret).where(*_IS_AT)


def secret_place(organisation_id: OrganisationId, holder: str, name: str) -> bytes:
    """The place that a secret is sealed for."""
    return bind_place(organisation_id, f"secret/{holder}", name)


class SecretsReader(View):
    """The organisation's secrets, one at a time and only to those who name it."""

    def secret(self, holder: str, name: str) -> bytes | None:
        row = self._row(_SELECT_SECRET, of_holder=holder, named=name)
        if row is None:
            return None
        return self._database.key_ring.open(bytes(row[0]), secret_place(self._organisation_id, holder, name))


class SecretsWriter(SecretsReader):
    """The organisation's secrets as commands change them."""

    def put_secret(self, holder: str, name: str, secret: bytes, at: datetime) -> None:
        place = secret_place(self._organisation_id, holder, name)
        sealed = self._database.key_ring.seal(secret, place)
        if not self._run(_UPDATE_SECRET, of_holder=holder, named=name, new_sealed=sealed, new_changed_at=at):
            self._insert(_INSERT_SECRET, holder=holder, name=name, sealed=sealed, changed_at=at)

    def delete_secret(self, holder: str, name: str) -> bool:
        return bool(self._run(_DELETE_SECRET, of_holder=holder, named=name))
