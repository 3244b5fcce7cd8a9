"""Column types that mean the same on SQLite and PostgreSQL, and what drivers give for them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import JSON, BigInteger, DateTime, Integer, String, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import CHAR, TypeDecorator, TypeEngine

from directory.ids import RoleId, ScopeId


class Id(TypeDecorator[str]):
    """A UUID as lower-case text with hyphens in Python; native on PostgreSQL, 36 characters on SQLite.

    Kept as text on both sides so that bulk statements and audit bodies need no conversion of each value.
    """

    impl = CHAR(36)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Uuid(as_uuid=False, native_uuid=True))
        return dialect.type_descriptor(CHAR(36))


class Moment(TypeDecorator[datetime]):
    """An aware moment in UTC. SQLite gives naive values back; this makes them aware again."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = _in_utc(value)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Document = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""A small JSON document that no query looks into."""

Key = Text().with_variant(Text(collation="C"), "postgresql")
"""A comparison key, made in Python. In the order of its code points on every database, so that an index serves a
prefix."""

NameKey = String(800).with_variant(String(800, collation="C"), "postgresql")
"""A comparison key of a name, whose length is bounded."""

RowNumber = BigInteger().with_variant(Integer, "sqlite")
"""A database-drawn number in insertion order: identity on PostgreSQL, AUTOINCREMENT on SQLite."""


_ID_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_id(text: str) -> bool:
    """Whether a text is an id at all; PostgreSQL refuses to compare an id with anything else."""
    return _ID_FORM.fullmatch(text) is not None


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise ValueError("a moment without a time zone cannot be stored; pass an aware UTC datetime")
    return value.astimezone(UTC)


def read_moment(value: str | datetime) -> datetime:
    """Read a moment as a driver gives it: text from SQLite, a datetime from PostgreSQL."""
    if isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return value.astimezone(UTC)


def read_optional_moment(value: str | datetime | None) -> datetime | None:
    """Read a moment that may be absent."""
    return None if value is None else read_moment(value)


def read_document(value: Any) -> Any:  # noqa: ANN401 - whatever was stored
    """Read a document as a driver gives it: text from SQLite, lists and objects from PostgreSQL."""
    return orjson.loads(value) if isinstance(value, str) else value


def read_pairs(document: list[list[str]] | None) -> tuple[tuple[RoleId, ScopeId], ...]:
    """Read (role, scope) pairs as they stand in a document."""
    return tuple((RoleId(role), ScopeId(scope)) for role, scope in document) if document else ()


def document_text(value: object) -> str:
    """Write a document as text. Any mapping is an object, a tuple is a list."""
    return orjson.dumps(value, default=dict).decode()


def moment_writer(suffix: str) -> Callable[[datetime], str]:
    """Make a function that writes moments as the text that SQLite stores, `suffix` behind it.

    It remembers the last moment: the rows of one statement mostly share theirs.
    """
    last: datetime | None = None
    text = ""

    def write(value: datetime) -> str:
        nonlocal last, text
        if value is not last:
            text = _in_utc(value).replace(tzinfo=None).isoformat(" ", "microseconds") + suffix
            last = value
        return text

    return write
