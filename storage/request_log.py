"""The request log of pushed directories: appended in batches beside the requests' own transactions, read in pages."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote_plus

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from directory.ids import EventId
from provisioning.resources import LoggedRequest, RequestQuery
from storage.bulk import BulkInsert
from storage.tables import scim_request
from storage.types import Id, Moment, read_document, read_moment
from storage.view import ORGANISATION, Row

_REQUESTS = scim_request.c
_NO_BODY: ColumnElement[Any] = literal_column("NULL")
_COLUMNS = (
    _REQUESTS.id,
    _REQUESTS.organisation_id,
    _REQUESTS.directory_id,
    _REQUESTS.request_id,
    _REQUESTS.at,
    _REQUESTS.token_prefix,
    _REQUESTS.address,
    _REQUESTS.method,
    _REQUESTS.path,
    _REQUESTS.query,
    _REQUESTS.headers,
    _REQUESTS.status,
    _REQUESTS.scim_type,
    _REQUESTS.detail,
    _REQUESTS.duration_us,
    _REQUESTS.profile,
    _REQUESTS.leniencies,
    _REQUESTS.events,
)
_FIRST_FAILURE = 400


class _Holds(FunctionElement[bool]):
    """Whether a text holds another, letter by letter. Not LIKE, which has wildcards and folds case on SQLite only."""

    name = "holds"
    inherit_cache = True


@compiles(_Holds, "sqlite")
def _holds_sqlite(element: _Holds, compiler: SQLCompiler, **options: object) -> str:
    return f"instr({compiler.process(element.clauses, **options)}) > 0"


@compiles(_Holds, "postgresql")
def _holds_postgresql(element: _Holds, compiler: SQLCompiler, **options: object) -> str:
    return f"strpos({compiler.process(element.clauses, **options)}) > 0"


def _holds(column: ColumnElement[Any], name: str = "text") -> ColumnElement[bool]:
    return _Holds(func.coalesce(column, ""), bindparam(name, type_=Text))


_SELECT_LIST = (
    select(*_COLUMNS, _NO_BODY, _NO_BODY)
    .where(
        _REQUESTS.organisation_id == ORGANISATION,
        _REQUESTS.directory_id == bindparam("of_directory", type_=Id),
    )
    .order_by(_REQUESTS.id.desc())
    .limit(bindparam("row_limit", type_=Integer))
)
_HAS_TEXT = or_(
    _holds(_REQUESTS.path),
    _holds(_REQUESTS.query),
    _holds(_REQUESTS.query, "query_text"),
    _holds(_REQUESTS.detail),
    _holds(_REQUESTS.request_body),
    _holds(_REQUESTS.answer_body),
)
_SELECT_WHOLE: Select[Any] = (
    select(*_COLUMNS, _REQUESTS.request_body, _REQUESTS.answer_body)
    .where(_REQUESTS.organisation_id == ORGANISATION)
    .order_by(_REQUESTS.id.desc())
    .limit(1)
)
SELECT_BY_ID = _SELECT_WHOLE.where(_REQUESTS.id == bindparam("of_id", type_=Id))
SELECT_BY_REQUEST_ID = _SELECT_WHOLE.where(_REQUESTS.request_id == bindparam("of_request", type_=Text))

_OLDEST = (
    select(_REQUESTS.id)
    .where(_REQUESTS.at < bindparam("before", type_=Moment))
    .order_by(_REQUESTS.at)
    .limit(bindparam("row_limit", type_=Integer))
)
DELETE_OLDEST = delete(scim_request).where(_REQUESTS.id.in_(_OLDEST))

_INSERT = BulkInsert(scim_request, *(column.name for column in _COLUMNS), "request_body", "answer_body")


def append_request_rows(connection: Connection, requests: Sequence[LoggedRequest]) -> None:
    """Append requests of any organisations. Every text is cut and cleaned to what any database can hold."""
    _INSERT(connection, map(_written, requests))


def _written(request: LoggedRequest) -> tuple[Any, ...]:
    return (
        request.id,
        request.organisation_id,
        request.directory_id,
        _fit(request.request_id, 64),
        request.at,
        _fit(request.token_prefix, 24),
        _fit(request.address, 64),
        _fit(request.method, 8),
        _clean(request.path),
        _clean(request.query),
        {_clean(name): _clean(value) for name, value in request.headers.items()},
        request.status,
        _fit(request.scim_type, 32),
        _clean(request.detail),
        request.duration_us,
        _fit(request.profile, 16),
        request.leniencies,
        request.events,
        None if request.request_body is None else _clean(request.request_body),
        None if request.answer_body is None else _clean(request.answer_body),
    )


def _clean(text: str) -> str:
    """Without NUL, which PostgreSQL cannot hold, and without halves of characters, which are no UTF-8.

    One row that does not fit would lose its whole batch.
    """
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _fit(text: str, size: int) -> str:
    return _clean(text)[:size]


def select_requests(query: RequestQuery) -> tuple[Select[Any], dict[str, object]]:
    """The statement of a look into the log, with its parameters beside the organisation."""
    statement = _SELECT_LIST
    parameters: dict[str, object] = {"of_directory": query.directory_id, "row_limit": query.limit}
    if query.before:
        statement = statement.where(_REQUESTS.id < bindparam("before_id", type_=Id))
        parameters["before_id"] = query.before
    if query.failed_only:
        statement = statement.where(_REQUESTS.status >= _FIRST_FAILURE)
    if query.status is not None:
        statement = statement.where(_REQUESTS.status == bindparam("of_status", type_=Integer))
        parameters["of_status"] = query.status
    if query.method:
        statement = statement.where(_REQUESTS.method == bindparam("of_method", type_=Text))
        parameters["of_method"] = query.method
    if query.text:
        statement = statement.where(_HAS_TEXT)
        # A query is kept as it goes over the wire.
        parameters |= {"text": query.text, "query_text": quote_plus(query.text)}
    if query.since is not None:
        statement = statement.where(_REQUESTS.at >= bindparam("since", type_=Moment))
        parameters["since"] = query.since
    if query.until is not None:
        statement = statement.where(_REQUESTS.at < bindparam("until", type_=Moment))
        parameters["until"] = query.until
    return statement, parameters


def read_request(row: Row) -> LoggedRequest:
    return LoggedRequest(
        id=row[0],
        organisation_id=row[1],
        directory_id=row[2],
        request_id=row[3],
        at=read_moment(row[4]),
        token_prefix=row[5],
        address=row[6],
        method=row[7],
        path=row[8],
        query=row[9],
        headers=read_document(row[10]),
        status=row[11],
        scim_type=row[12],
        detail=row[13],
        duration_us=row[14],
        profile=row[15],
        leniencies=tuple(read_document(row[16])),
        events=tuple(EventId(event_id) for event_id in read_document(row[17])),
        request_body=row[18],
        answer_body=row[19],
    )
