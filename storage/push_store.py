"""What a pushing client needs beside the organisation's own transactions: its token, a view, and the request log."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Integer, Text, bindparam, or_, update
from sqlalchemy.engine import Connection

from directory.ids import DirectoryId, OrganisationId
from provisioning.resources import LoggedRequest, PushView, RequestQuery, ResourceReader, StoredToken
from storage.engine import Database
from storage.request_log import (
    DELETE_OLDEST,
    SELECT_BY_ID,
    SELECT_BY_REQUEST_ID,
    append_request_rows,
    read_request,
    select_requests,
)
from storage.resources import SQLResourceReader
from storage.tables import token
from storage.tokens import SELECT_TOKENS, read_token
from storage.types import Id, Moment, is_id
from storage.view import fetch_rows

_TOKENS = token.c
_SELECT_BY_PREFIX = SELECT_TOKENS.where(_TOKENS.prefix == bindparam("of_prefix", type_=Text))
_SELECT_ENDING = (
    SELECT_TOKENS.where(
        _TOKENS.revoked_at.is_(None),
        _TOKENS.expires_at.is_not(None),
        _TOKENS.expires_at > bindparam("after", type_=Moment),
        _TOKENS.expires_at <= bindparam("before", type_=Moment),
        or_(_TOKENS.noticed_days.is_(None), _TOKENS.noticed_days > bindparam("days", type_=Integer)),
    )
    .order_by(_TOKENS.expires_at, _TOKENS.id)
    .limit(bindparam("row_limit", type_=Integer))
)
_NOTE_USE = (
    update(token)
    .values(
        last_used_at=bindparam("at", type_=Moment), last_used_from=bindparam("new_last_used_from", type_=Text)
    )
    .where(_TOKENS.id == bindparam("of_token", type_=Id))
)
_LONGEST_ADDRESS = 64


class _PushView:
    """One transaction. Each statement is built beforehand: this runs for every request."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection

    def token(self, prefix: str) -> StoredToken | None:
        prepared = self._database.prepared
        cursor = prepared.execute(self._connection, _SELECT_BY_PREFIX, {"of_prefix": prefix})
        row = cursor.fetchone()
        cursor.close()
        return None if row is None else read_token(row)

    def resources(self, organisation_id: OrganisationId, directory_id: DirectoryId) -> ResourceReader:
        return SQLResourceReader(self._database, self._connection, organisation_id, directory_id)


class SQLPushStore:
    """The port `PushStore` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.contextmanager
    def read(self) -> Iterator[PushView]:
        with self._database.read() as connection:
            yield _PushView(self._database, connection)

    def note_use(self, token_id: str, at: datetime, address: str) -> None:
        parameters = {"of_token": token_id, "at": at, "new_last_used_from": address[:_LONGEST_ADDRESS]}
        with self._database.write() as connection:
            connection.execute(_NOTE_USE, parameters)

    def append_requests(self, requests: Sequence[LoggedRequest]) -> None:
        with self._database.write() as connection:
            append_request_rows(connection, requests)

    def requests(self, organisation_id: OrganisationId, query: RequestQuery) -> list[LoggedRequest]:
        statement, parameters = select_requests(query)
        with self._database.read() as connection:
            rows = fetch_rows(connection, statement, {"organisation": organisation_id, **parameters})
        return [read_request(row) for row in rows]

    def request(self, organisation_id: OrganisationId, id_or_request_id: str) -> LoggedRequest | None:
        with self._database.read() as connection:
            named = {"organisation": organisation_id, "of_request": id_or_request_id}
            rows = []
            if is_id(id_or_request_id):
                by_id = {"organisation": organisation_id, "of_id": id_or_request_id.lower()}
                rows = fetch_rows(connection, SELECT_BY_ID, by_id)
            rows = rows or fetch_rows(connection, SELECT_BY_REQUEST_ID, named)
        return read_request(rows[0]) if rows else None

    def delete_requests(self, before: datetime, limit: int) -> int:
        with self._database.write() as connection:
            return connection.execute(DELETE_OLDEST, {"before": before, "row_limit": limit}).rowcount

    def tokens_ending(self, now: datetime, days: int, limit: int) -> list[StoredToken]:
        parameters = {"after": now, "before": now + timedelta(days=days), "days": days, "row_limit": limit}
        with self._database.read() as connection:
            return [read_token(row) for row in fetch_rows(connection, _SELECT_ENDING, parameters)]
