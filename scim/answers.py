"""A request as it came and an answer as it goes, without any web framework."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from directory.ids import EventId
from provisioning.state import EventRow
from scim.errors import (
    MethodNotAllowedError,
    SCIMError,
    TooManyRequestsError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from scim.limits import MAX_BODY, MAX_LARGE_BODY
from scim.resources import dump_json

MEDIA_TYPE = "application/scim+json"
_MEDIA_TYPES = (MEDIA_TYPE, "application/json")
_CHARSETS = ("utf-8", "utf8", "us-ascii")
_READS = frozenset({"GET", "HEAD"})
_NO_HEADERS: Mapping[str, str] = {}
_SMALL_BODY = 131_072
"""Bytes up to which a body in pieces is sent as one, with its length."""


@dataclass(frozen=True, slots=True)
class SCIMRequest:
    """A request as the edge read it. `path` is below the directory's base; `headers` go by small letters."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)
    body: bytes = b""


@dataclass(slots=True)
class Answer:
    """What is sent back. `events` are what the request changed; `foreseen` what a rehearsal would have written."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterator[bytes] = b""
    scim_type: str = ""
    detail: str = ""
    events: tuple[EventId, ...] = ()
    leniencies: tuple[str, ...] = ()
    foreseen: tuple[EventRow, ...] = ()


def body_limit(path: str) -> int:
    """Bytes that the body of a request to this path may have."""
    first = path.strip("/").partition("/")[0]
    return MAX_LARGE_BODY if first in ("Groups", "Bulk") else MAX_BODY


def is_read(request: SCIMRequest) -> bool:
    """Whether the request is answered from a reader alone."""
    return request.method in _READS or request.path.rstrip("/").rpartition("/")[2] == ".search"


def render_error(error: SCIMError) -> Answer:
    """The answer that tells of an error.

    Source: RFC 7644 section 3.12; RFC 9110 sections 10.2.1, 10.2.3 and 11.6.1
    """
    headers = {"Content-Type": MEDIA_TYPE}
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, MethodNotAllowedError):
        headers["Allow"] = ", ".join(error.allowed)
    elif isinstance(error, TooManyRequestsError):
        headers["Retry-After"] = str(error.retry_after)
    return Answer(
        error.status, headers, dump_json(error.to_body()), scim_type=error.scim_type, detail=error.detail
    )


def settle(pieces: Iterable[bytes]) -> bytes | Iterator[bytes]:
    """A body as one, unless it is large."""
    begun: list[bytes] = []
    size = 0
    rest = iter(pieces)
    for piece in rest:
        begun.append(piece)
        size += len(piece)
        if size > _SMALL_BODY:
            return chain(begun, rest)
    return b"".join(begun)


def check_media_type(content_type: str) -> None:
    """Raises UnsupportedMediaTypeError. No type at all is taken for ours. Source: RFC 7644 section 3.1"""
    if content_type in ("", MEDIA_TYPE):
        return
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [value.strip('"') for name, _, value in map(_split, parameters) if name == "charset"]
    if media_type not in _MEDIA_TYPES or any(charset not in _CHARSETS for charset in charsets):
        raise UnsupportedMediaTypeError(
            f"a body of type '{content_type[:100]}' is not read; send {MEDIA_TYPE} in UTF-8"
        )


def _split(parameter: str) -> tuple[str, str, str]:
    name, sign, value = parameter.partition("=")
    return name.strip(), sign, value.strip()
