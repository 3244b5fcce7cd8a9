"""Bearer tokens of pushed directories, as the organisation that owns them sees and changes them."""

from typing import Any

from sqlalchemy import Integer, Select, Text, and_, bindparam, insert, select, update

from directory.ids import DirectoryId
from provisioning.resources import StoredToken
from storage.tables import directory, token
from storage.types import Id, Moment, read_document, read_moment, read_optional_moment
from storage.view import ORGANISATION, Row, View

_TOKENS = token.c
_DIRECTORIES = directory.c

SELECT_TOKENS: Select[Any] = select(
    _TOKENS.id,
    _TOKENS.organisation_id,
    _TOKENS.directory_id,
    _TOKENS.name,
    _TOKENS.prefix,
    _TOKENS.sha256,
    _TOKENS.created_at,
    _TOKENS.created_by,
    _TOKENS.expires_at,
    _TOKENS.revoked_at,
    _TOKENS.last_used_at,
    _TOKENS.last_used_from,
    _TOKENS.noticed_days,
    _DIRECTORIES.kind,
    _DIRECTORIES.name,
    _DIRECTORIES.settings,
).join_from(
    token,
    directory,
    and_(
        _DIRECTORIES.id == _TOKENS.directory_id,
        # A token never opens a directory of another organisation, whatever its row says.
        _DIRECTORIES.organisation_id == _TOKENS.organisation_id,
    ),
)
"""Tokens with the directories that they open; `read_token` reads a row."""

_SELECT_OF_ORGANISATION = SELECT_TOKENS.where(_TOKENS.organisation_id == ORGANISATION).order_by(
    _TOKENS.directory_id, _TOKENS.created_at, _TOKENS.id
)
_SELECT_OF_DIRECTORY = _SELECT_OF_ORGANISATION.where(
    _TOKENS.directory_id == bindparam("of_directory", type_=Id)
)
_UPDATE_TOKEN = (
    update(token)
    .values(
        name=bindparam("new_name", type_=Text),
        expires_at=bindparam("new_expires_at", type_=Moment),
        revoked_at=bindparam("new_revoked_at", type_=Moment),
        noticed_days=bindparam("new_noticed_days", type_=Integer),
    )
    .where(_TOKENS.organisation_id == ORGANISATION, _TOKENS.id == bindparam("of_token", type_=Id))
)
_INSERT_TOKEN = insert(token)


def read_token(row: Row) -> StoredToken:
    return StoredToken(
        token_id=row[0],
        organisation_id=row[1],
        directory_id=row[2],
        name=row[3],
        prefix=row[4],
        sha256=bytes(row[5]),
        created_at=read_moment(row[6]),
        created_by=row[7],
        expires_at=read_optional_moment(row[8]),
        revoked_at=read_optional_moment(row[9]),
        last_used_at=read_optional_moment(row[10]),
        last_used_from=row[11],
        noticed_days=row[12],
        directory_kind=row[13],
        directory_name=row[14],
        settings=read_document(row[15]),
    )


class TokensReader(View):
    """The organisation's tokens."""

    def tokens(self, directory_id: DirectoryId | None = None) -> list[StoredToken]:
        if directory_id is None:
            return [read_token(row) for row in self._rows(_SELECT_OF_ORGANISATION)]
        return [read_token(row) for row in self._rows(_SELECT_OF_DIRECTORY, of_directory=directory_id)]


class TokensWriter(TokensReader):
    """The organisation's tokens as commands change them."""

    def put_token(self, token: StoredToken) -> None:
        """Of a stored token only name, end, revocation and notice are written."""
        updated = self._run(
            _UPDATE_TOKEN,
            of_token=token.token_id,
            new_name=token.name,
            new_expires_at=token.expires_at,
            new_revoked_at=token.revoked_at,
            new_noticed_days=token.noticed_days,
        )
        if not updated:
            self._insert(
                _INSERT_TOKEN,
                id=token.token_id,
                directory_id=token.directory_id,
                name=token.name,
                prefix=token.prefix,
                sha256=token.sha256,
                created_at=token.created_at,
                created_by=token.created_by,
                expires_at=token.expires_at,
                revoked_at=token.revoked_at,
                noticed_days=token.noticed_days,
                last_used_from="",
            )
