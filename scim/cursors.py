"""Cursors: a place in a sorted list as a sealed text that only the same question of the same directory opens.

A cursor holds what was asked, as a digest, and the key and id of the row that was passed; so rows that come and go
shift no page. Source: RFC 9865 section 2.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import orjson

from provisioning.resources import Direction, Position
from scim.errors import ExpiredCursorError, InvalidCountError, InvalidCursorError

TIMEOUT_SECONDS = 3_600
_FORM = 1
_MAX_LENGTH = 16_384


class Sealer(Protocol):
    """Encrypts and authenticates a value for one place."""

    def seal(self, secret: bytes, place: bytes) -> bytes: ...

    def open(self, sealed: bytes, place: bytes) -> bytes | None:
        """None when it was sealed for another place, changed, or its key is gone."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a list was asked for. `resource_type` is empty for the search over all of them."""

    directory_id: str
    resource_type: str
    filter: str
    sort: str
    is_descending: bool

    def digest(self) -> str:
        told = orjson.dumps([self.resource_type, self.filter, self.sort, self.is_descending])
        return hashlib.sha256(told).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a page begins; `position` None: at the first row. `resource_type` is the part of a search it lies in.

    `total` is how many rows there were when the first page was read; None: not counted yet.
    """

    count: int
    position: Position | None
    resource_type: str = ""
    total: int | None = None


def seal_cursor(question: Question, mark: Mark, *, sealer: Sealer, now: datetime) -> str:
    """A cursor of unreserved characters."""
    position = mark.position
    told = orjson.dumps(
        [
            _FORM,
            question.digest(),
            mark.count,
            mark.resource_type,
            None if position is None else [position.key, position.id, position.direction.value],
            mark.total,
            int(now.timestamp()),
        ]
    )
    return base64.urlsafe_b64encode(sealer.seal(told, _place(question))).decode().rstrip("=")


def open_cursor(text: str, question: Question, count: int | None, *, sealer: Sealer, now: datetime) -> Mark:
    """Read a cursor that was given for the same question. `count` None: the client did not say it again.

    Raises InvalidCursorError, ExpiredCursorError or InvalidCountError. Source: RFC 9865 section 2.1
    """
    told = _open(text, question, sealer)
    if told is None:
        raise InvalidCursorError(
            "the cursor does not belong to this request; begin again with an empty cursor and change neither "
            "filter nor order between pages"
        )
    mark, made_at = told
    if now.timestamp() - made_at > TIMEOUT_SECONDS:
        raise ExpiredCursorError(
            f"the cursor is older than {TIMEOUT_SECONDS} seconds; begin again with an empty cursor"
        )
    if count is not None and count != mark.count:
        raise InvalidCountError(f"count was {mark.count} on the page before; it must stay the same")
    return mark


def _open(text: str, question: Question, sealer: Sealer) -> tuple[Mark, int] | None:
    try:
        if len(text) > _MAX_LENGTH:
            return None
        sealed = base64.b64decode(
            text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, UnicodeEncodeError):
        return None
    opened = sealer.open(sealed, _place(question))
    if opened is None:
        return None
    form, digest, *told = orjson.loads(opened)
    if form != _FORM or digest != question.digest():
        return None
    count, resource_type, place, total, made_at = told
    position = None if place is None else Position(place[0], place[1], Direction(place[2]))
    return Mark(count, position, resource_type, total), made_at


def _place(question: Question) -> bytes:
    return f"scim|{question.directory_id}|cursor".encode()
